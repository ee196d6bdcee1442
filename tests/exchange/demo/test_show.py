"""What a visitor sees and a program is told, and how it ends when something is wrong."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from exchange.audit import Verification
from exchange.cli.root import app
from exchange.demo import run, show
from exchange.demo.city import CASE, PERSON, WRONG, City
from exchange.demo.show import LEGEND, WIDTH, Screen
from exchange.engine import RunResult
from exchange.errors import Failed, Invalid, Misplaced
from exchange.hub.oversight import Oversight
from exchange.identity import Actor
from exchange.receipts import BALANCE
from schemas import record_classes
from tests.exchange.demo.conftest import ROOT, Shown, Told
from tests.exchange.demo.eyes import one, query, services

ONE_EXCHANGE = "sync-102001001-0001"


# --- for programs --------------------------------------------------------------------------------


def test_a_program_is_told_one_object_of_the_form_it_expects(told: Told) -> None:
    assert told.status == 0, told.stderr
    document = told.document
    assert list(document) == ["home", "exchanges", "audit", "balanced"]
    assert document["home"] == str(told.home)
    assert document["balanced"] is True
    assert set(document["audit"]) == {"events", "verified"}
    assert document["audit"]["verified"] is True
    for entry in document["exchanges"]:
        assert list(entry) == [
            "id", "kind", "way", "class", "provider", "recipient", "read", "filtered", "refused",
            "unchanged", "superseded", "written", "deleted", "seconds", "receipt",
        ]  # fmt: skip
        assert entry["read"] == sum(entry[name] for name in BALANCE)
        assert 0 <= entry["deleted"] <= entry["written"]
        assert all(isinstance(entry[name], int) for name in ("read", "deleted", *BALANCE))
        assert isinstance(entry["seconds"], float)
        assert entry["provider"]
        assert entry["recipient"]
    assert {entry["kind"] for entry in document["exchanges"]} == {"synchronisation", "sharing"}
    assert {entry["way"] for entry in document["exchanges"]} == {"database", "webservice", "file"}
    assert {entry["class"] for entry in document["exchanges"]} == set(record_classes())


def test_there_is_one_entry_for_each_run_and_the_databases_say_the_same(told: Told) -> None:
    entries = told.document["exchanges"]
    runs = query(told.home / "hub.db", "SELECT * FROM run ORDER BY started_at")
    assert [entry["id"] for entry in entries] == [run["exchange"] for run in runs]
    assert len(entries) == 18 + 17
    assert {run["state"] for run in runs} == {"settled"}
    names = ("read", *BALANCE, "deleted")
    for entry, run_row in zip(entries, runs, strict=True):
        counts = {name: entry[name] for name in names}
        assert json.loads(run_row["counts"]) == counts
        (receipt,) = query(told.home / "hub.db", "SELECT * FROM receipt WHERE id = ?", entry["receipt"])
        assert receipt["run"] == run_row["id"]
        assert json.loads(receipt["body"])["counts"] == counts


def test_the_ledgers_beside_the_rows_say_the_same(told: Told) -> None:
    kept: dict[str, list[dict[str, int]]] = {}
    for file in [
        told.home / "library.db",
        *(told.home / "fronts" / f"{n}.db" for n in ("tax", "insurance", "housing")),
    ]:
        for row in query(file, "SELECT exchange, counts FROM shutong_ledger ORDER BY committed_at"):
            kept.setdefault(row["exchange"], []).append(json.loads(row["counts"]))
    others = {
        entry["id"] for entry in told.document["exchanges"] if entry["way"] != "database" and entry["kind"] == "sharing"
    }
    assert len(others) == 4, "files, a service and a box have no table beside the rows"
    for exchange in {entry["id"] for entry in told.document["exchanges"]} - others:
        entries = [entry for entry in told.document["exchanges"] if entry["id"] == exchange]
        assert [(c["written"], c["deleted"], c["unchanged"], c["superseded"]) for c in kept[exchange]] == [
            (e["written"], e["deleted"], e["unchanged"], e["superseded"]) for e in entries
        ]


def test_only_changes_move_in_the_second_round(told: Told) -> None:
    entries = told.document["exchanges"]
    first, second = entries[:18], entries[18:]
    assert sum(entry["written"] for entry in second) < sum(entry["written"] for entry in first) / 10
    assert sum(entry["refused"] for entry in first) == sum(WRONG.values())
    assert sum(entry["refused"] for entry in second) == 0
    assert sum(entry["unchanged"] for entry in first) == sum(entry["superseded"] for entry in first) == 0
    assert sum(entry["unchanged"] for entry in second) > 10
    stopped = {entry["id"] for entry in first} - {entry["id"] for entry in second}
    assert len(stopped) == 1


def test_the_log_holds_as_many_events_as_were_verified(told: Told) -> None:
    verified = query(told.home / "hub.db", "SELECT number FROM event WHERE type = 'LogVerified'")
    assert len(verified) == 1
    # The verification is an event itself, written afterwards.
    assert told.document["audit"]["events"] == verified[0]["number"] - 1


def test_progress_goes_beside_the_answer_and_not_into_it(told: Told) -> None:
    assert told.stdout.count(b"\n}\n") == 1
    assert told.stdout.startswith(b"{")
    assert b"\x1b" not in told.stdout
    assert "\x1b" not in told.stderr
    assert len(told.stderr.splitlines()) >= 4
    assert "Traceback" not in told.stderr


def test_a_program_reads_chinese_whatever_the_terminal_can_show(told: Told) -> None:
    """It was called in the C locale with an ASCII terminal."""
    assert "公安局".encode() in told.stdout
    assert {entry["provider"] for entry in told.document["exchanges"]} >= {"公安局", "市场监管局", "发展改革委"}


def test_the_hub_of_whoever_looks_is_left_alone(told: Told) -> None:
    assert list(told.own.iterdir()) == []
    assert (told.home / "hub.db").exists()
    assert (told.home / "library.db").exists()


def test_it_takes_less_than_a_minute(told: Told) -> None:
    """Of work: how long others keep the machine's processors busy is not its fault."""
    assert told.busy < 60
    assert sum(entry["seconds"] for entry in told.document["exchanges"]) > 0


# --- for visitors --------------------------------------------------------------------------------


def test_a_visitor_sees_every_run_with_its_figures(shown: Shown) -> None:
    assert shown.status == 0
    rows = [re.split(r"  +", line) for line in shown.lines if "→" in line and "提供" not in line]
    assert len(rows) == len(shown.play.runs) == 35
    for row, result in zip(rows, shown.play.runs, strict=True):
        names = ("read", "filtered", "refused", "unchanged", "superseded", "written", "deleted")
        assert [int(cell) for cell in " ".join(row[3:]).split()] == [result.counts[name] for name in names]
    assert {row[0] for row in rows} == {"库表", "服务", "文件"}
    assert {row[1] for row in rows} == {
        "自然人", "法人", "证照", "投资项目", "服务事项", "办件受理", "办件过程", "办件结果",
    }  # fmt: skip


def test_no_two_rows_of_a_round_look_alike(shown: Shown) -> None:
    for results in (shown.play.first, shown.play.second):
        table = show._table("", results)
        lines = list(zip(*(column.cells for column in table.columns[:3]), strict=True))
        assert len(set(lines)) == len(lines) == len(results)


def test_the_words_of_the_columns_are_those_of_the_command_line() -> None:
    from exchange.words import BOOKS

    assert show.COUNTS == BOOKS


def test_nothing_but_quotations_is_wider_than_eighty_columns(shown: Shown) -> None:
    reasons = {reason for reasons in shown.city.refused.values() for reason in reasons}
    quoted = [line for line in shown.lines if line.strip() in reasons or str(shown.home) in line]
    assert [line for line in shown.lines if line not in quoted and cell_len(line) > WIDTH] == []
    assert WIDTH == 80
    assert all(line == line.rstrip() for line in shown.lines)
    assert all(line in shown.text for line in LEGEND.splitlines())


def test_a_pipe_gets_no_colour(shown: Shown) -> None:
    assert "\x1b" not in shown.text


def test_what_is_said_beside_the_tables_is_true(shown: Shown) -> None:
    home = shown.home
    text = shown.text
    refused = one(home / "hub.db", "SELECT count(*) FROM quarantine WHERE rule <> 'reference'")
    kept = one(home / "hub.db", "SELECT count(*) FROM quarantine WHERE rule = 'reference'")
    graves = one(home / "library.db", "SELECT count(*) FROM shutong_tombstone")
    late = one(home / "fronts" / "approval.db", "SELECT count(*) FROM EA_JC_STEP_BASICINFO WHERE DATAVER = '0'")
    assert f"造错 {sum(WRONG.values())} 行，拒收 {refused} 行" in text
    assert f"保留 {kept} 行：办件引用的服务事项没有登记" in text
    assert "（规则 reference）" in text
    assert f"基础库删除 {graves} 行，留有墓碑。迟到的旧版本 {late} 行没有盖住新的。" in text
    assert "两轮各读到新行 {}、{} 行".format(*shown.play.insured) in text
    assert "住建局的SFTP 目录收到 157 行和随行的 157 份证照文件，" in text
    assert "税务局的授权不含附件，只收到 157 行。以上与平台的回执逐笔相符。" in text
    for title, reasons in shown.city.refused.items():
        assert f"未同意“{title}”：" in text
        assert all(reason in text for reason in reasons)
    assert f"不再送达“{show.REVOKED}”：授权 {shown.city.grants[show.REVOKED]} 已撤销" in text
    events = shown.play.verification.events
    assert f"账目：35 笔，每一笔都平。日志：{events} 条，核验通过。" in text
    listed = re.findall(r"^  (\S+) (\d+)$", text, re.MULTILINE)
    assert sum(int(count) for _, count in listed) == refused


def test_the_last_lines_are_commands_that_work(shown: Shown) -> None:
    place = shown.lines.index("接着看：")
    export, *commands = [shlex.split(line, comments=True) for line in shown.lines[place + 1 :]]
    assert export == ["export", f"SHUTONG_HOME={shown.home}"]
    assert len(commands) == 3
    for launcher, *words in commands:
        assert launcher == "./shutong"
        answered = CliRunner(env={"SHUTONG_HOME": str(shown.home)}).invoke(app, words)
        assert answered.exit_code == 0, answered.output
        assert answered.stdout.strip()
    assert "share-" in answered.stdout, "the last one follows a delivery"


def test_the_home_is_quoted_and_variables_that_would_mislead_are_named(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHUTONG_HOME", "/srv/own")
    monkeypatch.setenv("SHUTONG_DIGEST", "sm3")
    lines = list(show._next_steps(Path("/tmp/a 'b'"), shown.play))
    assert shlex.split(lines[2]) == ["export", "SHUTONG_HOME=/tmp/a 'b'"]
    assert lines[1].split() == ["unset", "SHUTONG_DIGEST"]


# --- terminals -----------------------------------------------------------------------------------


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLORTERM", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    return Terminal()


COLOUR = re.compile(r"\x1b\[[\d;]*3[0-7]")


def test_a_terminal_gets_colour_unless_it_wants_none(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    Screen(terminal).say("每一笔都平", "bold green")
    assert COLOUR.search(terminal.getvalue())
    monkeypatch.setenv("NO_COLOR", "1")
    plain = Terminal()
    Screen(plain).say("每一笔都平", "bold green")
    assert "每一笔都平" in plain.getvalue()
    assert not COLOUR.search(plain.getvalue())


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_the_table_is_whole_on_every_terminal(
    shown: Shown, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("NO_COLOR", "1")
    Screen(terminal).show(show._table("第一轮", shown.play.first))
    text = re.sub(r"\x1b\[[\d;]*m", "", terminal.getvalue())
    assert "…" not in text
    table = [line for line in shown.lines if "→" in line and line.startswith(("库表", "服务", "文件"))]
    assert [line for line in text.splitlines() if "→" in line and "提供" not in line] == table[:18]


def test_a_long_line_is_not_broken(terminal: Terminal) -> None:
    Screen(terminal).say("x" * 300 + "[bold]:smile:")
    assert terminal.getvalue() == "x" * 300 + "[bold]:smile:\n"


# --- where it is made ----------------------------------------------------------------------------


def test_each_home_is_fresh_and_its_owner_s_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    homes = {show._new_home(None) for _ in range(3)}
    assert len(homes) == 3
    for home in homes:
        assert home.parent == tmp_path
        assert home.name.startswith("shutong-demo-")
        assert home.stat().st_mode & 0o777 == 0o700


def test_a_home_may_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert show._new_home(Path("a/b")) == tmp_path / "a" / "b"
    assert show._new_home(Path("a/b")) == tmp_path / "a" / "b", "an empty folder will do"
    assert show._new_home(Path("~/city")) == tmp_path / "me" / "city"


def test_a_home_with_something_in_it_is_left_as_it_is(shown: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in shown.home.rglob("*") if "logs" not in path.parts}
    with pytest.raises(Misplaced, match="已有内容") as raised:
        run(home=shown.home)
    assert "--home" in raised.value.remedy
    assert {path: path.stat().st_mtime_ns for path in shown.home.rglob("*") if "logs" not in path.parts} == before
    assert capsys.readouterr().out == "", "nothing was announced"


def test_a_home_that_cannot_be_made_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for home in (tmp_path / "file", tmp_path / "file" / "city"):
        with pytest.raises(Invalid, match="不能在") as raised:
            run(home=home)
        assert str(home) in raised.value.message
        assert raised.value.remedy
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(Invalid, match="nowhere"):
        run()


def test_the_command_says_it_in_words(shown: Shown) -> None:
    answered = CliRunner().invoke(app, ["demo", "--json", "--home", str(shown.home)])
    assert answered.exit_code == Misplaced.status
    assert json.loads(answered.stdout)["error"]["kind"] == "misplaced"


# --- when something is wrong ---------------------------------------------------------------------


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """One exchange a round is enough to see how it ends."""

    def round_of_one(city: City, skip: str = "") -> list[RunResult]:
        return [city.hub.oversight.run(ONE_EXCHANGE, by=city.actor("integrator"))]

    monkeypatch.setattr(show, "_round", round_of_one)


def ended(home: Path, capsys: pytest.CaptureFixture[str], **how: Any) -> tuple[int, str]:
    status = run(home=home, **how)
    return status, capsys.readouterr().out


@contextmanager
def losing_a_row() -> Iterator[None]:
    """The engine says it wrote one row less than it did."""
    carried_out = Oversight.run

    def less(self: Oversight, exchange: str, *, by: Actor) -> RunResult:
        result = carried_out(self, exchange, by=by)
        return replace(result, counts={**result.counts, "written": result.counts["written"] - 1})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Oversight, "run", less)
        yield


@contextmanager
def tampering(statement: str) -> Iterator[None]:
    """Somebody changes the log behind the hub's back, at the last moment before it is verified."""
    verified = Oversight.verify

    def too_late(self: Oversight, *, by: Actor) -> Verification:
        with closing(sqlite3.connect(self._hub.settings.home / "hub.db")) as connection, connection:
            assert connection.execute(statement).rowcount
        return verified(self, by=by)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Oversight, "verify", too_late)
        yield


EDITED = "UPDATE event SET body = '{}' WHERE number = 20"
CUT = "DELETE FROM event WHERE number > 40"


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    ("wrong", "balanced", "verified"), [(losing_a_row, False, True), (lambda: tampering(CUT), True, False)],
    ids=["unbalanced", "tampered"],
)  # fmt: skip
def test_one_thing_wrong_is_an_end_with_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: Any, balanced: bool, verified: bool
) -> None:
    with wrong():
        status, text = ended(tmp_path / "city", capsys, as_json=True)
    document = json.loads(text)
    assert [entry["id"] for entry in document["exchanges"]] == [ONE_EXCHANGE] * 2
    assert (document["balanced"], document["audit"]["verified"]) == (balanced, verified)
    assert status == 1


@pytest.mark.usefixtures("short")
def test_a_visitor_is_told_what_is_wrong_and_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with losing_a_row(), tampering(EDITED):
        status, text = ended(tmp_path / "city", capsys)
    assert status == 1
    assert "账目：2 笔，2 笔不平" in text
    assert text.count(f"账不平：交换 {ONE_EXCHANGE}") == 2
    assert "核验不通过" in text
    assert re.search(r"^  日志：.*20.*：内容与写入时不符$", text, re.MULTILINE)
    assert "核验通过" not in text
    assert "trace" not in text, "there is no receipt to follow"


def test_an_interruption_is_passed_on_and_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[City] = []
    close = City.close

    def noted(self: City) -> None:
        close(self)
        closed.append(self)

    def interrupted(*_: object) -> list[RunResult]:
        raise KeyboardInterrupt

    monkeypatch.setattr(City, "close", noted)
    monkeypatch.setattr(show, "_round", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(home=tmp_path / "city")
    assert len(closed) == 1
    assert (tmp_path / "city" / "hub.db").exists()


@contextmanager
def called(home: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "exchange.cli", "demo", "--home", str(home)], env=environment, cwd=home.parent,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # Whoever started the tests may ignore Ctrl-C, as a shell's background does; what is started would as well.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def test_whoever_presses_ctrl_c_is_told_so(tmp_path: Path) -> None:
    with called(tmp_path / "city") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if line.startswith("第一轮"):
                break
        assert services(tmp_path / "city")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert services(tmp_path / "city") == []
        told = process.stderr.read()
    assert "已中断" in told
    assert "Traceback" not in told
    assert (tmp_path / "city" / "hub.db").exists(), "it is kept for looking at"


def test_a_demonstration_that_is_killed_leaves_nothing_running(tmp_path: Path) -> None:
    with called(tmp_path / "city") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("第一轮"):
                break
        until = time.monotonic() + 30
        while len(services(tmp_path / "city")) < 3 and time.monotonic() < until:
            time.sleep(0.05)
        assert len(services(tmp_path / "city")) >= 3
        process.kill()
        process.wait(60)
        until = time.monotonic() + 30
        while services(tmp_path / "city") and time.monotonic() < until:
            time.sleep(0.1)
        assert services(tmp_path / "city") == []


@pytest.mark.long_with("住建局的服务")
@pytest.mark.parametrize("killed", ["住建局的服务", "平台的服务接口"])
def test_a_service_that_is_killed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: str) -> None:
    carried_out = show._round

    def killing(city: City, skip: str = "") -> list[RunResult]:
        (process,) = [each for each in city.processes if each.name == killed]
        os.killpg(process.pid, signal.SIGKILL)
        return carried_out(city, skip)

    monkeypatch.setattr(show, "_round", killing)
    with pytest.raises(Failed, match=f"{killed}意外停止（信号 9）") as raised:
        run(home=tmp_path / "city")
    assert str(tmp_path / "city" / "logs") in raised.value.remedy
    assert services(tmp_path / "city") == []


def test_what_is_not_as_the_receipts_say_ends_with_status_1(shown: Shown) -> None:
    play = replace(shown.play, discrepancies=["住建局的服务收到 1 行，与回执 R1 不符"])
    assert (shown.play.well, play.well) == (True, False)
    assert "  住建局的服务收到 1 行，与回执 R1 不符" in list(show._verdict(play, 1))
    assert any(line.endswith("以上与平台的回执有不符。") for line in show._noteworthy(shown.city, play))
    assert "以上与平台的回执逐笔相符。" in shown.text


def test_whoever_stops_reading_is_no_error(tmp_path: Path) -> None:
    with called(tmp_path / "city") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert str(tmp_path / "city") in process.stdout.readline()
        process.stdout.close()
        # 141 as shells have it; 1 where the parser of the command line notices first.
        assert process.wait(60) in (1, 141)
        assert "Traceback" not in process.stderr.read()


def test_kept_rows_are_not_counted_as_refused(shown: Shown) -> None:
    kept = [finding for finding in shown.play.findings if finding.kept]
    assert {finding.rule for finding in kept} == {"reference"}
    (accepted,) = [result for result in shown.play.first if result.plan.resource == CASE]
    assert accepted.counts["refused"] == 0
    (collected,) = [
        result
        for result in shown.play.first
        if result.plan.resource == PERSON and result.plan.kind == "synchronisation"
    ]
    assert collected.counts["refused"] == WRONG[PERSON]
