"""Bad input raises ID004 or ID003 with a HINT and changes nothing."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

E = "''"
NULL = "null"
LONG = "repeat('é', 128)"  # 256 octets, 128 characters
CLAIM = r"select * from idemdb.claim({scope}, {key}, {fingerprint}, {lease}, {wait}, {options})"
GOOD = {"scope": "'s'", "key": "'k'", "fingerprint": r"'\x'", "lease": NULL, "wait": "'0'", "options": NULL}


def claim(**bad: str) -> str:
    """Return a claim with some arguments replaced."""
    return CLAIM.format(**GOOD | bad)


ID004 = {
    "empty scope": claim(scope=E),
    "null scope": claim(scope=NULL),
    "scope of 256 octets": claim(scope=LONG),
    "empty key": claim(key=E),
    "null key": claim(key=NULL),
    "key of 256 octets": claim(key=LONG),
    "null fingerprint": claim(fingerprint=NULL),
    "negative lease": claim(lease="'-1 second'"),
    "zero lease": claim(lease="'0'"),
    "endless lease": claim(lease="'2000 years'"),
    "negative wait": claim(wait="'-1 second'"),
    "options no object": claim(options="'[]'"),
    "unknown option": claim(options='\'{"replay": "1 day"}\''),
    "window no interval": claim(options='\'{"keep_for": "soon"}\''),
    "window no text": claim(options="'{\"keep_for\": true}'"),
    "window of zero": claim(options='\'{"replay_for": "0"}\''),
    "negative window": claim(options='\'{"replay_for": "-1 day"}\''),
    "keep shorter than replay": claim(options='\'{"replay_for": "2 days", "keep_for": "1 day"}\''),
    "abandoned unknown": claim(options='\'{"abandoned": "wait"}\''),
    "raise no boolean": claim(options='\'{"raise": "yes"}\''),
    "complete without token": "select idemdb.complete('s', 'k', null)",
    "complete with an empty key": "select idemdb.complete('s', '', 1)",
    "checkpoint without a name": "select idemdb.checkpoint('s', 'k', 1, '')",
    "checkpoint with null name": "select idemdb.checkpoint('s', 'k', 1, null)",
    "checkpoint with a negative lease": "select idemdb.checkpoint('s', 'k', 1, 'a', null, '-1 s')",
    "renew without lease": "select idemdb.renew('s', 'k', 1, null)",
    "renew with zero lease": "select idemdb.renew('s', 'k', 1, '0')",
    "renew without token": "select idemdb.renew('s', 'k', null, '1 s')",
    "release without token": "select idemdb.release('s', 'k', null)",
    "lookup of nothing": "select idemdb.lookup('s', '')",
    "resolve of nothing": "select idemdb.resolve('s', 'absent', 'retry', 'note')",
    "resolve unknown action": "select idemdb.resolve('s', 'held', 'undo', 'note')",
    "resolve null action": "select idemdb.resolve('s', 'held', null, 'note')",
    "resolve without note": "select idemdb.resolve('s', 'held', 'retry', '')",
    "resolve retry with answer": "select idemdb.resolve('s', 'held', 'retry', 'note', '{}')",
    "resolve with unknown member": "select idemdb.resolve('s', 'held', 'completed', 'note', '{\"state\": 1}')",
    "resolve with bad status": "select idemdb.resolve('s', 'held', 'completed', 'note', '{\"status\": \"ok\"}')",
    "resolve with bad base64": "select idemdb.resolve('s', 'held', 'completed', 'note', '{\"body_base64\": \"!\"}')",
    "resolve with no object": "select idemdb.resolve('s', 'held', 'completed', 'note', '[]')",
    "execute unknown function": "select idemdb.execute('s', 'k', 'app.nope', '{}')",
    "execute null function": "select idemdb.execute('s', 'k', null, '{}')",
    "execute no name": "select idemdb.execute('s', 'k', 'a b; drop table x', '{}')",
    "execute another type": "select idemdb.execute('s', 'k', 'public.wrong', '{}')",
    "execute a set": "select idemdb.execute('s', 'k', 'public.many', '{}')",
    "execute null args": "select idemdb.execute('s', 'k', 'public.echo', null)",
    "execute with abandoned": "select idemdb.execute('s', 'k', 'public.echo', '{}', null, '{\"abandoned\": \"hold\"}')",
    "execute with bad exclude": "select idemdb.execute('s', 'k', 'public.echo', '{}', null, '{\"exclude\": 1}')",
    "execute without a detail": "select idemdb.execute('s', 'k', 'public.declines', '{}')",
    "fingerprint of null": "select idemdb.fingerprint(null)",
    "fingerprint with a bad path": "select idemdb.fingerprint('{}', '{\"{a\"}')",
    "forget nothing": "select idemdb.forget('')",
    "sweep nothing": "select idemdb.sweep(0)",
    "sweep null": "select idemdb.sweep(null)",
    "configure unknown kind": "select idemdb.configure('queue', 'q', '{}')",
    "configure null kind": "select idemdb.configure(null, 'q', '{}')",
    "configure without name": "select idemdb.configure('topic', '', '{}')",
    "configure null settings": "select idemdb.configure('topic', 'q', null)",
    "configure no object": "select idemdb.configure('topic', 'q', '1')",
    "configure unknown setting": "select idemdb.configure('consumer', 'q', '{\"notify\": true}')",
    "configure zero attempts": "select idemdb.configure('topic', 'q', '{\"max_attempts\": 0}')",
    "configure half an attempt": "select idemdb.configure('topic', 'q', '{\"max_attempts\": 1.5}')",
    "configure text attempts": "select idemdb.configure('topic', 'q', '{\"max_attempts\": \"3\"}')",
    "configure no window": "select idemdb.configure('topic', 'q', '{\"keep_for\": \"-1 day\"}')",
    "configure notify text": "select idemdb.configure('topic', 'q', '{\"notify\": \"on\"}')",
    "process without consumer": "select idemdb.process('', 'e')",
    "process null consumer": f"select idemdb.process({NULL}, 'e')",
    "process of nothing": "select idemdb.process('c', '')",
    "process of null": f"select idemdb.process('c', {NULL})",
    "process of 256 octets": f"select idemdb.process('c', {LONG})",
    "process at no time": "select idemdb.process('c', 'e', 'infinity')",
    "process_many without consumer": "select idemdb.process_many('', '{e}')",
    "process_many of null": f"select idemdb.process_many('c', {NULL})",
    "process_many with a null": "select idemdb.process_many('c', '{e,null}')",
    "process_many with an empty id": "select idemdb.process_many('c', '{e,\"\"}')",
    "process_many with a long id": f"select idemdb.process_many('c', array['e', {LONG}])",
    "process_many with too few times": "select idemdb.process_many('c', '{e,f}', '{2026-01-01}')",
    "process_many with too many times": "select idemdb.process_many('c', '{}', '{2026-01-01}')",
    "process_many at no time": "select idemdb.process_many('c', '{e}', '{-infinity}')",
    "process_failed without consumer": "select idemdb.process_failed('', 'e', 'boom')",
    "process_failed of nothing": f"select idemdb.process_failed('c', {NULL}, 'boom')",
    "offsets without consumer": "select idemdb.process_offsets('', 's', '{1}')",
    "offsets without stream": "select idemdb.process_offsets('c', '', '{1}')",
    "offsets null": f"select idemdb.process_offsets('c', 's', {NULL})",
    "offsets with a null": "select idemdb.process_offsets('c', 's', '{1,null}')",
    "negative offset": "select idemdb.process_offsets('c', 's', '{1,-1}')",
    "offset too large": "select idemdb.process_offsets('c', 's', '{9223372036854775807}')",
    "negative floor": "select idemdb.process_offsets('c', 's', '{1}', -1)",
    "advance without consumer": "select idemdb.advance('', 'x', 1)",
    "advance nothing": f"select idemdb.advance('c', {NULL}, 1)",
    "advance to null": f"select idemdb.advance('c', 'x', {NULL})",
    "add without topic": "select idemdb.outbox_add('', 'k', '1')",
    "add without dedup key": f"select idemdb.outbox_add('t', {NULL}, '1')",
    "add with a long dedup key": f"select idemdb.outbox_add('t', {LONG}, '1')",
    "add nothing": f"select idemdb.outbox_add('t', 'k', {NULL})",
    "add with headers no object": "select idemdb.outbox_add('t', 'k', '1', '[]')",
    "add to no group": "select idemdb.outbox_add('t', 'k', '1', p_group => '')",
    "add to a long group": f"select idemdb.outbox_add('t', 'k', '1', p_group => {LONG})",
    "add for never": "select idemdb.outbox_add('t', 'k', '1', p_available_at => 'infinity')",
    "take without topic": "select idemdb.outbox_take('', 1, '1 s')",
    "take none": "select idemdb.outbox_take('t', 0, '1 s')",
    "take null": f"select idemdb.outbox_take('t', {NULL}, '1 s')",
    "take without lease": f"select idemdb.outbox_take('t', 1, {NULL})",
    "take with zero lease": "select idemdb.outbox_take('t', 1, '0')",
    "take with negative lease": "select idemdb.outbox_take('t', 1, '-1 s')",
    "take with endless lease": "select idemdb.outbox_take('t', 1, '2000 years')",
    "done without topic": "select idemdb.outbox_done('', 1, '{1}')",
    "done without token": f"select idemdb.outbox_done('t', {NULL}, '{{1}}')",
    "done with null": f"select idemdb.outbox_done('t', 1, {NULL})",
    "done with a null": "select idemdb.outbox_done('t', 1, '{1,null}')",
    "retry without topic": f"select idemdb.outbox_retry({NULL}, 1, 1, '0', 'boom')",
    "retry without token": f"select idemdb.outbox_retry('t', {NULL}, 1, '0', 'boom')",
    "retry without id": f"select idemdb.outbox_retry('t', 1, {NULL}, '0', 'boom')",
    "retry without delay": f"select idemdb.outbox_retry('t', 1, 1, {NULL}, 'boom')",
    "retry with a negative delay": "select idemdb.outbox_retry('t', 1, 1, '-1 s', 'boom')",
    "dead letter of no kind": "select idemdb.dead_letter('queue', 'c', 'e', 'drop')",
    "dead letter of null kind": f"select idemdb.dead_letter({NULL}, 'c', 'e', 'drop')",
    "dead letter without name": "select idemdb.dead_letter('consumer', '', 'e', 'drop')",
    "dead letter without id": f"select idemdb.dead_letter('consumer', 'c', {NULL}, 'drop')",
    "dead letter with another action": "select idemdb.dead_letter('consumer', 'c', 'e', 'retry')",
    "dead letter with null action": f"select idemdb.dead_letter('consumer', 'c', 'e', {NULL})",
    "dead event that is not there": "select idemdb.dead_letter('consumer', 'c', 'e', 'drop')",
    "dead message that is not there": "select idemdb.dead_letter('topic', 't', '1', 'drop')",
    "dead message with no number": "select idemdb.dead_letter('topic', 't', 'one', 'drop')",
}
ID003 = {
    "complete an unknown key": "select idemdb.complete('s', 'absent', 1)",
    "complete with a wrong token": "select idemdb.complete('s', 'held', 1)",
    "checkpoint with a wrong token": "select idemdb.checkpoint('s', 'held', 1, 'a')",
    "renew with a wrong token": "select idemdb.renew('s', 'held', 1, '1 s')",
    "release with a wrong token": "select idemdb.release('s', 'held', 1)",
    "done with an unknown message": "select idemdb.outbox_done('t', 1, '{1}')",
    "retry of an unknown message": "select idemdb.outbox_retry('t', 1, 1, '0', 'boom')",
}
CASES = [(text, "ID004") for text in ID004.values()] + [(text, "ID003") for text in ID003.values()]
CONTENT = """
    select (select jsonb_agg(to_jsonb(k)) from idemdb.keys as k), (select count(*) from idemdb.audit),
    (select jsonb_agg(to_jsonb(s)) from idemdb.settings as s),
    (select count(*) from idemdb.inbox), (select count(*) from idemdb.event_failures), (select count(*) from idemdb.streams),
    (select count(*) from idemdb.entity_versions), (select count(*) from idemdb.outbox_keys),
    (select count(*) from idemdb.outbox_messages)
"""


@pytest.mark.parametrize(("statement", "sqlstate"), CASES, ids=[*ID004, *ID003])
def test_refused(statement: str, sqlstate: str, conn: psycopg.Connection[Any]) -> None:
    """SQLSTATE, a message, a HINT; and every row is as before."""
    conn.execute(r"select idemdb.claim('s', 'held', '\x', '1 hour')")
    conn.execute(
        "update idemdb.keys set claim_xid = '3', lease_until = clock_timestamp() - interval '1 second'"
    )
    conn.execute("create function public.echo(jsonb) returns jsonb language sql as 'select $1'")
    conn.execute("create function public.wrong(jsonb) returns text language sql as 'select $1::text'")
    conn.execute("create function public.many(jsonb) returns setof jsonb language sql as 'select $1'")
    conn.execute("""
        create function public.declines(jsonb) returns jsonb language plpgsql as
        $$ begin raise exception 'declined' using errcode = 'ID010'; end; $$
    """)
    before = conn.execute(CONTENT).fetchone()
    conn.execute("savepoint before")
    with pytest.raises(psycopg.Error) as caught:
        conn.execute(statement.encode())
    conn.execute("rollback to before")
    assert (caught.value.sqlstate, bool(caught.value.diag.message_hint)) == (sqlstate, True)
    assert caught.value.diag.message_primary
    assert conn.execute(CONTENT).fetchone() == before


@pytest.mark.parametrize("size", [1, 255])
def test_the_bounds_are_octets(size: int, conn: psycopg.Connection[Any]) -> None:
    """1 and 255 octets are good, in any alphabet."""
    text = "x" * size if size == 1 else "é" * 127 + "x"
    row = conn.execute(r"select outcome from idemdb.claim(%s, %s, '\x')", [text, text]).fetchone()
    assert row == ("started",)


def test_keys_are_bytes(conn: psycopg.Connection[Any]) -> None:
    """Blanks, case and Unicode forms make different keys."""
    for key in ("k", "k ", " k", "K", "\u00e9", "e\u0301"):
        assert conn.execute(r"select outcome from idemdb.claim('s', %s, '\x')", [key]).fetchone() == (
            "started",
        )


def test_a_bad_position_is_named(conn: psycopg.Connection[Any]) -> None:
    """Whoever sends a batch learns which event is bad."""
    with pytest.raises(psycopg.Error, match="event 3 of the batch"):
        conn.execute("select idemdb.process_many('c', '{a,b,null,\"\"}')")
