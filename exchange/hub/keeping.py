"""Housekeeping (日常维护): what the hub does by itself from time to time, whoever reminds it of it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from exchange.engine import recount_missing
from exchange.errors import HubError
from exchange.hub.freshness import tell
from exchange.identity import Actor

if TYPE_CHECKING:
    from exchange.hub.core import Hub

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """What housekeeping came to.

    Attributes:
        done: How much each part did, by its name.
        failed: Why a part could not do its work; it is done next time.
    """

    done: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def keep(hub: Hub, *, by: Actor, more: dict[str, Callable[[], Any]] | None = None) -> Kept:
    """Do what is due of everything the hub keeps; a part that fails keeps none of the others.

    Grants whose time is over expire, and so do the contents of rows refused too long ago, documents that nothing needs
    and old entries of the books; what was to rest until now is resumed; recipients are asked what they made of earlier
    deliveries, recalls are seen to, what is owed to recipients of files is tended, sessions that are over and failures
    to sign in that no longer count are forgotten, and it is told which resources are older than their update cycle.
    What is looked up in roll-ups and was written before there were any is entered there.

    Args:
        hub: The hub.
        by: Who asks.
        more: Further parts, after these.
    """
    engine, settings = hub.engine, hub.settings
    limits = settings.limits
    boxes = {"unfetched": limits.unfetched_days, "fetched": limits.fetched_days, "messages": limits.message_days}
    parts: dict[str, Callable[[], Any]] = {
        "grants": lambda: _expire_grants(hub),
        "pauses": hub.pausing.resume_due,
        "quarantine": lambda: engine.retention.expire(by=by),
        # A storage that is away keeps nothing from running that does not need it.
        "documents": lambda: engine.handovers.expire(by=by, days=settings.documents.days),
        "answers": lambda: engine.answering.collect(by=by),
        "recalls": lambda: engine.recalling.collect(by=by),
        "boxes": lambda: engine.mailroom.expire(by=by, **boxes),
        "dispatches": lambda: engine.dispatches.tend(by=by),
        "books": lambda: engine.pruning.prune(by=by),
        "sessions": hub.signing.prune,
        "freshness": lambda: tell(hub),
        # Both only once, in a hub that is older than they are.
        "tallies": lambda: recount_missing(hub.database),
        "log": hub.audit.arrange,
        **(more or {}),
    }
    kept = Kept()
    for name, part in parts.items():
        try:
            kept.done[name] = _many(part())
        except (HubError, OSError) as error:
            kept.failed[name] = error.message if isinstance(error, HubError) else os.strerror(error.errno or 0)
            _logger.warning("housekeeping: %s: %s", name, kept.failed[name])
    return kept


def _expire_grants(hub: Hub) -> list[str]:
    with hub.told(), hub.database.transaction() as session:
        return hub.authorisation.expire_due(session)


def _many(what: Any) -> int:
    """How much a part did, as it tells it: a number, or the things themselves."""
    return int(what) if isinstance(what, int) else len(what or ())
