from __future__ import annotations

import math
from datetime import UTC, date
from decimal import Decimal
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.database.dialects import wire
from tests.support.servers import Server

BOOL, BYTEA, INT8, INT2, INT4, TEXT, FLOAT4, FLOAT8, CHAR, VARCHAR = 16, 17, 20, 21, 23, 25, 700, 701, 1042, 1043
DATE, TIME, INSTANT, NUMERIC = 1082, 1114, 1184, 1700

COLUMNS: dict[str, tuple[str, int, pa.DataType, st.SearchStrategy[Any]]] = {
    "b": ("boolean", BOOL, pa.bool_(), st.booleans()),
    "y": ("bytea", BYTEA, pa.binary(), st.binary(max_size=20)),
    "i8": ("bigint", INT8, pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "i2": ("smallint", INT2, pa.int64(), st.integers(-(2**15), 2**15 - 1)),
    "i4": ("integer", INT4, pa.int64(), st.integers(-(2**31), 2**31 - 1)),
    "t": ("text", TEXT, pa.string(), st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)),
    "v": ("varchar(40)", VARCHAR, pa.string(), st.sampled_from(["", "𠮷野家", "a,b\n\"c\"\\N", " x "])),
    "f4": ("real", FLOAT4, pa.float64(), st.floats(width=32)),
    "f8": ("double precision", FLOAT8, pa.float64(), st.floats()),
    "d": ("date", DATE, pa.date32(), st.dates()),
    "at": ("timestamp", TIME, pa.timestamp("us"), st.datetimes()),
    "zoned": ("timestamptz", INSTANT, pa.timestamp("us"), st.datetimes()),
    "n9": ("numeric(9,2)", NUMERIC, pa.decimal128(9, 2), st.decimals(-(10**7) + 1, 10**7 - 1, places=2)),
    "n18": ("numeric(18,0)", NUMERIC, pa.decimal128(18, 0), st.decimals(-(10**17) + 1, 10**17 - 1, places=0)),
    "n38": ("numeric(38,10)", NUMERIC, pa.decimal128(38, 10), st.decimals(-(10**27) + 1, 10**27 - 1, places=10)),
    "n5": ("numeric(5,5)", NUMERIC, pa.decimal128(5, 5), st.decimals("-0.99999", "0.99999", places=5)),
}  # fmt: skip
ROWS = st.lists(st.fixed_dictionaries({name: st.none() | each[3] for name, each in COLUMNS.items()}), max_size=8)


def same(one: Any, other: Any, kind: int) -> bool:
    if kind == FLOAT4 and one is not None:
        # The server shows as few digits as tell it from its neighbours.
        one, other = np.float32(one), np.float32(other)
    return bool(one == other) or (isinstance(one, float | np.floating) and math.isnan(one) and math.isnan(other))


def copied(connection: psycopg.Connection[Any], arrays: dict[str, pa.Array]) -> None:
    rows = wire.encoded(list(arrays.values()), [COLUMNS[name][1] for name in arrays])
    with connection.cursor() as cursor, cursor.copy(f"COPY w ({', '.join(arrays)}) FROM STDIN (FORMAT binary)") as copy:
        for part in (wire.HEADER, rows, wire.TRAILER):
            copy.write(part)


def test_the_server_reads_what_was_meant(postgresql_server: Server) -> None:
    url = postgresql_server.new_database().replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE w ({', '.join(f'{name} {each[0]}' for name, each in COLUMNS.items())})")
        connection.execute("SET timezone = 'UTC'")

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(ROWS, st.integers(0, 2))
        def agrees(rows: list[dict[str, Any]], offset: int) -> None:
            connection.execute("TRUNCATE w")
            whole = {name: pa.array([row[name] for row in rows], each[2]) for name, each in COLUMNS.items()}
            # Slices have buffers that begin before them.
            arrays = {name: array[min(offset, len(rows)) :] for name, array in whole.items()}
            copied(connection, arrays)
            found = connection.execute(f"SELECT {', '.join(arrays)} FROM w").fetchall()
            assert len(found) == len(arrays["b"])
            for row, stored in zip(rows[offset:], found, strict=True):
                for (name, kind), value in zip(COLUMNS.items(), stored, strict=True):
                    wanted = row[name]
                    if kind[1] == INSTANT and wanted is not None:
                        wanted = wanted.replace(tzinfo=UTC)
                    assert same(wanted, value, kind[1]), name

        agrees()


def test_what_is_not_laid_out_is_known() -> None:
    whole, text = pa.array([1], pa.int64()), pa.array(["1"])
    assert wire.encodes([whole, text], [INT8, VARCHAR])
    assert not wire.encodes([text], [INT8])
    assert not wire.encodes([text], [3802])
    assert not wire.encodes([pa.array([2**31])], [INT4])
    assert not wire.encodes([pa.array([-(2**15) - 1])], [INT2])
    assert wire.encodes([pa.array([None], pa.int64())], [INT2])


def test_nothing_is_nothing() -> None:
    assert wire.encoded([pa.array([], pa.string())], [TEXT]) == b""


@pytest.mark.parametrize(
    ("array", "kind", "field"),
    [
        (pa.array([date(2000, 1, 1)]), DATE, b"\0\0\0\4" + bytes(4)),
        (pa.array([946_684_801_000_000]).cast(pa.timestamp("us")), TIME, b"\0\0\0\x08" + (10**6).to_bytes(8, "big")),
        (pa.array([None], pa.string()), TEXT, b"\xff\xff\xff\xff"),
        (pa.array([""]), CHAR, b"\0\0\0\0"),
        (pa.array([Decimal("-12345.6")]), NUMERIC, b"\0\0\0\x0e\0\3\0\1\x40\0\0\1\0\1\x09\x29\x17\x70"),
    ],
)  # fmt: skip
def test_single_fields(array: pa.Array, kind: int, field: bytes) -> None:
    assert bytes(wire.encoded([array], [kind])) == b"\0\1" + field
