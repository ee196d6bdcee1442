"""The dashboard (统计): what moved in a period, between whom, how well, how fast, and how fresh it all is."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.responses import Response

from catalog.vocabulary import SHARE_WAYS, UPDATE_CYCLES
from exchange.audit.exporting import MEDIA_TYPES
from exchange.console import charts
from exchange.console.log import FILES, sent_file
from exchange.console.periods import day
from exchange.console.views import Page, View
from exchange.engine import Tally
from exchange.errors import Invalid
from exchange.hub.figures import DEFAULT, CycleFreshness, DayVolume, Flow
from exchange.messages import _
from exchange.web.errors import status_of
from exchange.words import BEIJING

router = APIRouter(include_in_schema=False)

SPANS = ((7, _("7 天")), (30, _("30 天")), (90, _("90 天")), (365, _("一年")))
"""Periods that one button names; each ends today."""
SHADES = 5
"""Shades of the matrix, the darkest for the most."""
SIDE = 16
"""Rows and columns of the matrix; beyond that nobody reads it, and the others stand together in the last."""
_OTHERS = ""
_STATES = {"timely": _("如期"), "overdue": _("逾期"), "resting": _("暂停")}


@dataclass(frozen=True)
class DayLine:
    """One day of the table behind the charts."""

    day: date
    written: dict[str, int]
    figures: Tally

    @property
    def success(self) -> float | None:
        """Runs that delivered."""
        return self.figures.delivered / self.figures.runs if self.figures.runs else None

    @property
    def refusal(self) -> float | None:
        """Rows refused of those read."""
        return self.figures.refused / self.figures.read if self.figures.read else None


@dataclass(frozen=True)
class Cell:
    """What one department gave to another, and how dark that is."""

    flow: Flow | None
    shade: int


@router.get("/dashboard")
def dashboard(view: Page) -> Response:
    """All of it."""
    try:
        since, until = _period(view)
        found = view.hub.figures.dashboard(by=view.by, since=since, until=until)
    except Invalid as error:
        return view.render("dashboard.html", status_of(error), error=error, found=None, **_frame(view, {}))
    given = {"since": found.since.isoformat(), "until": found.until.isoformat()}
    days = _days(found.volume, found.since, found.until)
    busiest = max(days, key=lambda each: each.figures.written, default=None)
    providers, recipients, cells = _matrix(found.flows)
    return view.render(
        "dashboard.html",
        error=None,
        found=found,
        days=[each for each in reversed(days) if each.figures.runs],
        busiest=busiest,
        ways=_ways(found.volume),
        providers=providers,
        recipients=recipients,
        cells=cells,
        cycles=UPDATE_CYCLES,
        **_frame(view, given),
    )


def _frame(view: View, given: dict[str, str]) -> dict[str, Any]:
    today = datetime.now(BEIJING).date()
    asked = view.request.query_params
    return {
        "given": given or {"since": asked.get("since", ""), "until": asked.get("until", "")},
        "query": urlencode(given),
        "spans": [(title, (today - timedelta(days=many - 1)).isoformat(), today.isoformat()) for many, title in SPANS],
        "files": FILES,
        "way_names": SHARE_WAYS,
    }


@router.get("/dashboard/volume.svg")
def volume(view: Page) -> Response:
    """Rows written, by day and way."""
    found, days = _charted(view)
    ways = _ways(found)
    series = {SHARE_WAYS.get(way, way): [each.written.get(way, 0) for each in days] for way in ways}  # type: ignore[call-overload]  # any other is shown as it is
    return charts.image(charts.bars(_labels(days), series))


@router.get("/dashboard/rates.svg")
def rates(view: Page) -> Response:
    """Runs that delivered, and rows that were refused, as shares of each day."""
    _found, days = _charted(view)
    series = {
        _("批次成功率"): [each.success for each in days],
        _("拒收率"): [each.refusal for each in days],
    }
    return charts.image(charts.lines(_labels(days), series, colours=(charts.STATES[0], charts.STATES[2])))


@router.get("/dashboard/freshness.svg")
def freshness(view: Page) -> Response:
    """How many resources of each update cycle are in time."""
    found = view.hub.figures.cycles(by=view.by)
    labels = [UPDATE_CYCLES.get(each.cycle, each.cycle) for each in found]  # type: ignore[call-overload]  # any other is shown as it is
    series = {title: [_of(each, name) for each in found] for name, title in _STATES.items()}
    colours = (charts.STATES[0], charts.STATES[2], charts.STATES[3])
    return charts.image(charts.lying(labels, series, colours=colours))


@router.get("/dashboard/export")
def export(view: Page) -> Response:
    """The exchanges of the period with their figures, as a file."""
    chosen = view.request.query_params.get("format", "")
    if chosen not in FILES:
        raise Invalid(_("没有导出"), [], remedy=_("格式可选：{formats}").format(formats=_("、").join(FILES.values())))
    since, until = _period(view)
    out = tempfile.SpooledTemporaryFile(1 << 22)  # noqa: SIM115 - closed by who sends it
    try:
        view.hub.figures.export(out, chosen, by=view.by, since=since, until=until)  # type: ignore[arg-type]  # as good as open in binary
    except BaseException:
        out.close()
        raise
    name = _("统计_{moment}.{format}").format(moment=f"{datetime.now(BEIJING):%Y%m%d-%H%M%S}", format=chosen)
    return sent_file(out, name, MEDIA_TYPES[chosen])


def _period(view: View) -> tuple[date | None, date | None]:
    asked = view.request.query_params
    return day(asked.get("since", ""), _("起")), day(asked.get("until", ""), _("止"))


def _charted(view: View) -> tuple[tuple[DayVolume, ...], list[DayLine]]:
    since, until = _period(view)
    found = view.hub.figures.volume(by=view.by, since=since, until=until)
    last = until or datetime.now(BEIJING).date()
    return found, _days(found, since or last - DEFAULT + timedelta(days=1), last)


def _days(found: Iterable[DayVolume], since: date, until: date) -> list[DayLine]:
    """Every day of a period, those on which nothing ended, too."""
    written: dict[date, dict[str, int]] = defaultdict(dict)
    whole: dict[date, Tally] = defaultdict(Tally)
    for each in found:
        written[each.day][each.way] = each.figures.written
        whole[each.day] += each.figures
    many = (until - since).days + 1
    return [DayLine(each, written[each], whole[each]) for each in (since + timedelta(days=n) for n in range(many))]


def _labels(days: list[DayLine]) -> list[str]:
    return [f"{each.day:%m-%d}" for each in days]


def _ways(found: Iterable[DayVolume]) -> list[str]:
    there = {each.way for each in found}
    return [*(way for way in SHARE_WAYS if way in there), *sorted(there - set(SHARE_WAYS))]


def _of(each: CycleFreshness, name: str) -> int | None:
    return int(getattr(each, name)) or None


def _matrix(flows: Iterable[Flow]) -> tuple[list[str], list[str], list[list[Cell]]]:
    """Who gives to whom: providers as rows, recipients as columns, those that move the most first, others together."""
    given = list(flows)
    providers = _side((flow.provider, flow.figures.written) for flow in given)
    recipients = _side((flow.recipient, flow.figures.written) for flow in given)
    known: dict[tuple[str, str], Flow] = {}
    for flow in given:
        giver = flow.provider if flow.provider in providers else _OTHERS
        taker = flow.recipient if flow.recipient in recipients else _OTHERS
        before = known.get((giver, taker), Flow(giver, taker, 0, Tally()))
        known[giver, taker] = Flow(giver, taker, before.exchanges + flow.exchanges, before.figures + flow.figures)
    # What many move together says nothing about how dark one of them is.
    most = max((flow.figures.written for place, flow in known.items() if _OTHERS not in place), default=0)
    cells = [[_cell(known.get((giver, taker)), most) for taker in recipients] for giver in providers]
    return providers, recipients, cells


def _side(moved: Iterable[tuple[str, int]]) -> list[str]:
    """Departments along one side of the matrix."""
    sums: dict[str, int] = defaultdict(int)
    for name, written in moved:
        sums[name] += written
    ordered = sorted(sums, key=lambda each: (-sums[each], each))
    return ordered if len(ordered) <= SIDE else [*ordered[: SIDE - 1], _OTHERS]


def _cell(flow: Flow | None, most: int) -> Cell:
    if flow is None or not most:
        return Cell(flow, 0)
    if _OTHERS in (flow.provider, flow.recipient):
        return Cell(flow, 0)
    return Cell(flow, -(-flow.figures.written * SHADES // most))
