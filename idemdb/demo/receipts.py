"""The mail with the receipt of a charge: as a message of the outbox, or sent directly."""

from __future__ import annotations

import smtplib
from email.message import EmailMessage
from email.utils import make_msgid
from typing import Any, Final

TOPIC: Final = "receipts"
CHARGE: Final = "X-Charge"
HOST: Final = "127.0.0.1"
DOMAIN: Final = "shop.example"

_SECONDS: Final = 30.0


def dedup_key(charge: dict[str, Any]) -> str:
    """Return what makes the mail of a charge unique within the topic."""
    return f"charge/{charge['id']}"


def headers(charge: dict[str, Any]) -> dict[str, str]:
    """Return the header by which the demo counts."""
    return {CHARGE: str(charge["id"])}


def payload(charge: dict[str, Any]) -> dict[str, str]:
    """Return the mail, as the relay's handler for mail wants it."""
    return {
        "from": f"Shop <shop@{DOMAIN}>",
        "to": "customer@example.com",
        "subject": f"Receipt {charge['id']}",
        "text": f"Paid: {money(charge['amount'], charge['currency'])}\n",
    }


def send(charge: dict[str, Any], port: int) -> None:
    """Send the mail of a charge, as is done without an outbox.

    :param port: of the mail server.
    """
    mail, content = EmailMessage(), payload(charge)
    for name in ("from", "to", "subject"):
        mail[name] = content[name]
    mail[CHARGE] = headers(charge)[CHARGE]
    mail["Message-ID"] = make_msgid(domain=DOMAIN)
    mail.set_content(content["text"])
    # With a name of its own it does not ask DNS for one.
    with smtplib.SMTP(HOST, port, local_hostname=DOMAIN, timeout=_SECONDS) as server:
        server.send_message(mail)


def money(amount: int, currency: str) -> str:
    """Write an amount of cents for people."""
    return f"{amount / 100:,.2f} {currency}"
