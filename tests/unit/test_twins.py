"""Idem and AsyncIdem, and what they give to handlers, have the same methods."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from idemdb import AsyncIdem, AsyncOp, Idem, Op
from idemdb.flows import Work
from idemdb.resources import SQL

# Floor and ceiling of a context manager differ by design.
_OWN = {"__enter__", "__exit__", "__aenter__", "__aexit__"}


def _methods(kind: type) -> dict[str, Any]:
    return {name: value for name, value in inspect.getmembers(kind, inspect.isfunction) if name not in _OWN}


def _shape(function: Any) -> list[tuple[str, Any, Any]]:
    parameters = inspect.signature(function).parameters.values()
    return [(parameter.name, parameter.kind, parameter.default) for parameter in parameters]


@pytest.mark.parametrize(("plain", "waiting"), [(Idem, AsyncIdem), (Op, AsyncOp)])
def test_twins_have_the_same_methods_and_parameters(plain: type, waiting: type) -> None:
    ours, theirs = _methods(plain), _methods(waiting)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert _shape(ours[name]) == _shape(theirs[name]), name
        if name not in _methods(Work) and not name.startswith("_"):
            assert inspect.iscoroutinefunction(theirs[name]), name
            assert not inspect.iscoroutinefunction(ours[name]), name


def test_there_is_a_method_for_each_public_function() -> None:
    functions = {path.stem for path in (SQL / "functions").glob("[!_]*.sql")}
    assert functions - _methods(Idem).keys() == set()
