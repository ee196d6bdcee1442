"""Message middleware (消息中间件): one port, a transport that needs no server, and one over a broker."""

from __future__ import annotations

from adapters.messaging.base import DeadLetter, Message, Subscription, Taken, Transport

__all__ = ["DeadLetter", "Message", "Subscription", "Taken", "Transport"]
