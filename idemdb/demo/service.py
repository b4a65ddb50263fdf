"""Run a payment service: some worker processes, a proxy in front of each, and clients that send again."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final, Self, cast

from idemdb.demo.database import Database
from idemdb.demo.faults import Fault
from idemdb.demo.proxy import FaultProxy
from idemdb.demo.requests import PaymentRequest
from idemdb.demo.worker import Order, Reply, Setup

_MOST_TRIES: Final = 20
_BUSY_SECONDS: Final = 0.05


class DemoError(Exception):
    """The demo cannot go on, for a reason that it did not make itself."""


@dataclass(frozen=True)
class Receipt:
    """What the client was told about a payment: the charge's id, amount and currency."""

    id: int
    amount: int
    currency: str


@dataclass(frozen=True)
class Answer:
    """The last word on one request.

    :param receipt: of the charge; None where the request was refused.
    :param ms: milliseconds from order to reply in the worker, of the try that was answered.
    """

    receipt: Receipt | None
    ms: float


@dataclass
class Progress:
    """What has happened so far; who watches adds what the table of charges says.

    :param answers: by the number of the request.
    :param crashes: workers killed with SIGKILL.
    :param cuts: connections cut around COMMIT.
    :param charges: rows in the table.
    :param double_charges: payments that have more than one of them.
    """

    answers: dict[int, Answer] = field(default_factory=dict)
    crashes: int = 0
    cuts: int = 0
    charges: int = 0
    double_charges: int = 0


class _Process:
    """One worker process and its two pipes."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, setup: Setup) -> Self:
        """Start a worker, which is to say that it is ready."""
        # In a session of its own, so that Ctrl-C is the demo's to handle. -P: the package of this process.
        command = (sys.executable, "-P", "-m", "idemdb.demo.worker")
        process = cls(
            await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, start_new_session=True)
        )
        try:
            await process.ask(asdict(setup))
        except BaseException:
            await process.kill()
            raise
        return process

    async def ask(self, order: Order) -> Reply:
        """Send a line and return the one that comes back.

        :raises DemoError: when the process has ended instead.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(order).encode() + b"\n")
        line = await stdout.readline()
        if not line:
            raise DemoError(f"a worker ended by itself, with code {await self._process.wait()}")
        return cast("Reply", json.loads(line))

    async def kill(self) -> None:
        """End the process with SIGKILL, at once."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


class Service:
    """Handle all requests with some workers, while faults happen, until each has its answer."""

    def __init__(
        self,
        database: Database,
        schema: str,
        *,
        protected: bool,
        requests: Sequence[PaymentRequest],
        faults: Mapping[int, Fault],
        tell: Callable[[str], None],
    ) -> None:
        """Describe the service; :meth:`run` runs it.

        :param database: with the tables of charges.
        :param schema: of its own table.
        :param protected: whether it charges through idemdb.
        :param requests: taken in this order, each by the first worker that is free.
        :param faults: by the number of the request that meets it, once.
        :param tell: is given a line about each fault.
        """
        self.progress = Progress()
        self._database = database
        self._schema = schema
        self._protected = protected
        self._waiting = deque(requests)
        self._faults = dict(faults)
        self._tell = tell
        self._tries = Counter[int]()

    async def run(self, workers: int, ready: asyncio.Barrier) -> None:
        """Answer every request.

        :param workers: how many processes.
        :param ready: where each of them waits for all others before the first request.
        :raises DemoError: when a request gets no answer although it is sent again and again.
        """
        async with asyncio.TaskGroup() as group:
            for number in range(1, workers + 1):
                group.create_task(self._work(f"worker {number}", ready))

    async def _work(self, name: str, ready: asyncio.Barrier) -> None:
        """Keep one place filled with a worker process, and hand it requests until none is left."""
        with FaultProxy(self._database.host, self._database.port) as proxy:
            dsn = self._database.through(proxy.host, proxy.port)
            setup = Setup(dsn, self._schema, self._protected)
            process = await _Process.start(setup)
            try:
                await ready.wait()
                # One that gets no answer is put back by its own worker, so nobody has to wait for others.
                while self._waiting:
                    if not await self._send(self._waiting.popleft(), name, process, proxy):
                        process = await _Process.start(setup)
            finally:
                # After the last answer, too: an idle worker has nothing to lose.
                await process.kill()

    async def _send(self, request: PaymentRequest, name: str, process: _Process, proxy: FaultProxy) -> bool:
        """Send a request, let its fault happen, and say whether the process is still there."""
        fault = self._faults.pop(request.number, None)
        cuts = proxy.cuts
        if fault and fault.cut:
            proxy.cut_next(fault.cut)
        reply = await process.ask(
            {
                "scope": request.scope,
                "key": request.key,
                "amount": request.amount,
                "currency": request.currency,
                "request": request.number,
                "hold": fault and fault.hold,
            }
        )
        killed, cut = reply["event"] == "holding", proxy.cuts - cuts
        if killed:
            await process.kill()
        if fault and (killed or cut):
            self._tell(f"{name}, line {request.number}: {fault.value}")
        self.progress.crashes += killed
        self.progress.cuts += cut
        if reply["event"] in ("paid", "refused"):
            self._answer(request, reply)
        else:
            await self._again(request, reply)
        return not killed

    def _answer(self, request: PaymentRequest, reply: Reply) -> None:
        """Note the answer that the client has."""
        receipt = Receipt(**reply["receipt"]) if reply["event"] == "paid" else None
        self.progress.answers[request.number] = Answer(receipt, reply["ms"])

    async def _again(self, request: PaymentRequest, reply: Reply) -> None:
        """Let the client send again what got no answer."""
        self._tries[request.number] += 1
        if self._tries[request.number] == _MOST_TRIES:
            why = reply.get("why", reply["event"])
            raise DemoError(
                f"line {request.number} got no answer in {_MOST_TRIES} tries; the last was: {why}"
            )
        if reply["event"] == "busy":
            await asyncio.sleep(_BUSY_SECONDS)
        self._waiting.appendleft(request)
