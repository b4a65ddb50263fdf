"""The methods of ``Idem`` on events and on the outbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from idemdb import event_flows
from idemdb.calls import events, outbox
from idemdb.drivers.base import Driver
from idemdb.event_flows import Event
from idemdb.results import EventResult, OutboxMessage, OutboxResult, Processed
from idemdb.wire import Seconds

T = TypeVar("T")


class EventMethods:
    """A part of ``Idem``."""

    _driver: Driver

    def process(
        self,
        consumer: str,
        event_id: str,
        handler: Callable[[Event], T] | None = None,
        occurred_at: datetime | None = None,
    ) -> Processed[T]:
        """Handle an event once for a consumer: call ``handler(event)`` if it is new; `idemdb.process`.

        :param consumer: who handles it; another consumer handles it for itself.
        :param event_id: given by the producer, the same for every delivery.
        :param handler: does the work over ``event.connection``. What it returns is the value. Without one the
            caller does the work, in the same transaction, where the outcome is 'first_seen'.
        :param occurred_at: when it happened. An event older than the consumer's keep_for, which could have
            been forgotten, is 'too_old' and not handled.

        Handling and "seen" commit together, in the caller's transaction (on a connection in autocommit mode,
        with a handler, in one of its own). When the handler raises, its writes and the event are taken back
        and the error is raised again: the event stays new. Then roll back and call ``process_failed``, or let
        ``Consumer`` do all of that.

        :raises InvalidArgument: also without a handler on a connection in autocommit mode.
        """
        event = Event(self._driver.connection, consumer, event_id)
        ask = events.process(consumer, event_id, occurred_at)
        return self._driver.drive(event_flows.process(event, ask, handler))

    def process_many(
        self, consumer: str, event_ids: Sequence[str], occurred_at: Sequence[datetime | None] | None = None
    ) -> list[EventResult]:
        """Take a batch of events in one round trip; an outcome for each position; `idemdb.process_many`.

        :param occurred_at: a time, or None, for each event.

        The caller handles those that are 'first_seen', in the same transaction.
        """
        return self._driver.call(events.process_many(consumer, event_ids, occurred_at))

    def process_failed(self, consumer: str, event_id: str, error: str | BaseException) -> str:
        """Count a failure, after the rollback and in a transaction of its own; `idemdb.process_failed`.

        :param error: what went wrong, for who looks. Of an exception one line is kept.

        Returns 'retrying', or after the consumer's max_attempts 'dead': then the event is a dead letter.
        """
        return self._driver.call(events.process_failed(consumer, event_id, error))

    def process_offsets(
        self, consumer: str, stream: str, offsets: Sequence[int], floor: int | None = None
    ) -> list[int]:
        """Take offsets of a numbered stream; return those that are new, ascending; `idemdb.process_offsets`.

        :param stream: such as a topic and partition of Kafka.
        :param floor: everything below counts as seen.

        The caller handles the new ones, in the same transaction.
        """
        return self._driver.call(events.process_offsets(consumer, stream, offsets, floor))

    def advance(self, consumer: str, entity: str, version: int) -> str:
        """Let the newest version of an entity win; `idemdb.advance`.

        Returns 'applied' (apply it in the same transaction) or 'stale' (an equal or newer one was applied).
        """
        return self._driver.call(events.advance(consumer, entity, version))

    def dead_letter(self, kind: str, name: str, id_: str, action: str) -> str:
        """Decide what becomes of a dead event or message, as an idemdb_admin; `idemdb.dead_letter`.

        :param kind: 'consumer' or 'topic'.
        :param name: of the consumer or topic.
        :param id_: of the event or message, as the view dead_letters shows it.
        :param action: 'replay' or 'drop'.

        Returns 'replayed' or 'dropped'.
        """
        return self._driver.call(events.dead_letter(kind, name, id_, action))

    def outbox_add(
        self,
        topic: str,
        dedup_key: str,
        payload: Any,
        headers: Mapping[str, Any] | None = None,
        group: str | None = None,
        available_at: datetime | None = None,
    ) -> OutboxResult:
        """Add a message that goes out if, and only if, this transaction commits; `idemdb.outbox_add`.

        :param topic: what kind of message it is, hence who delivers it.
        :param dedup_key: unique within the topic: the message is added once.
        :param payload: JSON-like.
        :param headers: JSON-like, what goes with it.
        :param group: messages of one group are delivered in their order, if their producers are serialised.
        :param available_at: not before.

        The outcome is 'added', 'existing' (the same message), or 'mismatch' (another payload or group).
        """
        return self._driver.call(outbox.add(topic, dedup_key, payload, headers, group, available_at))

    def outbox_take(self, topic: str, limit: int, lease: Seconds) -> list[OutboxMessage]:
        """Take messages to deliver them; commit first; `idemdb.outbox_take`.

        :param limit: messages at most.
        :param lease: for how long nobody else gets them, seconds or a timedelta.
        """
        return self._driver.call(outbox.take(topic, limit, lease))

    def outbox_done(self, topic: str, claim_token: int, ids: Sequence[int]) -> int:
        """Finish messages that are delivered; return how many; `idemdb.outbox_done`.

        :raises ClaimLost: when any of them was lost; then none is finished.
        """
        return self._driver.call(outbox.done(topic, claim_token, ids))

    def outbox_retry(
        self,
        topic: str,
        claim_token: int,
        id_: int,
        delay: Seconds,
        error: str | BaseException | None = None,
    ) -> str:
        """Give a message back that could not be delivered; `idemdb.outbox_retry`.

        :param delay: until it can be taken again, seconds or a timedelta.
        :param error: what went wrong, for who looks. Of an exception one line is kept.

        Returns 'retrying', or after the topic's max_attempts 'dead'.

        :raises ClaimLost: when it was lost.
        """
        return self._driver.call(outbox.retry(topic, claim_token, id_, delay, error))
