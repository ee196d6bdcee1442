"""The demonstration as a visitor sees it: a table on the screen, or one JSON object."""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO
from zoneinfo import ZoneInfo

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from exchange.audit import Verification
from exchange.checks import RULES
from exchange.demo.city import CASE, CORRECTED, INSURANCE, NAMES, PERSON, PUSHED_EXCHANGE, RESULT, STEP, WRONG, City
from exchange.demo.scheduled import Scheduled
from exchange.engine import RunResult
from exchange.errors import Denied, HubError, Invalid, Misplaced
from exchange.hub.oversight import RefusedRow
from exchange.receipts import balanced
from exchange.settings.model import PREFIX

REVOKED = "办件结果给税务局"
COUNTS = {
    "read": "读取",
    "filtered": "过滤",
    "refused": "拒收",
    "unchanged": "未变",
    "superseded": "过时",
    "written": "写入",
    "deleted": "其中删除",
}
WAYS = {"database": "库表", "webservice": "服务", "file": "文件"}
CLASSES = {
    "natural_person": "自然人",
    "legal_person": "法人",
    "licence": "证照",
    "investment_project": "投资项目",
    "service_item": "服务事项",
    "case": "办件",
}
CASES = {CASE: "办件受理", STEP: "办件过程", RESULT: "办件结果"}
LEGEND = """\
读取 = 过滤 + 拒收 + 未变 + 过时 + 写入，每一项都在发生处计数。
过滤：不在授权的数据范围内，没有给出；拒收：不合校验规则，隔离并退回来源。
过时：版本低于已有的，没有覆盖；未变：与已有的相同。
服务事项按操作批次读取，有意与上次重叠，重读的行记为未变或过时。
服务：平台读发展改革委的 SOAP 服务，写住建局的；住建局、医保局的程序则调用
平台的接口，推送证照、读取法人。两个部门的服务和平台的接口都是独立的进程。
文件：市场监管局每天放入一个 GB18030 编码的 CSV 和其中所列的证照（PDF）。
"""
WIDTH = 80
"""Columns of the tables, whatever the screen has: a wider one shows no more, a narrower one folds."""


@dataclass(frozen=True)
class Play:
    """What happened in the city.

    Attributes:
        first: Runs of the first round.
        second: Runs of the second round, in which only changes move.
        insured: How many new rows the insurance office's own system found after each round.
        findings: Rows refused, or kept with a state, in both rounds.
        stopped: Why nothing more is delivered under the revoked grant.
        verification: What the log's verification found.
        discrepancies: Where what departments sent, or hold by SOAP or in drops, is not what the receipts say.
        received: What the housing office's service has: messages, rows taken out, rows held.
        dropped: Rows and documents in the two drops: the housing office's, and the tax office's.
    """

    first: Sequence[RunResult]
    second: Sequence[RunResult]
    insured: tuple[int, int]
    findings: Sequence[RefusedRow]
    stopped: Sequence[str]
    verification: Verification
    discrepancies: Sequence[str]
    received: tuple[int, int, int]
    dropped: Sequence[tuple[int, int]]

    @property
    def runs(self) -> list[RunResult]:
        """The runs of both rounds."""
        return [*self.first, *self.second]

    @property
    def unbalanced(self) -> list[RunResult]:
        """Runs whose books do not balance."""
        return [result for result in self.runs if not balanced(result.counts)]

    @property
    def well(self) -> bool:
        """Whether every book balances, the log verifies, and departments have what the receipts say."""
        return not self.unbalanced and self.verification.verified and not self.discrepancies


class Screen:
    """Lines and tables for people.

    Args:
        file: A terminal or a pipe.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._console = Console(file=file, width=WIDTH, markup=False, highlight=False, emoji=False)

    def say(self, line: str = "", tone: str = "") -> None:
        """Say a line; a terminal folds it by itself, so that what is copied from it is whole."""
        self._write(line, style=tone, soft_wrap=True)

    def show(self, table: Table) -> None:
        """Show a table."""
        self._write(table)

    def _write(self, *what: Any, **how: Any) -> None:
        # Written by ourselves, as the console would end the program itself if whoever reads has gone.
        with self._console.capture() as captured:
            self._console.print(*what, **how)
        self._file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))
        self._file.flush()


def run(*, as_json: bool = False, home: Path | None = None, airflow: bool = False) -> int:
    """Set a city up, exchange, change the sources, exchange again, and show what moved.

    Args:
        as_json: One JSON object on standard output instead of tables.
        home: Where to make it; by default a fresh folder, kept for looking at.
        airflow: Whether Airflow carries the exchanges out.

    Returns:
        Exit status: 0 only if every book balances, the log verifies, and departments have what the receipts say.

    Raises:
        Misplaced: There is something in that home already.
        Invalid: The home cannot be made.
    """
    began = time.monotonic()
    home = _new_home(home)
    screen = Screen(sys.stderr if as_json else sys.stdout)
    screen.say(f"演示城市建在 {home}（保留，可随时查看）")
    with closing(City(home)) as city, ExitStack() as ended:
        if airflow:
            city.scheduled = Scheduled(city, screen.say)
            ended.callback(city.scheduled.stop)
        play = _play(city, screen)
    if as_json:
        for line in play.discrepancies:
            screen.say(line)
        document = json.dumps(_document(home, play), ensure_ascii=False, indent=2) + "\n"
        sys.stdout.flush()
        sys.stdout.buffer.write(document.encode())
        sys.stdout.buffer.flush()
        return 0 if play.well else 1
    for title, results in (("第一轮：来源有的，全部", play.first), ("第二轮：一个月后，只有变化", play.second)):
        screen.say()
        screen.show(_table(title, results))
    screen.say()
    for line in (*LEGEND.splitlines(), "", *_noteworthy(city, play), ""):
        screen.say(line)
    for line in _verdict(play, time.monotonic() - began):
        screen.say(line, "bold green" if play.well else "bold red")
    screen.say()
    for line in _next_steps(home, play):
        screen.say(line)
    return 0 if play.well else 1


def _new_home(home: Path | None) -> Path:
    """A home that holds nothing yet."""
    try:
        if home is None:
            stamp = datetime.now(ZoneInfo("Asia/Shanghai")).strftime("%Y%m%d-%H%M%S-")
            return Path(tempfile.mkdtemp(prefix=f"shutong-demo-{stamp}")).absolute()
        home = home.expanduser().absolute()
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        taken = any(home.iterdir())
    except OSError as error:
        where = home or tempfile.gettempdir()
        raise Invalid(
            f"不能在 {where} 建立演示的主目录：{error.strerror}", remedy="用 --home 指定一个可以建立的文件夹"
        ) from error
    if taken:
        raise Misplaced(
            f"{home} 里已有内容，没有改动", remedy="演示每次都新建主目录：换一个还没有的文件夹，或不写 --home"
        )
    return home


def _play(city: City, screen: Screen) -> Play:
    """Both rounds, with a grant revoked between them."""
    hub = city.hub
    screen.say(f"{len(NAMES)} 个部门登记 {city.resources} 个资源，各经两级审核发布；各部门提出申请，逐一得到答复……")
    city.report_first()
    city.apply_all()
    if city.scheduled is not None:
        city.scheduled.start()
    screen.say("第一轮：归集到基础库，再按授权共享……")
    first = _round(city)
    insured = city.insured_read()
    city.report_changes()
    grant = city.grants[REVOKED]
    hub.sharing.change(grant, "revoke", reason="业务已结束，停止共享", by=city.actor("approval-chief"))
    screen.say(f"一个月后：来源有增、改、删，有迟到的旧版本；授权“{REVOKED}”被撤销。")
    screen.say("第二轮：同样的交换再做一遍……")
    second = _round(city, skip=f"share-{grant}")
    stopped: list[str] = []
    try:
        hub.oversight.run(f"share-{grant}", by=city.actor("integrator"))
    except Denied as error:
        stopped = list(error.reasons)
    auditor = city.actor("auditor")
    return Play(
        first=first,
        second=second,
        insured=(insured, city.insured_read()),
        findings=hub.oversight.quarantine(by=auditor),
        stopped=stopped,
        verification=hub.oversight.verify(by=auditor),
        discrepancies=city.discrepancies([*first, *second]),
        received=city.received([*first, *second]),
        dropped=city.dropped(),
    )


def _round(city: City, skip: str = "") -> list[RunResult]:
    """Run every exchange once, synchronisations first."""
    standing = [status for status in city.hub.oversight.status() if status.id != skip]
    standing.sort(key=lambda status: (status.kind == "sharing", status.resource, status.recipient))
    try:
        if city.scheduled is not None:
            # What is shared from the base library is shared when all of it has come in.
            intake = [one.id for one in standing if one.kind != "sharing"]
            called = [PUSHED_EXCHANGE, city.fetched_exchange]
            came = city.scheduled.run(intake, called)
            return [*came, *city.scheduled.run([one.id for one in standing if one.id not in intake], called)]
        return [city.run(one.id) for one in standing]
    except HubError:
        # What is behind it may be a service that is gone.
        city.demand_running()
        raise


# --- for programs ------------------------------------------------------------------------------


def _document(home: Path, play: Play) -> dict[str, Any]:
    return {
        "home": str(home),
        "exchanges": [_entry(result) for result in play.runs],
        "audit": {"events": play.verification.events, "verified": play.verification.verified},
        "balanced": not play.unbalanced,
    }


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


# --- for people --------------------------------------------------------------------------------


def _table(title: str, results: Sequence[RunResult]) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False
    )
    for heading in ("方式", "数据", "提供→接收"):
        table.add_column(heading, no_wrap=True)
    for heading in COUNTS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        plan = result.plan
        recipient = "基础库" if plan.kind == "synchronisation" else NAMES[plan.recipient]
        table.add_row(
            WAYS[plan.way],
            CASES.get(plan.resource) or CLASSES[plan.record_class],
            f"{NAMES[plan.provider]}→{recipient}",
            *(str(result.counts[name]) for name in COUNTS),
        )
    return table


def _noteworthy(city: City, play: Play) -> Iterator[str]:
    """What in the tables is worth a second look."""
    refused = [finding for finding in play.findings if not finding.kept]
    rules = Counter(RULES[finding.rule].title for finding in refused)
    yield "造错 {} 行，拒收 {} 行，其中 {} 行改正后收下；理由写回前置库、文件和应答：".format(
        sum(WRONG.values()), _sum(play.runs, "refused"), CORRECTED
    )
    yield from (f"  {title} {count}" for title, count in rules.items())
    kept = len(play.findings) - len(refused)
    yield f"保留 {kept} 行：办件引用的服务事项没有登记，先收下并记下状态（规则 reference）。"
    deleted = _sum([result for result in play.second if result.plan.kind == "synchronisation"], "deleted")
    late = _sum([result for result in play.second if result.plan.resource == CASE], "superseded")
    yield f"基础库删除 {deleted} 行，留有墓碑。迟到的旧版本 {late} 行没有盖住新的。"
    left = _sum([result for result in play.second if _to(result, PERSON, INSURANCE)], "deleted")
    yield "医保局只得到海陵、高港两区的人，姓名脱敏；它的系统两轮各读到新行 {}、{} 行，".format(*play.insured)
    yield f"迁出两区的 {left} 人已从它的表中收回。"
    messages, gone, held = play.received
    yield f"住建局的服务收到 {messages} 份报文，其中删除 {gone} 行，现有 {held} 行服务事项；"
    sent = city.programmes.pushed.values()
    yield f"它的程序推送 {sum(one.rows for one in sent)} 行，收下 {sum(one.accepted for one in sent)} 行；"
    read = city.programmes.fetched.values()
    pages, rows = sum(one.pages for one in read), sum(one.put + one.gone for one in read)
    agreed = "有不符" if play.discrepancies else "逐笔相符"
    yield f"医保局的程序分 {pages} 页读到 {rows} 行；"
    (rows, papers), (bare, _) = play.dropped
    where = f"目录（不在 SFTP 服务器上：{city.no_server}）" if city.no_server else "SFTP 目录"
    yield f"住建局的{where}收到 {rows} 行和随行的 {papers} 份证照文件，"
    yield f"税务局的授权不含附件，只收到 {bare} 行。以上与平台的回执{agreed}。"
    for title, reasons in city.refused.items():
        yield f"未同意“{title}”："
        yield from (f"  {reason}" for reason in reasons)
    for reason in play.stopped:
        yield f"不再送达“{REVOKED}”：{reason}，已送达的不受影响。"


def _verdict(play: Play, seconds: float) -> Iterator[str]:
    verification = play.verification
    books = f"{len(play.unbalanced)} 笔不平" if play.unbalanced else "每一笔都平"
    log = "核验通过" if verification.verified else "核验不通过"
    yield f"账目：{len(play.runs)} 笔，{books}。日志：{verification.events} 条，{log}。用时 {seconds:.0f} 秒。"
    yield from (f"  账不平：交换 {result.plan.exchange}，批次 {result.id}" for result in play.unbalanced)
    yield from (f"  {line}" for line in play.discrepancies)
    yield from (f"  日志：{fault.place}：{fault.message}" for fault in verification.faults)


def _next_steps(home: Path, play: Play) -> Iterator[str]:
    insured = next((result.receipt for result in play.second if _to(result, PERSON, INSURANCE)), None)
    ignored = sorted(name for name in os.environ if name.startswith(PREFIX) and name != f"{PREFIX}HOME")
    yield "接着看："
    if ignored:
        yield f"  unset {' '.join(ignored)}"
    yield f"  export SHUTONG_HOME={shlex.quote(str(home))}"
    yield "  ./shutong --as auditor status  # 每个交换最近一次的结果"
    yield "  ./shutong --as police quarantine list  # 公安局哪些行被拒收，为什么"
    if insured:
        yield f"  ./shutong --as auditor trace {insured}  # 医保局这一笔的来历"


def _to(result: RunResult, resource: str, recipient: str) -> bool:
    return (result.plan.resource, result.plan.recipient) == (resource, recipient)


def _sum(results: Sequence[RunResult], count: str) -> int:
    return sum(result.counts[count] for result in results)
