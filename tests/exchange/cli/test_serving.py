from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.exchange.settings.test_model import HUB

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = [sys.executable, "-c", "from exchange.cli import main; main()"]
DESK = "tests.adapters.webservice.memory_desk:open_desk"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *words], cwd=ROOT, capture_output=True, text=True, timeout=60)


def home(path: Path, *lines: str) -> Path:
    (path / "shutong.toml").write_text("\n".join([f'hub_department = "{HUB}"', *lines]), encoding="utf-8")
    return path


def test_it_says_where_it_is_and_serves_until_it_is_stopped(tmp_path: Path) -> None:
    place = home(tmp_path, "[soap]", "workers = 1", f'desk = "{DESK}"', 'public_address = "https://hub.example"')
    words = [*PROGRAM, "serve", "soap", "--home", str(place), "--port", "0"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            first, second = process.stdout.readline(), process.stdout.readline()
            address = first.strip().removeprefix("服务接口：")
            assert second.strip() == "服务描述：https://hub.example/soap/exchange?wsdl"
            with urllib.request.urlopen(f"{address}/healthz", timeout=5) as answer:
                assert answer.read() == b"ok\n"
        finally:
            process.terminate()
        assert process.wait(20) == 0


def test_what_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    assert run("serve", "soap", "--home", str(tmp_path)).returncode == 2
    place = home(tmp_path, "[soap]", 'desk = "no.such:desk"')
    done = run("serve", "soap", "--port", "0", "--json", "--home", str(place))
    assert done.returncode == 2
    assert "soap.desk" in json.loads(done.stdout)["error"]["message"]
    assert run("serve", "soap", "--port", "70000", "--home", str(place)).returncode == 2


def test_the_group_shows_what_there_is() -> None:
    said = run("serve").stdout
    assert "soap" in said
    assert "console" in said
