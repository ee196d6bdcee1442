"""What an event says, for people (事件内容): its fields by their terms, one after the other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from catalog import MOVES, STATES
from catalog.vocabulary import SHARE_WAYS
from exchange.audit.outcomes import OUTCOMES
from exchange.messages import _
from exchange.words import (
    ACCOUNT_KINDS,
    ANSWERS,
    BEIJING,
    BOOKS,
    CREDENTIAL_KINDS,
    EVENTS,
    GRANT_KINDS,
    RECALL_STATES,
    REFRESHING,
    ROLES,
    RUN_STATES,
    SIDES,
    TOKEN_SCOPES,
)

__all__ = ["FIELDS", "told"]


FIELDS: Mapping[str, str] = {
    "account": _("账号"), "action": _("操作"), "after": _("之后"), "again": _("重来"), "agrees": _("一致"),
    "all_of": _("须齐备的资源"), "application": _("申请"), "approved": _("同意"), "attempt": _("调度批次"),
    "before": _("之前"), "changes": _("变化"), "clear": _("显示原值的信息项"), "code": _("编码"),
    "columns": _("列数"), "counts": _("账目"), "credential": _("凭据"), "cycle": _("更新周期"), "days": _("天数"),
    "deleted": _("删除"), "delivery": _("交付"), "department": _("部门"), "digest": _("摘要"),
    "dispatch": _("待送编号"), "dispatches": _("待送"), "documents": _("附件"), "endpoint": _("端点"),
    "epoch": _("租约轮次"), "exchange": _("交换"), "exchanges": _("交换数"), "expected": _("应有摘要"),
    "faults": _("问题"), "file": _("文件编号"), "files": _("文件"), "format": _("格式"), "found": _("查到"),
    "full": _("全量"), "gone": _("减少"), "grant": _("授权"), "head": _("链头"), "held": _("实有摘要"),
    "hours": _("小时"), "how": _("方式"), "issuer": _("认证机构"), "items": _("信息项"), "kept": _("保留至"),
    "key": _("主键散列"), "kind": _("种类"), "last": _("上次"), "look": _("查询编号"), "lost": _("缺失"),
    "may_fall": _("容许下降"), "message": _("消息"), "minutes": _("分钟"), "moved_from": _("原部门"),
    "moved_to": _("现部门"), "name": _("名称"), "named": _("显示文件名"), "noted_from": _("链头起于"),
    "notice": _("通知书"), "number": _("序号"), "of": _("原交付"), "opinion": _("意见"), "parts": _("分段"),
    "passed": _("通过"), "peer": _("来自"), "plan": _("方案"), "priority": _("优先级"), "query": _("条件"),
    "read": _("读取"), "reason": _("理由"), "reasons": _("原因"), "recall": _("撤回编号"), "recalls": _("撤回数"),
    "receipt": _("回执"), "reset": _("恢复默认"), "setting": _("设置项"),
    "refused": _("拒收"), "repaired": _("更正"), "roles": _("角色"), "row": _("行编号"), "rows": _("行数"),
    "run": _("批次"), "schedule": _("排班"), "scopes": _("用途范围"), "sessions": _("会话"), "share": _("拒收比例"),
    "side": _("端"), "size": _("字节"), "standing": _("未动"), "state": _("状态"), "taken": _("收取"),
    "timeout_minutes": _("时限（分）"), "token": _("令牌"), "until": _("至"), "unwritten": _("未记"),
    "verified": _("完整"), "version": _("版本"), "why": _("原因"),
}  # fmt: skip
"""The term of every field of every event; a test keeps it whole."""

_HOW: Mapping[str, str] = {
    **REFRESHING, "password": _("口令"), "oidc": _("统一身份认证"), "change": _("修改口令"),
}  # fmt: skip
_REASONS: Mapping[str, str] = {
    "unknown": _("没有这个账号或凭据"), "wrong": _("口令不对"), "disabled": _("账号已停用"), "locked": _("锁定中"),
    "address": _("来源地址失败过多"), "expired": _("已到期"), "revoked": _("已吊销"),
}  # fmt: skip
_KINDS: Mapping[str, str] = {
    **CREDENTIAL_KINDS, **GRANT_KINDS, **ACCOUNT_KINDS, "synchronisation": _("归集"), "database": _("数据库"),
    "webservice": _("Web 服务"),
}  # fmt: skip
_COUNTS: Mapping[str, str] = {
    **BOOKS,
    **ANSWERS,
    "rows": _("行数"),
    "staged": _("已暂存"),
    "expected": _("应有"),
    "held": _("实有"),
}
_QUERY: Mapping[str, str] = {
    "department": _("部门"), "resource": _("资源"), "exchange": _("交换"), "run": _("批次"), "type": _("事件"),
    "actor": _("操作人"), "way": _("方式"), "record_class": _("数据类"), "outcome": _("结果"), "since": _("起"),
    "until": _("止"), "text": _("文字"),
}  # fmt: skip
_WAYS: Mapping[str, str] = {str(name): title for name, title in SHARE_WAYS.items()}
_MOVES: Mapping[str, str] = {name: move.label for name, move in MOVES.items()}
_STATES: Mapping[str, str] = {**ROLES, **{name: term.label for name, term in STATES.items()}}
_DEPARTMENTS = frozenset({"department", "moved_from", "moved_to"})
_VALUES: Mapping[str, Mapping[str, str]] = {
    "how": _HOW, "reason": _REASONS, "kind": _KINDS, "state": {**RUN_STATES, **RECALL_STATES}, "side": SIDES,
    "roles": ROLES, "action": _MOVES, "before": _STATES, "after": _STATES, "scopes": TOKEN_SCOPES, "way": _WAYS,
    "outcome": OUTCOMES, "type": EVENTS,
}  # fmt: skip
"""Words of values, by their field; what is in none is shown as it is."""


def told(body: Mapping[str, Any], departments: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """The terms and values of an event's fields, without what is empty.

    Args:
        body: What the event adds to who, when and about what.
        departments: Names of departments by their codes.
    """
    known = departments or {}
    said = ((name, _value(name, value)) for name, value in body.items() if value not in (None, "", [], {}))
    return [(FIELDS.get(name, name), known.get(text, text) if name in _DEPARTMENTS else text) for name, text in said]


def _value(name: str, value: Any) -> str:
    words = _VALUES.get(name, {})
    match value:
        case bool():
            return _("是") if value else _("否")
        case int() | float():
            return f"{value:,}"
        case list() | tuple():
            return _("、").join(_value(name, each) for each in value)
        case dict():
            known = _QUERY if name == "query" else _COUNTS
            said = [
                f"{known.get(key, key)} {_value(key, each)}" for key, each in value.items() if each not in (None, 0)
            ]
            return _("，").join(said) or _("无")
        case str():
            return words.get(value) or _moment(name, value)
    return json.dumps(value, ensure_ascii=False)


def _moment(name: str, text: str) -> str:
    """A time as people in China read it; anything else as it is."""
    if name not in ("last", "until", "since"):
        return text
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{read.astimezone(BEIJING):%Y-%m-%d %H:%M}" if read.utcoffset() is not None else text
