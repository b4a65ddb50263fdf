"""Operations on events of several steps: ``process`` with a handler, and a delivery of a broker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from idemdb.calls import events
from idemdb.drivers.base import AUTOCOMMITS, ENTER, IDLE, Flow, Invoke, keep, undo
from idemdb.errors import InvalidArgument
from idemdb.fingerprint import stable_key
from idemdb.flows import inside, one, quietly
from idemdb.results import Processed
from idemdb.statement import Call, Statement, scalar
from idemdb.wire import text

T = TypeVar("T")

_IN_TRANSACTION = "an event is delivered in a transaction of its own, but the connection has one open"
# Opens the transaction where the driver does that by itself, and fails in one that has failed.
_PROBE: Call[int] = Call(Statement("probe", "select 1"), (), scalar)


@dataclass(frozen=True, slots=True)
class Event:
    """What a handler of ``process`` is given: the connection to work on, and which event it is.

    What is written over the connection commits together with the event, or not at all.
    """

    connection: Any
    consumer: str
    event_id: str

    def key_for(self, name: str) -> str:
        r"""Return a key to send to another service, or to use as a dedup key: the same for every delivery.

        :param name: of the call, so that two calls for one event have different keys.

        It is the UUIDv5, in the namespace ``5f0a7c39-6a0e-5d1c-9b0b-1de31de31db0``, of the JSON text
        ``["event","consumer","event id","name"]``: no spaces, nothing but ``"``, ``\`` and control characters
        escaped.
        """
        return stable_key("event", self.consumer, self.event_id, text(name, "name"))


Handler = Callable[[Event], Any]


def process(event: Event, ask: Call[Processed[None]], handler: Handler | None) -> Flow[Processed[Any]]:
    """Take the event, and let the handler work when it is new; without a handler only take it."""
    if handler is None:
        processed: Processed[None] = yield ask
        return processed
    if not (yield AUTOCOMMITS):
        return (yield from _handled(event, ask, handler))
    return (yield from inside(_handled(event, ask, handler)))


def delivered(event: Event, ask: Call[Processed[None]], handler: Handler) -> Flow[Processed[Any]]:
    """Do what ``process`` does, and commit: then the delivery may be acknowledged."""
    return _committed(event, _handled(event, ask, handler))


def failed(event: Event, error: Exception) -> Flow[str]:
    """Count a failure, and commit."""
    return _committed(event, one(events.process_failed(event.consumer, event.event_id, error)))


def _committed(event: Event, flow: Flow[T]) -> Flow[T]:
    """Run a flow in a transaction that begins and commits here.

    :raises InvalidArgument: where a transaction is open, whose end would come after the acknowledgement.
    """
    if not (yield IDLE):
        raise InvalidArgument(
            _IN_TRANSACTION, scope=event.consumer, key=event.event_id, hint="commit or roll back first"
        )
    return (yield from inside(flow))


def _handled(event: Event, ask: Call[Processed[None]], handler: Handler) -> Flow[Processed[Any]]:
    """Process in the transaction that is open; an error takes back the handler's writes and the event."""
    if (yield IDLE):
        # So that what is entered next is a savepoint: committing is the caller's.
        yield _PROBE
    point = yield ENTER
    try:
        processed: Processed[Any] = yield ask
        if processed.first_seen:
            processed = replace(processed, value=(yield Invoke(handler, (event,))))
            # A statement of the handler may have failed unseen.
            yield _PROBE
        yield keep(point)
    except GeneratorExit:
        raise
    except BaseException as error:
        name = yield from quietly(undo(point))
        if name:
            error.add_note(f"The event could not be taken back ({name}): roll the transaction back.")
        raise
    return processed
