"""Notices in a recipient's drop that something is called back, and their answers (撤回通知与答复).

A notice is ``RECALL-ID.json``; the recipient answers it with ``RECALL-ID.answer.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapters.base import Recall, RecallAnswer, RecalledDocument
from adapters.errors import Malformed
from adapters.files.enclosures import folder_of
from adapters.files.ledger import Entry, Ledger, manifest_name
from adapters.files.receipts import parsed
from adapters.files.transports.base import Directory

MOST = 64 << 10
"""Bytes of an answer that are read."""
MOST_MANIFEST = 16 << 20
_BEIJING = timezone(timedelta(hours=8))
_HOW = '写成 {"state": "destroyed"、"kept" 或 "partly", "reason": "说明", "by": "经办人"}'


class _Answer(BaseModel):
    """An answer, as its recipient writes it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    state: Literal["destroyed", "kept", "partly"]
    reason: Annotated[str, Field(max_length=10_000)] = ""
    by: Annotated[str, Field(max_length=200)] = ""
    at: Annotated[str, Field(max_length=64)] = ""
    recall: Annotated[str, Field(max_length=64)] = ""


class _Named(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str
    size: int
    sha256: str


class _Manifest(BaseModel):
    """What a manifest says of documents; it lies where strangers may write."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    documents: list[_Named] = []


def notice_name(recall: str) -> str:
    """The name of a notice."""
    return f"RECALL-{recall}.json"


def answer_name(recall: str) -> str:
    """The name of the answer to one."""
    return f"RECALL-{recall}.answer.json"


def put_notice(directory: Directory, ledger: Ledger, recall: Recall) -> str:
    """Put a notice in place, whole and durable, under the one name it has; its name.

    What was answered already is not asked again.
    """
    name = notice_name(recall.id)
    with ledger.lock():
        if not directory.exists(answer_name(recall.id)):
            try:
                entry = ledger.entry(recall.key)
            except Malformed:
                # A ledger that was damaged does not keep a recall away: the hub's own books say what was delivered.
                entry = None
            content = json.dumps(notice(recall, entry, _delivered(directory, recall)), ensure_ascii=False, indent=1)
            directory.write(name, content.encode())
    return name


def read_answer(directory: Directory, recall: str) -> RecallAnswer | None:
    """What the recipient says; None: nothing yet.

    Raises:
        Malformed: It says nothing that can be read.
    """
    name = answer_name(recall)
    content = directory.read(name, most=MOST)
    if content is None:
        return None
    found = parsed(content, _Answer, name, _HOW)
    if found.recall not in ("", recall):
        raise Malformed(f"{name} 答复的是另一个撤回通知", remedy="由接收方按通知中的 recall 重新答复")
    return RecallAnswer(state=found.state, reason=found.reason, by=found.by)


def notice(recall: Recall, entry: Entry | None, delivered: Mapping[str, RecalledDocument]) -> dict[str, Any]:
    """What a notice says.

    Args:
        recall: The recall.
        entry: The ledger's entry of the delivery, if that is still there.
        delivered: Documents of the delivery by name, as far as its manifest is still there.
    """
    folder = (entry.folder if entry else "") or folder_of(recall.place)
    named = [_found(each, delivered, folder) for each in recall.documents]
    documents = named or list(delivered.values())
    file = {"name": recall.place, "key": recall.key, "delivered_at": recall.delivered.isoformat()}
    about = {} if entry is None else {"rows": entry.rows, "sha256": entry.sha256}
    return {
        "title": "撤回通知",
        "recall": recall.id,
        "text": _text(recall, () if recall.whole else named),
        "resource": recall.subject,
        "by": recall.by,
        "reason": recall.reason,
        "at": recall.at.isoformat(),
        "answer_until": recall.until.isoformat(),
        "whole": recall.whole or not recall.documents,
        "files": [{**file, **about}],
        "documents": [{name: value for name, value in vars(each).items() if value is not None} for each in documents],
        "answer": {
            "file": answer_name(recall.id),
            "form": {"state": "destroyed | kept | partly", "reason": "说明", "by": "经办人"},
        },
    }


def _found(document: RecalledDocument, delivered: Mapping[str, RecalledDocument], folder: str) -> RecalledDocument:
    """A document with its folder, as the recipient finds it; what the hub does not know of it the manifest tells."""
    if document.sha256 is not None:
        return document if "/" in document.name else replace(document, name=f"{folder}/{document.name}")
    same = [each for name, each in delivered.items() if name == document.name or name.endswith(f"/{document.name}")]
    return same[0] if len(same) == 1 else document


def _text(recall: Recall, named: Sequence[RecalledDocument]) -> str:
    what = f"文件 {recall.place}（交付编号 {recall.key}）"
    if named:
        what += f"所附的 {'、'.join(each.name for each in named)}"
    return (
        f"{recall.by}撤回《{recall.subject}》{_shown(recall.delivered)} 送达的{what}。理由：{recall.reason}。"
        f"请停止使用并销毁该数据及其副本，于 {_shown(recall.until)} 前在本目录放入 {answer_name(recall.id)} 答复："
        "destroyed 已全部销毁；partly 已部分销毁；kept 依法留存，写明理由。"
    )


def _shown(moment: datetime) -> str:
    return moment.astimezone(_BEIJING).strftime("%Y-%m-%d %H:%M")


def _delivered(directory: Directory, recall: Recall) -> dict[str, RecalledDocument]:
    """The documents that the delivery's manifest names, if it still lies there as it was written."""
    if not recall.place:
        return {}
    try:
        content = directory.read(manifest_name(recall.place), most=MOST_MANIFEST)
        found = _Manifest.model_validate_json(content or b"{}")
    except (Malformed, ValidationError):
        return {}
    return {each.name: RecalledDocument(each.name, each.size, each.sha256) for each in found.documents}
