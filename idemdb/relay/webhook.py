"""Deliver messages as webhooks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time

from idemdb.relay.handlers import DeliveryFailed, Outgoing

try:
    import httpx
except ImportError as error:  # pragma: no cover - the message is all there is
    raise ValueError("webhooks need httpx: pip install 'idemdb[relay]'") from error


class Webhook:
    """Posts each message: the payload is the body.

    ``Idempotency-Key`` and ``webhook-id`` are the same for every delivery. With a secret the request is
    signed as Standard Webhooks (standardwebhooks.com) says.
    """

    def __init__(self, url: str, *, timeout: float, secret: str | None = None) -> None:
        """Name the receiver.

        :param url: posted to; redirects are not followed.
        :param timeout: seconds to connect, and for each pause of the answer.
        :param secret: ``whsec_`` and base64, or any text.
        """
        self._url = url
        self._key = None if secret is None else _secret(secret)
        self._client = httpx.Client(timeout=timeout)

    def __call__(self, outgoing: Outgoing) -> None:
        """Post it; every answer but 2xx says that it was not delivered."""
        body, key = outgoing.body, outgoing.key
        now = str(int(time.time()))
        ours = {
            "Content-Type": "application/json",
            "Idempotency-Key": key,
            "webhook-id": key,
            "webhook-timestamp": now,
        }
        if self._key is not None:
            ours["webhook-signature"] = sign(self._key, key, now, body)
        # Ours are set last: what goes with a message cannot forge them.
        headers = httpx.Headers(outgoing.headers)
        headers.update(ours)
        try:
            response = self._client.post(self._url, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise DeliveryFailed(type(error).__name__) from error
        if not response.is_success:
            raise DeliveryFailed(
                f"HTTP {response.status_code}", _seconds(response.headers.get("Retry-After"))
            )


def sign(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """Return the value of ``webhook-signature``."""
    signed = b".".join([message_id.encode(), timestamp.encode(), body])
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def _secret(secret: str) -> bytes:
    """Return the key that a secret stands for."""
    if secret.startswith("whsec_"):
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    return secret.encode()


def _seconds(value: str | None) -> float | None:
    """Return the seconds of a Retry-After; its other form, a date, is left alone."""
    return float(value) if value is not None and value.isascii() and value.isdigit() else None
