from __future__ import annotations

import hashlib
from typing import Any

import pytest

from idemdb import Fingerprint, InvalidArgument
from idemdb.fingerprint import argument, json_like


@pytest.mark.parametrize("request_", [b"body", bytearray(b"body"), memoryview(b"body")])
def test_bytes_go_as_their_sha256(request_: Any) -> None:
    assert argument(request_) == (False, hashlib.sha256(b"body").digest())


def test_nothing_goes_as_the_empty_digest() -> None:
    assert argument(None) == (False, b"")


def test_a_fingerprint_goes_as_it_is_and_as_plain_bytes() -> None:
    in_sql, digest = argument(Fingerprint(b"\x01\x02"))
    assert (in_sql, digest) == (False, b"\x01\x02")
    assert type(digest) is bytes


@pytest.mark.parametrize(("request_", "expected"), [({"b": 1}, '{"b":1}'), ([], "[]"), ("", '""'), (0, "0")])
def test_json_like_values_are_digested_in_sql(request_: Any, expected: str) -> None:
    assert argument(request_) == (True, expected)


def test_the_sql_function_takes_no_bytes() -> None:
    with pytest.raises(InvalidArgument, match="SHA-256"):
        json_like(b"body")
