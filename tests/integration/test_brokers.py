"""Consumers of real brokers die between commit and acknowledgement; the effect happens once all the same."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pika
import psycopg
import pytest
import redis

from tests.support.brokers import rabbitmq_server, redis_server
from tests.support.hesitant import EXAMPLES

SETUP = """
    create table bills (event_id text not null, amount integer not null);
    select idemdb.configure('consumer', 'billing', '{"max_attempts": 2}');
"""
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def shop(dsn: str) -> str:
    """Return the DSN of a database with the examples' table."""
    with psycopg.connect(dsn) as connection:
        connection.execute(SETUP)
    return dsn


@pytest.fixture
def start(shop: str) -> Iterator[Start]:
    """Return a function that starts an example's consumer, as it is or hesitant to acknowledge."""
    started: list[subprocess.Popen[str]] = []

    def run(example: str, url: str, *arguments: str, hesitant: bool = False) -> subprocess.Popen[str]:
        which = (
            ["-m", "tests.support.hesitant", example]
            if hesitant
            else [str(EXAMPLES / example / "consumer.py")]
        )
        command = [sys.executable, *which, url, shop, *arguments]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def lines(process: subprocess.Popen[str], count: int) -> list[str]:
    """Read as many lines as are expected."""
    assert process.stdout is not None
    return [process.stdout.readline().rstrip("\n") for _ in range(count)]


def bills(dsn: str) -> list[tuple[str, int]]:
    """List the bills."""
    with psycopg.connect(dsn) as connection:
        return connection.execute("select event_id, amount from bills order by event_id, amount").fetchall()


def kill_before_acknowledgement(consumer: subprocess.Popen[str], shop: str) -> None:
    """Wait until the first event is committed and about to be acknowledged, and kill its consumer."""
    assert lines(consumer, 2) == ["pay-1 first_seen", "here"]
    assert bills(shop) == [("pay-1", 100)]
    consumer.send_signal(signal.SIGKILL)
    consumer.wait()


def assert_billed_once(shop: str, told: list[str]) -> None:
    """Assert what became of two payments and a poisoned one, after the first was delivered again."""
    assert sorted(told) == ["pay-1 duplicate", "pay-2 first_seen", "poison dead", "poison retrying"]
    assert bills(shop) == [("pay-1", 100), ("pay-2", 200)]
    with psycopg.connect(shop) as connection:
        rows = connection.execute("select id, last_error from idemdb.dead_letters").fetchall()
    assert [event for event, _ in rows] == ["poison"]


def test_rabbitmq(tmp_path: Path, shop: str, start: Start) -> None:
    with rabbitmq_server(tmp_path) as url, pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare("payments", durable=True)
        for event, amount in (("pay-1", 100), ("pay-2", 200), ("poison", None)):
            properties = pika.BasicProperties(message_id=event, delivery_mode=2)
            channel.basic_publish("", "payments", json.dumps({"amount": amount}).encode(), properties)
        kill_before_acknowledgement(start("rabbitmq_consumer", url, hesitant=True), shop)
        consumer = start("rabbitmq_consumer", url)
        assert_billed_once(shop, lines(consumer, 4))
        consumer.kill()
        consumer.wait()
        left = channel.queue_declare("payments", passive=True).method.message_count
        assert left <= 1  # the last acknowledgement may not have been sent; nothing else is left


def test_redis_streams(tmp_path: Path, shop: str, start: Start) -> None:
    with redis_server(tmp_path) as url, redis.Redis.from_url(url) as broker:
        for event, amount in (("pay-1", "100"), ("pay-2", "200"), ("poison", "none")):
            broker.xadd("payments", {"event_id": event, "amount": amount})
        kill_before_acknowledgement(start("redis_streams_consumer", url, "one", hesitant=True), shop)
        consumer = start("redis_streams_consumer", url, "two")
        assert_billed_once(shop, lines(consumer, 4))


def test_redis_entry_that_was_added_twice(tmp_path: Path, shop: str, start: Start) -> None:
    """The producer did not hear of its first attempt: two entries, one event."""
    with redis_server(tmp_path) as url, redis.Redis.from_url(url) as broker:
        for _ in range(2):
            broker.xadd("payments", {"event_id": "pay-1", "amount": "100"})
        consumer = start("redis_streams_consumer", url, "one")
        assert lines(consumer, 2) == ["pay-1 first_seen", "pay-1 duplicate"]
        assert bills(shop) == [("pay-1", 100)]
