"""Fuzzed words, bytes and JSON for tests with hypothesis, and how much of them."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

LARGE: Final = os.environ.get("IDEMDB_PROOF", "small") == "large"
"""Sizes of a proof instead of those of CI."""


def sized(examples: int, large: int) -> settings:
    """Return the settings of a test: the same examples each time in CI, others each time in a proof."""
    return settings(
        max_examples=large if LARGE else examples,
        stateful_step_count=80 if LARGE else 40,
        deadline=None,
        derandomize=not LARGE,
        suppress_health_check=list(HealthCheck),
    )


def octets(text: str) -> int:
    """Count the bytes that PostgreSQL stores."""
    return len(text.encode())


letters = st.characters(codec="utf-8", exclude_characters="\0")
awkward = st.sampled_from(
    ["'", '"; drop table idemdb.keys; --', "\\", "%s", "é", "e\u0301", "A", "a", " ", "a "]
)
longest = st.sampled_from(["k" * 255, "\u20ac" * 85, "\U0001f4b3" * 63 + "abc"])
names = st.one_of(st.text(letters, min_size=1, max_size=40), awkward, longest)
names = names.filter(lambda name: 1 <= octets(name) <= 255)
too_long = st.sampled_from(["", "k" * 256, "\u20ac" * 86, "\U0001f4b3" * 64])
fingerprints = st.one_of(st.sampled_from([b"", b"one"]), st.binary(max_size=64))
json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.text(letters, max_size=8)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(letters, max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
