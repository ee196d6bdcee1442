"""Exchanges (交换): how they stand, what they will do next; run, paused, set, compared."""

from __future__ import annotations

from typing import Annotated, Any, cast, get_args

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from exchange.api.calls import Asked, Cursor, Filter, Limit, Match, Name, Page, Sent, Why, closed, last_of, turned
from exchange.api.door import Door
from exchange.api.parties import Changed, Pause
from exchange.api.works import WorkStatus, begin
from exchange.db.tables import ExchangeRow
from exchange.engine import Comparison, Preview, RunResult
from exchange.hub.exchanges import State
from exchange.hub.oversight import ExchangeStatus
from exchange.hub.previewing import ROWS
from exchange.plan import Tolerance

router = APIRouter(route_class=Door, tags=["交换"])


class Place(BaseModel):
    """One end of an exchange (一端)."""

    endpoint: str
    object: str


class Outlook(BaseModel):
    """What the next run will do (执行方案)."""

    exchange: str
    plan: str = Field(description="方案的摘要")
    resource: str
    grant: str
    source: Place
    target: Place
    capture: str = Field(description="读取方式")
    full: bool = Field(description="全量读取")
    guarantee: str = Field(description="送达的保证")
    tolerance: Tolerance
    refresh: dict[str, Any] | None = Field(description="全量刷新：怎样刷新，为什么")
    remarks: list[str] = Field(description="须知")


class Fit(BaseModel):
    """What does not fit at the target (交换自检)."""

    where: str
    message: str
    remedy: str


class Run(Sent):
    """How an exchange is to be run (执行)."""

    redeliver: bool = Field(default=False, description="目标端恢复过备份：全部重新交付")
    after_restore: bool = Field(default=False, description="平台恢复过备份：放弃没有办完的批次")
    accept_fall: int | None = Field(None, ge=0, le=2**62, description="接受这一次全量刷新后至少剩这么多行")
    parts: int | None = Field(None, ge=2, le=64, description="全量读取时分几段")


class Reconcile(Sent):
    """How both ends are to be compared (对账)."""

    keys: bool = Field(default=False, description="显示业务主键原值，只限交换双方的人员和审计管理员，记入日志")
    limit: int = Field(20, ge=1, le=1000, description="列出几行、几个区间")


class Settings(Sent):
    """What is set of an exchange (交换设定); what is left out is unset."""

    tolerance: dict[str, Any] | None = Field(None, description="容错：rows 行，share 占读取行的比例")
    refresh: str | None = Field(None, max_length=16, description="full：每次全量刷新目标表")
    may_fall: float | None = Field(None, ge=0, le=1, description="全量刷新时行数至多下降的比例")
    schedule: str | None = Field(None, max_length=100, description="五段的 cron 表达式，北京时间")
    priority: int | None = Field(None, ge=1, le=100, description="优先级")
    all_of: list[str] | None = Field(None, max_length=100, description="这些资源同日都更新后才执行")
    timeout_minutes: int | None = Field(None, ge=1, le=10080, description="执行时限")
    parts: int | None = Field(None, ge=1, le=64, description="全量读取时分几段")


class Difference(BaseModel):
    """One difference of a structure (结构变化)."""

    kind: str
    column: str
    before: str | None
    after: str | None
    holds: bool = Field(description="待批准")
    text: str
    why: str


class Side(BaseModel):
    """One end now, beside what it was (一端的结构)."""

    side: str
    endpoint: str
    object: str
    recorded: bool = Field(description="已经记录过结构")
    changes: list[Difference]


class Structures(BaseModel):
    """Both ends of an exchange (两端的结构)."""

    exchange: str
    held: bool = Field(description="有待批准的变化，交换不会执行")
    sides: list[Side]


def result_of(result: RunResult) -> dict[str, Any]:
    """What a run came to, as it is told."""
    plan = result.plan
    return {
        "id": result.id,
        "exchange": plan.exchange,
        "kind": plan.kind,
        "way": plan.way,
        "resource": plan.resource,
        "grant": plan.grant,
        "state": str(result.state),
        "counts": dict(result.counts),
        "files": dict(result.files),
        "seconds": round(result.seconds, 3),
        "receipt": result.receipt,
        "reasons": list(result.reasons),
        "owed": list(result.owed),
    }


@router.get("/exchanges", summary="列出交换")
def exchanges(
    call: Asked,
    resource: Filter = None,
    state: Filter = None,
    kind: Filter = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[ExchangeStatus]:
    """The exchanges the caller may see, and how the last run of each ended."""
    if state is not None and state not in get_args(State):
        return turned(call, [], None)
    found = call.hub.exchanges.listed(
        by=call.by,
        resource=resource,
        state=cast(State | None, state),
        kind=kind,
        after=last_of(cursor) or None,
        most=limit,
    )
    return turned(call, found.exchanges, closed(found.following) if found.following else None)


@router.get("/exchanges/{name:code}", summary="查看交换")
def exchange(call: Asked, name: Name) -> ExchangeStatus:
    """One exchange, and how its last run ended."""
    return call.hub.exchanges.status(name, by=call.by)


@router.get("/exchanges/{name:code}/plan", summary="查看执行方案")
def plan(call: Asked, name: Name) -> Outlook:
    """What the next run will do; nothing is read or changed."""
    planned, refreshing = call.hub.sharing.outlook(name, by=call.by)
    refresh = None if planned.refresh is None else planned.refresh.model_dump(mode="json")
    if refresh is not None and refreshing is not None:
        refresh |= {"how": refreshing.how, "why": list(refreshing.why)}
    return Outlook(
        exchange=name,
        plan=planned.digest(),
        resource=planned.resource,
        grant=planned.grant,
        source=Place(endpoint=planned.source.endpoint, object=planned.source.object),
        target=Place(endpoint=planned.target.endpoint, object=planned.target.object),
        capture=planned.source.capture,
        full=planned.full,
        guarantee=planned.guarantee,
        tolerance=planned.tolerance,
        refresh=refresh,
        remarks=list(planned.remarks),
    )


@router.get("/exchanges/{name:code}/preview", summary="脱敏预览")
def preview(
    call: Asked, name: Name, rows: Annotated[int, Query(ge=1, le=100, description="至多几行")] = ROWS
) -> Preview:
    """The first rows as they would be delivered, and what the checks find; nothing is changed, the look is logged."""
    return call.hub.previewing.look(name, by=call.by, rows=rows)


@router.get("/exchanges/{name:code}/fit", summary="检查目标端")
def fit(call: Asked, name: Name) -> list[Fit]:
    """Everything about an exchange that does not fit its target; empty: it fits."""
    call.hub.sharing.outlook(name, by=call.by)
    return [Fit(where=each.where, message=each.message, remedy=each.remedy) for each in call.hub.sharing.check(name)]


@router.get(
    "/exchanges/{name:code}/script",
    summary="取建表脚本",
    response_class=Response,
    responses={200: {"content": {"application/sql": {"schema": {"type": "string"}}}}},
)
def script(call: Asked, name: Name) -> Response:
    """The script that a department's administrator runs before the first delivery."""
    call.hub.sharing.outlook(name, by=call.by)
    return Response(call.hub.sharing.prepare(name), media_type="application/sql; charset=utf-8")


@router.get("/exchanges/{name:code}/settings", summary="查看交换设定")
def settings(call: Asked, name: Name) -> Settings:
    """What is set of an exchange: tolerance, refresh, schedule."""
    found = Settings(**call.hub.configuration.own_of(name, by=call.by))
    call.tagged(found)
    return found


@router.put("/exchanges/{name:code}/settings", summary="更改交换设定")
def put_settings(call: Asked, name: Name, given: Settings, if_match: Match = None) -> Settings:
    """Set tolerance, refresh and schedule of an exchange, by ``If-Match``; what is left out is unset."""

    def current() -> Any:
        return Settings(**call.hub.configuration.own_of(name, by=call.by))

    with call.matching(current, hold=lambda s: s.get(ExchangeRow, name, with_for_update=True), required=True):
        call.hub.configuration.configure(name, given.model_dump(exclude_none=True), by=call.by)
    found = current()
    call.tagged(found)
    return found  # type: ignore[no-any-return]  # it is what current() makes


@router.post("/exchanges/{name:code}/runs", summary="立即执行", status_code=202)
def run(call: Asked, name: Name, given: Run | None = None) -> WorkStatus:
    """Run an exchange now; an unfinished run of it is carried to its end instead. Followed by its work and its run."""
    hub, by = call.hub, call.by
    asked = given or Run()
    options: dict[str, Any] = {each: True for each in ("redeliver", "after_restore") if getattr(asked, each)}
    options |= {} if asked.accept_fall is None else {"accept_fall": asked.accept_fall}
    options |= {} if asked.parts is None else {"parts": asked.parts}
    return begin(call, f"run {name}", lambda tell: result_of(hub.oversight.run(name, by=by, observe=tell, **options)))


@router.post("/exchanges/{name:code}/replays", summary="重送隔离行", status_code=202)
def replay(call: Asked, name: Name) -> WorkStatus:
    """Deliver what was corrected, and what the rules of today accept, in a run of its own."""
    hub, by = call.hub, call.by
    return begin(call, f"run {name}", lambda tell: result_of(hub.mending.replay(name, by=by, observe=tell)))


@router.post("/exchanges/{name:code}/reconciliations", summary="对账", status_code=202)
def reconcile(call: Asked, name: Name, given: Reconcile | None = None) -> WorkStatus:
    """Compare what the recipient holds with what it should hold; nothing is delivered."""
    hub, by = call.hub, call.by
    asked = given or Reconcile()

    def do(tell: Any) -> Any:
        return hub.oversight.reconcile(
            name, by=by, keys=asked.keys, most_rows=asked.limit, most_ranges=asked.limit, observe=tell
        )

    return begin(call, f"reconcile {name}", do)


@router.post("/exchanges/{name:code}/pause", summary="暂停交换")
def pause(call: Asked, name: Name, given: Pause) -> Changed:
    """Let an exchange rest; what runs already is carried to its end."""
    found = call.hub.pausing.pause("exchange", name, reason=given.reason, until=given.until, by=call.by)
    return Changed(exchanges=list(found))


@router.post("/exchanges/{name:code}/resume", summary="恢复交换")
def resume(call: Asked, name: Name, given: Why) -> Changed:
    """Wake what rests."""
    return Changed(exchanges=list(call.hub.pausing.resume("exchange", name, reason=given.reason, by=call.by)))


@router.get("/exchanges/{name:code}/structures", summary="比较两端的结构")
def structures(call: Asked, name: Name) -> Structures:
    """Both ends as they are now, beside what they were when that was last in order; changes nothing."""
    return _compared(name, call.hub.structures.diff(name, by=call.by))


@router.post("/exchanges/{name:code}/structures/approval", summary="批准结构变化")
def approve(call: Asked, name: Name, given: Why) -> Structures:
    """Accept what holds an exchange, as it is found now, and let it run: never by the department that changed it."""
    return _compared(name, call.hub.structures.approve(name, reason=given.reason, by=call.by))


def _compared(name: str, compared: tuple[Comparison, ...]) -> Structures:
    sides = [
        Side(
            side=each.look.side,
            endpoint=each.look.end.endpoint,
            object=each.look.end.object,
            recorded=each.before is not None,
            changes=[
                Difference(
                    kind=change.difference.kind,
                    column=change.difference.column,
                    before=change.difference.before,
                    after=change.difference.after,
                    holds=change.holds,
                    text=str(change.difference),
                    why=change.why,
                )
                for change in each.changes
            ],
        )
        for each in compared
    ]
    return Structures(exchange=name, held=any(each.holds for each in compared), sides=sides)
