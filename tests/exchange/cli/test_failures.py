from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.exceptions import TyperException
from typer.testing import CliRunner

from exchange import errors
from exchange.cli.failures import Failure, interrupted, of_bug, of_hub, of_usage
from exchange.cli.root import app
from exchange.errors import (
    Busy,
    Denied,
    Failed,
    Held,
    HubError,
    Invalid,
    Misplaced,
    Overtaken,
    Problem,
    Red,
    Tampered,
    Unavailable,
    Unknown,
)

KINDS = [
    (Invalid("有误", [Problem("资源 1/1 › 名称", "缺少", "补上")], remedy="改正"), "invalid", 2),
    (Denied("不能", ["无权", "已到期"], remedy="找审核员"), "denied", 3),
    (Unknown("没有", remedy="是否指 甲"), "unknown", 4),
    (Misplaced("状态不对"), "misplaced", 5),
    (Overtaken("他人先办"), "overtaken", 5),
    (Held("待批准", ["列 a 变窄"], remedy="批准"), "held", 5),
    (Busy("正忙"), "busy", 6),
    (Red("告警"), "red", 7),
    (Failed("连不上", retry=True), "failed", 8),
    (Unavailable("平台数据库不可用", retry=True), "unavailable", 8),
    (Tampered("被改动"), "tampered", 9),
]


@pytest.mark.parametrize(("error", "kind", "status"), KINDS, ids=[kind for _error, kind, _status in KINDS])
def test_every_error_of_the_hub_has_its_kind_and_status(error: HubError, kind: str, status: int) -> None:
    failure = of_hub(error)
    told = failure.document()["error"]
    assert (failure.kind, failure.status) == (kind, status)
    assert told["kind"] == kind
    assert told["message"] == error.message
    assert told["remedy"] == error.remedy
    assert told["retry"] is error.retry
    json.dumps(told)


def test_no_error_of_the_hub_is_without_a_test() -> None:
    known = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, HubError)}
    assert known - {"HubError"} == {type(error).__name__ for error, _kind, _status in KINDS}


def test_every_problem_and_every_reason_on_its_own_line() -> None:
    lines = [text for text, _tone in of_hub(KINDS[0][0]).lines()]
    assert lines == ["错误：有误", "  • 资源 1/1 › 名称: 缺少（补上）", "怎么办：改正"]
    assert of_hub(KINDS[0][0]).document()["error"]["problems"] == [
        {"where": "资源 1/1 › 名称", "message": "缺少", "remedy": "补上"}
    ]
    lines = [text for text, _tone in of_hub(KINDS[1][0]).lines()]
    assert lines == ["错误：不能", "  • 无权", "  • 已到期", "怎么办：找审核员"]
    assert of_hub(KINDS[1][0]).document()["error"]["reasons"] == ["无权", "已到期"]
    assert [text for text, _tone in of_hub(Failed("连不上", retry=True)).lines()] == ["错误：连不上", "稍后可以重试"]


def test_problems_are_told_once() -> None:
    error = Invalid("有误\n  甲: 缺少", [Problem("甲", "缺少")])
    assert [text for text, _tone in of_hub(error).lines()] == ["错误：有误", "  • 甲: 缺少"]
    assert [text for text, _tone in of_hub(Denied("不行", ["不行"])).lines()] == ["错误：不行"]


@pytest.mark.parametrize(
    ("words", "message", "remedy"),
    [
        (["status", "--jsno"], "没有选项 --jsno", "--json"),
        (["status", "--zzzz"], "没有选项 --zzzz", "shutong status --help"),
        (["status", "--json=1"], "选项 --json 不带值", "shutong status --help"),
        (["search", "--limit"], "选项 --limit 后面缺少值", "shutong search --help"),
        (["search", "--limit", "many"], "选项 --limit 的值不能用", "应为整数，不小于 1，不大于 200"),
        (["search", "--limit", "0"], "选项 --limit 的值不能用", "应为整数，不小于 1，不大于 200"),
        (["resource", "show", "1/1", "--version", "x"], "选项 --version 的值不能用", "应为整数，不小于 1"),
        (["application", "list", "--state", "open"], "选项 --state 的值不能用", "可选：pending、granted、refused"),
        (["application", "show"], "缺少参数 ID", "shutong application show --help"),
        (["application", "decide", "A1"], "缺少选项 --approve 或 --refuse", "shutong application decide --help"),
        (["grant", "revoke", "G1"], "缺少选项 --reason", "shutong grant revoke --help"),
        (["status", "now", "here"], "多出的词：now here", "shutong status --help"),
    ],
)
def test_a_line_that_cannot_be_read_is_answered_in_chinese(words: list[str], message: str, remedy: str) -> None:
    outcome = CliRunner().invoke(app, words)
    assert outcome.exit_code == 2
    assert outcome.stdout == ""
    first, second = outcome.stderr.splitlines()
    assert first == f"错误：{message}"
    assert remedy in second
    outcome = CliRunner().invoke(app, [*words, "--json"] if words[-1] != "--limit" else ["--json", *words])
    assert outcome.exit_code == 2
    assert outcome.stderr == ""
    told = json.loads(outcome.stdout)["error"]
    assert told["kind"] == "usage"
    assert told["retry"] is False


def test_what_typer_may_say_one_day() -> None:
    failure = of_usage(TyperException("something new"))
    assert (failure.message, failure.status) == ("命令写法不对（something new）", 2)
    assert failure.remedy == "用 shutong --help 查看用法"


def test_an_interruption() -> None:
    assert interrupted().status == 130
    assert interrupted().document()["error"]["kind"] == "interrupted"


def fallen() -> BaseException:
    """An error with a cause, whose messages carry values."""
    try:
        try:
            raise LookupError("321202185001010017")
        except LookupError as error:
            raise ArithmeticError("opensesame") from error
    except ArithmeticError as error:
        return error


def test_a_bug_leaves_its_trace_in_a_file_without_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failure = of_bug(fallen(), tmp_path, debug=False)
    assert (failure.kind, failure.status) == ("bug", 1)
    assert failure.message == "程序内部错误：ArithmeticError"
    (file,) = (tmp_path / "logs").iterdir()
    assert str(file) in failure.remedy
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    trace = file.read_text(encoding="utf-8")
    assert "in fallen" in trace
    assert trace.index("builtins.LookupError") < trace.index("builtins.ArithmeticError")
    # The lines of the program are shown, which here hold the values; what was raised is not.
    assert "ArithmeticError: " not in trace
    assert capsys.readouterr().err == ""


def test_the_values_a_bug_happened_on_are_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = "".join(["open", "sesame"])
    try:
        int(value)
    except ValueError as error:
        failure = of_bug(error, tmp_path, debug=True)
    (file,) = (tmp_path / "logs").iterdir()
    shown = capsys.readouterr().err
    assert "builtins.ValueError" in shown
    for text in (shown, file.read_text(encoding="utf-8"), str(failure.document())):
        assert "opensesame" not in text


@pytest.mark.parametrize("spoilt", [False, True])
def test_a_bug_where_nothing_can_be_written(tmp_path: Path, spoilt: bool) -> None:
    home = tmp_path / "home"
    if spoilt:
        home.mkdir()
        (home / "logs").touch()
    failure = of_bug(fallen(), home, debug=False)
    assert "SHUTONG_DEBUG=1" in failure.remedy
    assert home.exists() is spoilt


def test_a_failure_is_told_on_the_side_or_as_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    failure = Failure(kind="busy", message="正忙", status=6, retry=True)
    assert failure.tell(as_json=False) == 6
    assert capsys.readouterr() == ("", "错误：正忙\n稍后可以重试\n")
    assert failure.tell(as_json=True) == 6
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["message"] == "正忙"
    assert err == ""
