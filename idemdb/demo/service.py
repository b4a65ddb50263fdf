"""Run a payment service: some worker processes, a proxy in front of each, and clients that send again."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from idemdb.demo.database import Database
from idemdb.demo.faults import Fault
from idemdb.demo.orders import Reply
from idemdb.demo.process import DemoError, Program, WorkerProcess, serve
from idemdb.demo.progress import Answer, Progress, Receipt
from idemdb.demo.proxy import FaultProxy
from idemdb.demo.requests import PaymentRequest
from idemdb.demo.worker import Setup

_MOST_TRIES: Final = 20
_BUSY_SECONDS: Final = 0.05


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
        mail_port: int,
        progress: Progress,
        tell: Callable[[str], None],
    ) -> None:
        """Describe the service; :meth:`run` runs it.

        :param database: with the tables of charges.
        :param schema: of its own table.
        :param protected: whether it charges through idemdb.
        :param requests: taken in this order, each by the first worker that is free.
        :param faults: by the number of the request that meets it, once.
        :param mail_port: of the mail server.
        :param progress: where is counted.
        :param tell: is given a line about each fault.
        """
        self._progress = progress
        self._database = database
        self._schema = schema
        self._protected = protected
        self._waiting = deque(requests)
        self._faults = dict(faults)
        self._mail_port = mail_port
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
        """Fill one place, behind a proxy of its own, until no request is left."""
        with FaultProxy(self._database.host, self._database.port) as proxy:
            dsn = self._database.through(proxy.host, proxy.port)
            setup = Setup(dsn, self._schema, self._protected, self._mail_port)
            send = partial(self._send, name, proxy)
            await serve(Program("idemdb.demo.worker", setup), self._waiting, send, ready)

    async def _send(
        self, name: str, proxy: FaultProxy, request: PaymentRequest, process: WorkerProcess
    ) -> bool:
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
        self._progress.crashes += killed
        self._progress.cuts += cut
        if reply["event"] in ("paid", "refused"):
            self._answer(request, reply)
        else:
            await self._again(request, reply)
        return not killed

    def _answer(self, request: PaymentRequest, reply: Reply) -> None:
        """Note the answer that the client has."""
        receipt = Receipt(**reply["receipt"]) if reply["event"] == "paid" else None
        self._progress.answers[request.number] = Answer(receipt, reply["ms"])

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
