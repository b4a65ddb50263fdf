"""Decide which payments meet which fault."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from enum import Enum
from typing import Final

from idemdb.demo.orders import Hold
from idemdb.demo.proxy import Cut
from idemdb.demo.requests import PaymentRequest

_REQUESTS_PER_FAULT: Final = 15


class Fault(Enum):
    """What goes wrong while a request is handled; its value tells the tale."""

    KILL_BEFORE_COMMIT = "killed after the charge, before COMMIT"
    CUT_AFTER_COMMIT = "COMMIT's answer lost, connection cut"
    KILL_AFTER_COMMIT = "killed after COMMIT, before the answer"
    CUT_BEFORE_COMMIT = "COMMIT lost, connection cut"

    @property
    def cut(self) -> Cut | None:
        """Return where the connection is cut; None when the worker is killed instead."""
        return _CUTS.get(self)

    @property
    def hold(self) -> Hold | None:
        """Return where the worker stops and waits for its death; None when it is not killed."""
        return _HOLDS.get(self)


_CUTS: Final = {Fault.CUT_BEFORE_COMMIT: Cut.BEFORE, Fault.CUT_AFTER_COMMIT: Cut.AFTER}
_HOLDS: Final = {Fault.KILL_BEFORE_COMMIT: Hold.BEFORE_COMMIT, Fault.KILL_AFTER_COMMIT: Hold.AFTER_COMMIT}


def plan(requests: Sequence[PaymentRequest], seed: int) -> dict[int, Fault]:
    """Return the numbers of the requests that meet a fault, and which; the same for the same arguments.

    :param requests: in the order of the file. Only the first request of a payment meets one: it is the one
        that most likely charges.
    :param seed: any number.
    """
    first = {request.payment: request.number for request in reversed(requests)}
    count = min(len(first), math.ceil(len(requests) / _REQUESTS_PER_FAULT))
    # Sorted before the draw and after it: the kinds then take turns over the length of the file.
    drawn = sorted(random.Random(seed).sample(sorted(first.values()), count))  # noqa: S311 (no secret)
    return dict(zip(drawn, itertools.cycle(Fault), strict=False))
