from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from adapters.base import REFERENCE, Binding, Selection
from adapters.errors import Malformed, Misconfigured, Unavailable
from adapters.registry import open_endpoint
from tests.adapters.webservice.conftest import Place, envelope, reply
from tests.adapters.webservice.test_source import _rows, _source


def test_an_endless_service_is_stopped(place: Place) -> None:
    place.archive.answers = [reply("<t:no>1</t:no>", following=f"p{number}") for number in range(9)]
    with _source(place, pages=3) as source, pytest.raises(Malformed, match="3 页仍未结束"):
        _rows(source)
    assert len(place.archive.asked) == 3


def _numbers(place: Place, after: Any = None, capture: Any = "snapshot", **options: Any) -> list[str]:
    binding = Binding(object="getRecords", columns={"number": "no"}, key=("number",), capture=capture, options=options)
    with open_endpoint("webservice", {"url": place.url, "attempts": 1}).source(binding) as source:
        batches = list(source.batches(Selection(after=after)))
        place.position = source.position()  # type: ignore[attr-defined]
    return [row["number"] for batch in batches for row in batch.to_pylist()]


def _page(*numbers: int, **more: str) -> str:
    return reply(*(f"<t:no>{number}</t:no>" for number in numbers), **more)


BY_PAGE: dict[str, Any] = {"row": "record", "paging": "page", "limit": "size", "rows": 2}


def test_by_page_number_until_an_empty_page(place: Place) -> None:
    place.archive.answers = [_page(1), _page(2, 3), _page()]
    assert _numbers(place, **BY_PAGE) == ["1", "2", "3"]
    assert [(asked["page"], asked["size"]) for asked in place.archive.asked] == [("1", "2"), ("2", "2"), ("3", "2")]


def test_by_page_number_until_a_short_page(place: Place) -> None:
    place.archive.answers = [_page(1, 2), _page(3)]
    assert _numbers(place, **BY_PAGE, end="short", first=0) == ["1", "2", "3"]
    assert [asked["page"] for asked in place.archive.asked] == ["0", "1"]


def test_by_page_number_until_the_total(place: Place) -> None:
    place.archive.answers = [_page(1, 2, mark="3"), _page(3, mark="3")]
    assert _numbers(place, **BY_PAGE, total="asOf") == ["1", "2", "3"]
    place.archive.answers = [_page(1, 2, mark="3"), _page(mark="3")]
    with pytest.raises(Malformed, match="只给出 2 行"):
        _numbers(place, **BY_PAGE, total="asOf")
    place.archive.answers = [_page(1, 2)]
    with pytest.raises(Malformed, match="总行数"):
        _numbers(place, **BY_PAGE, total="asOf")


@pytest.mark.parametrize("total", ["9" * 5000, "٣", "-1", ""])
def test_a_total_that_is_no_number(place: Place, total: str) -> None:
    place.archive.answers = [_page(1, 2, mark=total)]
    with pytest.raises(Malformed, match="总行数"):
        _numbers(place, **BY_PAGE, total="asOf")


def test_a_cursor_longer_than_any_is_not_remembered(place: Place) -> None:
    place.archive.answers = [_page(1, following="x" * 100_000)]
    with pytest.raises(Malformed, match="游标超过"):
        _numbers(place, row="record", cursor="page", next="following", limit="size")


@pytest.mark.parametrize("clock", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_clock_beyond_all_time(place: Place, clock: str) -> None:
    place.archive.answers = [_page(1, mark=clock)]
    window = {"from": "changedSince", "to": "area", "begin": "2020-01-01T00:00:00", "clock": "asOf"}
    with pytest.raises(Malformed, match="时间不可读"):
        _numbers(place, capture="batches", row="record", paging="none", limit=None, window=window)


def test_by_start_and_count(place: Place) -> None:
    place.archive.answers = [_page(1, 2), _page(3), _page()]
    given = BY_PAGE | {"paging": "offset", "start": "page"}
    assert _numbers(place, **given) == ["1", "2", "3"]
    assert [asked["page"] for asked in place.archive.asked] == ["0", "2", "3"]
    place.archive.answers = [_page()]
    assert _numbers(place, **given, first=1) == []
    assert place.archive.asked[-1]["page"] == "1"


def test_pages_that_never_end_are_stopped(place: Place) -> None:
    place.archive.answers = [_page(1)] * 9
    with pytest.raises(Malformed, match="3 页仍未结束"):
        _numbers(place, **BY_PAGE, pages=3)


def test_all_at_once(place: Place) -> None:
    place.archive.answers = [_page(1, 2, 3, following="p2")]
    assert _numbers(place, row="record", paging="none", limit=None) == ["1", "2", "3"]
    assert place.archive.asked == [{}]


WINDOW = {"from": "changedSince", "to": "area", "begin": "2026-01-01T00:00:00", "clock": "asOf"}


def test_by_windows_up_to_the_services_clock(place: Place) -> None:
    clock = "2026-01-02T12:00:00"
    place.archive.answers = [_page(1, mark=clock), _page(2, mark="2026-01-02T12:00:09")]
    given: dict[str, Any] = {"row": "record", "paging": "none", "limit": None, "window": WINDOW}
    assert _numbers(place, capture="batches", **given) == ["1", "2"]
    assert [(asked["changedSince"], asked["area"]) for asked in place.archive.asked] == [
        ("2026-01-01T00:00:00", "2026-01-02T00:00:00"),
        ("2026-01-02T00:00:00", "2026-01-03T00:00:00"),
    ]
    position = place.position  # type: ignore[attr-defined]
    assert position == {"to": "2026-01-02T04:00:00+00:00"}
    place.archive.answers = [_page(2, 3, mark="2026-01-02 13:00:00")]
    assert _numbers(place, position, capture="batches", **given) == ["2", "3"]
    assert place.archive.asked[-1] == {"changedSince": "2026-01-02T11:50:00", "area": "2026-01-03T11:50:00"}
    assert place.position == {"to": "2026-01-02T05:00:00+00:00"}  # type: ignore[attr-defined]


def test_windows_read_page_by_page(place: Place) -> None:
    window = WINDOW | {"width": 43_200, "form": "%Y%m%d%H%M"}
    clock = "2026-01-01T13:00:00"
    place.archive.answers = [_page(1, 2, mark=clock), _page(3), _page(4), _page()]
    given = BY_PAGE | {"end": "short", "window": window}
    assert _numbers(place, capture="batches", **given) == ["1", "2", "3", "4"]
    assert [(asked["changedSince"], asked["page"]) for asked in place.archive.asked] == [
        ("202601010000", "1"), ("202601010000", "2"), ("202601011200", "1"),
    ]  # fmt: skip


def test_a_snapshot_has_no_windows(place: Place) -> None:
    place.archive.answers = [_page(1)]
    assert _numbers(place, row="record", paging="none", limit=None, window=WINDOW) == ["1"]
    assert place.archive.asked == [{}]


@pytest.mark.parametrize("clock", ["", "soon"])
def test_a_service_that_does_not_tell_its_time(place: Place, clock: str) -> None:
    place.archive.answers = [_page(1, mark=clock)]
    with pytest.raises(Malformed, match="时间"):
        _numbers(place, capture="batches", row="record", paging="none", limit=None, window=WINDOW)


def test_without_an_element_the_date_of_the_answer_is_the_clock(place: Place) -> None:
    def answer(_: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/xml"), ("Date", "Thu, 01 Jan 2026 01:00:00 GMT")])
        return [_page(1).encode()]

    place.archive.answers = [answer]
    window = {name: value for name, value in WINDOW.items() if name != "clock"}
    _numbers(place, capture="batches", row="record", paging="none", limit=None, window=window)
    assert place.position == {"to": "2026-01-01T01:00:00+00:00"}  # type: ignore[attr-defined]


def test_a_clock_far_ahead_of_ours_is_not_taken_for_the_position(place: Place) -> None:
    given: dict[str, Any] = {"capture": "batches", "row": "record", "paging": "none", "limit": None}
    now = datetime.now(UTC)
    window = WINDOW | {"begin": now.isoformat(), "width": 366 * 86_400}
    near, far = ((now + timedelta(hours=hours)).isoformat() for hours in (23, 25))
    place.archive.answers = [_page(1, mark=near)]
    assert _numbers(place, window=window, **given) == ["1"]
    assert place.position == {"to": near}  # type: ignore[attr-defined]
    place.archive.answers = [_page(1, mark=far)]
    with pytest.raises(Malformed, match="比平台的时间晚了一天以上") as caught:
        _numbers(place, window=window, **given)
    assert "时钟" in caught.value.remedy

    def answer(_: Any, start_response: Any) -> list[bytes]:
        date = format_datetime(now + timedelta(hours=25), usegmt=True)
        start_response("200 OK", [("Content-Type", "text/xml"), ("Date", date)])
        return [_page(1).encode()]

    place.archive.answers = [answer]
    with pytest.raises(Malformed, match="比平台的时间晚了一天以上"):
        _numbers(place, window={name: value for name, value in window.items() if name != "clock"}, **given)


@pytest.mark.parametrize(
    "options",
    [
        {"paging": "page", "end": "short", "limit": None},
        {"window": WINDOW, "since": "x", "mark": "y"},
        {"window": WINDOW | {"begin": "then"}},
        {"window": {"from": "a"}},
        {"paging": "book"},
        {"entry": "item"},
    ],
)
def test_wrong_options(place: Place, options: dict[str, Any]) -> None:
    with pytest.raises(Misconfigured):
        _numbers(place, **options)


def test_codes_are_translated_and_unknown_ones_stay(place: Place) -> None:
    place.archive.answers = [_page(1, 2, 3)]
    given: dict[str, Any] = {"row": "record", "paging": "none", "limit": None}
    assert _numbers(place, **given, codes={"number": {"1": "男", "2": "女"}}) == ["男", "女", "3"]


def test_a_page_is_asked_for_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.webservice.patience.random.uniform", lambda *_: 0.0)
    binding = Binding(
        object="getRecords", columns={"number": "no"}, key=("number",),
        options={"row": "record", "cursor": "page", "next": "following", "limit": "size"},
    )  # fmt: skip
    cut = ("200 OK", "text/xml", _page(1, 2)[:-40])
    fault = envelope("<s:Fault><faultcode>s:Server</faultcode></s:Fault>")
    place.archive.answers = [("503 Busy", "text/plain", ""), cut, _page(1, 2, following="p"), fault, _page(3)]
    with open_endpoint("webservice", {"url": place.url, "attempts": 3}).source(binding) as source:
        rows = [row for batch in source.batches(Selection()) for row in batch.to_pylist()]
    assert [(row["number"], row[REFERENCE]) for row in rows] == [("1", "1.1"), ("2", "1.2"), ("3", "2.1")]
    assert [asked.get("page") for asked in place.archive.asked] == [None, None, None, "p", "p"]


def test_a_large_page_is_given_away_before_it_is_whole(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.webservice.client.HELD", 1000)
    monkeypatch.setattr("adapters.webservice.reader.PIECE", 1 << 16)
    cut = ("200 OK", "text/xml", _page(*range(20_000))[:-40])
    place.archive.answers = [cut, cut]
    binding = Binding(
        object="getRecords", columns={"number": "no"}, key=("number",), options={"row": "record", "paging": "none"}
    )
    rows = 0
    with (
        open_endpoint("webservice", {"url": place.url, "attempts": 3}).source(
            replace(binding, options={"row": "record", "paging": "none", "limit": "size"})
        ) as source,
        pytest.raises(Unavailable, match="中途断开"),
    ):
        for batch in source.batches(Selection()):
            rows += batch.num_rows
    assert 10_000 < rows < 20_000
    assert len(place.archive.asked) == 1
