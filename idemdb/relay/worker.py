"""The relay: takes messages from the outbox, lets handlers deliver them, and finishes them.

One thread talks to the database, over one connection; ``concurrency`` threads deliver and know nothing of it.
What they say comes back through a queue, together with the calls to wake up or to stop.
"""

from __future__ import annotations

import logging
import random
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, TypeVar

import psycopg
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential, wait_random

from idemdb.calls import outbox
from idemdb.drivers import adapt
from idemdb.errors import ClaimLost, is_transient
from idemdb.relay.handlers import Handler, Outgoing
from idemdb.relay.wake import Listener
from idemdb.statement import Call

T = TypeVar("T")

_log = logging.getLogger("idemdb")


@dataclass(frozen=True)
class Backoff:
    """How long a message waits after a failure: twice as long after each, half of it by chance.

    :param first: seconds after the first failure.
    :param longest: seconds at most.
    """

    first: float = 1.0
    longest: float = 300.0

    def delay(self, attempt: int, at_least: float | None = None) -> float:
        """Return the seconds to wait after a failed attempt.

        :param attempt: counted from 1.
        :param at_least: what the receiver has asked for, heard up to ``longest``.
        """
        # The exponent is bounded: a float ends at 2^1023.
        full = min(self.longest, self.first * 2.0 ** min(attempt - 1, 100))
        # Jitter decides nothing that anybody could want to guess.
        return max(full * random.uniform(0.5, 1.0), min(at_least or 0.0, self.longest))  # noqa: S311


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What became of a delivery: it raised an error, or its lease was over before it began."""

    outgoing: Outgoing
    error: BaseException | None = None
    late: bool = False


class Relay:
    """Delivers messages at least once, those of a group in their order, topics in turn.

    A message is delivered again, with the same key, only where the relay died, or its lease ran out, between
    the delivery and its record.
    """

    def __init__(
        self,
        dsn: str,
        handlers: Mapping[str, Handler],
        *,
        concurrency: int = 4,
        batch: int | None = None,
        lease: float = 60.0,
        poll: float = 1.0,
        backoff: Backoff | None = None,
    ) -> None:
        """Prepare; several relays may serve the same topics.

        :param dsn: libpq's; the role must be a member of idemdb_user.
        :param handlers: by topic.
        :param concurrency: deliveries at once.
        :param batch: messages in hand at once, ``concurrency`` by default. More save round trips, but wait
            for their turn while their lease runs.
        :param lease: seconds; longer than the deliveries that a batch needs one after the other.
        :param poll: seconds between two looks for messages while there are none.
        :param backoff: how long a message waits after a failure.
        """
        self.counts: Counter[str] = Counter(delivered=0, retrying=0, dead=0, lost=0, late=0)
        self._dsn = dsn
        self._handlers = dict(handlers)
        self._topics = deque(self._handlers)
        self._concurrency = concurrency
        self._batch = batch or concurrency
        self._lease = lease
        self._poll = poll
        self._backoff = backoff or Backoff()
        self._connection: psycopg.Connection[Any] | None = None
        # Attempts, and None to wake up. A signal handler may put into a SimpleQueue.
        self._queue: SimpleQueue[_Attempt | None] = SimpleQueue()
        self._in_hand = 0
        self._look_again = 0.0
        self._stopping = False
        self._patience = Retrying(
            retry=retry_if_exception(is_transient),
            wait=wait_exponential(multiplier=0.1, max=5.0) + wait_random(0, 0.1),
            stop=lambda _state: self._stopping,
            before_sleep=self._disconnected,
            reraise=True,
        )

    def stop(self) -> None:
        """Take no more messages, finish what is in hand, and end; for any thread, and signal handlers."""
        self._stopping = True
        self._queue.put(None)

    def run(self, *, once: bool = False, listen: bool = True) -> Counter[str]:
        """Deliver until ``stop``; return how many were delivered, retrying, dead, lost, late.

        'lost' were delivered, but somebody else had taken them after their lease ran out; 'late' are left to
        somebody else for the same reason.

        :param once: end when there is nothing to take; messages that wait for their time are left.
        :param listen: wake up by NOTIFY, too.
        :raises psycopg.Error: for what waiting does not mend; lost connections are opened again.
        """
        with ExitStack() as stack:
            stack.callback(self._close)
            pool = stack.enter_context(ThreadPoolExecutor(self._concurrency, "idemdb-relay"))
            if listen and not once:
                stack.enter_context(_listening(Listener(self._dsn, lambda: self._queue.put(None))))
            while True:
                nothing = not self._stopping and self._take(pool)
                if not self._in_hand and (self._stopping or (once and nothing)):
                    return self.counts
                self._settle(self._answers())
                if once and not self._in_hand:
                    self._look_again = 0.0

    def _take(self, pool: ThreadPoolExecutor) -> bool:
        """Take as many messages as there is room for, of each topic its share; say whether there are none."""
        free = self._batch - self._in_hand
        if free < 1 or monotonic() < self._look_again:
            return False
        more = False
        for left in range(len(self._topics), 0, -1):
            topic = self._topics[0]
            self._topics.rotate(-1)
            share = -(-free // left)
            # From before the database grants it, so that it ends here first.
            deadline = monotonic() + self._lease
            messages = self._call(outbox.take(topic, share, self._lease))
            for message in messages:
                pool.submit(self._deliver, Outgoing(topic, message), deadline)
            self._in_hand += len(messages)
            free -= len(messages)
            more = more or len(messages) == share
            if not free:
                return False
        if not more:
            self._look_again = monotonic() + self._poll
        return not more

    def _deliver(self, outgoing: Outgoing, deadline: float) -> None:
        """Deliver one message, in a thread of the pool."""
        if monotonic() >= deadline:
            self._queue.put(_Attempt(outgoing, late=True))
            return
        error: BaseException | None = None
        try:
            self._handlers[outgoing.topic](outgoing)
        except BaseException as raised:  # noqa: BLE001 - whatever it is, the message was not delivered
            error = raised
        self._queue.put(_Attempt(outgoing, error))

    def _answers(self) -> Iterator[_Attempt]:
        """Wait for something to happen, and return the attempts that have ended."""
        room = self._in_hand < self._batch and not self._stopping
        timeout = max(0.0, self._look_again - monotonic()) if room else None
        try:
            answer = self._queue.get(timeout=timeout) if timeout != 0.0 else self._queue.get_nowait()
            while True:
                # A message that has left its group lets the next one be taken.
                if answer is None or answer.outgoing.message.group_key is not None:
                    self._look_again = 0.0
                if answer is not None:
                    yield answer
                answer = self._queue.get_nowait()
        except Empty:
            return

    def _settle(self, attempts: Iterable[_Attempt]) -> None:
        """Record what became of deliveries: those of one take together."""
        delivered: dict[tuple[str, int], list[int]] = defaultdict(list)
        for attempt in attempts:
            self._in_hand -= 1
            message = attempt.outgoing.message
            if attempt.late:
                self.counts["late"] += 1
            elif attempt.error is None:
                delivered[attempt.outgoing.topic, message.claim_token].append(message.id)
            else:
                self._retry(attempt.outgoing, attempt.error)
        for (topic, token), ids in delivered.items():
            self._done(topic, token, ids)

    def _done(self, topic: str, token: int, ids: list[int]) -> None:
        """Finish delivered messages; where some are lost, one by one."""
        try:
            self.counts["delivered"] += self._call(outbox.done(topic, token, ids))
        except ClaimLost:
            if len(ids) > 1:
                for id_ in ids:
                    self._done(topic, token, [id_])
                return
            self.counts["lost"] += 1
            _log.warning("message %s of topic %s was delivered after its lease ran out", ids[0], topic)

    def _retry(self, outgoing: Outgoing, error: BaseException) -> None:
        """Give a message back that was not delivered."""
        topic, message = outgoing.topic, outgoing.message
        delay = self._backoff.delay(message.attempt, getattr(error, "retry_after", None))
        try:
            outcome = self._call(outbox.retry(topic, message.claim_token, message.id, delay, error))
        except ClaimLost:
            outcome = "lost"
        self.counts[outcome] += 1
        _log.warning(
            "message %s of topic %s failed (%s): %s", message.id, topic, type(error).__name__, outcome
        )

    def _call(self, call: Call[T]) -> T:
        """Send a call in a transaction of its own, over a new connection where the old one is lost.

        A repeat after a lost answer does no harm: what was taken unseen is taken again when the lease is
        over, what was finished unseen counts as lost.
        """
        answer: T = self._patience(self._send, call)
        return answer

    def _send(self, call: Call[T]) -> T:
        """Send a call."""
        if self._connection is None:
            # PgBouncer: nothing is prepared, nothing outlives a transaction.
            self._connection = psycopg.connect(self._dsn, autocommit=True, prepare_threshold=None)
        return adapt(self._connection).call(call)

    def _disconnected(self, state: RetryCallState) -> None:
        """Close a connection that may be lost."""
        error = state.outcome.exception() if state.outcome else None
        _log.warning("the database does not answer (%s), trying again", type(error).__name__)
        self._close()

    def _close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextmanager
def _listening(listener: Listener) -> Iterator[None]:
    """Listen as long as the block runs."""
    listener.start()
    try:
        yield
    finally:
        listener.stop()
