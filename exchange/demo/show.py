"""The demonstration as a visitor sees it: a table on the screen, or one JSON object."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from exchange.demo.city import NAMES, City
from exchange.engine import RunResult
from exchange.errors import Denied
from exchange.receipts import balanced

REVOKED = "办件结果给税务局"
COUNTS = ("read", "filtered", "refused", "unchanged", "superseded", "written", "deleted")
WAYS = {"database": "库表", "webservice": "服务", "file": "文件"}
CLASSES = {
    "natural_person": "自然人",
    "legal_person": "法人",
    "licence": "证照",
    "investment_project": "投资项目",
    "service_item": "服务事项",
    "case": "办件",
}


def run(*, as_json: bool = False, home: Path | None = None) -> int:
    """Set a city up, exchange, change the sources, exchange again, and show what moved.

    Args:
        as_json: One JSON object on standard output instead of tables.
        home: Where to make it; by default a fresh folder, kept for looking at.

    Returns:
        Exit status: 0 only if every book balances and the log verifies.
    """
    if home is None:
        stamp = datetime.now(ZoneInfo("Asia/Shanghai")).strftime("%Y%m%d-%H%M%S-")
        home = Path(tempfile.mkdtemp(prefix=f"shutong-demo-{stamp}"))
    home = home.absolute()
    screen = Console(file=sys.stderr if as_json else sys.stdout, highlight=False)
    say = partial(screen.print, soft_wrap=True)
    say(f"演示城市建在 {home}（保留，可随时查看）")
    city = City(home)
    try:
        first, second, stopped, verification = _play(city, say)
    finally:
        city.close()
    books = all(balanced(result.counts) for result in [*first, *second])
    if as_json:
        document = {
            "home": str(home),
            "exchanges": [_entry(result) for result in [*first, *second]],
            "audit": {"events": verification.events, "verified": verification.verified},
            "balanced": books,
        }
        print(json.dumps(document, ensure_ascii=False, indent=2))  # noqa: T201 - the answer asked for
    else:
        _tables(screen, city, first, second, stopped)
        say(f"账目：{'每一笔都平' if books else '有账不平'}。日志：{verification.events} 条，"
            f"{'核验通过' if verification.verified else '核验不通过'}。")  # fmt: skip
        say(f"接着看：SHUTONG_HOME={home} ./shutong --as auditor status")
    return 0 if books and verification.verified else 1


def _play(city: City, say: Callable[[str], None]) -> tuple[list[RunResult], list[RunResult], list[str], Any]:
    """Both rounds, with a grant revoked between them."""
    say("七个部门登记八个资源，两级审核后发布；各部门提出申请，提供部门逐一答复……")
    city.report_first()
    city.apply_all()
    say("第一轮：归集到基础库，再按授权共享……")
    first = _round(city)
    city.report_changes()
    grant = city.grants[REVOKED]
    city.hub.sharing.change(grant, "revoke", reason="业务已结束，停止共享", by=city.actor("approval-chief"))
    say(f"一个月后：来源有增、改、删和迟到的旧版本；授权“{REVOKED}”被撤销。第二轮：只有变化在动……")
    second = _round(city, skip=f"share-{grant}")
    stopped = []
    try:
        city.hub.oversight.run(f"share-{grant}", by=city.actor("integrator"))
    except Denied as error:
        stopped = list(error.reasons)
    return first, second, stopped, city.hub.oversight.verify(by=city.actor("auditor"))


def _round(city: City, skip: str = "") -> list[RunResult]:
    """Run every exchange once, synchronisations first."""
    by = city.actor("integrator")
    names = [status.id for status in city.hub.oversight.status() if status.id != skip]
    return [city.hub.oversight.run(name, by=by) for name in names]


def _entry(result: RunResult) -> dict[str, Any]:
    plan = result.plan
    return {
        "id": plan.exchange,
        "kind": plan.kind,
        "way": plan.way,
        "class": plan.record_class,
        "provider": NAMES[plan.provider],
        "recipient": NAMES[plan.recipient],
        **{name: result.counts[name] for name in COUNTS},
        "seconds": round(result.seconds, 3),
        "receipt": result.receipt,
    }


def _tables(screen: Console, city: City, first: list[RunResult], second: list[RunResult], stopped: list[str]) -> None:
    for title, results in (("第一轮：全部", first), ("第二轮：只有变化", second)):
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        for heading in ("方式", "数据", "提供→接收"):
            table.add_column(heading, no_wrap=True)
        for heading in ("读取", "授权外", "拒收", "未变", "旧版", "写入", "删除"):
            table.add_column(heading, justify="right", no_wrap=True)
        for result in results:
            plan = result.plan
            recipient = "基础库" if plan.kind == "synchronisation" else NAMES[plan.recipient]
            table.add_row(
                WAYS[plan.way],
                CLASSES[plan.record_class],
                f"{NAMES[plan.provider]}→{recipient}",
                *(str(result.counts[name]) for name in COUNTS),
            )
        screen.print(table)
    screen.print("读取 = 授权外 + 拒收 + 未变 + 旧版 + 写入；删除含在写入内。\n")
    for title, reasons in city.refused.items():
        screen.print(f"未同意“{title}”：{'；'.join(reasons)}", soft_wrap=True)
    for reason in stopped:
        screen.print(f"不再送达“{REVOKED}”：{reason}", soft_wrap=True)
