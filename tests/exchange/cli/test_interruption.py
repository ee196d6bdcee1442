"""Ctrl-C in moments in which Python cannot raise, or a library cannot pass it on."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.cli.interruption import Interruption

ROOT = Path(__file__).resolve().parents[3]


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


class Dying:
    """Something whose end is noticed by a callback, in which nothing that is raised can be caught."""

    def __init__(self) -> None:
        self.noticed = weakref.ref(Noticed.of, lambda _: press())


class Noticed:
    of: Noticed


def lost_in_a_callback() -> None:
    Noticed.of = Noticed()
    dying = Dying()
    Noticed.of = None  # type: ignore[assignment]
    assert dying.noticed() is None
    time.sleep(10)


@pytest.fixture(autouse=True)
def _as_a_terminal_has_it() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_what_is_lost_in_a_callback_is_raised_again(capsys: pytest.CaptureFixture[str]) -> None:
    interruption = Interruption()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), interruption.listening():
        lost_in_a_callback()
    assert time.monotonic() - began < 5
    assert interruption.heard
    assert capsys.readouterr().err == ""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_it_python_loses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    lost: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: lost.append(what.exc_type))
    lost_in_a_callback()
    assert lost == [KeyboardInterrupt], "the test above would test nothing"


def test_other_things_that_cannot_be_raised_are_told_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: told.append(what.exc_type))

    class Ending:
        def __del__(self) -> None:
            raise ZeroDivisionError

    interruption = Interruption()
    with interruption.listening():
        Ending()
    assert told == [ZeroDivisionError]
    assert not interruption.heard


def test_libraries_say_nothing_of_being_torn_away(caplog: pytest.LogCaptureFixture) -> None:
    def work() -> None:
        try:
            press()
            time.sleep(10)
        except KeyboardInterrupt:
            logging.getLogger("library").exception("torn")
            raise

    with pytest.raises(KeyboardInterrupt), Interruption().listening():
        work()
    assert caplog.records == []
    logging.getLogger("library").warning("later")
    assert [record.message for record in caplog.records] == ["later"]


@pytest.mark.parametrize("kept", [signal.SIG_IGN, lambda *_: None])
def test_what_is_ignored_or_somebody_elses_is_left_alone(kept: signal.Handlers) -> None:
    signal.signal(signal.SIGINT, kept)
    hook = sys.unraisablehook
    with Interruption().listening() as interruption:
        assert signal.getsignal(signal.SIGINT) is kept
        assert sys.unraisablehook is hook
        press()
    assert not interruption.heard


def test_all_is_as_it_was() -> None:
    hook, level = sys.unraisablehook, logging.root.manager.disable
    with pytest.raises(KeyboardInterrupt), Interruption().listening():
        press()
        time.sleep(10)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert (sys.unraisablehook, logging.root.manager.disable) == (hook, level)


WRAPPED = """
import os, signal, time
from exchange.cli.program import Program
from exchange import errors
def perform(self, *_, **__):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)
    except KeyboardInterrupt:
        raise {raised}("what a library made of it") from None
import exchange.cli.groups
exchange.cli.groups.Group.main = perform
Program(name="shutong").main([])
"""


@pytest.mark.parametrize("raised", ["errors.Unavailable", "ValueError"])
def test_what_a_library_made_of_it_is_an_interruption(raised: str, tmp_path: Path) -> None:
    program = WRAPPED.format(raised=raised)
    ended = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(ROOT), "SHUTONG_HOME": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=60,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (130, "")
    assert ended.stderr.splitlines()[0] == "错误：已中断"
    assert not (tmp_path / "logs").exists(), "nothing is wrong with the program"
