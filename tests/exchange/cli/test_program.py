"""The program as a process: what it prints where, and with what status it ends."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import exchange.hub
from exchange.cli.program import home_of, wants_json
from exchange.cli.root import app
from tests.exchange.cli.county import CODE, County

PROGRAM = [sys.executable, "-m", "exchange.cli"]
ROOT = Path(__file__).resolve().parents[3]


def started(*words: str, **options: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, **options.pop("environment", {})}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    return subprocess.Popen([*PROGRAM, *words], cwd=ROOT, env=environment, **{**pipes, **options})


def ended(*words: str, **options: Any) -> tuple[int, str, str]:
    with started(*words, **options) as process:
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_an_answer_for_people(county: County) -> None:
    status, out, err = ended("--home", str(county.home), "--as", "tax", "search", "人口")
    assert (status, err) == (0, "")
    assert "人口基本信息" in out
    assert "\x1b" not in out


def test_an_answer_for_programs(county: County) -> None:
    status, out, err = ended("--home", str(county.home), "--as", "tax", "search", "人口", "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["resources"][0]["code"] == CODE


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["resource", "show", "999999999/0001"], 4),
        (["resource", "submit", CODE], 5),
        (["audit", "verify"], 3),
        (["resource", "register", "no-such-file.yaml"], 2),
        (["no-such-command"], 2),
        (["status", "--no-such-option"], 2),
    ],
)
def test_the_status_says_what_was_wrong(county: County, words: list[str], expected: int) -> None:
    outcome = county.run(*words, by="police")
    assert (outcome.status, outcome.out) == (expected, "")
    assert outcome.err.startswith("错误：")
    assert "Traceback" not in outcome.err
    outcome = county.run(*words, "--json", by="police")
    assert (outcome.status, outcome.err) == (expected, "")
    assert outcome.document["error"]["message"]


def test_a_failure_of_the_process(county: County) -> None:
    status, out, err = ended("--home", str(county.home), "--as", "police", "resource", "submit", CODE)
    assert (status, out) == (5, "")
    assert err.startswith("错误：“发布”的资源不能提交注册\n怎么办：")


def test_a_home_that_is_none(tmp_path: Path) -> None:
    status, out, err = ended("status", environment={"SHUTONG_HOME": str(tmp_path / "none")})
    assert (status, out) == (2, "")
    assert "shutong init" in err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("words", [["resource", "form"], ["status", "--json"], ["--help"]])
def test_nobody_reads_to_the_end(county: County, words: list[str]) -> None:
    with started("--home", str(county.home), "--as", "police", *words) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
    assert err == ""
    assert process.returncode in ((141, 1) if words == ["--help"] else (141,))


def test_interrupted(county: County, tmp_path: Path) -> None:
    pipe = tmp_path / "slow.yaml"
    os.mkfifo(pipe)
    words = ("--home", str(county.home), "--as", "police", "resource", "register", str(pipe))
    with started(*words) as process:
        writing = opened_once_somebody_reads(pipe)
        try:
            for _ in range(12):
                # As a person does: what hits a moment in which Python cannot raise is pressed again.
                process.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    out, err = process.communicate(timeout=5)
                    break
        finally:
            process.kill()
            os.close(writing)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[0] == "错误：已中断"
    assert "Traceback" not in err


def opened_once_somebody_reads(pipe: Path) -> int:
    until = time.monotonic() + 60
    while True:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            assert error.errno == errno.ENXIO
            assert time.monotonic() < until
            time.sleep(0.02)


def test_a_terminal_of_another_alphabet() -> None:
    status, out, err = ended("--version", environment={"PYTHONIOENCODING": "ascii"})
    assert (status, err) == (0, "")
    assert out.startswith("?? ")
    status, out, err = ended("nothing", "--json", environment={"PYTHONIOENCODING": "ascii"})
    assert status == 2
    assert json.loads(out)["error"]["message"] == "没有命令 shutong nothing"


def test_help_is_there_at_once() -> None:
    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    times = []
    for _attempt in range(3):
        before = spent()
        assert ended("--help")[0] == 0
        times.append(spent() - before)
    assert min(times) < 0.5


def test_nothing_heavy_is_loaded_before_it_is_needed() -> None:
    heavy = {"pyarrow", "sqlalchemy", "pydantic", "rich", "yaml", "lxml", "numpy", "catalog", "adapters"}
    code = f"import sys, exchange.cli; sys.exit(bool({heavy!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.fixture
def falling(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The program has a bug."""

    def fall(*_words: object) -> None:
        raise ZeroDivisionError("321202185001010017")

    monkeypatch.setattr(exchange.hub, "open_hub", fall)
    return fall


def test_a_bug(falling: object, tmp_path: Path) -> None:
    outcome = CliRunner().invoke(app, ["--home", str(tmp_path), "status"])
    assert (outcome.exit_code, outcome.stdout) == (1, "")
    assert "程序内部错误：ZeroDivisionError" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    (file,) = (tmp_path / "logs").iterdir()
    assert "in fall" in file.read_text(encoding="utf-8")
    assert "321202185001010017" not in outcome.stderr + outcome.stdout
    outcome = CliRunner().invoke(app, ["--home", str(tmp_path), "status", "--json"])
    assert outcome.exit_code == 1
    assert json.loads(outcome.stdout)["error"]["kind"] == "bug"


def test_a_bug_looked_into(falling: object, tmp_path: Path) -> None:
    outcome = CliRunner().invoke(app, ["--home", str(tmp_path), "status"], env={"SHUTONG_DEBUG": "1"})
    assert outcome.exit_code == 1
    assert "in fall" in outcome.stderr
    assert "321202185001010017" not in outcome.stderr.replace('raise ZeroDivisionError("321202185001010017")', "")


def test_debugging_is_no_setting(county: County) -> None:
    assert county.run("status", SHUTONG_DEBUG="1").status == 0


def test_where_the_home_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHUTONG_HOME", "/srv/hub")
    assert home_of(["status"]) == Path("/srv/hub")
    assert home_of(["status", "--home", "/a"]) == Path("/a")
    assert home_of(["--home=/b", "status"]) == Path("/b")
    monkeypatch.delenv("SHUTONG_HOME")
    monkeypatch.setenv("HOME", "/home/zhang")
    assert home_of(["status", "--home"]) == Path("/home/zhang/.shutong")


def test_who_asks_for_a_document() -> None:
    assert wants_json(["status", "--json"])
    assert not wants_json(["status"])
    assert not wants_json(["test", "--json"])
