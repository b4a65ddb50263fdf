"""Start the demo's worker processes, hand them orders, kill them."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from idemdb.demo.orders import Order, Reply

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")


class DemoError(Exception):
    """The demo cannot go on, for a reason that it did not make itself."""


@dataclass(frozen=True)
class Program:
    """What a worker process runs.

    :param module: as for ``python -m``.
    :param setup: its first line.
    """

    module: str
    setup: DataclassInstance


class WorkerProcess:
    """One worker process and its two pipes."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, program: Program) -> Self:
        """Start a worker, which is to say that it is ready."""
        # In a session of its own, so that Ctrl-C is the demo's to handle. -P: the package of this process.
        command = (sys.executable, "-P", "-m", program.module)
        process = cls(
            await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, start_new_session=True)
        )
        try:
            await process.ask(asdict(program.setup))
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

    def strike(self) -> bool:
        """Send SIGKILL, and say whether the process was still there."""
        if self._process.returncode is not None:
            return False
        self._process.kill()
        return True

    async def ended(self) -> int:
        """Wait until the process has ended, and return its code."""
        return await self._process.wait()

    async def kill(self) -> None:
        """End the process with SIGKILL, at once."""
        if self.strike():
            await self.ended()


async def serve(
    program: Program,
    waiting: deque[T],
    send: Callable[[T, WorkerProcess], Awaitable[bool]],
    ready: asyncio.Barrier,
) -> None:
    """Keep one place filled with a worker process, and hand it what waits until nothing is left.

    :param waiting: shared by all places. What has to be done again is put back before ``send`` returns, so
        nobody has to wait for others.
    :param send: gives one to the process, and says whether the process is still there.
    :param ready: where each place waits for all others before the first order.
    """
    process = await WorkerProcess.start(program)
    try:
        await ready.wait()
        while waiting:
            if not await send(waiting.popleft(), process):
                process = await WorkerProcess.start(program)
    finally:
        # After the last answer, too: an idle worker has nothing to lose.
        await process.kill()


def cause(errors: ExceptionGroup[Any]) -> Exception:
    """Return the error that ended the tasks of a group."""
    error: Exception = errors.exceptions[0]
    return cause(error) if isinstance(error, ExceptionGroup) else error
