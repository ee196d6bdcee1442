"""Any two of the three products side by side: values go from the one to the other as a run would take them.

The department's own hands write the source and read the target, each in the words of its product, so that
nothing of ours stands on both sides of a comparison.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from adapters.base import OPERATION, REFERENCE, Acknowledgement, Binding, Claim, Manifest, Selection
from adapters.database import DatabaseEndpoint
from exchange.checks import Finding
from exchange.checks.normalise import normalise
from schemas import Item, arrow_schema
from tests.adapters.database.conftest import options_of

PRODUCTS = ("sqlite", "postgresql", "mariadb")
PAIRS = tuple(itertools.product(PRODUCTS, PRODUCTS))
ZONE = "Asia/Shanghai"
CHINA = ZoneInfo(ZONE)

NUMBER = Item(name="number", label="编号", type="C", length=40, mandatory=True)
ITEMS = (
    NUMBER,
    Item(name="whole", label="整数", type="I"),
    Item(name="wide", label="长数", type="N", length=38),
    Item(name="fine", label="细数", type="N", length=38, scale=10),
    Item(name="money", label="金额", type="Y"),
    Item(name="remark", label="备注", type="M"),
    Item(name="day", label="日期", type="D"),
    Item(name="moment", label="时刻", type="T"),
    Item(name="local", label="当地时间", type="T"),
    Item(name="truth", label="真假", type="L"),
    Item(name="photo", label="照片", type="G"),
    Item(name="score", label="评分", type="B"),
)

_TYPES: Mapping[str, Mapping[str, Any]] = {
    "postgresql": {
        "C": sa.String(40), "I": sa.BigInteger(), "wide": sa.Numeric(38, 0), "fine": sa.Numeric(38, 10),
        "money": sa.Numeric(20, 2), "M": sa.Text(), "D": sa.Date(), "moment": sa.DateTime(timezone=True),
        "local": sa.DateTime(), "L": sa.Boolean(), "G": sa.LargeBinary(), "B": sa.Double(),
    },
    "mariadb": {
        "C": sa.String(40), "I": sa.BigInteger(), "wide": mysql.DECIMAL(38, 0), "fine": mysql.DECIMAL(38, 10),
        "money": mysql.DECIMAL(20, 2), "M": mysql.LONGTEXT(), "D": sa.Date(), "moment": mysql.DATETIME(fsp=6),
        "local": mysql.DATETIME(fsp=6), "L": mysql.TINYINT(1), "G": mysql.LONGBLOB(), "B": mysql.DOUBLE(),
    },
    "sqlite": {
        "C": sa.Text(), "I": sa.Integer(), "wide": sa.Text(), "fine": sa.Text(), "money": sa.Text(), "M": sa.Text(),
        "D": sa.Text(), "moment": sa.Text(), "local": sa.Text(), "L": sa.Integer(), "G": sa.LargeBinary(),
        "B": sa.REAL(),
    },
}  # fmt: skip
"""By the letter of the item, or by its name: the columns of a source as a department would declare them."""


@dataclass
class Side:
    """One database, with the hands of its department."""

    product: str
    url: str
    engine: sa.Engine = field(init=False)
    endpoint: DatabaseEndpoint = field(init=False)

    def __post_init__(self) -> None:
        self.engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        self.endpoint = DatabaseEndpoint(options_of(self.url), zone=ZONE)

    def run(self, *statements: str) -> None:
        """Run statements of the product as they stand, and commit."""
        with self.engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement.replace("%", "%%") if self.product != "sqlite" else statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask in the product's own words."""
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query)]

    def fill(self, rows: Sequence[Mapping[str, Any]], items: Sequence[Item] = ITEMS) -> str:
        """A new table with these rows; answers its name."""
        name = f"s{uuid.uuid4().hex[:12]}"
        types = _TYPES[self.product]
        columns = [
            sa.Column(each.name, types.get(each.name) or types[{"T": "moment"}.get(each.type, each.type)])
            for each in items
        ]
        columns[0].primary_key = True
        table = sa.Table(name, sa.MetaData(), *columns, mysql_charset="utf8mb4", mysql_collate="utf8mb4_bin")
        with self.engine.begin() as connection:
            table.create(connection)
            written = [{name: self._put(name, value) for name, value in row.items()} for row in rows]
            if written:
                connection.execute(sa.insert(table), written)
        return name

    def _put(self, name: str, value: Any) -> Any:
        """A value as the department writes it: without a zone where the column has none."""
        if isinstance(value, datetime):
            if self.product == "postgresql" and name != "local":
                return value
            if self.product == "sqlite" and name != "local":
                return value.isoformat(sep=" ")
            value = value.astimezone(CHINA).replace(tzinfo=None)
        if self.product == "sqlite" and isinstance(value, datetime | date | Decimal):
            return f"{value:f}" if isinstance(value, Decimal) else value.isoformat(*[" "] * isinstance(value, datetime))
        return value

    def found(self, table: str, items: Sequence[Item] = ITEMS) -> dict[str, dict[str, Any]]:
        """What lies in a target, cell by cell as the product writes it, by number."""
        query = ", ".join(self._text(each) for each in items)
        return {
            row[0]: {each.name: self._got(each, value) for each, value in zip(items, row, strict=True)}
            for row in self.rows(f"SELECT {query} FROM {table}")
        }

    def _text(self, item: Item) -> str:
        if self.product == "postgresql":
            if item.type == "T":
                return f"(\"{item.name}\" AT TIME ZONE 'UTC')::text"
            return f'"{item.name}"::text' if item.type in "INYDL" else f'"{item.name}"'
        if self.product == "mariadb":
            return f"CAST({item.name} AS CHAR)" if item.type in "INYDTL" else item.name
        return f'"{item.name}"'

    def _got(self, item: Item, value: Any) -> Any:
        if value is None:
            return None
        match item.type:
            case "I":
                return int(value)
            case "N" | "Y":
                return Decimal(value)
            case "D":
                return date.fromisoformat(value)
            case "T":
                read = datetime.fromisoformat(value)
                if self.product == "postgresql":
                    return read.replace(tzinfo=ZoneInfo("UTC"))
                return (read if read.tzinfo else read.replace(tzinfo=CHINA)).astimezone(ZoneInfo("UTC"))
            case "L":
                return {"true": True, "false": False, "1": True, "0": False}[str(value)]
            case "G":
                return bytes(value)
            case _:
                return value


Sides = dict[str, Side]
"""By product."""


@dataclass(frozen=True)
class Moved:
    """What came of moving a table."""

    table: str
    schema: pa.Schema
    findings: tuple[Finding, ...]
    answer: Acknowledgement


def bind(items: Sequence[Item], table: str, **more: Any) -> Binding:
    """Items to columns of the same names, the first of them the key."""
    return Binding(**({"object": table, "columns": {i.name: i.name for i in items}, "key": (items[0].name,)} | more))


def target_of(source: Side, target: Side, table: str, items: Sequence[Item]) -> Binding:
    """A target of its own, made as its administrator would."""
    binding = bind(items, f"t{uuid.uuid4().hex[:12]}")
    target.endpoint.install(binding, arrow_schema(items))
    return binding


def move(
    source: Side,
    target: Side,
    table: str | Binding,
    items: Sequence[Item] = ITEMS,
    into: Binding | None = None,
    batch_rows: int = 1000,
    **more: Any,
) -> Moved:
    """Read a table, normalise and deliver it: rows with findings stay behind, as in a run."""
    reading = bind(items, table) if isinstance(table, str) else table
    writing = into or target_of(source, target, reading.object, items)
    schema = arrow_schema(items)
    claim = Claim(key=uuid.uuid4().hex, exchange=uuid.uuid4().hex, epoch=1)
    staged, findings = 0, []
    with source.endpoint.source(reading) as opened, target.endpoint.sink(writing) as sink:
        types = opened.schema()
        delivery = sink.begin(claim, schema)
        for batch in opened.batches(Selection(batch_rows=batch_rows)):
            assert batch.schema == types
            seen = normalise(batch, items, ZONE, key=reading.key)
            findings += seen.findings
            wrong = {finding.row for finding in seen.findings}
            good = seen.batch.filter(pa.array([row not in wrong for row in range(batch.num_rows)], pa.bool_()))
            good = good.drop_columns([REFERENCE])
            assert good.schema.names[-1] == OPERATION
            delivery.stage(good)
            staged += good.num_rows
        answer = delivery.commit(Manifest(claim=claim, digest=claim.key, rows=staged, **more))
        delivery.abort()
    assert answer.written + answer.unchanged + answer.superseded + len(answer.refused) == staged
    return Moved(writing.object, types, tuple(findings), answer)
