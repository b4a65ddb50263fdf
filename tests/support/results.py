"""Results made by hand, for tests of what reads them."""

from __future__ import annotations

import dataclasses
from typing import Any

from idemdb import Claim


def make_claim(outcome: str = "started", **fields: Any) -> Claim:
    """Return a claim; fields that are not given are None."""
    names = [field.name for field in dataclasses.fields(Claim)]
    return Claim(**{**dict.fromkeys(names), "outcome": outcome, **fields})
