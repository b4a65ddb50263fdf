"""The protocol without input or output: the key in its header, the fingerprint of a request, the scope."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from urllib.parse import quote

from idemdb.fingerprint import Fingerprint

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
PROBLEM_TYPE = "application/problem+json"

# A key says nothing to methods that change nothing.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

# Octets, of keys and of scopes; PostgreSQL checks the same.
LONGEST = 255

# The first byte of what is digested; another rule for fingerprints needs another version.
_VERSION = b"\x01"

_BLANKS = " \t"
# RFC 8941: parameters of an item, whose values may be text, tokens, numbers, bytes and booleans.
_PARAMETER = (
    r"[ \t]*;[ \t]*[a-z*][a-z0-9_.*-]*"
    r"(?:=(?:\"(?:[ !#-\[\]-~]|\\[\"\\])*\"|[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*|@?-?[0-9]+(?:\.[0-9]+)?"
    r"|:[A-Za-z0-9+/=]*:|\?[01]))?"
)
# What is inside may hold neither blanks nor control characters.
_QUOTED = re.compile(rf'"((?:[!#-\[\]-~]|\\["\\])+)"(?:{_PARAMETER})*')
# A bare key ends where parameters begin; a comma would make it a list.
_BARE = re.compile(rf"([!#-+\--:<-~]+)(?:{_PARAMETER})*")
_ESCAPED = re.compile(r'\\(["\\])')


def parse_key(lines: Sequence[str | bytes]) -> str | None:
    """Return the idempotency key of a request; None where there is no header.

    :param lines: the values of all header lines of that name.
    :raises ValueError: when it is no key, with what is wrong in words that do not show it.

    Quoted (RFC 8941) and bare keys are the same key; parameters are ignored.
    """
    if not lines:
        return None
    if len(lines) > 1:
        raise ValueError("the header stands there more than once")
    line = lines[0].decode("latin-1") if isinstance(lines[0], bytes) else lines[0]
    line = line.strip(_BLANKS)
    if not line:
        raise ValueError("it is empty")
    if not (line.isascii() and all(" " <= character <= "~" or character == "\t" for character in line)):
        raise ValueError("it has characters that are not visible ASCII")
    quoted = line.startswith('"')
    found = (_QUOTED if quoted else _BARE).fullmatch(line)
    if found is None:
        raise ValueError('it is not one key: write "…" or the bare key, without blanks and commas')
    key = _ESCAPED.sub(r"\1", found[1]) if quoted else found[1]
    if len(key) > LONGEST:
        raise ValueError(f"it is longer than {LONGEST} octets")
    return key


def fingerprint(method: str, path: bytes, query: bytes, content_type: str | None, body: bytes) -> Fingerprint:
    """Return the digest that tells an honest repeat from another request.

    :param path: decoded, of this very request.
    :param query: as sent. Its parts are sorted by name; values of one name keep their order.
    :param content_type: its parameters are left out, so boundaries and charsets are.
    :param body: bytes, which nobody parses.
    """
    parts = sorted((part for part in query.split(b"&") if part), key=lambda part: part.partition(b"=")[0])
    media = (content_type or "").partition(";")[0].strip().lower()
    digest = hashlib.sha256(_VERSION)
    for part in (
        method.upper().encode(),
        path,
        b"&".join(parts),
        media.encode("utf-8", "surrogateescape"),
        body,
    ):
        # With its length, so that no byte can move from one part to the next.
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return Fingerprint(digest.digest())


def scope_of(principal: str, method: str, route: str) -> str:
    """Return the scope: who asks, and for which operation.

    :param principal: what the server knows of the caller: a user, a tenant.
    :param route: the template of the route, such as '/orders/{id}/pay'.

    What is longer than 255 octets becomes its SHA-256 in hexadecimal.
    """
    # Blanks part the three, so those inside are escaped: no caller can be taken for another one.
    parts = (
        quote(principal, safe="@:/+=,;|", errors="surrogatepass"),
        quote(method.upper(), safe=""),
        quote(route, safe="/{}:<>*+", errors="surrogatepass"),
    )
    scope = " ".join(parts)
    return scope if len(scope) <= LONGEST else hashlib.sha256(scope.encode()).hexdigest()
