"""Serve a request with a key, synchronously: what WSGI and synchronous frameworks share.

A framework gives ``work``, which lets its application work and returns what it has answered; the exchange,
the claim, the transaction and the connection are here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from idemdb import flows
from idemdb.http.answers import Collected, NotStored, Reply, conclude
from idemdb.http.connections import Lent, lend, renewing
from idemdb.http.current import Current
from idemdb.http.exchange import Exchange, Keyed, Pause, Progress, exchange
from idemdb.http.rules import Rules
from idemdb.results import Outcome
from idemdb.sync import Op

Work = Callable[[Current], Collected]


class Serving:
    """One request with a key, served by an application."""

    def __init__(
        self,
        rules: Rules,
        keyed: Keyed,
        work: Work,
        abandon: Callable[[], None] = lambda: None,
        lending: Callable[[], AbstractContextManager[Lent]] | None = None,
    ) -> None:
        """Prepare.

        :param work: lets the application work on the request; may be called again, after ``abandon``.
        :param abandon: ends the application's work: its answer is not sent.
        :param lending: lends the connection; by default from the source of the rules.
        """
        self.collected: Collected | None = None
        self.progress = Progress()
        self._rules = rules
        self._keyed = keyed
        self._application = work
        self._abandon = abandon
        self._lending = lending or (
            lambda: lend(rules.source, rules.on_outcome, joined=not keyed.policy.leased)
        )
        self._stack = ExitStack()

    def answer(self) -> Reply | None:
        """Return the answer to send; None: that of the application, which is ``collected``.

        :raises Exception: what the application raised, and what went wrong otherwise; nothing is stored then.
        """
        return self._drive(exchange(self._keyed, self._rules.waiters, self.progress))

    def close(self) -> None:
        """Give back the connection that an answer which is not sent yet has kept."""
        self._stack.close()

    def _drive(self, steps: Exchange) -> Reply | None:
        """Do each step of the exchange."""
        try:
            step = next(steps)
            while True:
                try:
                    answer = self._sleep(step) if isinstance(step, Pause) else self._ask()
                except Exception as error:  # noqa: BLE001 - the exchange decides
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as stop:
            reply: Reply | None = stop.value
            return reply
        finally:
            steps.close()

    @staticmethod
    def _sleep(pause: Pause) -> None:
        """Wait, without a connection."""
        time.sleep(pause.seconds)

    def _ask(self) -> Outcome[Any]:
        """Claim, and let the application work where that is granted; commit; give the connection back."""
        self.collected = None
        try:
            with ExitStack() as stack:
                lent = stack.enter_context(self._lending())
                try:
                    return self._claimed(lent)
                except NotStored:
                    raise
                except BaseException:
                    self._abandon()  # while it still has its connection
                    raise
                finally:
                    if self.collected is not None and self.collected.more:
                        self._stack = stack.pop_all()
        except NotStored:
            raise
        except BaseException:
            self._abandon()
            self._stack.close()
            raise

    def _claimed(self, lent: Lent) -> Outcome[Any]:
        """Claim on a connection, let the application work, complete, commit."""
        keyed, policy = self._keyed, self._keyed.policy
        connect = renewing(self._rules.source) if policy.leased else None
        with Op(lent.driver, connect, keyed.scope, keyed.key, keyed.lease, policy.abandoned) as op:
            flow = flows.run(op, keyed.claim(), lambda op: self._work(lent, op), policy.reconcile)
            outcome: Outcome[Any] = lent.driver.drive(flow if policy.leased else flows.inside(flow))
            return outcome

    def _work(self, lent: Lent, op: Op) -> Any:
        """Let the application work, and say what is to be stored of its answer."""
        current = Current(self._rules.source, self._rules.on_outcome, op, lent)
        try:
            collected = self._application(current)
            self.collected = collected
            answer, keep = conclude(self._keyed.policy, collected, current.reference)
        except BaseException:
            lent.drop()
            raise
        finally:
            current.answered()
        if not keep:
            lent.drop()
            raise answer
        lent.settle()
        return answer
