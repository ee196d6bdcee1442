"""What pages say and show besides the words that all doors share (术语): ways of reading, kinds, colours, shares."""

from __future__ import annotations

from collections.abc import Mapping

from exchange.messages import _
from exchange.words import (
    BOOKS,
    CREDENTIAL_KINDS,
    CREDENTIAL_STATES,
    DIFFERENCES,
    DISPATCH_STATES,
    EXCHANGE_STATES,
    FILE_STATES,
    GUARANTEES,
    HANDOVER_STATES,
    REASONS,
    RECALL_STATES,
    REFRESHING,
    ROW_STATES,
    RUN_STATES,
    SIDES,
    STEPS,
    step_words,
    tolerance_words,
    word,
)
from exchange.words import EXCHANGE_KINDS as KINDS

__all__ = [
    "BOOKS", "CAPTURES", "CREDENTIAL_KINDS", "CREDENTIAL_STATES", "DIFFERENCES", "DISPATCH_STATES", "ENDPOINT_KINDS",
    "EXCHANGE_STATES", "FILE_STATES", "GUARANTEES", "HANDOVER_STATES", "KINDS", "REASONS", "RECALL_STATES",
    "REFRESHING", "ROW_STATES", "RUN_STATES", "SIDES", "STEPS", "TONES", "step_share",
    "step_words", "tolerance_words", "word",
]  # fmt: skip

CAPTURES: Mapping[str, str] = {
    "snapshot": _("整表读取"),
    "outbox": _("按状态列读取"),
    "batches": _("按操作批次读取"),
    "journal": _("按流水读取"),
    "watermark": _("按时间戳读取"),
    "diff": _("比对读取"),
    "pushed": _("对方推送"),
}
"""How changes are read (变化获取方式)."""
ENDPOINT_KINDS: Mapping[str, str] = {
    "database": _("前置库"),
    "webservice": _("Web 服务"),
    "files": _("文件目录"),
    "mailbox": _("信箱"),
}
"""Kinds of endpoints (端点类型)."""
TONES: Mapping[str, str] = {
    "active": "good",
    "settled": "good",
    "committed": "good",
    "done": "good",
    "replayed": "good",
    "taken": "good",
    "stored": "good",
    "destroyed": "good",
    "held": "warn",
    "paused": "warn",
    "open": "warn",
    "repaired": "warn",
    "again": "warn",
    "retry": "warn",
    "owed": "warn",
    "barred": "bad",
    "failed": "bad",
    "stopped": "bad",
    "red": "bad",
    "dead": "bad",
    "refused": "bad",
    "revoked": "bad",
    "expired": "warn",
    "notified": "warn",
    "partly": "warn",
    "unanswered": "bad",
}
"""How a state looks: well, to be seen to, or wrong; the word beside it says the same."""


def step_share(step: str) -> float | None:
    """How many of its steps a run has made; None: it is none of the usual ones."""
    return (_ORDER.index(step) + 1) / len(_ORDER) if step in _ORDER else None


_ORDER = [step for step in STEPS if step[0].isdecimal()]
