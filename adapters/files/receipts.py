"""Receipts beside data files (回执): what a recipient made of a file, and what the hub made of a provider's.

Both are one form, ``NAME.receipt.json``: so the receipt that a hub leaves beside a file that it took answers the hub
that delivered it. A recipient needs no more of it than ``{"state": "received"}``.

=========== ============================================================== ======================
state       means                                                          with it
=========== ============================================================== ======================
received    the file was taken whole; what becomes of its rows comes later
stored      its rows were used, those under ``rows`` excepted              ``rows``, ``documents``
refused     nothing of the file was used                                   ``reason``
=========== ============================================================== ======================

A receipt is written by strangers: it is read up to :data:`MOST`, and every field of it is held to its form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from adapters.base import ERROR_CHARACTERS, Answers, Binding, FailedDocument, FailedRow, Settled
from adapters.errors import Malformed
from adapters.files.errors import shown
from adapters.files.ledger import Entry
from adapters.files.transports.base import Directory, beside, fitted

MOST = 4 << 20
"""Bytes of a receipt that are read."""
MOST_ROWS = 10_000
"""Refused rows that a receipt may name; where there are more, the file is refused whole."""
MOST_DOCUMENTS = 10_000
TAKEN = "taken"
"""Where a recipient that is a hub itself puts a file it has taken, and its receipt."""

Form = TypeVar("Form", bound=BaseModel)
Place = TypeVar("Place", bound=Directory)
Text = Annotated[str, Field(max_length=100_000)]
Name = Annotated[str, Field(min_length=1, max_length=600)]
Count = Annotated[int, Field(ge=0, le=1 << 53)]
Number = Annotated[int, Field(gt=-(1 << 63), lt=1 << 63)]
_NOTICE = re.compile(r"RECALL-[0-9A-Za-z-]+(\.answer)?\.json")


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class KeyedReason(_Form):
    """A row that was not used: its business key, by the headers of the file, and why."""

    key: dict[
        Name, Annotated[str, Field(max_length=1000)] | Annotated[int, Field(gt=-(1 << 63), lt=1 << 63)] | None
    ] = Field(max_length=32)
    reason: Text | None = None


class NamedReason(_Form):
    """A document that was not used: its name as delivered, and why."""

    name: Name
    reason: Text | None = None


class Counts(_Form):
    """How many rows were read, used and refused."""

    read: Count
    accepted: Count
    refused: Count


class FileReceipt(_Form):
    """A receipt, as it lies beside a data file."""

    state: Literal["received", "stored", "refused"]
    reason: Text | None = None
    rows: list[KeyedReason] = Field(default=[], max_length=MOST_ROWS)
    documents: list[NamedReason] = Field(default=[], max_length=MOST_DOCUMENTS)
    at: Annotated[str, Field(max_length=64)] | None = None
    by: Annotated[str, Field(max_length=200)] | None = None
    file: Name | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    counts: Counts | None = None
    refusals: Name | None = None
    run: Annotated[str, Field(max_length=64)] | None = None
    receipt: Annotated[str, Field(max_length=64)] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.state == "refused" and not (self.reason or "").strip():
            raise ValueError("refused needs its reason")
        if self.state != "stored" and (self.rows or self.documents):
            raise ValueError("single rows and documents are refused of a file that is stored")
        return self


_HOW = (
    '写成 {"state": "received"}、{"state": "stored", "rows": [{"key": {"列名": "值"}, "reason": "原因"}]} '
    '或 {"state": "refused", "reason": "原因"}'
)


def receipt_name(name: str) -> str:
    """The name of a data file's receipt."""
    return fitted(name, ".receipt.json")


def is_told(name: str) -> bool:
    """Whether a name is that of a receipt or a recall, and so never of data."""
    return name.endswith(".receipt.json") or _NOTICE.fullmatch(name) is not None


def parsed(content: bytes, form: type[Form], name: str, how: str) -> Form:
    """What a stranger wrote, held to its form.

    Raises:
        Malformed: It is something else; says which fields, and never what stands in them.
    """
    try:
        return form.model_validate_json(content.removeprefix(b"\xef\xbb\xbf"))
    except ValidationError as error:
        fields: Mapping[str, object] = form.model_fields
        places = sorted(
            {str(found["loc"][0]) for found in error.errors() if found["loc"] and found["loc"][0] in fields}
        )
        told = f"（{'、'.join(places)} 有误）" if places else ""
        raise Malformed(f"{shown(name)} 不能读取{told}", remedy=how) from None


def answered(directory: Directory, entry: Entry, binding: Binding, rows: int) -> Answers:
    """What the recipient says of a delivered file.

    Args:
        directory: Where it was delivered.
        entry: The ledger's entry of the delivery.
        binding: How the rows were written.
        rows: How many failed rows to tell of at most.

    Raises:
        Malformed: The receipt is none, or speaks of another file.
    """
    if not entry.name:
        return Answers(new=0, done=0, failed=0, other=0)
    name = receipt_name(entry.name)
    content = directory.read(name, most=MOST)
    if content is None and directory.exists(TAKEN):
        content = directory.folder(TAKEN).read(name, most=MOST)
    if content is None:
        if directory.exists(entry.name):
            advice = (f"接收方程序在数据文件旁写 {receipt_name('文件名')}，即可说明是否入库、哪些行不能用",)
            return Answers(new=entry.rows, done=0, failed=0, other=0, advice=advice)
        # Somebody took it away, and says nothing of it.
        return Answers(new=0, done=entry.rows, failed=None, other=0)
    found = parsed(content, FileReceipt, name, _HOW)
    if found.sha256 is not None and found.sha256.lower() != entry.sha256:
        raise Malformed(f"回执 {shown(name)} 的摘要不是交付的文件的", remedy="由接收方按收到的文件重新出具回执")
    inside = f"{entry.folder}/" if entry.folder else ""
    documents = tuple(FailedDocument(each.name.removeprefix(inside), _cut(each.reason)) for each in found.documents)
    match found.state:
        case "received":
            advice = ("接收方已收到文件，还没有说明处理结果",)
            return Answers(new=0, done=0, failed=0, other=entry.rows, more=True, advice=advice)
        case "refused":
            whole = FailedRow((None,) * len(binding.key), _cut(found.reason))
            return Answers(new=0, done=0, failed=entry.rows, other=0, rows=(whole,)[:rows])
        case _:
            failed = _failed(found, binding, name)
            number = max(len(failed), found.counts.refused if found.counts else 0)
            if number > entry.rows:
                told = f"回执 {shown(name)} 拒收 {number} 行，文件只有 {entry.rows} 行"
                raise Malformed(told, remedy="由接收方按收到的文件重新出具回执")
            done = entry.rows - number
            return Answers(new=0, done=done, failed=number, other=0, rows=failed[:rows], documents=documents)


def _failed(found: FileReceipt, binding: Binding, name: str) -> tuple[FailedRow, ...]:
    """The rows that are named, each once, in the order of their keys."""
    columns = [binding.columns.get(item, item) for item in binding.key]
    told: dict[tuple[str | None, ...], str | None] = {}
    for each in found.rows:
        if set(each.key) != set(columns):
            how = f"key 写明业务主键的各列：{'、'.join(columns)}"
            raise Malformed(f"{shown(name)} 的 rows 没有写明业务主键", remedy=how)
        values = [each.key[column] for column in columns]
        told[tuple(None if value is None else str(value) for value in values)] = _cut(each.reason)
    return tuple(FailedRow(key, told[key]) for key in sorted(told, key=lambda key: [part or "" for part in key]))


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:ERROR_CHARACTERS]


def hub_receipt(
    name: str,
    digest: str | None,
    *,
    told: int,
    refused: int,
    refusals: str,
    settled: Settled,
    reason: str | None = None,
) -> bytes:
    """The hub's receipt of a file that it took; of the same file and run always the same.

    Args:
        name: The file's name, or the pattern of files that have one receipt together.
        digest: SHA-256 of its content, where it is known.
        told: How many rows of it were read.
        refused: How many of these were refused.
        refusals: Name of the list that says why.
        settled: The run that took them.
        reason: Why it was refused whole; None: it was not.
    """
    receipt = FileReceipt(
        state="stored" if reason is None else "refused",
        reason=reason,
        file=name,
        sha256=digest,
        counts=Counts(read=told, accepted=told - refused, refused=refused) if reason is None else None,
        refusals=refusals if refused else None,
        run=settled.run,
        receipt=settled.receipt,
        at=settled.at.isoformat(),
    )
    return receipt.model_dump_json(indent=1, exclude_defaults=True).encode()


def hand_back(directory: Place, name: str, receipt: bytes, *, into: Place | None = None) -> bool:
    """Put a receipt beside the file of a name, or where that goes to; whole and durable, repeatable.

    Returns:
        Whether it was not there so before.
    """
    place = receipt_name(name)
    # What somebody else put there may be of any size, and is not ours then.
    if _begins(into or directory, place, len(receipt) + 1) == receipt:
        return False
    directory.begin(beside(place), receipt)
    directory.rename(beside(place), place, into=into)
    return True


def _begins(directory: Directory, name: str, length: int) -> bytes:
    if not directory.exists(name):
        return b""
    for chunk in directory.chunks(name):
        return chunk[:length]
    return b""
