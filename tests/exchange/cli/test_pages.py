from __future__ import annotations

import io
import json
import re
import sys

import pytest

from exchange.cli.answers import Answer, Facts, Table, Verbatim, Words
from exchange.cli.groups import cells
from exchange.cli.pages import aside, write, write_document

TABLE = Table(("名称", "行数"), [("人口[bold]基本[/]", 12), ("法人", None)], "没有", title="资源")


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """Standard output becomes a terminal."""
    screen = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", Terminal(screen, encoding="utf-8"))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "40")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return screen


def test_a_document_and_nothing_else(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    write(Answer({"a": "人口"}, [TABLE, Words("完")], notes=["看一看"]), as_json=True)
    out, err = capfdbinary.readouterr()
    assert json.loads(out) == {"a": "人口"}
    assert "人口".encode() in out
    assert err == b""


def test_a_document_is_in_utf8_whatever_the_terminal_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="gb18030"))
    write_document({"名": "𠮷\udc80"})
    assert json.loads(raw.getvalue().decode("utf-8")) == {"名": "𠮷?"}


def test_a_table_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    write(Answer({}, [TABLE, Facts([("名", "甲"), ("空", None), ("值", ("乙", "丙"))], title="详情")]), as_json=False)
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert [line.split() for line in lines if line and "─" not in line] == [
        ["资源"], ["名称", "行数"], ["人口[bold]基本[/]", "12"], ["法人"], ["详情"], ["名", "甲"], ["值", "乙、丙"],
    ]  # fmt: skip
    assert "\x1b" not in out
    assert all(line == line.rstrip() for line in lines)
    assert err == ""


def test_a_row_in_a_pipe_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    write(Answer({}, [Table(("名",), [("长" * 300,)], "")]), as_json=False)
    assert "长" * 300 in capsys.readouterr().out


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    write(Answer({}, [Table(("名",), [], "没有资源。")]), as_json=False)
    assert capsys.readouterr().out == "没有资源。\n"


def test_ideographs_are_never_cut_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch)
    text = "政务信息资源目录" * 8
    write(Answer({}, [Table(("名称", "行数"), [(text, 12)], "")]), as_json=False)
    shown = screen.getvalue().decode()
    assert "".join(letter for letter in shown if letter in "政务信息资源目录") == text
    assert all(cells(line) <= 40 for line in shown.splitlines() if "\x1b" not in line)


def test_what_is_copied_stays_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch)
    monkeypatch.setenv("COLUMNS", "60")
    row = ("share-1234567", "政务信息资源目录" * 5, "已办结", "11-22 07:57")
    write(Answer({}, [Table(("交换", "名称", "状态", "时间"), [row], "")]), as_json=False)
    shown = screen.getvalue().decode()
    assert all(text in shown for text in ("share-1234567", "已办结", "11-22 07:57"))


def test_a_table_too_wide_is_shown_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    columns = ("交换", "提供", "状态", "时间")
    rows = [(f"share-{number}", "市场监督管理局", "已办结", "2026-11-22 07:57:59") for number in (1, 2)]
    write(Answer({}, [Table(columns, rows, "", title="全部")]), as_json=False)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue().decode())
    block = ["交换  share-{}", "提供  市场监督管理局", "状态  已办结", "时间  2026-11-22 07:57:59"]
    expected = ["全部", *(line.format(1) for line in block), "", *(line.format(2) for line in block)]
    assert [line.rstrip() for line in shown.splitlines()] == expected


def test_colour_only_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch)
    answer = Answer({}, [Words("完成", "bold green")])
    write(answer, as_json=False)
    assert b"\x1b[" in screen.getvalue()
    screen.truncate(0)
    screen.seek(0)
    monkeypatch.setenv("NO_COLOR", "1")
    write(answer, as_json=False)
    assert b"32m" not in screen.getvalue()


def test_verbatim_goes_out_as_it_is(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    text = "\ufeff名称,值\r\n甲,[red]\r\n"
    write(Answer({}, [Verbatim(text)]), as_json=False)
    assert capfdbinary.readouterr().out == text.encode()


def test_parts_come_out_in_order(capfd: pytest.CaptureFixture[str]) -> None:
    write(Answer({}, [Words("一"), Verbatim("二\n"), Words("三")]), as_json=False)
    assert capfd.readouterr().out == "一\n二\n三\n"


def test_what_is_beside_the_answer_is_told_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    write(Answer({}, [Words("完")], notes=["信息项没有长度"]), as_json=False)
    aside([("第二行", "red")])
    out, err = capsys.readouterr()
    assert out == "完\n"
    assert err == "注意：信息项没有长度\n第二行\n"
