"""Statements that alter a table, as each product is told them."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from adapters.database.dialects import dialect
from adapters.database.dialects.alterations import AddColumn, Redefine, Retype
from adapters.database.shapes import Column, TableShape

SHAPE = TableShape(
    name='per"son',
    namespace="front",
    columns={
        "na me": Column(name="na me", family="text", declared="varchar(8)", nullable=False, type=sa.String(8)),
        "n": Column(name="n", family="decimal", declared="", label="金 100%: '", default="'0'", type=sa.Numeric(4, 2)),
    },
)


def text(statement: sa.schema.ExecutableDDLElement, product: str) -> str:
    return str(statement.compile(dialect=dialect(product).script_dialect()))  # type: ignore[arg-type]


def test_types_alone_in_one_statement() -> None:
    statement = Retype(SHAPE, {"na me": sa.String(80, collation="C"), "n": sa.Numeric(14, 4)})
    assert text(statement, "postgresql") == (
        'ALTER TABLE front."per""son" ALTER COLUMN "na me" TYPE VARCHAR(80) COLLATE "C", '
        "ALTER COLUMN n TYPE NUMERIC(14, 4)"
    )


def test_whole_definitions_in_one_statement() -> None:
    statement = Redefine(SHAPE, {"na me": mysql.VARCHAR(80, charset="utf8mb4"), "n": mysql.DECIMAL(14, 4)})
    said = text(statement, "mariadb")
    assert said.startswith('ALTER TABLE front.`per"son` MODIFY COLUMN `na me` VARCHAR(80) CHARACTER SET utf8mb4')
    first, second = said.split(", MODIFY COLUMN n ")
    assert first.endswith("NOT NULL")
    assert second == "DECIMAL(14, 4) COMMENT '金 100%: ''' DEFAULT '0'"


@pytest.mark.parametrize("product", ["sqlite", "postgresql", "mariadb"])
def test_a_column_more(product: str) -> None:
    table = sa.Table("t", sa.MetaData(), sa.Column("a b", sa.Integer, nullable=False, server_default=sa.text("0")))
    said = text(AddColumn(table.c["a b"]), product).replace("`", '"')
    assert said in (
        'ALTER TABLE t ADD COLUMN "a b" INTEGER DEFAULT 0 NOT NULL',
        'ALTER TABLE t ADD COLUMN "a b" INTEGER NOT NULL DEFAULT 0',
    )
