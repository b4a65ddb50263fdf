"""What delivers a message: the targets of ``idemdb relay --handler TOPIC=TARGET``.

A handler is called with an Outgoing; a return says that it is delivered, an exception that it is not.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from operator import attrgetter
from typing import Any
from urllib.parse import urlsplit

from idemdb.fingerprint import stable_key
from idemdb.results import OutboxMessage
from idemdb.wire import to_json


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way: its topic, and what ``outbox_take`` has handed out."""

    topic: str
    message: OutboxMessage

    @property
    def key(self) -> str:
        """Return the receiver's idempotency key: the same for every delivery of this message.

        Like ``op.key_for``, of the JSON text ``["outbox","topic","dedup key"]``.
        """
        return stable_key("outbox", self.topic, self.message.dedup_key)

    @property
    def body(self) -> bytes:
        """Return the payload as JSON, the same bytes for every delivery."""
        return to_json(self.message.payload, "payload").encode()

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers as text; those that are null are left out."""
        given: dict[str, Any] = self.message.headers or {}
        return {
            name: value if isinstance(value, str) else to_json(value, "headers")
            for name, value in given.items()
            if value is not None
        }


Handler = Callable[[Outgoing], Any]


class DeliveryFailed(Exception):
    """A message could not be delivered; it is tried again, until the topic's max_attempts."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        """Say why, without what only the receiver should know: it is stored with the message.

        :param retry_after: seconds not to try again for.
        """
        super().__init__(message)
        self.retry_after = retry_after


def parse(target: str, *, timeout: float = 30.0, secret: str | None = None) -> Handler:
    """Return the handler that a target names.

    :param target: ``smtp://host:port`` (or smtps), a URL of http or https, ``exec:COMMAND``, or
        ``module:function``.
    :param timeout: seconds for one delivery; a Python function keeps time itself.
    :param secret: signs webhooks.
    :raises ValueError: when it names none.
    """
    scheme, _, rest = target.partition(":")
    if scheme in ("smtp", "smtps"):
        from idemdb.relay.mail import Mail

        return Mail(target, timeout=timeout)
    if scheme in ("http", "https"):
        from idemdb.relay.webhook import Webhook

        if not urlsplit(target).hostname:
            raise ValueError(f"the URL has no host: {target}")
        return Webhook(target, timeout=timeout, secret=secret)
    if scheme == "exec":
        return Command(rest, timeout=timeout)
    return _function(scheme, rest)


class Command:
    """Runs a program for each message: the payload on stdin, the rest in the environment.

    ``IDEMDB_TOPIC``, ``IDEMDB_KEY`` (the same for every delivery), ``IDEMDB_DEDUP_KEY``, ``IDEMDB_GROUP``,
    ``IDEMDB_ATTEMPT`` (from 1), ``IDEMDB_HEADERS`` (JSON). Exit code 0 says delivered.
    """

    def __init__(self, command: str, *, timeout: float) -> None:
        """Split the command as a shell would; no shell runs it."""
        self._command = shlex.split(command)
        self._timeout = timeout
        if not self._command:
            raise ValueError("exec: needs a command")

    def __call__(self, outgoing: Outgoing) -> None:
        """Run it; on a timeout it is killed."""
        message = outgoing.message
        about = {
            "IDEMDB_TOPIC": outgoing.topic,
            "IDEMDB_KEY": outgoing.key,
            "IDEMDB_DEDUP_KEY": message.dedup_key,
            "IDEMDB_GROUP": message.group_key or "",
            "IDEMDB_ATTEMPT": str(message.attempt),
            "IDEMDB_HEADERS": to_json(message.headers or {}, "headers"),
        }
        try:
            done = subprocess.run(
                self._command,
                input=outgoing.body,
                env=os.environ | about,
                timeout=self._timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DeliveryFailed(f"still running after {self._timeout:g} s") from error
        if done.returncode:
            raise DeliveryFailed(f"exit code {done.returncode}")


def _function(module: str, name: str) -> Handler:
    """Return a Python function; a coroutine function is run to its end."""
    try:
        found: Any = attrgetter(name)(import_module(module))
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{module}:{name} is neither a URL, exec: nor a Python function: {error}") from error
    if not callable(found):
        raise ValueError(f"{module}:{name} cannot be called")  # noqa: TRY004 - the target is a text
    if not inspect.iscoroutinefunction(found):
        function: Handler = found
        return function
    return lambda outgoing: asyncio.run(found(outgoing))
