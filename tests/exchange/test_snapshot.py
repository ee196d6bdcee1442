from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from exchange import snapshot
from exchange.errors import Invalid
from exchange.snapshot import Pool, Scheduled, Snapshot, read, write

ONE = Scheduled(
    id="sync-101001001-0001",
    kind="synchronisation",
    title="归集 公安局《人口基本信息》",
    description="把 公安局 的《人口基本信息》归集到基础库。",
    owner="公安局",
    tags=("归集", "101001001/0001"),
    cron="17 2 * * *",
    activated_at="2026-11-22T10:00:00+08:00",
    refreshes=("101001001/0001",),
    arrivals="files",
    pool="police",
)
TWO = replace(ONE, id="share-G01", kind="sharing", cron=None, reads=("101001001/0001",), refreshes=(), arrivals=None)
WHOLE = Snapshot((ONE, TWO), (Pool("police", 2, "公安局的端点"),), {"share-G02": "端点没有登记"})


def lying(tmp_path: Path, given: Snapshot = WHOLE) -> Path:
    path = tmp_path / "airflow" / "snapshot.json"
    write(path, given)
    return path


def sealed(body: dict) -> str:
    """A file whose digest is right, whatever it holds."""
    return json.dumps({**body, "digest": snapshot._digest(snapshot._dumped(body))}, ensure_ascii=False)


def body_of(given: Snapshot = WHOLE) -> dict:
    return {name: value for name, value in json.loads(given.written()).items() if name != "digest"}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    assert read(lying(tmp_path)) == WHOLE


def test_the_same_is_not_written_again_and_leaves_the_file_alone(tmp_path: Path) -> None:
    path = lying(tmp_path)
    before = path.stat()
    assert write(path, Snapshot(WHOLE.exchanges, WHOLE.pools, dict(WHOLE.broken))) is False
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_ino == before.st_ino
    assert write(path, Snapshot((ONE,))) is True
    assert read(path).exchanges == (ONE,)


def test_a_missing_one_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="没有排班快照") as caught:
        read(tmp_path / "none.json")
    assert "shutong airflow publish" in caught.value.remedy


def test_one_that_is_not_to_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="不能读取"):
        read(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_half_written_one_is_not_believed(tmp_path: Path, share: float) -> None:
    path = lying(tmp_path)
    text = path.read_bytes()
    path.write_bytes(text[: int(len(text) * share)])
    with pytest.raises(Invalid, match="不完整"):
        read(path)


@pytest.mark.parametrize("text", ["[]", "null", '"text"', "{}", '{"format": 1}'])
def test_what_is_no_snapshot_is_not_believed(tmp_path: Path, text: str) -> None:
    path = tmp_path / "snapshot.json"
    path.write_text(text)
    with pytest.raises(Invalid):
        read(path)


def test_a_torn_one_is_not_believed(tmp_path: Path) -> None:
    """Two writings mixed, each of which was right by itself."""
    path = lying(tmp_path)
    path.write_text(path.read_text().replace("17 2 * * *", "18 2 * * *"))
    with pytest.raises(Invalid, match="不完整"):
        read(path)


def test_a_newer_one_is_not_guessed_at(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    path.write_text(sealed({**body_of(), "format": snapshot.FORMAT + 1}))
    with pytest.raises(Invalid, match="其他版本"):
        read(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "magic"}, {"cron": 5}, {"tags": "归集"}, {"reads": [1]}, {"priority": True}, {"arrivals": "doves"},
        {"paused": "yes"}, {"unheard": 1}, {"title": None},
    ],
)  # fmt: skip
def test_one_broken_exchange_leaves_the_others_alive(tmp_path: Path, wrong: dict) -> None:
    body = body_of()
    body["exchanges"][0] |= wrong
    path = tmp_path / "snapshot.json"
    path.write_text(sealed(body))
    found = read(path)
    assert found.exchanges == (TWO,)
    (name,) = wrong
    assert set(found.broken) == {ONE.id, "share-G02"}
    assert name in found.broken[ONE.id]


def test_what_lacks_a_field_or_is_no_exchange_is_broken_by_itself(tmp_path: Path) -> None:
    body = body_of()
    del body["exchanges"][1]["pool"]  # has a default: an older writer did not know it
    del body["exchanges"][0]["owner"]
    body["exchanges"].append("nothing")
    path = tmp_path / "snapshot.json"
    path.write_text(sealed(body))
    found = read(path)
    assert found.exchanges == (replace(TWO, pool=""),)
    assert "owner" in found.broken[ONE.id]
    assert "#3" in found.broken


def test_a_reader_never_sees_half_of_it(tmp_path: Path) -> None:
    path = lying(tmp_path)
    others = [Snapshot(tuple(replace(ONE, id=f"sync-{n}-{k}") for k in range(200))) for n in range(2)]
    whole = {WHOLE.written(), *(each.written() for each in others)}
    seen: set[str] = set()
    stop = threading.Event()

    def reading() -> None:
        while not stop.is_set():
            seen.add(read(path).written())

    reader = threading.Thread(target=reading)
    reader.start()
    for n in range(40):
        write(path, others[n % 2])
    stop.set()
    reader.join()
    assert seen <= whole
    assert len(seen) > 1


KILLED = """
import os, sys, signal
from pathlib import Path
from exchange import snapshot

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

where = {"before it is on disk": (os, "fsync"), "before its name": (Path, "replace")}[sys.argv[2]]
setattr(*where, die)
snapshot.write(Path(sys.argv[1]), snapshot.Snapshot())
"""


@pytest.mark.parametrize("moment", ["before it is on disk", "before its name"])
def test_a_killed_writer_leaves_the_old_one_and_the_next_cleans_up(tmp_path: Path, moment: str) -> None:
    path = lying(tmp_path)
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), moment], env=dict(os.environ), check=False)
    assert done.returncode == -signal.SIGKILL
    assert read(path) == WHOLE
    assert len(list(path.parent.iterdir())) == 2
    assert write(path, Snapshot((TWO,)))
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_reading_needs_neither_database_nor_scheduler() -> None:
    code = "import sys, exchange.snapshot; print(sorted({'sqlalchemy', 'airflow', 'pyarrow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
