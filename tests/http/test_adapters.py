"""The middleware over a real PostgreSQL: FastAPI with an AsyncSession, and WSGI with psycopg."""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any

import httpx
import psycopg
from fastapi import APIRouter, Depends, FastAPI, HTTPException
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from idemdb.http import wsgi
from idemdb.http.fastapi import add_idempotency, claimed


def charges(dsn: str) -> int:
    with psycopg.connect(dsn) as conn:
        (count,) = conn.execute("select count(*) from charges").fetchone() or (0,)
        return int(count)


def prepare(dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute("create table charges (cents int)")


async def test_fastapi(dsn: str) -> None:
    prepare(dsn)
    engine = create_async_engine(dsn.replace("postgresql://", "postgresql+psycopg://"))
    app, router = FastAPI(), APIRouter(prefix="/v1")

    @router.post("/pay/{who}", status_code=201)
    async def pay(who: str, session: Annotated[AsyncSession, Depends(claimed)]) -> dict[str, int]:
        await session.execute(text("insert into charges values (500)"))
        await session.commit()  # within the claim's transaction
        if who == "declined":
            raise HTTPException(402, "declined")
        if who == "crash":
            raise ValueError(who)
        return {"paid": 500}

    app.include_router(router)
    add_idempotency(app, async_sessionmaker(engine), scope=lambda _: "ada")
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:

        async def click(who: str, key: str) -> httpx.Response:
            return await client.post(f"/v1/pay/{who}", headers={"Idempotency-Key": key})

        first, again = await click("ada", "k"), await click("ada", '"k"')
        assert (first.status_code, again.status_code, first.content) == (201, 201, again.content)
        assert "idempotent-replayed" not in first.headers
        assert again.headers["idempotent-replayed"] == "true"
        # Another path is another request.
        assert (await click("bob", "k")).status_code == 422
        # Stored, its writes rolled back; then not stored at all.
        assert [(await click("declined", "d")).status_code for _ in range(2)] == [402, 402]
        assert [(await click("crash", "c")).json()["code"] for _ in range(2)] == ["failed", "failed"]
        assert charges(dsn) == 1
        clicks = await asyncio.gather(*[click("ada", "many") for _ in range(20)])
        assert Counter(click.status_code for click in clicks) == {201: 20}
        assert sum("idempotent-replayed" in click.headers for click in clicks) == 19
        assert charges(dsn) == 2
        assert (await click("ada", "a,b")).json()["code"] == "key-invalid"
        operation = (await client.get("/openapi.json")).json()["paths"]["/v1/pay/{who}"]["post"]
        assert {"name": "Idempotency-Key", "in": "header"}.items() <= operation["parameters"][-1].items()
        assert {"400", "409", "422"} <= set(operation["responses"])
    await engine.dispose()


def test_wsgi(dsn: str) -> None:
    prepare(dsn)

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        wsgi.connection(environ).execute("insert into charges values (500)")
        body = environ["wsgi.input"].read()
        start_response("402 Payment Required" if body == b"declined" else "200 OK", [("ETag", "1")])
        return [b"\x00\xff", body]

    served = wsgi.IdempotencyMiddleware(app, lambda: psycopg.connect(dsn), scope=lambda _: "ada")

    def click(key: str, body: bytes) -> tuple[str, dict[str, str], bytes]:
        said: list[Any] = []
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/pay",
            "HTTP_IDEMPOTENCY_KEY": key,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
        }
        answer: Any = served(environ, lambda status, headers: said.extend([status, dict(headers)]))
        got = b"".join(answer)
        if hasattr(answer, "close"):
            answer.close()
        return said[0], said[1], got

    assert click("k", b"x") == ("200 OK", {"ETag": "1"}, b"\x00\xffx")
    status, headers, body = click("k", b"x")
    assert (status, headers["etag"], headers["idempotent-replayed"], body) == (
        "200 OK",
        "1",
        "true",
        b"\x00\xffx",
    )
    assert click("k", b"y")[0].startswith("422")
    assert [click("d", b"declined")[0][:3] for _ in range(2)] == ["402", "402"]
    assert charges(dsn) == 1
