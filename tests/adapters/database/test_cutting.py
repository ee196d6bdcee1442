"""Cutting a table by its key: every row in one range, in the order and the batches of one reading."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import chain
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from adapters import Binding, Claim, Selection, StageLost, Unbalanced, open_endpoint
from adapters.base import OPERATION, PUT
from tests.exchange.engine.town import endpoint_options

KEYS = ["", " ", "A", "Z", "a", "a'b", "ab", "b%_", "z", "É", "é", "中", "国", "𠮷", "10", "9"]
"""In an order that no collation but that of the bytes gives."""


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'place.db'}"
    return str(request.getfixturevalue(f"{request.param}_server").new_database())


@pytest.fixture
def database(url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def endpoint(url: str, tmp_path: Any) -> Any:
    options = endpoint_options(url, tmp_path)
    if "password" in options:
        options["password"] = sa.make_url(url).password
    return open_endpoint("database", options, "Asia/Shanghai")


def made(database: sa.Engine, *, nullable: bool = False) -> Binding:
    """A table whose key is a number and a text."""
    table = sa.Table(
        "t",
        sa.MetaData(),
        sa.Column("n", sa.BigInteger, nullable=nullable),
        sa.Column("k", sa.String(20), nullable=False),
        sa.Column("v", sa.Integer),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    with database.begin() as connection:
        table.create(connection)
        rows = [
            {"n": number, "k": key, "v": number % 1000} for number in (-5, 0, 7, 10, 9**15) for key in reversed(KEYS)
        ]
        connection.execute(sa.insert(table), rows)
    return Binding(object="t", columns={"n": "n", "k": "k", "v": "v"}, key=("n", "k"))


def read(endpoint: Any, binding: Binding, **selection: Any) -> list[list[tuple[Any, ...]]]:
    """Batches of keys."""
    with closing(endpoint.source(binding)) as source:
        return [
            [(row["n"], row["k"]) for row in batch.to_pylist()]
            for batch in source.batches(Selection(batch_rows=4, **selection))
        ]


@pytest.mark.parametrize("parts", [2, 3, 7])
def test_ranges_one_after_the_other_are_one_reading(database: sa.Engine, endpoint: Any, parts: int) -> None:
    binding = made(database)
    with closing(endpoint.source(binding)) as source:
        cut = source.cut(parts, batch_rows=4)
    assert cut is not None
    assert 1 < len(cut.ranges) <= parts
    assert cut.position is None
    whole = read(endpoint, binding)
    found = [read(endpoint, binding, within=within) for within in cut.ranges]
    assert list(chain.from_iterable(found)) == whole
    assert sum(map(len, whole)) == 5 * len(KEYS)
    sizes = [sum(map(len, batches)) for batches in found]
    assert max(sizes[:-1]) == min(sizes[:-1]), "all but the last are of one size"


def test_one_source_reads_range_after_range_and_then_everything(database: sa.Engine, endpoint: Any) -> None:
    binding = made(database)
    with closing(endpoint.source(binding)) as source:
        cut = source.cut(2, batch_rows=4)
        assert cut is not None
        counted = [
            sum(batch.num_rows for batch in source.batches(Selection(within=within))) for within in (*cut.ranges, None)
        ]
    assert counted[0] + counted[1] == counted[2] == 5 * len(KEYS)


def test_what_cannot_be_cut(database: sa.Engine, endpoint: Any) -> None:
    binding = made(database, nullable=True)
    for each, parts in (
        (binding, 3),  # rows without a key have no place
        (replace(binding, key=("k",)), 1),
        (replace(binding, key=("k",), capture="diff"), 3),
    ):
        with closing(endpoint.source(each)) as source:
            assert source.cut(parts, batch_rows=4) is None
    with closing(endpoint.source(replace(binding, key=("k",)))) as source:
        assert source.cut(3, batch_rows=1000) is None, "one batch is not worth it"
        cut = source.cut(100, batch_rows=1)
    assert cut is not None
    assert len(set(cut.ranges)) == len(cut.ranges) == 1 + len(KEYS), "rows of one key are in one range"


def test_a_watermark_is_that_of_the_cut(database: sa.Engine, endpoint: Any) -> None:
    binding = replace(made(database), capture="watermark", options={"watermark": "v", "overlap": 1})
    with closing(endpoint.source(binding)) as source:
        cut = source.cut(2, batch_rows=4)
    assert cut is not None
    assert cut.position is not None
    assert cut.position["watermark"] == "v"


def rows(*keys: int) -> pa.RecordBatch:
    return pa.record_batch(
        {
            "n": pa.array(keys, pa.int64()),
            "k": pa.array([f"k{key}" for key in keys], pa.string()),
            "v": pa.array([key * 2 for key in keys], pa.int32()),
            OPERATION: pa.array([PUT] * len(keys), pa.int8()),
        }
    )


def claim(key: str) -> Claim:
    return Claim(key=key, exchange="x", epoch=1)


def prepared(database: sa.Engine, endpoint: Any) -> Binding:
    binding = Binding(object="target", columns={"n": "n", "k": "k", "v": "v"}, key=("n",))
    endpoint.install(binding, rows().schema)
    return binding


def test_stages_are_gathered_in_order(database: sa.Engine, endpoint: Any) -> None:
    binding = prepared(database, endpoint)
    with closing(endpoint.sink(binding)) as sink:
        for name, keys in (("d/1", (1, 2)), ("d/2", ()), ("d/3", (3, 4, 5))):
            part = sink.begin(claim(name), rows().schema)
            for key in keys:
                part.stage(rows(key))
        parts = [(claim("d/1"), 2), (claim("d/2"), 0), (claim("d/3"), 3)]
        for _ in range(2):
            delivery = sink.begin(claim("d"), rows().schema)
            delivery.gather(parts)
        acknowledged = delivery.commit(manifest(5))
        assert acknowledged.written == 5
        for each, _ in parts:
            sink.resume(each, rows().schema).abort()
        delivery.abort()
    with database.connect() as connection:
        found = connection.execute(sa.text("SELECT n, k, v FROM target ORDER BY n")).all()
    assert [tuple(row) for row in found] == [(n, f"k{n}", 2 * n) for n in range(1, 6)]
    assert not [name for name in sa.inspect(database).get_table_names() if "stage" in name]


def manifest(many: int) -> Any:
    from adapters import Manifest

    return Manifest(claim=claim("d"), digest="0" * 64, rows=many, overwrite=True)


def test_what_is_missing_is_told_from_what_is_gone(database: sa.Engine, endpoint: Any) -> None:
    binding = prepared(database, endpoint)
    with closing(endpoint.sink(binding)) as sink:
        sink.begin(claim("d/1"), rows().schema).stage(rows(1, 2))
        sink.begin(claim("d/2"), rows().schema)
        delivery = sink.begin(claim("d"), rows().schema)
        for parts, kind in (
            ([("d/1", 3)], Unbalanced),
            ([("d/1", 2), ("d/2", 1)], StageLost),
            ([("d/3", 1)], StageLost),
        ):
            with pytest.raises(kind) as refused:
                delivery.gather([(claim(name), many) for name, many in parts])
            assert getattr(refused.value, "key", "") == (parts[-1][0] if kind is StageLost else "")
        delivery.gather([(claim("d/1"), 2)])
        assert delivery.commit(manifest(2)).written == 2
