"""Deliver the messages of the outbox: mail, webhooks, commands, functions."""

from __future__ import annotations

from idemdb.relay.handlers import DeliveryFailed, Handler, Outgoing, parse
from idemdb.relay.worker import Relay

__all__ = ["DeliveryFailed", "Handler", "Outgoing", "Relay", "parse"]
