"""The commands about events and the outbox; the relay's process is tested with the relay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from idemdb import Idem
from idemdb.cli.main import main


def invoke(dsn: str, *arguments: str, code: int = 0) -> str:
    """Run a command, and return what it wrote to both streams."""
    result = CliRunner().invoke(main, arguments, env={"IDEMDB_DSN": dsn})
    assert result.exit_code == code, result.output + repr(result.exception)
    assert "Traceback" not in result.output
    return result.output


@pytest.fixture
def used(dsn: str) -> str:
    """Return a database with an event and a message of each sort, one of them dead."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        idem = Idem(conn)
        for kind, name in (("consumer", "billing"), ("topic", "mail")):
            idem.configure(kind, name, {"max_attempts": 1})
        idem.process("billing", "seen", lambda event: None)
        idem.process_failed("billing", "poison", "no luck")
        idem.outbox_add("mail", "dead", {})
        [message] = idem.outbox_take("mail", 1, 60)
        idem.outbox_retry("mail", message.claim_token, message.id, 0, "no route")
        idem.outbox_add("mail", "waiting", {})
    return dsn


def rows(dsn: str, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(invoke(dsn, *arguments, "--json"))
    return found


def test_nothing_there(dsn: str) -> None:
    for command in ("events", "outbox"):
        for dead in ([], ["--dead"]):
            assert invoke(dsn, command, *dead).startswith("No ")
            assert rows(dsn, command, *dead) == []


def test_overviews(used: str) -> None:
    [consumer] = rows(used, "events")
    wanted = {"consumer": "billing", "remembered": 1, "retrying": 0, "dead": 1}
    assert wanted.items() <= consumer.items()
    [topic] = rows(used, "outbox")
    assert {"topic": "mail", "waiting": 1, "taken": 0, "dead": 1}.items() <= topic.items()
    assert "billing" in invoke(used, "events")
    assert "mail" in invoke(used, "outbox")


@pytest.mark.parametrize("action", ["replay", "drop"])
def test_dead_letters(used: str, action: str) -> None:
    [event] = rows(used, "events", "--dead")
    assert (event["consumer"], event["id"], event["last_error"]) == ("billing", "poison", "no luck")
    [message] = rows(used, "outbox", "--dead")
    assert (message["topic"], message["last_error"]) == ("mail", "no route")
    result = "replayed" if action == "replay" else "dropped"
    assert json.loads(invoke(used, "dead-letter", "consumer", "billing", "poison", action, "--json")) == {
        "result": result
    }
    assert result in invoke(used, "dead-letter", "topic", "mail", message["id"], action)
    assert rows(used, "events", "--dead") == rows(used, "outbox", "--dead") == []
    assert "Hint" in invoke(used, "dead-letter", "topic", "mail", message["id"], action, code=1)


def test_the_relay_delivers_once(used: str, tmp_path: Path) -> None:
    output = invoke(used, "relay", "--once", "--json", "--handler", f"mail=exec:tee {tmp_path / 'mail'}")
    assert json.loads(output)["delivered"] == 1
    assert (tmp_path / "mail").read_text() == "{}"
    assert "delivered  0" in invoke(used, "relay", "--once", "--handler", "mail=exec:true")


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--handler", "mail"],
        ["--handler", "=exec:true"],
        ["--handler", "mail=nothing"],
        ["--handler", "mail=exec:true", "--handler", "mail=exec:false"],
        ["--handler", "mail=exec:true", "--timeout", "60s"],
        ["--handler", "mail=exec:true", "--concurrency", "0"],
    ],
)
def test_nonsense_is_refused(dsn: str, options: list[str]) -> None:
    invoke(dsn, "relay", "--once", *options, code=2)


def test_no_schema(empty_dsn: str) -> None:
    for command in (["events"], ["outbox"], ["relay", "--handler", "mail=exec:true"]):
        assert "idemdb upgrade" in invoke(empty_dsn, *command, code=3)


def test_no_server() -> None:
    invoke("host=127.0.0.1 port=1 user=me", "relay", "--handler", "mail=exec:true", code=3)
