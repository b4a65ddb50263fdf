"""Choosing a driver, and driving a flow."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from idemdb import AsyncIdem, Idem, InvalidArgument
from idemdb.drivers import adapt, adapt_async
from idemdb.drivers.alchemy import AlchemySession, AsyncAlchemySession
from idemdb.drivers.base import Invoke, Step


def test_a_connection_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"not builtins\.object"):
        Idem(object())
    with pytest.raises(InvalidArgument, match="Idem takes it"):
        AsyncIdem(Session())
    with pytest.raises(InvalidArgument, match="AsyncIdem takes it"):
        Idem(AsyncSession())


class OwnSession(Session):
    pass


def test_a_subclass_is_known_by_what_it_inherits_from() -> None:
    assert isinstance(adapt(OwnSession()), AlchemySession)


async def test_a_scoped_session_stands_for_its_present_session() -> None:
    plain = scoped_session(sessionmaker(create_engine("postgresql+psycopg://")))
    assert adapt(plain).connection is plain()
    engine = create_async_engine("postgresql+asyncpg://")
    waiting = async_scoped_session(async_sessionmaker(engine), scopefunc=asyncio.current_task)
    driver = adapt_async(waiting)
    assert isinstance(driver, AsyncAlchemySession)
    assert driver.connection is waiting()


def _flow(seen: list[Any]) -> Generator[Step, Any, str]:
    seen.append((yield Invoke(lambda: 1)))
    try:
        yield Invoke(lambda: 1 // 0)
    except ZeroDivisionError:
        seen.append("caught")
    seen.append((yield Invoke(str, (2,))))
    return "answer"


async def test_a_flow_is_sent_answers_and_thrown_errors() -> None:
    seen: list[Any] = []
    assert adapt(Session()).drive(_flow(seen)) == "answer"
    assert await adapt_async(AsyncSession()).drive(_flow(seen)) == "answer"
    assert seen == [1, "caught", "2"] * 2
