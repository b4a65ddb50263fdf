"""The relay over real receivers: handlers, failures, leases, groups, kills and signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiosmtpd.controller import Controller

from idemdb import Idem
from idemdb.fingerprint import stable_key
from idemdb.relay import DeliveryFailed, Outgoing, Relay, parse
from idemdb.relay.webhook import sign
from idemdb.relay.worker import Backoff

_MAIN = "from idemdb.cli.main import main; main()"
SOON = Backoff(first=0.01, longest=0.02)
MAIL = {"to": "ada@example.com", "from": "Shop <shop@example.org>", "subject": "Ünïcode", "text": "paid"}


def add(dsn: str, topic: str, *keys: str, payload: Any = None, **options: Any) -> None:
    with psycopg.connect(dsn) as conn:
        for key in keys:
            Idem(conn).outbox_add(topic, key, {"n": key} if payload is None else payload, **options)


def configure(dsn: str, topic: str, **settings: Any) -> None:
    with psycopg.connect(dsn) as conn:
        Idem(conn).configure("topic", topic, settings)


def take(dsn: str, topic: str) -> list[Any]:
    with psycopg.connect(dsn) as conn:
        return list(Idem(conn).outbox_take(topic, 1, 60))


def messages(dsn: str) -> list[tuple[Any, ...]]:
    """Return key, attempt, death and error of what is in the outbox."""
    with psycopg.connect(dsn) as conn:
        return conn.execute(
            "select dedup_key, attempt, dead, last_error from idemdb.outbox_messages order by id"
        ).fetchall()


def until(condition: Callable[[], Any], seconds: float = 20) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


class Receiver:
    """A function that delivers, and remembers."""

    def __init__(self) -> None:
        self.got: list[Outgoing] = []

    @property
    def keys(self) -> list[str]:
        return [outgoing.message.dedup_key for outgoing in self.got]

    def has(self, key: str) -> bool:
        return key in self.keys

    def __call__(self, outgoing: Outgoing) -> None:
        self.got.append(outgoing)


@contextmanager
def running(relay: Relay, **options: Any) -> Iterator[None]:
    """Run a relay in a thread as long as the block runs."""
    thread = threading.Thread(target=relay.run, kwargs=options)
    thread.start()
    try:
        yield
    finally:
        relay.stop()
        thread.join(20)
        assert not thread.is_alive()


class TestWorker:
    """Taking, finishing and giving back."""

    def test_once_delivers_what_is_there(self, dsn: str) -> None:
        add(dsn, "mail", "a", "b", "c")
        add(dsn, "hook", "a")
        mail, hook = Receiver(), Receiver()
        counts = Relay(dsn, {"mail": mail, "hook": hook}).run(once=True)
        assert (sorted(mail.keys), hook.keys, messages(dsn)) == (["a", "b", "c"], ["a"], [])
        assert counts == Counter(delivered=4)
        assert mail.got[0].topic == "mail"
        assert len({outgoing.key for outgoing in (*mail.got, *hook.got)}) == 4

    def test_a_failure_is_tried_again_with_the_same_key(self, dsn: str) -> None:
        keys: list[tuple[str, int]] = []

        def handler(outgoing: Outgoing) -> None:
            keys.append((outgoing.key, outgoing.message.attempt))
            if len(keys) < 3:
                raise DeliveryFailed("not now")

        add(dsn, "mail", "a")
        relay = Relay(dsn, {"mail": handler}, backoff=SOON, poll=0.01)
        with running(relay):
            until(lambda: relay.counts["delivered"])
        assert [attempt for _, attempt in keys] == [1, 2, 3]
        assert len({key for key, _ in keys}) == 1
        assert relay.counts == Counter(delivered=1, retrying=2)

    def test_after_max_attempts_it_is_dead(self, dsn: str) -> None:
        def handler(outgoing: Outgoing) -> None:
            raise ZeroDivisionError("no\nluck")

        configure(dsn, "mail", max_attempts=2)
        add(dsn, "mail", "a")
        relay = Relay(dsn, {"mail": handler}, backoff=SOON, poll=0.01)
        with running(relay):
            until(lambda: relay.counts["dead"])
        assert messages(dsn) == [("a", 2, True, "ZeroDivisionError: no")]

    def test_backoff_doubles_and_ends(self) -> None:
        backoff = Backoff(first=1, longest=60)
        for attempt, full in ((1, 1), (2, 2), (5, 16), (7, 60), (5000, 60)):
            delays = [backoff.delay(attempt) for _ in range(50)]
            assert all(full / 2 <= delay <= full for delay in delays)
            assert len(set(delays)) > 1
        assert backoff.delay(1, 30) == 30
        assert backoff.delay(1, 1e9) == 60

    def test_concurrency_is_as_said(self, dsn: str) -> None:
        together = threading.Barrier(3, timeout=20)
        add(dsn, "mail", *map(str, range(6)))
        counts = Relay(dsn, {"mail": lambda _: together.wait()}, concurrency=3).run(once=True)
        assert counts["delivered"] == 6

    def test_topics_take_turns(self, dsn: str) -> None:
        order: list[str] = []
        add(dsn, "busy", *map(str, range(20)))
        add(dsn, "quiet", "a", "b")

        def record(outgoing: Outgoing) -> None:
            order.append(outgoing.topic)

        Relay(dsn, {"busy": record, "quiet": record}, concurrency=1).run(once=True)
        assert order[:4] == ["busy", "quiet", "busy", "quiet"]

    def test_a_message_whose_lease_is_over_is_left_to_others(self, dsn: str) -> None:
        receiver = Receiver()

        def slow(outgoing: Outgoing) -> None:
            receiver(outgoing)
            if outgoing.message.attempt == 1:
                time.sleep(1.2)

        add(dsn, "mail", "a", "b")
        # One thread, two messages in hand: the second waits for longer than its lease.
        counts = Relay(dsn, {"mail": slow}, concurrency=1, batch=2, lease=1.0).run(once=True)
        assert receiver.keys == ["a", "b"]
        assert [outgoing.message.attempt for outgoing in receiver.got] == [1, 2]
        assert (counts["delivered"], counts["late"]) == (2, 1)

    def test_who_is_late_changes_nothing(self, dsn: str) -> None:
        delivering, go_on = threading.Event(), threading.Event()

        def slow(outgoing: Outgoing) -> None:
            delivering.set()
            assert go_on.wait(20)
            if outgoing.message.dedup_key == "bad":
                raise DeliveryFailed("no")

        for key in ("good", "bad"):
            delivering.clear()
            go_on.clear()
            add(dsn, "mail", key)
            late = Relay(dsn, {"mail": slow}, lease=0.05)
            with running(late, listen=False):
                assert delivering.wait(20)
                # The lease runs out, somebody else takes the message and is at it.
                until(lambda: take(dsn, "mail"))
                late.stop()
                go_on.set()
            assert late.counts == Counter(lost=1)
            assert [row[:3] for row in messages(dsn)] == [(key, 2, False)]
            with psycopg.connect(dsn) as conn:
                conn.execute("delete from idemdb.outbox_messages")

    def test_groups_keep_their_order_over_three_relays(self, dsn: str) -> None:
        got: dict[str | None, list[int]] = defaultdict(list)
        busy: Counter[str | None] = Counter()

        def handler(outgoing: Outgoing) -> None:
            group = outgoing.message.group_key
            busy[group] += 1
            assert busy[group] == 1
            if outgoing.message.attempt == 1 and outgoing.message.payload % 5 == 0:
                busy[group] -= 1
                raise DeliveryFailed("in between")
            got[group].append(outgoing.message.payload)
            busy[group] -= 1

        for n in range(60):
            add(dsn, "mail", str(n), payload=n, group=f"g{n % 3}")
        relays = [Relay(dsn, {"mail": handler}, backoff=SOON, poll=0.01) for _ in range(3)]
        with running(relays[0]), running(relays[1]), running(relays[2]):
            until(lambda: sum(relay.counts["delivered"] for relay in relays) == 60, 60)
        assert got == {f"g{g}": list(range(g, 60, 3)) for g in range(3)}

    def test_notify_wakes(self, dsn: str) -> None:
        receiver = Receiver()
        configure(dsn, "mail", notify=True)
        relay = Relay(dsn, {"mail": receiver}, poll=3600)
        with running(relay):
            for key in ("a", "b"):
                # The first look, or the first NOTIFY, may come before this; the one after cannot.
                until(lambda: listening(dsn))
                add(dsn, "mail", key)
                until(partial(receiver.has, key))

    def test_it_outlives_the_loss_of_its_connections(self, dsn: str) -> None:
        receiver = Receiver()
        relay = Relay(dsn, {"mail": receiver}, poll=0.05)
        with running(relay):
            until(lambda: listening(dsn))
            with psycopg.connect(dsn, autocommit=True) as admin:
                admin.execute(
                    "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
                    " where datname = current_database() and pid <> pg_backend_pid()"
                )
            add(dsn, "mail", "a")
            until(lambda: receiver.keys == ["a"])
        assert messages(dsn) == []


def listening(dsn: str) -> bool:
    with psycopg.connect(dsn) as conn:
        return bool(
            conn.execute(
                "select from pg_stat_activity where datname = current_database()"
                " and query = 'listen idemdb_outbox' and state = 'idle'"
            ).fetchall()
        )


class Mailbox:
    """What an SMTP server has received."""

    def __init__(self) -> None:
        self.mails: list[Message] = []
        self.receivers: list[list[str]] = []
        self.refuse = False

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's
        if self.refuse:
            return "451 not now"
        self.mails.append(message_from_bytes(envelope.content))
        self.receivers.append(envelope.rcpt_tos)
        return "250 OK"


@pytest.fixture
def smtp() -> Iterator[tuple[str, Mailbox]]:
    mailbox = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    yield f"smtp://127.0.0.1:{port}", mailbox
    controller.stop()


class TestMail:
    """Over a real SMTP server."""

    def test_a_mail(self, dsn: str, smtp: tuple[str, Mailbox]) -> None:
        url, mailbox = smtp
        add(dsn, "mail", "receipt/1", payload=MAIL, headers={"X-Order": 7, "Message-ID": "<forged@x>"})
        mailbox.refuse = True
        handler = parse(url)
        relay = Relay(dsn, {"mail": handler})
        assert relay.run(once=True)["retrying"] == 1
        assert "451" in messages(dsn)[0][3]
        mailbox.refuse = False
        with running(Relay(dsn, {"mail": handler}, poll=0.01)):
            until(lambda: mailbox.mails)
        [mail] = mailbox.mails
        assert (mail["To"], mail["From"], mail["X-Order"]) == (MAIL["to"], MAIL["from"], "7")
        assert mail["Message-ID"] == "<56e79fb2-875c-5040-84c8-67f966f8a2f7@example.org>"
        assert mail.get_payload(decode=True) == b"paid\r\n"

    def test_html_and_several_receivers(self, dsn: str, smtp: tuple[str, Mailbox]) -> None:
        url, mailbox = smtp
        to = ["ada@example.com", "bob@example.com"]
        add(dsn, "mail", "both", payload=MAIL | {"to": to, "html": "<p>paid"})
        add(dsn, "mail", "html", payload={"to": to, "from": "shop@example.org", "html": "<p>paid"})
        Relay(dsn, {"mail": parse(url)}, concurrency=1).run(once=True)
        assert mailbox.receivers == [to, to]
        both, html = mailbox.mails
        assert [part.get_content_type() for part in both.walk()] == [
            "multipart/alternative",
            "text/plain",
            "text/html",
        ]
        assert html.get_content_type() == "text/html"

    @pytest.mark.parametrize(
        "payload", [[], {"to": "a@x"}, {"from": "a@x"}, MAIL | {"subject": "a\nBcc: eve@example.com"}]
    )
    def test_what_is_no_mail_is_not_sent(self, dsn: str, smtp: tuple[str, Mailbox], payload: Any) -> None:
        url, mailbox = smtp
        configure(dsn, "mail", max_attempts=1)
        add(dsn, "mail", "a", payload=payload)
        assert Relay(dsn, {"mail": parse(url)}).run(once=True)["dead"] == 1
        assert mailbox.mails == []


class Site:
    """What an HTTP server has received, and answers."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 204


@pytest.fixture
def site() -> Iterator[tuple[str, Site]]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            site.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(site.status)
            self.send_header("Retry-After", "7")
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook?a=1", site
        server.shutdown()
        thread.join()


class TestWebhook:
    """Over a real HTTP server."""

    def test_a_signed_request(self, dsn: str, site: tuple[str, Site]) -> None:
        url, received = site
        headers = {"X-Order": "7", "Idempotency-Key": "forged", "webhook-signature": "forged"}
        add(dsn, "hook", "a", payload={"ü": [1, None]}, headers=headers)
        counts = Relay(dsn, {"hook": parse(url, secret="whsec_c2VjcmV0")}).run(once=True)
        assert counts["delivered"] == 1
        [(path, got, body)] = received.requests
        assert path == "/hook?a=1"
        assert body == '{"ü":[1,null]}'.encode()
        assert (got["content-type"], got["x-order"]) == ("application/json", "7")
        assert got["idempotency-key"] == got["webhook-id"] == "647e7b43-bff8-5ced-98b0-8cf96d7bdfdc"
        assert abs(int(got["webhook-timestamp"]) - time.time()) < 60
        assert got["webhook-signature"] == sign(b"secret", got["webhook-id"], got["webhook-timestamp"], body)

    def test_the_signature_is_that_of_the_standard(self) -> None:
        # The example of the reference implementations.
        from base64 import b64decode

        key = b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        made = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
        assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

    @pytest.mark.parametrize("status", [302, 400, 429, 500])
    def test_every_other_answer_is_a_failure(self, dsn: str, site: tuple[str, Site], status: int) -> None:
        url, received = site
        received.status = status
        add(dsn, "hook", "a")
        relay = Relay(dsn, {"hook": parse(url)}, backoff=Backoff(0.01, 60))
        assert relay.run(once=True)["retrying"] == 1
        assert "webhook-signature" not in received.requests[0][1]
        assert len(received.requests) == 1
        assert messages(dsn)[0][3] == f"DeliveryFailed: HTTP {status}"
        with psycopg.connect(dsn) as conn:
            row = conn.execute(
                "select extract(epoch from available_at - clock_timestamp()) from idemdb.outbox_messages"
            ).fetchone()
        assert row
        assert 3 < row[0] <= 7

    def test_nobody_is_there(self, dsn: str) -> None:
        add(dsn, "hook", "a")
        assert Relay(dsn, {"hook": parse("http://127.0.0.1:1")}).run(once=True)["retrying"] == 1
        assert messages(dsn)[0][3] == "DeliveryFailed: ConnectError"


class TestCommand:
    """A program for each message."""

    def test_it_is_told_everything(self, dsn: str, tmp_path: Path) -> None:
        program = tmp_path / "program.py"
        program.write_text(
            "import json, os, sys\n"
            "about = {name: value for name, value in os.environ.items() if name.startswith('IDEMDB_')}\n"
            f"open({str(tmp_path / 'out')!r}, 'w').write(json.dumps([about, json.load(sys.stdin)]))\n"
        )
        add(dsn, "run", "a; b", payload={"n": 1}, headers={"h": 1}, group="g")
        relay = Relay(dsn, {"run": parse(f"exec:{sys.executable} '{program}'")})
        assert relay.run(once=True)["delivered"] == 1
        about, payload = json.loads((tmp_path / "out").read_text())
        assert payload == {"n": 1}
        assert {name: about[name] for name in about if name != "IDEMDB_TEST_DSN"} == {
            "IDEMDB_TOPIC": "run",
            "IDEMDB_DEDUP_KEY": "a; b",
            "IDEMDB_KEY": stable_key("outbox", "run", "a; b"),
            "IDEMDB_GROUP": "g",
            "IDEMDB_ATTEMPT": "1",
            "IDEMDB_HEADERS": '{"h":1}',
        }

    @pytest.mark.parametrize(("command", "error"), [("false", "exit code 1"), ("sleep 20", "still running")])
    def test_it_fails(self, dsn: str, command: str, error: str) -> None:
        add(dsn, "run", "a")
        relay = Relay(dsn, {"run": parse(f"exec:{command}", timeout=0.2)})
        assert relay.run(once=True)["retrying"] == 1
        assert error in messages(dsn)[0][3]


class TestTargets:
    """What can be said after TOPIC=."""

    @pytest.mark.parametrize(
        "target",
        [
            "",
            "nothing",
            "smtp://",
            "http://",
            "exec:",
            "exec:'",
            "os:nothing",
            "os:environ",
            "no.module:x",
            ":x",
        ],
    )
    def test_nonsense_is_refused(self, target: str) -> None:
        with pytest.raises(ValueError, match=r"\w"):
            parse(target)

    def test_functions(self, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "relay_targets.py").write_text(
            "got = []\n"
            "class Shop:\n"
            "    @staticmethod\n"
            "    def plain(outgoing): got.append('plain')\n"
            "async def waiting(outgoing): got.append('waiting')\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        add(dsn, "a", "1")
        add(dsn, "b", "1")
        handlers = {"a": parse("relay_targets:Shop.plain"), "b": parse("relay_targets:waiting")}
        assert Relay(dsn, handlers).run(once=True)["delivered"] == 2
        assert sorted(sys.modules["relay_targets"].got) == ["plain", "waiting"]


@contextmanager
def command(dsn: str, target: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run ``idemdb relay`` as long as the block runs."""
    with subprocess.Popen(
        [sys.executable, "-c", _MAIN, "relay", "--json", "--handler", target, *options],
        env=os.environ | {"IDEMDB_DSN": dsn},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


class TestProcess:
    """The command, killed and stopped."""

    def test_a_kill_after_the_delivery_delivers_again_with_the_same_key(
        self, dsn: str, tmp_path: Path
    ) -> None:
        log = tmp_path / "log"
        # It delivers, and does not come to an end.
        program = tmp_path / "program.sh"
        program.write_text(
            f'echo "$IDEMDB_KEY $IDEMDB_ATTEMPT" >> {log}; [ -e {tmp_path}/end ] || sleep 20\n'
        )
        target = f"run=exec:sh {program}"
        add(dsn, "run", "a")
        with command(dsn, target, "--lease", "1s", "--timeout", "0.9s") as process:
            until(lambda: log.exists() and log.read_text())
            process.kill()
        (tmp_path / "end").touch()
        assert messages(dsn)[0][:3] == ("a", 1, False)
        with command(dsn, target, "--poll", "0.05s") as process:
            until(lambda: not messages(dsn))
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=20)
        assert process.returncode == 0
        assert json.loads(output)["delivered"] == 1
        (key, first), (again, second) = (line.split() for line in log.read_text().splitlines())
        assert (key == again, first, second) == (True, "1", "2")

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_lets_it_finish_what_is_in_hand(self, dsn: str, tmp_path: Path, number: int) -> None:
        program = tmp_path / "program.sh"
        program.write_text(f"touch {tmp_path}/begun; while [ ! -e {tmp_path}/end ]; do sleep 0.05; done\n")
        add(dsn, "run", "a", "b")
        with command(dsn, f"run=exec:sh {program}", "--concurrency", "1") as process:
            until((tmp_path / "begun").exists)
            process.send_signal(number)
            time.sleep(0.2)
            (tmp_path / "end").touch()
            output, _ = process.communicate(timeout=20)
        assert process.returncode == 0
        assert json.loads(output)["delivered"] == 1
        assert [row[0] for row in messages(dsn)] == ["b"]

    def test_a_second_signal_ends_it_at_once(self, dsn: str, tmp_path: Path) -> None:
        program = tmp_path / "program.sh"
        program.write_text(f"touch {tmp_path}/begun; exec sleep 3\n")
        add(dsn, "run", "a")
        with command(dsn, f"run=exec:sh {program}") as process:
            until((tmp_path / "begun").exists)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            assert process.wait(2) == -signal.SIGTERM
        assert [row[0] for row in messages(dsn)] == ["a"]
