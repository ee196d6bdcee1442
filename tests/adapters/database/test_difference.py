from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

import adapters.database.difference
from adapters.base import DELETE, OPERATION, PUT, REFERENCE, Binding, Position, Selection
from adapters.database import DatabaseEndpoint
from adapters.database.difference import _pages, _range, _shortened, _spans, _tally, runs
from adapters.errors import Malformed
from adapters.memory import Pages
from schemas import DeleteMark, Profile
from tests.adapters.database.conftest import Hands

RANGE = 20


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters.database.difference, "RANGE_ROWS", RANGE)


class Reader:
    """Reads a table again and again, and keeps the notes."""

    def __init__(self, endpoint: DatabaseEndpoint, binding: Binding) -> None:
        self.endpoint = endpoint
        self.binding = binding
        self.notebook = Pages()
        self.after: Position | None = None

    def rows(self, *, full: bool = False, delivered: bool = True, size: int = 7) -> list[dict[str, Any]]:
        """A pass."""
        with self.endpoint.source(self.binding) as source:
            selection = Selection(after=None if full else self.after, batch_rows=size, notebook=self.notebook)
            batches = list(source.batches(selection))
            position = source.position()
        assert all(batch.num_rows <= size for batch in batches)
        if delivered:
            self.notebook.turn()
            self.after = position
        else:
            self.notebook.drop()
        return [row for batch in batches for row in batch.to_pylist()]

    def changes(self, **how: Any) -> tuple[list[Any], list[Any]]:
        """First key column of what was put, and of what was taken away."""
        rows = self.rows(**how)
        item = self.binding.key[0]
        return tuple(  # type: ignore[return-value]
            sorted(str(row[item]) for row in rows if row[OPERATION] == operation) for operation in (PUT, DELETE)
        )

    @property
    def ranges(self) -> list[int]:
        """Rows of each range in the notes."""
        return [_range(page).rows for page in self.notebook.earlier() if page[:1] == b"I"]


def bound(*columns: str, key: tuple[str, ...] = ("k",), **more: Any) -> Binding:
    return Binding(object="t", columns={name: name for name in columns}, key=key, capture="diff", **more)


@pytest.fixture
def reader(endpoint: DatabaseEndpoint, hands: Hands) -> Reader:
    """A hundred rows, and a pass over them."""
    hands.run("CREATE TABLE t (k integer PRIMARY KEY, v varchar(20))")
    hands.run(*(f"INSERT INTO t VALUES ({number}, 'v{number}')" for number in range(1000, 1100)))
    made = Reader(endpoint, bound("k", "v"))
    assert len(made.rows()) == 100
    return made


def test_changes_come_and_deletions_and_nothing_else(reader: Reader, hands: Hands) -> None:
    assert reader.changes() == ([], [])
    hands.run(
        "UPDATE t SET v = 'x' WHERE k IN (1003, 1050)",
        "DELETE FROM t WHERE k IN (1004, 1099)",
        "INSERT INTO t VALUES (900, 'first'), (1200, 'last')",
        "UPDATE t SET v = NULL WHERE k = 1051",
    )
    assert reader.changes() == (["1003", "1050", "1051", "1200", "900"], ["1004", "1099"])
    assert reader.changes() == ([], [])


def test_a_deletion_is_its_key_and_nothing_else(reader: Reader, hands: Hands) -> None:
    hands.run("DELETE FROM t WHERE k = 1004")
    [row] = reader.rows()
    assert (str(row["k"]), row["v"], row[OPERATION]) == ("1004", None, DELETE)
    assert json.loads(row[REFERENCE]) == ["1004"]


def test_only_differing_ranges_are_read(reader: Reader, hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    hands.run("UPDATE t SET v = 'x' WHERE k = 1003")
    taken = []
    read = type(reader.endpoint._place.dialect).read

    def counted(*arguments: Any) -> Iterator[list[pa.Array]]:
        for arrays in read(*arguments):
            taken.append(len(arrays[0]))
            yield arrays

    monkeypatch.setattr(type(reader.endpoint._place.dialect), "read", counted)
    assert reader.changes() == (["1003"], [])
    assert sum(taken) <= 2 * RANGE
    taken.clear()
    assert reader.changes() == ([], [])
    assert taken == []


def test_what_is_not_delivered_comes_again(reader: Reader, hands: Hands) -> None:
    hands.run("UPDATE t SET v = 'x' WHERE k = 1003", "DELETE FROM t WHERE k = 1004")
    for _ in range(2):
        assert reader.changes(delivered=False) == (["1003"], ["1004"])
    assert reader.changes() == (["1003"], ["1004"])
    assert reader.changes() == ([], [])


def test_a_full_pass_hands_everything_over_and_what_is_gone(reader: Reader, hands: Hands) -> None:
    hands.run("DELETE FROM t WHERE k = 1004")
    put, gone = reader.changes(full=True)
    assert (len(put), gone) == (99, ["1004"])
    assert reader.changes() == ([], [])


def test_other_columns_are_compared_with_nothing_and_keys_still_known(reader: Reader, hands: Hands) -> None:
    hands.run("ALTER TABLE t ADD COLUMN w integer", "DELETE FROM t WHERE k = 1004")
    reader.binding = bound("k", "v", "w")
    put, gone = reader.changes()
    assert (len(put), gone) == (99, ["1004"])
    assert reader.changes() == ([], [])


@pytest.mark.parametrize("how", ["without notes", "other notes", "another capture's position", "without a notebook"])
def test_with_nothing_to_compare_everything_comes(reader: Reader, how: str) -> None:
    if how == "without notes":
        reader.notebook = Pages()
    elif how == "other notes":
        reader.binding = bound("k", "v", fixed={})
        reader.notebook._earlier[0] = reader.notebook._earlier[0].replace(b'"t"', b'"u"')
    elif how == "another capture's position":
        reader.after = {"watermark": "v", "low": 1}
    else:
        with reader.endpoint.source(reader.binding) as source:
            assert sum(batch.num_rows for batch in source.batches(Selection(after=reader.after))) == 100
            assert source.position() is None
        return
    put, gone = reader.changes()
    assert (len(put), gone) == (100, [])
    assert reader.changes() == ([], [])


def test_ranges_stay_of_a_size_whatever_happens(reader: Reader, hands: Hands) -> None:
    assert sum(reader.ranges) == 100
    for step in range(30):
        hands.run(*(f"INSERT INTO t VALUES ({2000 + step * 7 + more}, 'x')" for more in range(7)))
        put, gone = reader.changes()
        assert (len(put), gone) == (7, [])
    assert sum(reader.ranges) == 310
    assert all(RANGE // 2 <= rows <= 2 * RANGE for rows in reader.ranges), reader.ranges
    hands.run("DELETE FROM t WHERE k BETWEEN 1010 AND 2199")
    put, gone = reader.changes()
    assert (len(put), len(gone)) == (0, 290)
    assert sum(reader.ranges) == 20
    hands.run("DELETE FROM t")
    assert len(reader.changes()[1]) == 20
    assert reader.changes() == ([], [])
    hands.run("INSERT INTO t VALUES (1, 'again')")
    assert reader.changes() == (["1"], [])


def test_changes_all_over_the_table(reader: Reader, hands: Hands) -> None:
    """More stretches than are named one by one."""
    hands.run(*(f"INSERT INTO t VALUES ({number}, 'v')" for number in range(1100, 1700)))
    assert len(reader.rows()) == 600
    hands.run("UPDATE t SET v = 'x' WHERE k % 60 = 0", "DELETE FROM t WHERE k % 60 = 1")
    put, gone = reader.changes()
    assert put == [str(number) for number in range(1020, 1700, 60)]
    assert gone == [str(number) for number in range(1021, 1700, 60)]
    assert reader.changes() == ([], [])


KEYS: dict[str, dict[str, list[Any]]] = {
    "varchar(20)": {"any": ["a", "A", "B", "b ", "中", "𠮷", "", "it's", '"', "\\", "a,b", "ß", "z", "%s", "é"]},
    "char(6)": {"any": ["a", "B", "c", "D", "e"]},
    "bigint": {"any": [-5, 0, 7, 10, 9, 2**63 - 1, -(2**63)]},
    "decimal(20,3)": {"any": ["-1.500", "0.000", "10.125", "9.000"]},
    "date": {"any": ["1900-01-01", "2024-02-29", "9999-12-31"]},
    "timestamp": {"any": ["2024-01-01 00:00:00", "2024-01-01 08:00:00"]},
    "timestamptz": {"postgresql": ["2024-01-01 00:00:00+00", "2024-01-01 08:00:00+00"]},
    "uuid": {"postgresql": ["00000000-0000-0000-0000-000000000001", "f0000000-0000-0000-0000-000000000001"]},
    "enum('z','y','x')": {"mariadb": ["x", "y", "z"]},
    "varchar(20) character set gbk": {"mariadb": ["a", "中", "文", "B"]},
}


PRODUCTS = ("sqlite", "postgresql", "mariadb")
CASES = [(product, kind) for kind, keys in KEYS.items() for product in PRODUCTS if keys.keys() & {product, "any"}]


@pytest.mark.long_with("mariadb")
@pytest.mark.parametrize(("database_url", "kind"), CASES, indirect=["database_url"])
def test_keys_of_any_type(endpoint: DatabaseEndpoint, hands: Hands, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters.database.difference, "RANGE_ROWS", 1)
    keys = KEYS[kind].get(hands.product) or KEYS[kind]["any"]
    declared = kind
    if hands.product == "mariadb" and kind == "varchar(20)":
        declared += " character set utf8mb4 collate utf8mb4_nopad_bin"
    hands.run(f"CREATE TABLE t (k {declared} NOT NULL, n integer NOT NULL, v integer, PRIMARY KEY (k, n))")
    for key in keys:
        for number in (1, 2, 10):
            hands.run("INSERT INTO t VALUES (:k, :n, 0)", k=key, n=number)
    reader = Reader(endpoint, bound("k", "n", "v", key=("k", "n")))
    whole = {row[REFERENCE]: row for row in reader.rows()}
    assert len(whole) == 3 * len(keys)
    assert len(reader.ranges) > len(keys)
    assert reader.rows() == []
    for key in keys:
        hands.run("UPDATE t SET v = 1 WHERE k = :k AND n = 2", k=key)
        hands.run("DELETE FROM t WHERE k = :k AND n = 10", k=key)
        rows = reader.rows()
        assert sorted((int(row["n"]), row[OPERATION]) for row in rows) == [(2, PUT), (10, DELETE)]
        for row in rows:
            same = whole[row[REFERENCE]]["k"]
            # What is read of a part may be text where the whole was read in its type; it is the same value.
            assert _value(row["k"], kind) == _value(same, kind)
        hands.run("INSERT INTO t VALUES (:k, 10, 0)", k=key)
        assert [row[OPERATION] for row in reader.rows()] == [PUT]
    assert reader.rows() == []


def _value(found: Any, kind: str) -> Any:
    if not kind.startswith("timestamp"):
        return str(found)
    text = str(found)
    moment = datetime.fromisoformat(f"{text}:00" if text.endswith("+00") else text)
    return str((moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo("Asia/Shanghai"))).astimezone(UTC))


def test_keys_that_their_collation_calls_equal(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    """No index keeps them apart, and each is a row of its own."""
    collation = {"mariadb": "collate utf8mb4_general_ci", "sqlite": "COLLATE NOCASE"}.get(hands.product, "")
    charset = "character set utf8mb4" if hands.product == "mariadb" else ""
    hands.run(f"CREATE TABLE t (k varchar(20) {charset} {collation} NOT NULL, v integer)")
    for key in ("a", "A", "b", "B", "a ", "á"):
        hands.run("INSERT INTO t VALUES (:k, 0)", k=key)
    reader = Reader(endpoint, bound("k", "v"))
    assert len(reader.rows()) == 6
    hands.run("DELETE FROM t WHERE v = 0")
    for key in ("a", "b", "B", "á"):
        hands.run("INSERT INTO t VALUES (:k, 0)", k=key)
    assert reader.changes() == ([], ["A", "a "])
    assert reader.changes() == ([], [])


def test_a_key_that_comes_twice(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run("CREATE TABLE t (k integer NOT NULL, v integer)", "INSERT INTO t VALUES (1, 1), (1, 2), (2, 1)")
    reader = Reader(endpoint, bound("k", "v"))
    assert reader.changes() == (["1", "1", "2"], [])
    hands.run("DELETE FROM t WHERE v = 2")
    assert reader.changes() == ([], []), "the key is still there"
    hands.run("DELETE FROM t WHERE k = 1")
    assert reader.changes() == ([], ["1"])


def test_rows_without_a_key_are_handed_over_to_be_refused(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run("CREATE TABLE t (k integer, v integer)", "INSERT INTO t VALUES (NULL, 1), (NULL, 2), (2, 1)")
    reader = Reader(endpoint, bound("k", "v"))
    assert len(reader.rows()) == 3
    for _ in range(2):
        assert [row["k"] for row in reader.rows()] == [None, None]
    assert len(reader.rows(full=True)) == 3


def test_rows_of_other_fixed_values_are_none_of_its_business(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run("CREATE TABLE t (k integer PRIMARY KEY, v integer, s varchar(9))")
    hands.run("INSERT INTO t VALUES (1, 1, 'a'), (2, 1, 'b'), (3, 1, 'a')")
    reader = Reader(endpoint, bound("k", "v", fixed={"s": "a"}))
    assert reader.changes() == (["1", "3"], [])
    hands.run("UPDATE t SET v = 2 WHERE k = 2", "UPDATE t SET s = 'b' WHERE k = 3")
    assert reader.changes() == ([], ["3"])


def test_a_row_that_is_marked_as_deleted(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    marked = Profile(
        name="p", label="p", source="p", capture="outbox", delete=DeleteMark(column="d", values=("1",)),
        read_at="r", written_at="w",
    )  # fmt: skip
    hands.run("CREATE TABLE t (k integer PRIMARY KEY, v integer, d varchar(1))")
    hands.run("INSERT INTO t VALUES (1, 1, '0'), (2, 1, '0')")
    reader = Reader(endpoint, bound("k", "v", profile=marked))
    assert reader.changes() == (["1", "2"], [])
    hands.run("UPDATE t SET d = '1' WHERE k = 2")
    assert reader.changes() == ([], ["2"])
    assert reader.changes() == ([], [])


def test_memory_does_not_grow_with_the_table(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    """What is held of the notes is one range, of the rows one batch."""
    hands.run("CREATE TABLE t (k integer PRIMARY KEY, v varchar(100))")
    hands.run(*(f"INSERT INTO t VALUES ({number}, '{number}')" for number in range(400)))
    reader = Reader(endpoint, bound("k", "v"))
    reader.rows()
    hands.run("UPDATE t SET v = 'x'")
    with endpoint.source(reader.binding) as source:
        batches = source.batches(Selection(after=reader.after, batch_rows=10, notebook=reader.notebook))
        next(batches)
        written = [page for page in reader.notebook._written if page[:1] == b"I"]
        assert len(written) <= 3


def test_stretches() -> None:
    assert list(runs(pa.array([-1, -1, 0, 3, 3], pa.int32()))) == [(-1, 0, 2), (0, 2, 1), (3, 3, 2)]
    assert list(runs(pa.array([], pa.int32()))) == []
    assert _spans([]) == []
    assert _spans([0, 1, 2, 5, 7, 8]) == [(0, 2), (5, 5), (7, 8)]


def test_what_is_added_up_here_is_what_the_database_adds_up() -> None:
    digests = pa.array(["f" * 64, "0" * 64, "0123456789abcdef" * 4])
    short = _shortened(digests)
    assert [value.hex() for value in short.to_pylist()] == [text[:32] for text in digests.to_pylist()]
    assert _tally(pa.chunked_array([short])) == str(sum(int(text[:15], 16) for text in digests.to_pylist()))
    index, page = _pages(pa.table([pa.array(['["a","b"]'] * 3), short], names=["key", "digest"]))
    assert (_range(index).first, _range(index).rows) == (("a", "b"), 3)
    assert pa.ipc.open_stream(page[1:]).read_all().num_rows == 3
    for wrong in (pa.array([None], pa.string()), pa.array(["ff"])):
        with pytest.raises(Malformed):
            _shortened(wrong)
