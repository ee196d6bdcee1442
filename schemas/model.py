"""Shapes of the data files: classes of records, code lists, front-end profiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.items import Item


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CodeList(_Data):
    """A code list (代码表): the values an item may take and what each means.

    Lists are per source: the same value of two provinces' lists may mean different things.

    Attributes:
        barred: Values of the list that refuse their row as long as it bears them, and in words what must be done.
    """

    name: str
    label: str
    source: str
    """The standard or document it comes from."""
    codes: dict[str, str]
    ignore_case: bool = False
    barred: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known(self) -> CodeList:
        if strange := self.barred.keys() - self.codes.keys():
            raise ValueError(f"barred 中的代码不在表内：{'、'.join(sorted(strange))}")
        return self


class RecordTable(_Data):
    """One table of a class (数据表): cases have several, the other classes one or more.

    Attributes:
        name: Name of the table, unique over all classes.
        key: Items of the business key (业务主键).
        version: Item whose higher value wins, None if the source has none.
        parent: Table it belongs to, joined on the parent's key, if it is a child.
    """

    name: str
    label: str
    items: tuple[Item, ...]
    key: tuple[str, ...]
    version: str | None = None
    parent: str | None = None


class RecordClass(_Data):
    """One of the classes of data (六大类)."""

    name: str
    label: str
    source: str
    tables: tuple[RecordTable, ...]


class StateColumn(_Data):
    """The flag column of a front-end table (同步标志).

    ``new`` lists the values (None for null) that mean unread; ``fresh`` is the one the hub writes as a
    sender; ``done`` and ``failed`` are what the reader writes back. ``failed`` equal to ``done``
    means the family cannot tell a refusal, so the error-return table has to.
    """

    column: str
    new: tuple[str | None, ...]
    fresh: str | None
    done: str
    failed: str


class DeleteMark(_Data):
    """How a row says that it is a deletion: this column carries one of these values.

    Attributes:
        column: The column.
        values: Values that mean a deletion; a writer uses the first.
        inserted: What a writer puts there in a row that is new, None: nothing.
        updated: What a writer puts there in a row that changes another, None: nothing.
    """

    column: str
    values: tuple[str, ...]
    inserted: str | None = None
    updated: str | None = None


class Profile(_Data):
    """A family of front-end tables (前置库表族): its state columns and habits.

    Attributes:
        capture: ``outbox`` (read what the state column calls new, write the status back) or ``batches``
            (operation batches: an append-only table of I/U/D rows, read by time and batch).
        state: The flag column, for ``outbox``.
        version: Column with the re-report version, if the family has one.
        delete: How a row says it is a deletion, if the family can.
        read_at: Column the reader sets to the time of reading.
        error_text: Column of the table itself the reader writes a refusal's reason into.
        error_length: How long a reason may be, there and in the error-return table.
        written_at: Column the writer sets to the time of writing.
        error_table: Pattern of the error-return table: ``{table}`` is the table's name,
            ``{stem}`` the name without ``strip``.
        error_column: Column of the error-return table that takes the reason.
        strip: Prefix left out in ``{stem}``.
        batch, time, row: Columns of batch number, time and row identifier, for ``batches``.
        constants: Columns the writer fills with a constant (standard version, data source).
        identifier_case: How names of this family are written.
    """

    name: str
    label: str
    source: str
    capture: Literal["outbox", "batches"]
    state: StateColumn | None = None
    version: str | None = None
    delete: DeleteMark | None = None
    read_at: str | None = None
    error_text: str | None = None
    error_length: int = 1000
    written_at: str | None = None
    error_table: str | None = None
    error_column: str = "error_remark"
    strip: str = ""
    batch: str | None = None
    time: str | None = None
    row: str | None = None
    constants: Mapping[str, str] = Field(default_factory=dict)
    identifier_case: Literal["lower", "upper"] = "lower"
