from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from adapters.base import REFERENCE, Binding, Position, Selection
from adapters.database import DatabaseEndpoint
from adapters.database.dialects import dialect
from adapters.database.shapes import Column
from adapters.database.watermark import unfit
from adapters.errors import Malformed, Misconfigured
from tests.adapters.database.conftest import Hands, options_of

NOON = datetime(2024, 5, 1, 4, tzinfo=UTC)
"""Noon in China, where the clock of the place stands at first."""


@pytest.fixture
def clock(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """The place's clock: its last entry."""
    moments = [NOON]
    kind = type(dialect(hands.product))  # type: ignore[arg-type]
    monkeypatch.setattr(kind, "clock", lambda _self: sa.literal(moments[-1].timestamp()))
    if kind().begun() is not None:
        monkeypatch.setattr(kind, "begun", lambda _self: sa.literal(moments[-1].timestamp()))
    return moments


def bound(**options: Any) -> Binding:
    return Binding(
        object="t", columns={"id": "id", "v": "v"}, key=("id",), capture="watermark",
        options={"watermark": "seen", "overlap": 600, **options},
    )  # fmt: skip


def made(hands: Hands, kind: str = "timestamp", *, index: bool = True) -> None:
    """A table with a column of times, or of numbers."""
    hands.run(f"CREATE TABLE t (id integer PRIMARY KEY, v varchar(20), seen {kind} NULL)")
    if index:
        hands.run("CREATE INDEX t_seen ON t (seen)")


def local(moment: datetime) -> str:
    """As the place writes a time without zone."""
    return (moment + timedelta(hours=8)).replace(tzinfo=None).isoformat(sep=" ")


def put(hands: Hands, id: int, seen: datetime | int | None, v: str = "x") -> None:
    value = local(seen) if isinstance(seen, datetime) else seen
    hands.run("DELETE FROM t WHERE id = :id", id=id)
    hands.run("INSERT INTO t (id, v, seen) VALUES (:id, :v, :seen)", id=id, v=v, seen=value)


def read(endpoint: DatabaseEndpoint, after: Position | None, **options: Any) -> tuple[list[int], Position | None]:
    """The rows of a pass by id, and where the next starts."""
    with endpoint.source(bound(**options)) as source:
        batches = list(source.batches(Selection(after=after, batch_rows=3)))
        return sorted(int(row["id"]) for batch in batches for row in batch.to_pylist()), source.position()


# Everywhere a time without zone: the one with a zone is called by another name on each product.
ZONELESS = {"sqlite": "datetime", "postgresql": "timestamp", "mariadb": "datetime(6)"}


@pytest.fixture
def timed(hands: Hands, clock: list[datetime]) -> Hands:
    made(hands, ZONELESS[hands.product])
    for number in range(5):
        put(hands, number, NOON - timedelta(hours=5 - number))
    return hands


def test_a_window_goes_from_the_last_ones_end_less_the_overlap_to_the_clock(
    endpoint: DatabaseEndpoint, timed: Hands, clock: list[datetime]
) -> None:
    rows, after = read(endpoint, None)
    assert rows == [0, 1, 2, 3, 4]
    assert after is not None
    assert after["low"] == (NOON - timedelta(seconds=600)).timestamp() * 1_000_000
    clock.append(NOON + timedelta(minutes=30))
    put(timed, 5, NOON - timedelta(minutes=9))  # committed late, within the overlap
    put(timed, 2, NOON + timedelta(minutes=20), "changed")
    rows, after = read(endpoint, after)
    assert rows == [2, 5]
    clock.append(NOON + timedelta(minutes=35))
    # What lies in the overlap comes again, and is the same at the target.
    assert read(endpoint, after)[0] == [2]


def test_the_mark_itself_is_read(endpoint: DatabaseEndpoint, timed: Hands) -> None:
    after = read(endpoint, None)[1]
    put(timed, 6, NOON - timedelta(seconds=600))
    put(timed, 7, NOON - timedelta(seconds=601))
    assert read(endpoint, after, recount=0)[0] == [6, 7], "the one before the mark by counting again"
    assert read(endpoint, {**after, "closed": []})[0] == [6]  # type: ignore[dict-item]


def test_a_position_in_whole_seconds_is_gone_on_from(
    endpoint: DatabaseEndpoint, timed: Hands, clock: list[datetime]
) -> None:
    low = int((NOON - timedelta(seconds=600)).timestamp())
    put(timed, 6, NOON)
    clock.append(NOON + timedelta(minutes=30))
    assert read(endpoint, {"watermark": "seen", "low": low, "closed": [[low - 100, low, 0]], "marks": []})[0] == [6]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_what_changed_in_the_second_of_a_pass_is_read_once(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    made(hands, "timestamptz DEFAULT clock_timestamp()")
    hands.run("INSERT INTO t (id) VALUES (1)")
    rows, after = read(endpoint, None, overlap=0)
    assert rows == [1]
    for number in range(2, 7):
        hands.run("INSERT INTO t (id) VALUES (:id)", id=number)
        rows, after = read(endpoint, after, overlap=0)
        assert rows == [number]


def test_rows_committed_later_than_any_overlap_are_found_by_recounting(
    endpoint: DatabaseEndpoint, timed: Hands, clock: list[datetime]
) -> None:
    after = read(endpoint, None)[1]
    clock.append(NOON + timedelta(hours=1))
    for number in (10, 11):
        put(timed, number, NOON + timedelta(minutes=number))
    rows, after = read(endpoint, after)
    assert rows == [10, 11]
    clock.append(NOON + timedelta(hours=2))
    rows, after = read(endpoint, after)
    assert rows == []
    put(timed, 12, NOON + timedelta(minutes=12))
    clock.append(NOON + timedelta(hours=3))
    rows, after = read(endpoint, after)
    assert rows == [10, 11, 12], "the window that grew, whole"
    assert read(endpoint, after)[0] == []


def test_a_window_that_shrank_is_left_alone(endpoint: DatabaseEndpoint, timed: Hands, clock: list[datetime]) -> None:
    after = read(endpoint, None)[1]
    clock.append(NOON + timedelta(hours=1))
    for number in (20, 21):
        put(timed, number, NOON + timedelta(minutes=30))
    rows, after = read(endpoint, after)
    assert rows == [20, 21]
    timed.run("DELETE FROM t WHERE id = 21")
    clock.append(NOON + timedelta(hours=2))
    rows, after = read(endpoint, after)
    assert rows == []
    put(timed, 22, NOON + timedelta(minutes=31))
    assert 22 in read(endpoint, after)[0], "it is counted from what it was last"


def test_the_windows_that_are_counted_again_are_few(
    endpoint: DatabaseEndpoint, timed: Hands, clock: list[datetime]
) -> None:
    after = read(endpoint, None)[1]
    for hour in range(1, 25):
        clock.append(NOON + timedelta(hours=hour))
        put(timed, 100 + hour, NOON + timedelta(hours=hour - 0.5))
        after = read(endpoint, after, recount=5)[1]
        assert after is not None
        assert sum(rows for _, _, rows in after["closed"]) <= 5
    assert len(after["closed"]) == 5
    assert len(read(endpoint, after, recount=100)[1]["closed"]) <= 16  # type: ignore[index]


def test_rows_without_a_time_are_read_in_every_pass(endpoint: DatabaseEndpoint, timed: Hands) -> None:
    put(timed, 20, None)
    rows, after = read(endpoint, None)
    assert 20 in rows
    assert read(endpoint, after)[0] == [20]


def test_a_row_of_the_future_is_read_now_and_until_the_clock_has_passed_it(
    endpoint: DatabaseEndpoint, timed: Hands, clock: list[datetime]
) -> None:
    put(timed, 30, NOON + timedelta(hours=2))
    rows, after = read(endpoint, None)
    assert 30 in rows
    clock.append(NOON + timedelta(hours=1))
    put(timed, 31, NOON + timedelta(minutes=30))
    rows, after = read(endpoint, after)
    assert rows == [30, 31], "it hides none that come after it with an earlier time"
    clock.append(NOON + timedelta(hours=4))
    rows, after = read(endpoint, after)
    assert rows == [30]
    assert read(endpoint, after)[0] == []


@pytest.mark.long_with("mariadb")
@pytest.mark.parametrize("apart", [timedelta(hours=3), -timedelta(hours=3)])
def test_a_clock_that_was_wrong_and_is_set_right_loses_nothing(
    endpoint: DatabaseEndpoint, timed: Hands, clock: list[datetime], apart: timedelta
) -> None:
    """Ahead or behind by hours in one pass; the rows carry the true time."""
    clock.append(NOON + apart)
    seen, after = read(endpoint, None)
    found = set(seen)
    for step in range(1, 30):
        put(timed, 100 + step, NOON + timedelta(minutes=20 * step))
        clock.append(NOON + timedelta(minutes=20 * step, seconds=1))
        rows, after = read(endpoint, after)
        found |= set(rows)
    assert found >= {100 + step for step in range(1, 30)}


def test_another_columns_position_is_none(endpoint: DatabaseEndpoint, timed: Hands) -> None:
    assert read(endpoint, {"watermark": "another", "low": 9e9})[0] == [0, 1, 2, 3, 4]
    assert read(endpoint, {"capture": "diff"})[0] == [0, 1, 2, 3, 4]
    for wrong in (
        {"low": "x"},
        {"low": 1, "closed": [[1]], "marks": []},
        {"low": -(10**20), "closed": [], "marks": []},
    ):
        with pytest.raises(Malformed):
            read(endpoint, {"watermark": "seen", **wrong})


def test_ever_higher_numbers_are_a_watermark_too(
    endpoint: DatabaseEndpoint, hands: Hands, clock: list[datetime]
) -> None:
    made(hands, "bigint")
    assert read(endpoint, None) == ([], None)
    for number in range(5):
        put(hands, number, 5000 + number)
    rows, after = read(endpoint, None)
    assert rows == [0, 1, 2, 3, 4]
    clock.append(NOON + timedelta(minutes=5))
    put(hands, 5, 6000)
    rows, after = read(endpoint, after)
    assert 5 in rows
    clock.append(NOON + timedelta(minutes=15))
    rows, after = read(endpoint, after)
    clock.append(NOON + timedelta(minutes=26))
    rows, after = read(endpoint, after)
    # A number that was given out before the highest one of ten minutes ago is committed by now, or found by recounting.
    put(hands, 6, 5999)
    put(hands, 7, 6001)
    rows, after = read(endpoint, after)
    assert {6, 7} <= set(rows)
    clock.append(NOON + timedelta(hours=1))
    after = read(endpoint, after)[1]
    clock.append(NOON + timedelta(hours=2))
    after = read(endpoint, after)[1]
    assert read(endpoint, after)[0] == [7], "the highest itself"


def test_numbers_that_begin_anew_are_all_read(endpoint: DatabaseEndpoint, hands: Hands, clock: list[datetime]) -> None:
    made(hands, "bigint")
    put(hands, 1, 9_000_000)
    after = read(endpoint, None)[1]
    hands.run("DELETE FROM t")
    for number in range(3):
        put(hands, number, number + 1)
    assert read(endpoint, after)[0] == [0, 1, 2]


def test_a_number_out_of_line_hides_none_that_come_after_it(
    endpoint: DatabaseEndpoint, hands: Hands, clock: list[datetime]
) -> None:
    made(hands, "bigint")
    put(hands, 1, 100)
    after = read(endpoint, None)[1]
    put(hands, 2, 10**12)
    for hour in range(1, 4):
        clock.append(NOON + timedelta(hours=hour))
        after = read(endpoint, after)[1]
    put(hands, 3, 101)
    assert 3 in read(endpoint, after)[0]


OTHER_TIMES = [
    ("sqlite", "date"), ("postgresql", "date"), ("mariadb", "date"),
    ("postgresql", "timestamptz"), ("mariadb", "timestamp"),
]  # fmt: skip


@pytest.mark.parametrize(("database_url", "kind"), OTHER_TIMES, indirect=["database_url"])
def test_other_columns_of_times(endpoint: DatabaseEndpoint, hands: Hands, clock: list[datetime], kind: str) -> None:
    made(hands, kind)

    def write(id: int, moment: datetime) -> None:
        zone = {"postgresql": "SET timezone = 'Asia/Shanghai'", "mariadb": "SET time_zone = '+08:00'"}
        with hands.engine.begin() as connection:
            if hands.product in zone:
                connection.exec_driver_sql(zone[hands.product])
            text = local(moment)[: 10 if kind == "date" else 19]
            connection.execute(sa.text("INSERT INTO t VALUES (:id, 'x', :at)"), {"id": id, "at": text})

    write(1, NOON - timedelta(days=3))
    rows, after = read(endpoint, None)
    assert rows == [1]
    write(2, NOON)
    clock.append(NOON + timedelta(minutes=1))
    rows, after = read(endpoint, after)
    assert rows == [2]


def test_a_time_shown_twice_by_its_clock_is_not_lost(hands: Hands, database_url: str, clock: list[datetime]) -> None:
    """In New York, on the third of November 2024, the hour from one to two came twice."""
    made(hands, ZONELESS[hands.product])
    endpoint = DatabaseEndpoint(options_of(database_url), zone="America/New_York")
    clock.append(datetime(2024, 11, 3, 5, 50, tzinfo=UTC))  # 01:50 in summer
    after = read(endpoint, None)[1]
    hands.run("INSERT INTO t VALUES (1, 'x', '2024-11-03 01:10:00')")  # in winter: twenty minutes later
    clock.append(datetime(2024, 11, 3, 6, 15, tzinfo=UTC))
    assert read(endpoint, after, recount=0)[0] == [1]


def test_what_is_no_time_is_read_in_every_pass(endpoint: DatabaseEndpoint, timed: Hands) -> None:
    """Each product has its own way to hold what is before all times, or none."""
    strange = {
        "sqlite": ["'12/31/2023'", "1714536000", "'2024-05-01T01:00:00Z'", "x'00'", "''"],
        "postgresql": ["'-infinity'"],
        "mariadb": ["'0000-00-00 00:00:00'"],
    }[timed.product]
    after = read(endpoint, None)[1]
    with timed.engine.begin() as connection:
        if timed.product == "mariadb":
            connection.exec_driver_sql("SET SESSION sql_mode = ''")
        for place, value in enumerate(strange):
            connection.exec_driver_sql(f"INSERT INTO t VALUES ({50 + place}, 'x', {value})")
    expected = [50 + place for place in range(len(strange))]
    for _ in range(2):
        rows, after = read(endpoint, after)
        assert rows == expected


def test_what_cannot_be_a_watermark_is_told(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run("CREATE TABLE t (id integer PRIMARY KEY, v varchar(20), f double precision, n numeric(10, 2))")
    for column, word in (
        ("v", "不能比较先后"),
        ("f", "不能比较先后"),
        ("n", "不能比较先后"),
        ("nothing", "没有水位列"),
    ):
        [problem] = endpoint.check(bound(watermark=column), sa.null, sink=False)  # type: ignore[arg-type]
        assert word in problem
        with pytest.raises(Misconfigured), endpoint.source(bound(watermark=column)) as source:
            list(source.batches(Selection()))
    assert unfit(Column(name="n", family="integer", declared="int", type=sa.Integer()), "n") is None
    for binding in (bound(), Binding(object="t", columns={"id": "id"}, key=("id",), options={"watermark": "id"})):
        if binding.capture == "watermark":
            binding = Binding(object="t", columns={"id": "id"}, key=("id",), capture="watermark")
        with pytest.raises(Misconfigured, match="watermark"):
            endpoint.source(binding)


def test_a_watermark_without_an_index_is_told(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    made(hands, "bigint", index=False)
    [advice] = endpoint.advise(bound())
    assert "没有索引" in advice
    hands.run("CREATE INDEX t_seen ON t (seen)")
    assert endpoint.advise(bound()) == []
    assert endpoint.advise(Binding(object="t", columns={"id": "id"}, key=("id",))) == []


def test_strange_values_outside_the_window_disturb_nobody(
    endpoint: DatabaseEndpoint, timed: Hands, clock: list[datetime]
) -> None:
    after = read(endpoint, None)[1]
    binding = Binding(
        object="t", columns={"id": "id", "seen": "seen"}, key=("id",), capture="watermark",
        options={"watermark": "seen"},
    )  # fmt: skip
    clock.append(NOON + timedelta(hours=1))
    put(timed, 8, NOON + timedelta(minutes=30))
    with endpoint.source(binding) as source:
        schema = source.schema()
        [batch] = source.batches(Selection(after=after))
    assert batch.schema.equals(schema)
    assert batch.column(REFERENCE).to_pylist() == ['["8"]']


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_pass_touches_what_changed_and_no_more(
    endpoint: DatabaseEndpoint, hands: Hands, clock: list[datetime]
) -> None:
    """By the counters of the one product that keeps them for each table."""
    changed = 200
    touched = {}
    binding = Binding(
        object="t", columns={"id": "id", "v": "v", "seen": "seen"}, key=("id",), capture="watermark",
        options={"watermark": "seen"},
    )  # fmt: skip
    for size in (10_000, 50_000):
        clock.append(NOON)
        hands.run("DROP TABLE IF EXISTS t")
        made(hands)
        hands.run(
            "INSERT INTO t SELECT i, 'x', timestamp '2024-05-01 11:30:00' - i * interval '1 second' "
            f"FROM generate_series(1, {size}) AS i",
            "ANALYZE t",
        )
        with endpoint.source(binding) as source:
            assert sum(batch.num_rows for batch in source.batches(Selection())) == size
            after = source.position()
        hands.run(f"UPDATE t SET seen = '2024-05-01 12:30:00', v = 'y' WHERE id % {size // changed} = 0")
        clock.append(NOON + timedelta(hours=1))
        before = _touched(hands)
        with endpoint.source(binding) as source:
            assert sum(batch.num_rows for batch in source.batches(Selection(after=after))) == changed
        touched[size] = _touched(hands) - before
    assert max(touched.values()) <= 2 * changed, touched


def _touched(hands: Hands) -> int:
    """Rows of the table that any session has touched, when all have told."""
    query = "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = 't'"
    last = -1
    while (now := int(hands.rows(query)[0][0])) != last:
        last = now
        time.sleep(0.6)  # a session tells what it did when it ends, and not more often than each half second
    return last
