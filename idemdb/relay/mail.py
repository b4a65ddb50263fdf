"""Deliver messages as mail."""

from __future__ import annotations

import logging
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Any
from urllib.parse import unquote, urlsplit

from idemdb.relay.handlers import Outgoing

_log = logging.getLogger("idemdb")


class Mail:
    """Sends a mail for each message, over a connection of its own.

    The payload has ``to`` (an address or a list), ``from``, ``subject``, and ``text``, ``html`` or both. The
    Message-ID is the same for every delivery, by which receivers can drop repeats.
    """

    def __init__(self, url: str, *, timeout: float) -> None:
        """Name the server.

        :param url: ``smtp://host:port``, ``smtps://host:port``; with ``user:password@`` it logs in, over TLS
            only.
        :param timeout: seconds for each answer of the server.
        """
        parts = urlsplit(url)
        if not parts.hostname:
            raise ValueError("the URL of a mail server is smtp://host:port")
        self._tls = parts.scheme == "smtps"
        self._host, self._port = parts.hostname, parts.port or (465 if self._tls else 25)
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._timeout = timeout
        # What this side says it is called. Left to each connection, DNS may be asked for it with each mail.
        self._name = smtplib.SMTP().local_hostname

    def __call__(self, outgoing: Outgoing) -> None:
        """Send it."""
        mail = compose(outgoing)
        with self._connected() as server:
            refused = server.send_message(mail)
        if refused:
            # Trying again would send it twice to the others.
            _log.warning("%s of the receivers of a mail were refused", len(refused))

    def _connected(self) -> smtplib.SMTP:
        """Connect, encrypt and log in."""
        if self._tls:
            context = ssl.create_default_context()
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self._host, self._port, self._name, timeout=self._timeout, context=context
            )
        else:
            server = smtplib.SMTP(self._host, self._port, self._name, timeout=self._timeout)
        try:
            if self._user:
                if not self._tls:
                    server.starttls(context=ssl.create_default_context())
                server.login(self._user, self._password)
        except BaseException:
            server.close()
            raise
        return server


def compose(outgoing: Outgoing) -> EmailMessage:
    """Return the mail of a message.

    :raises ValueError: when the payload is none, and for headers with line breaks.
    """
    payload: Any = outgoing.message.payload
    if not isinstance(payload, dict) or not payload.get("to") or not isinstance(payload.get("from"), str):
        raise ValueError("the payload of a mail needs to, from, subject, and text or html")
    mail = EmailMessage()
    for name, value in outgoing.headers.items():
        mail[name] = value
    recipients = payload["to"]
    ours = {
        "To": recipients if isinstance(recipients, str) else ", ".join(recipients),
        "From": payload["from"],
        "Subject": str(payload.get("subject", "")),
        "Date": format_datetime(outgoing.message.created_at),
        "Message-ID": f"<{outgoing.key}@{_domain(payload['from'])}>",
    }
    for name, value in ours.items():
        del mail[name]
        mail[name] = value
    text, html = payload.get("text"), payload.get("html")
    if text is not None or html is None:
        mail.set_content(text or "")
    if html is not None:
        if text is None:
            mail.set_content(html, subtype="html")
        else:
            mail.add_alternative(html, subtype="html")
    return mail


def _domain(sender: str) -> str:
    """Return the domain of an address."""
    return parseaddr(sender)[1].rpartition("@")[2] or "localhost"
