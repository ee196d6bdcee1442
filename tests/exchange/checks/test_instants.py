# ruff: noqa: DTZ001 - times without a zone are what is tested
from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.checks import instants
from exchange.errors import Invalid
from tests.exchange.checks.rows import SHANGHAI
from tests.exchange.checks.test_numerals import outcome

HERE = ZoneInfo(SHANGHAI)

DAYS: dict[str, Any] = {
    **dict.fromkeys(
        [
            "2025-01-02",
            "2025-1-2",
            "2025/01/02",
            "2025/1/2",
            "2025.1.2",
            "20250102",
            "2025年1月2日",
            "2025年01月02日",
            "2025-01-02 00:00:00",
            "2025-01-02T00:00:00.000",
            "2025/1/2 0:00:00",
            "2025年1月2日 00:00",
            "2025年1月2日0时0分0秒",
            "20250102000000",
            "20250102 00:00:00",
            "2025-01-02+08:00",
            "2025-01-02Z",
            "2025-01-02T00:00:00+08:00",
        ],
        date(2025, 1, 2),
    ),
    "0001-01-01": date(1, 1, 1),
    "9999-12-31": date(9999, 12, 31),
    "2024-02-29": date(2024, 2, 29),
    **dict.fromkeys(
        [
            "2025-02-29",
            "2025-13-01",
            "2025-00-10",
            "2025-01-00",
            "0000-01-01",
            "20250230",
            "2025-01-02 13:05:00",
            "2025-01-02T16:00:00Z",
            "2025-01-02 00:00:00.5",
            "2025-01-02 24:00:00",
            "2025-01",
            "202501",
            "25-01-02",
            "01/02/2025",
            "2025-01/02",
            "2025年1月",
            "1735747200",
            "长期",
            "2025-01-02x",
            "x2025-01-02",
        ],
        "type",
    ),
}

at = datetime(2025, 1, 2, 5, 5, 20, tzinfo=UTC)
TIMES: dict[str, Any] = {
    **dict.fromkeys(
        [
            "2025-01-02 13:05:20",
            "2025-01-02T13:05:20",
            "2025-01-02T13:05:20.000",
            "2025-01-02T13:05:20.000000000",
            "2025/1/2 13:5:20",
            "2025/01/02 13:05:20",
            "20250102130520",
            "20250102 13:05:20",
            "2025年1月2日 13:05:20",
            "2025年1月2日13时5分20秒",
            "2025-01-02T05:05:20Z",
            "2025-01-02T13:05:20+08:00",
            "2025-01-02 13:05:20 +0800",
            "2025-01-02T00:05:20-05:00",
            "2025-01-02T10:35:20+0530",
        ],
        at,
    ),
    "2025-01-02 13:05": at - timedelta(seconds=20),
    "2025-01-02": datetime(2025, 1, 1, 16, tzinfo=UTC),
    "2025-01-02Z": datetime(2025, 1, 2, tzinfo=UTC),
    "2025-01-02 13:05:20.1": at + timedelta(milliseconds=100),
    "2025-01-02 13:05:20.123456": at + timedelta(microseconds=123456),
    "9999-12-31 23:59:59.999999": datetime(9999, 12, 31, 15, 59, 59, 999999, tzinfo=UTC),
    **dict.fromkeys(
        [
            "2025-01-02 13:05:20.1234567",
            "2025-01-02 24:00:00",
            "2025-01-02 13:60:00",
            "2025-01-02 13:05:60",
            "2025-02-30 13:05:20",
            "2025-01-02T13:05:20+15:00",
            "2025-01-02T13:05:20+08:60",
            "0001-01-01 00:00:00",
            "9999-12-31T23:00:00-05:00",
            "13:05:20",
            "1735794320",
            "暂定",
        ],
        "type",
    ),
}


@pytest.mark.parametrize("text", DAYS)
def test_dates_from_text_alone(text: str) -> None:
    assert outcome(instants.dates_from_text(pa.array([text]))) == [DAYS[text]]


def test_dates_from_text_do_not_depend_on_their_neighbours() -> None:
    column = pa.array([None, *DAYS, None, *DAYS])
    assert outcome(instants.dates_from_text(column)) == [None, *DAYS.values(), None, *DAYS.values()]
    assert outcome(instants.dates_from_text(column[1:2])) == [date(2025, 1, 2)]
    assert outcome(instants.dates_from_text(pa.array([None], pa.string()))) == [None]
    assert outcome(instants.dates_from_text(pa.array([], pa.string()))) == []


@pytest.mark.parametrize("text", TIMES)
def test_instants_from_text_alone(text: str) -> None:
    assert outcome(instants.instants_from_text(pa.array([text]), SHANGHAI)) == [TIMES[text]]


def test_instants_from_text_do_not_depend_on_their_neighbours() -> None:
    column = pa.array([None, *TIMES, None, *TIMES])
    found = outcome(instants.instants_from_text(column, SHANGHAI))
    assert found == [None, *TIMES.values(), None, *TIMES.values()]


@given(st.dates(), st.sampled_from(["%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%Y年%m月%d日"]))
def test_every_day_there_is(day: date, form: str) -> None:
    text = f"{day.year:04}" + day.strftime(form.removeprefix("%Y"))
    assert outcome(instants.dates_from_text(pa.array([text]))) == [day]


@given(
    st.tuples(st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)), st.sampled_from([SHANGHAI, "UTC"]))
    | st.tuples(st.datetimes(datetime(1, 1, 3), datetime(2037, 1, 1)), st.just("America/New_York"))
)
def test_every_time_means_what_the_zone_says(given_time: tuple[datetime, str]) -> None:
    local, zone = given_time
    expected = local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    assert outcome(instants.instants_from_text(pa.array([local.isoformat(" ")]), zone)) == [expected]
    assert outcome(instants.instants_from_native(pa.array([local], pa.timestamp("us")), zone)) == [expected]


@pytest.mark.parametrize(
    "local",
    [
        datetime(1940, 6, 1, 0, 0),
        datetime(1940, 6, 1, 0, 30),
        datetime(1986, 5, 4, 2, 30),
        datetime(1986, 9, 14, 1, 30),
        datetime(1900, 12, 31, 23, 54, 20),
    ],
)
def test_times_that_never_were_or_were_twice(local: datetime) -> None:
    expected = local.replace(tzinfo=HERE).astimezone(UTC)
    column = pa.array([local.isoformat(" "), "2025-01-02 13:05:20"])
    assert outcome(instants.instants_from_text(column, SHANGHAI)) == [expected, at]


@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)).map(lambda moment: moment.replace(microsecond=0)),
    st.integers(-14 * 60, 14 * 60),
)
def test_a_written_zone_wins(local: datetime, minutes: int) -> None:
    moment = local.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert outcome(instants.instants_from_text(pa.array([moment.isoformat()]), SHANGHAI)) == [moment.astimezone(UTC)]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_native_times_of_every_unit(unit: str) -> None:
    zoned = pa.array([at, None], pa.timestamp(unit, tz="America/New_York"))
    assert outcome(instants.instants_from_native(zoned, SHANGHAI)) == [at, None]
    naive = pa.array([at.astimezone(HERE).replace(tzinfo=None), None], pa.timestamp(unit))
    assert outcome(instants.instants_from_native(naive, SHANGHAI)) == [at, None]


def test_native_times_beyond_the_calendar_or_the_microsecond() -> None:
    infinite = [2**63 - 1, -(2**63) + 1, 0, None]
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    for unit in ("s", "ms", "us"):
        column = pa.array(infinite, pa.int64()).cast(pa.timestamp(unit, tz="UTC"))
        assert outcome(instants.instants_from_native(column, SHANGHAI)) == ["type", "type", epoch, None]
    fine = pa.array([1_000, 1_001, None], pa.int64()).cast(pa.timestamp("ns", tz="UTC"))
    expected = [epoch + timedelta(microseconds=1), "type", None]
    assert outcome(instants.instants_from_native(fine, SHANGHAI)) == expected


def test_native_dates() -> None:
    days = [date(2025, 1, 2), None, date(1, 1, 1), date(9999, 12, 31)]
    for kind in (pa.date32(), pa.date64()):
        assert outcome(instants.dates_from_native(pa.array(days, kind), SHANGHAI))[:2] == days[:2]
    assert outcome(instants.dates_from_native(pa.array(days, pa.date32()), SHANGHAI)) == days
    infinite = pa.array(np.array([2**31 - 1, 0], np.int32)).cast(pa.date32())
    assert outcome(instants.dates_from_native(infinite, SHANGHAI)) == ["type", date(1970, 1, 1)]
    assert outcome(instants.instants_from_native(infinite, SHANGHAI)) == [
        "type",
        datetime(1969, 12, 31, 16, tzinfo=UTC),
    ]


def test_a_native_time_is_a_date_where_it_is_midnight_in_the_zone() -> None:
    column = pa.array([datetime(2025, 1, 1, 16, tzinfo=UTC), datetime(2025, 1, 2, tzinfo=UTC), None])
    assert outcome(instants.dates_from_native(column, SHANGHAI)) == [date(2025, 1, 2), "type", None]
    naive = pa.array([datetime(2025, 1, 2), datetime(1940, 6, 1)], pa.timestamp("ms"))
    assert outcome(instants.dates_from_native(naive, SHANGHAI))[0] == date(2025, 1, 2)


def test_an_instant_whose_local_day_is_beyond_the_calendar() -> None:
    column = pa.array([datetime(9999, 12, 31, 16, tzinfo=UTC), datetime(9999, 12, 30, 16, tzinfo=UTC)])
    assert outcome(instants.dates_from_native(column, SHANGHAI)) == ["type", date(9999, 12, 31)]


def test_midnight_of_a_day_without_one_is_a_day_all_the_same() -> None:
    naive = pa.array([datetime(1940, 6, 1)], pa.timestamp("us"))
    assert outcome(instants.dates_from_native(naive, SHANGHAI)) == [date(1940, 6, 1)]


def test_written_as_people_write() -> None:
    column = pa.array([at, at + timedelta(milliseconds=5), None])
    assert instants.written(column, SHANGHAI).to_pylist() == ["2025-01-02 13:05:20", "2025-01-02 13:05:20.005000", None]
    assert instants.written(pa.array([date(2025, 1, 2)]), SHANGHAI).to_pylist() == ["2025-01-02"]
    naive = pa.array([datetime(2025, 1, 2, 13)], pa.timestamp("s"))
    assert instants.written(naive, SHANGHAI).to_pylist() == ["2025-01-02 13:00:00"]


@pytest.mark.parametrize("zone", ["Asia/Nowhere", "", "../etc/passwd"])
def test_a_zone_that_does_not_exist(zone: str) -> None:
    with pytest.raises(Invalid, match="时区"):
        instants.require_zone(zone)
