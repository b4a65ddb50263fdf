"""A mail server on the loopback interface: it accepts what comes, and keeps what is counted of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email import message_from_bytes
from typing import TYPE_CHECKING, Any

from idemdb.demo.database import ServerError
from idemdb.demo.receipts import CHARGE, DOMAIN, HOST

if TYPE_CHECKING:
    from aiosmtpd.smtp import Envelope


@dataclass(frozen=True)
class Mail:
    """A mail that was accepted.

    :param message_id: its Message-ID, by which a mailbox drops repeats.
    :param charge: the id of the charge that it tells of.
    """

    message_id: str
    charge: int


class MailServer:
    """Keeps the mails of one side of the demo."""

    def __init__(self, accepted: Callable[[], object] = lambda: None) -> None:
        """Prepare, without listening.

        :param accepted: called after each mail.
        :raises ServerError: when the library is not installed.
        """
        try:
            from aiosmtpd.smtp import SMTP
        except ImportError as error:
            raise ServerError("The demo's mail server needs aiosmtpd: pip install 'idemdb[demo]'") from error
        self._protocol = SMTP
        self._accepted = accepted
        self.mails: list[Mail] = []

    @asynccontextmanager
    async def listening(self, heard: Callable[[], object] = lambda: None) -> AsyncIterator[int]:
        """Listen on a free port, which the block is given, as long as the block runs.

        :param heard: called after each mail that came over this port, before its sender is told so.
        """
        loop = asyncio.get_running_loop()
        handler = _Handler(self, heard)
        server = await loop.create_server(
            lambda: self._protocol(handler, hostname=DOMAIN, loop=loop), HOST, 0
        )
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            # Who still talks to it has been killed.
            server.close()

    def accept(self, content: bytes) -> None:
        """Keep what matters of a mail."""
        mail = message_from_bytes(content)
        self.mails.append(Mail(str(mail["Message-ID"]), int(mail[CHARGE])))
        self._accepted()


class _Handler:
    """What aiosmtpd calls."""

    def __init__(self, server: MailServer, heard: Callable[[], object]) -> None:
        self._server = server
        self._heard = heard

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        """Accept a mail."""
        content = envelope.content
        assert isinstance(content, bytes)
        self._server.accept(content)
        self._heard()
        return "250 accepted"
