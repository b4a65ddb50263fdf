"""The header, the fingerprint and the scope, by tables."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idemdb.http.protocol import fingerprint, parse_key, scope_of

LONG = "k" * 255

KEYS = [
    # bare and quoted are the same key
    ("order-1", "order-1"),
    ('"order-1"', "order-1"),
    (b"order-1", "order-1"),
    # blanks around it are the server's, not the client's
    ("  order-1\t", "order-1"),
    (' "order-1" ', "order-1"),
    # RFC 8941: what is escaped, parameters
    (r'"a\"b\\c"', 'a"b\\c'),
    ('"order-1";a=1', "order-1"),
    ('"order-1"; a=1;b;c="x;,y";d=:aGk=:;e=?1;f=1.5;g=tok/en', "order-1"),
    ("order-1;a=1", "order-1"),
    ('"a,b;c"', "a,b;c"),
    # what clients send
    ("8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324"),
    ("stripe-node-retry-8e03978e", "stripe-node-retry-8e03978e"),
    ("a:b/c=d+e@f{g}|h~i!j#k$l%m&n'o(p)q*r", "a:b/c=d+e@f{g}|h~i!j#k$l%m&n'o(p)q*r"),
    ("a\\b", "a\\b"),
    ("0", "0"),
    (LONG, LONG),
    (f'"{LONG}"', LONG),
    (f'"{LONG[:-1]}\\""', LONG[:-1] + '"'),
]
BAD = [
    "",
    " ",
    '""',
    '" "',
    '"a',
    'a"',
    'a"b',
    '"a"b',
    '"a" "b"',
    "a b",
    '"a b"',
    "a,b",
    '"a", "b"',
    '"a","a"',
    "a,",
    ",",
    ";a=1",
    '"a";',
    '"a";A=1',
    "a;1",
    '"a\\c"',
    "a\x00b",
    "a\tb",
    "a\x7fb",
    "a\x1b",
    "schlüssel",
    "ключ",
    b"\xff\xfe",
    LONG + "k",
    f'"{LONG}k"',
    "k" * 100_000,
    '"' + '\\"' * 256 + '"',
]


@pytest.mark.parametrize(("line", "key"), KEYS)
def test_key(line: str | bytes, key: str) -> None:
    assert parse_key([line]) == key


@pytest.mark.parametrize("line", BAD, ids=lambda line: repr(line)[:20])
def test_no_key(line: str | bytes) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_key([line])
    # The message goes to the client and to logs.
    assert len(line) < 4 or str(line) not in str(caught.value)


def test_no_header_and_several() -> None:
    assert parse_key([]) is None
    for lines in (["a", "a"], ["a", "b"], ["a", ""]):
        with pytest.raises(ValueError, match="more than once"):
            parse_key(lines)


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255))
def test_every_key_can_be_quoted(key: str) -> None:
    quoted = '"{}"'.format(key.replace("\\", "\\\\").replace('"', '\\"'))
    assert parse_key([quoted]) == key


@given(st.binary(max_size=40))
def test_whatever_comes_is_a_key_or_refused(line: bytes) -> None:
    try:
        key = parse_key([line])
    except ValueError:
        return
    assert key is not None
    assert 1 <= len(key) <= 255
    assert all("!" <= character <= "~" for character in key)


ONE = ("POST", b"/pay", b"a=1&b=2", "application/json", b"{}")


@pytest.mark.parametrize(
    "other",
    [
        ("post", *ONE[1:]),
        (*ONE[:2], b"b=2&a=1", *ONE[3:]),
        (*ONE[:2], b"b=2&&a=1&", *ONE[3:]),
        (*ONE[:3], "application/json; charset=utf-8", b"{}"),
        (*ONE[:3], " Application/JSON ", b"{}"),
    ],
)
def test_the_same_request(other: tuple[str, bytes, bytes, str, bytes]) -> None:
    assert fingerprint(*other) == fingerprint(*ONE)


@pytest.mark.parametrize(
    "other",
    [
        ("PUT", *ONE[1:]),
        ("POST", b"/Pay", *ONE[2:]),
        ("POST", b"/pay/", *ONE[2:]),
        (*ONE[:2], b"a=1&b=3", *ONE[3:]),
        (*ONE[:2], b"a=1", *ONE[3:]),
        (*ONE[:3], "text/json", b"{}"),
        (*ONE[:3], None, b"{}"),
        (*ONE[:4], b"{ }"),
        (*ONE[:4], b"\x00"),
        # A byte that moves from one part to the next.
        ("POST", b"/paya", b"=1&b=2", *ONE[3:]),
        (*ONE[:3], "application/json{", b"}"),
    ],
)
def test_another_request(other: tuple[str, bytes, bytes, str | None, bytes]) -> None:
    assert fingerprint(*other) != fingerprint(*ONE)


def test_values_of_one_name_keep_their_order() -> None:
    there, back = (fingerprint("POST", b"/", query, None, b"") for query in (b"a=1&a=2", b"a=2&a=1"))
    assert there != back


def test_a_fingerprint_never_changes() -> None:
    # Stored with keys for weeks: a release that digests otherwise would refuse honest repeats.
    assert len(fingerprint(*ONE)) == 32
    parts = (b"POST", b"/pay", b"a=1&b=2", b"application/json", b"{}")
    framed = b"\x01" + b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    assert fingerprint(*ONE) == hashlib.sha256(framed).digest()


def test_scope() -> None:
    assert scope_of("ada", "post", "/orders/{id}/pay") == "ada POST /orders/{id}/pay"
    assert scope_of("a b\x00\ud800", "POST", "/x") == "a%20b%00%ED%A0%80 POST /x"
    long = scope_of("a" * 300, "POST", "/x")
    assert long == hashlib.sha256(b"a" * 300 + b" POST /x").hexdigest()
    assert scope_of("a" * 248, "POST", "/") == "a" * 248 + " POST /"  # 255 octets, 256 are too many
    assert len(scope_of("a" * 249, "POST", "/")) == 64


@given(*[st.tuples(st.text(min_size=1), st.sampled_from(["POST", "PUT"]), st.text(min_size=1))] * 2)
def test_scopes_do_not_meet(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    assert (scope_of(*one) == scope_of(*other)) == (one == other)
