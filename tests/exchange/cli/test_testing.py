from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from exchange.cli import testing
from exchange.cli.testing import run_tests
from exchange.errors import Misplaced


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A test file of which each test leaves a trace."""
    path = tmp_path / "test_small.py"
    path.write_text(
        "import pytest, warnings\n"
        "from pathlib import Path\n"
        "HERE = Path(__file__).parent\n"
        "def test_short(): (HERE / 'short').touch()\n"
        "@pytest.mark.long\n"
        "def test_long(): (HERE / 'long').touch()\n"
        "@pytest.mark.skipif(not (HERE / 'warn').exists(), reason='not asked for')\n"
        "def test_warning(): warnings.warn('a warning is an error', UserWarning)\n"
    )
    return path


def test_long_tests_are_left_out_unless_asked_for(suite: Path) -> None:
    assert run_tests([str(suite)], long=False) == pytest.ExitCode.OK
    assert (suite.parent / "short").exists()
    assert not (suite.parent / "long").exists()
    assert run_tests([str(suite)], long=True) == pytest.ExitCode.OK
    assert (suite.parent / "long").exists()


def test_arguments_reach_pytest_and_its_status_comes_back(suite: Path) -> None:
    assert run_tests([str(suite), "-k", "nothing_of_that_name"], long=False) == pytest.ExitCode.NO_TESTS_COLLECTED
    assert not (suite.parent / "short").exists()


def test_a_warning_is_an_error(suite: Path) -> None:
    (suite.parent / "warn").touch()
    assert run_tests([str(suite)], long=False) == pytest.ExitCode.TESTS_FAILED


def test_what_tests_write_is_kept_in_memory_where_that_has_room_and_runs_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/elsewhere")
    monkeypatch.setattr(testing, "MEMORY", tmp_path)
    monkeypatch.setattr(testing, "ROOM", 1)
    monkeypatch.delenv("TMPDIR", raising=False)
    assert testing._temporary() == str(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(testing, "ROOM", shutil.disk_usage(tmp_path).total + 1)
        assert testing._temporary() == "/elsewhere"
    with monkeypatch.context() as patch:
        patch.setattr(testing, "MEMORY", tmp_path / "nowhere")
        assert testing._temporary() == "/elsewhere"
    with monkeypatch.context() as patch:
        patch.setattr(testing, "MEMORY", Path("/proc"))
        assert testing._temporary() == "/elsewhere"
    monkeypatch.setenv("TMPDIR", "/elsewhere")
    assert testing._temporary() == "/elsewhere"


def test_paths_are_relative_to_the_source_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = run_tests(["--collect-only", "-q", "tests/exchange/cli/test_testing.py"], long=False)
    assert found == pytest.ExitCode.OK


def test_nothing_runs_when_something_could_not_be_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suite: Path
) -> None:
    support = tmp_path / "tests" / "support"
    support.mkdir(parents=True)
    (support / "packages.py").write_text("raise SystemExit(1)")
    monkeypatch.setattr(testing, "ROOT", tmp_path)
    assert run_tests([str(suite)], long=False) == 1
    assert not (suite.parent / "short").exists()


def test_without_the_source_folder_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testing, "ROOT", tmp_path)
    monkeypatch.setattr(subprocess, "run", None)
    with pytest.raises(Misplaced, match="源代码目录"):
        run_tests([], long=False)
