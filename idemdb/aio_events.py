"""The methods of ``AsyncIdem`` on events and on the outbox."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from idemdb import event_flows
from idemdb.calls import events, outbox
from idemdb.drivers.base import AsyncDriver
from idemdb.event_flows import Event
from idemdb.results import EventResult, OutboxMessage, OutboxResult, Processed
from idemdb.wire import Seconds

T = TypeVar("T")


class AsyncEventMethods:
    """A part of ``AsyncIdem``."""

    _driver: AsyncDriver

    async def process(
        self,
        consumer: str,
        event_id: str,
        handler: Callable[[Event], Awaitable[T]] | None = None,
        occurred_at: datetime | None = None,
    ) -> Processed[T]:
        """Do what ``Idem.process`` does."""
        event = Event(self._driver.connection, consumer, event_id)
        ask = events.process(consumer, event_id, occurred_at)
        return await self._driver.drive(event_flows.process(event, ask, handler))

    async def process_many(
        self, consumer: str, event_ids: Sequence[str], occurred_at: Sequence[datetime | None] | None = None
    ) -> list[EventResult]:
        """Do what ``Idem.process_many`` does."""
        return await self._driver.call(events.process_many(consumer, event_ids, occurred_at))

    async def process_failed(self, consumer: str, event_id: str, error: str | BaseException) -> str:
        """Do what ``Idem.process_failed`` does."""
        return await self._driver.call(events.process_failed(consumer, event_id, error))

    async def process_offsets(
        self, consumer: str, stream: str, offsets: Sequence[int], floor: int | None = None
    ) -> list[int]:
        """Do what ``Idem.process_offsets`` does."""
        return await self._driver.call(events.process_offsets(consumer, stream, offsets, floor))

    async def advance(self, consumer: str, entity: str, version: int) -> str:
        """Do what ``Idem.advance`` does."""
        return await self._driver.call(events.advance(consumer, entity, version))

    async def dead_letter(self, kind: str, name: str, id_: str, action: str) -> str:
        """Do what ``Idem.dead_letter`` does."""
        return await self._driver.call(events.dead_letter(kind, name, id_, action))

    async def outbox_add(
        self,
        topic: str,
        dedup_key: str,
        payload: Any,
        headers: Mapping[str, Any] | None = None,
        group: str | None = None,
        available_at: datetime | None = None,
    ) -> OutboxResult:
        """Do what ``Idem.outbox_add`` does."""
        return await self._driver.call(outbox.add(topic, dedup_key, payload, headers, group, available_at))

    async def outbox_take(self, topic: str, limit: int, lease: Seconds) -> list[OutboxMessage]:
        """Do what ``Idem.outbox_take`` does."""
        return await self._driver.call(outbox.take(topic, limit, lease))

    async def outbox_done(self, topic: str, claim_token: int, ids: Sequence[int]) -> int:
        """Do what ``Idem.outbox_done`` does."""
        return await self._driver.call(outbox.done(topic, claim_token, ids))

    async def outbox_retry(
        self,
        topic: str,
        claim_token: int,
        id_: int,
        delay: Seconds,
        error: str | BaseException | None = None,
    ) -> str:
        """Do what ``Idem.outbox_retry`` does."""
        return await self._driver.call(outbox.retry(topic, claim_token, id_, delay, error))
