"""Which files are read, when, and once: on a directory of this machine and over SFTP."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.base import REFERENCE, Endpoint, Outcome, Selection
from adapters.errors import Unavailable
from adapters.files import pickup
from adapters.files import source as reading
from adapters.files.aside import Aside
from adapters.files.pickup import Changing, referenced
from adapters.files.transports.base import Directory, Entry
from adapters.files.transports.local import LocalDirectory
from adapters.files.transports.sftp import SftpDirectory
from adapters.registry import open_endpoint
from tests.adapters.files.conftest import Drop, Passes, binding, settle_down

HEAD = "证照编号,持证人\n"
MANY = 80_000
"""Rows of a file that is read in more than one piece."""


@pytest.fixture(params=["local", "sftp"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Drop, Endpoint]]:
    """A drop and the endpoint that reads it, near and far."""
    if request.param == "local":
        drop = Drop(tmp_path)
        yield drop, drop.endpoint
        return
    server = request.getfixturevalue("openssh_server")
    root = server.new_folder()
    yield Drop(root), open_endpoint("files", server.options(root))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose content is asked for."""
    found: list[str] = []
    for kind in (LocalDirectory, SftpDirectory):
        original = kind.chunks

        def chunks(self: Any, name: str, start: int = 0, original: Any = original) -> Iterator[bytes]:
            found.append(name)
            return original(self, name, start)

        monkeypatch.setattr(kind, "chunks", chunks)
    return found


def test_what_is_as_noted_is_not_read_again(place: tuple[Drop, Endpoint], reads: list[str]) -> None:
    drop, endpoint = place
    for number in (1, 2):
        drop.put(f"licence_{number}.csv", f"{HEAD}{number},a\n")
    settle_down(drop.root)
    passes = Passes(endpoint, binding())
    assert passes.numbers() == ["1", "2"]
    data = [name for name in reads if name.endswith(".csv")]
    assert data == ["licence_1.csv", "licence_2.csv"], "each once"
    reads.clear()
    assert passes.numbers() == []
    assert reads == []
    drop.put("licence_2.csv", f"{HEAD}3,b\n")
    assert passes.numbers() == ["3"]
    assert "licence_1.csv" not in reads


def test_a_time_as_young_as_the_look_is_not_trusted(drop: Drop, reads: list[str]) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,a\n")
    passes = Passes(drop.endpoint, binding())
    passes.read()
    about = (drop.root / "licence_1.csv").stat()
    reads.clear()
    # Changed within the grain of the clock: same size, same time.
    drop.put("licence_1.csv", f"{HEAD}2,a\n")
    os.utime(drop.root / "licence_1.csv", ns=(about.st_atime_ns, about.st_mtime_ns))
    assert passes.numbers() == ["2"]
    reads.clear()
    assert passes.numbers() == []
    assert reads == ["licence_1.csv"], "its digest decides"


def test_a_file_that_was_only_touched_is_the_same(drop: Drop, reads: list[str]) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,a\n")
    settle_down(drop.root)
    passes = Passes(drop.endpoint, binding())
    passes.read()
    os.utime(drop.root / "licence_1.csv", (1, 1))
    assert passes.numbers() == []
    reads.clear()
    assert passes.numbers() == []
    assert reads == []


def test_the_same_content_under_another_name_is_another_file(place: tuple[Drop, Endpoint]) -> None:
    drop, endpoint = place
    passes = Passes(endpoint, binding())
    for name in ("licence_1.csv", "licence_2.csv"):
        drop.put(name, f"{HEAD}1,a\n")
        assert passes.numbers() == ["1"]
    assert len({file.digest for file in passes.files}) == 1


def test_what_comes_back_as_it_was_is_the_same_file(drop: Drop) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,a\n")
    passes = Passes(drop.endpoint, binding())
    assert passes.numbers(settled=True) == ["1"]
    assert passes.numbers() == []
    drop.put("licence_1.csv", f"{HEAD}1,a\n")
    assert passes.numbers() == []
    drop.put("licence_1.csv", f"{HEAD}1,b\n")
    assert passes.numbers() == ["1"]
    assert passes.numbers("licence_1.csv") == ["1"], "somebody says so"


def test_a_large_file_from_a_server_is_read_once_and_lies_encrypted_meanwhile(
    openssh_server: Any, tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = Drop(openssh_server.new_folder())
    drop.put("licence_1.csv", HEAD + "".join(f"{number},某市某区某某某某\n" for number in range(4 * MANY)))
    settle_down(drop.root)
    endpoint = open_endpoint("files", openssh_server.options(drop.root))
    endpoint.scratch = tmp_path / "scratch"
    lying: list[bytes] = []
    original = Aside.chunks

    def chunks(self: Aside) -> Iterator[bytes]:
        for fd in os.listdir("/proc/self/fd"):  # noqa: PTH208
            if os.path.realpath(f"/proc/self/fd/{fd}").startswith(str(endpoint.scratch)):
                lying.append(os.pread(int(fd), 1 << 24, 0))
        return original(self)

    monkeypatch.setattr(Aside, "chunks", chunks)
    passes = Passes(endpoint, binding())
    assert len(passes.read()) == 4 * MANY
    assert [name for name in reads if name.endswith(".csv")] == ["licence_1.csv"]
    assert len(lying[0]) > 8 << 20
    assert not any("某市".encode() in each for each in lying)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_what_was_not_delivered_comes_again(drop: Drop) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,a\n")
    passes = Passes(drop.endpoint, binding())
    assert passes.numbers(delivered=False) == ["1"]
    assert passes.numbers() == ["1"]
    assert passes.numbers() == []


# --- files that cannot be used ------------------------------------------------------------------


@pytest.mark.parametrize("version", [None, "number"])
def test_a_bad_file_is_refused_by_itself(place: tuple[Drop, Endpoint], version: str | None, reads: list[str]) -> None:
    drop, endpoint = place
    drop.put("licence_1.csv", f"{HEAD}1,a\n")
    drop.put("licence_2.csv", f'{HEAD}2,"a\n')
    drop.put("licence_3.csv", f"{HEAD}3,a\n")
    settle_down(drop.root)
    passes = Passes(endpoint, binding(version=version))
    # Without a version the last read wins, so that nothing may overtake the bad one.
    assert passes.numbers(settled=True) == (["1", "3"] if version else ["1"])
    assert passes.anew == 0
    assert list(passes.refused) == ["licence_2.csv"]
    assert ("其后 1 个文件须等它" in passes.refused["licence_2.csv"]) is (version is None)
    listed = (drop.root / "licence_2.csv.refused.csv").read_text("utf-8-sig").splitlines()
    assert listed[1].startswith('"0","文件 licence_2.csv 第 2 行')
    assert "licence_2.csv" in drop.names()
    told = passes.waiting()
    assert "licence_2.csv 第 2 行" in told.pop("licence_2.csv")
    assert list(told) == ([] if version else ["licence_3.csv"])
    reads.clear()
    assert passes.numbers(settled=True) == []
    assert reads == [], "not tried again"
    assert list(passes.refused) == ([] if version else ["licence_2.csv"]), "the run says what holds the others up"
    assert passes.numbers("licence_2.csv") == []
    assert "licence_2.csv" in reads
    drop.put("licence_2.csv", f"{HEAD}2,a\n")
    assert passes.numbers(settled=True) == (["2"] if version else ["2", "3"])
    assert passes.waiting() == {}
    assert passes.refused == {}


def test_a_manifest_put_right_is_enough(drop: Drop) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,a\n", sha256="0" * 64)
    settle_down(drop.root)
    passes = Passes(drop.endpoint, binding())
    assert passes.numbers() == []
    assert "摘要不符" in passes.refused["licence_1.csv"]
    about = (drop.root / "licence_1.csv").stat()
    drop.put("licence_1.csv", f"{HEAD}1,a\n")
    os.utime(drop.root / "licence_1.csv", ns=(about.st_atime_ns, about.st_mtime_ns))
    assert passes.numbers() == ["1"]


def test_what_is_wrong_at_the_end_of_a_large_file(
    place: tuple[Drop, Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of it were handed over before that could be known: everything is read anew, once, without it."""
    monkeypatch.setattr(reading, "HELD", 1000)
    monkeypatch.setattr("adapters.files.pickup.IN_MEMORY", 1000)
    drop, endpoint = place
    middle = [str(number) for number in range(2, MANY)]
    many = "".join(f"{number},某市某区某某某某\n" for number in middle)
    for number, wrong in enumerate(("", '"', "", '"', "", '"')):
        drop.put(f"licence_{number}.csv", f"{HEAD}{many if number else ''}{number},{wrong}a\n")
    passes = Passes(endpoint, binding(version="number"))
    found = passes.numbers()
    assert passes.anew == 1, "after the first, large files are read through before they are handed over"
    assert list(passes.refused) == ["licence_1.csv", "licence_3.csv", "licence_5.csv"]
    assert found == ["0", *middle, "2", *middle, "4"]


def test_bombs_lies_and_broken_lines_do_not_stop_each_other(drop: Drop) -> None:
    good = gzip.compress(f"{HEAD}1,a\n".encode())
    contents = {
        "bomb": gzip.compress(HEAD.encode() + b"\n" * (80 << 20)),
        "good": good,
        "nested": gzip.compress(good),
        "short": good[:-3],
        "torn": b"",
    }
    for name, content in contents.items():
        (drop.root / f"licence_{name}.csv.gz").write_bytes(content)
    passes = Passes(
        drop.endpoint, binding(object="licence_*.csv.gz", version="number", options={"complete": "age", "age": 0})
    )
    assert passes.numbers() == ["1"]
    assert sorted(passes.refused) == [f"licence_{name}.csv.gz" for name in ("bomb", "nested", "short", "torn")]


def test_a_file_that_may_not_be_read(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,a\n")
    drop.put("licence_2.csv", f"{HEAD}2,a\n")
    original = LocalDirectory.chunks
    barred = {"licence_1.csv"}

    def chunks(self: LocalDirectory, name: str, start: int = 0) -> Iterator[bytes]:
        if name in barred:
            with self._told(name):
                raise PermissionError(13, "denied")
        return original(self, name, start)

    monkeypatch.setattr(LocalDirectory, "chunks", chunks)
    passes = Passes(drop.endpoint, binding(version="number"))
    assert passes.numbers() == ["2"]
    assert "没有权限" in passes.refused["licence_1.csv"]
    barred.clear()
    assert passes.numbers() == ["1"], "rights leave no trace in the file's time"


def test_a_directory_that_is_away_is_no_bad_file(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,a\n")

    def away(*_: Any) -> Any:
        raise Unavailable("网络存储失去联系")

    passes = Passes(drop.endpoint, binding())
    monkeypatch.setattr(LocalDirectory, "chunks", away)
    with pytest.raises(Unavailable, match="失去联系"):
        passes.read()
    monkeypatch.setattr(LocalDirectory, "about", away)
    with pytest.raises(Unavailable, match="失去联系"):
        passes.read()


# --- files that are not finished ----------------------------------------------------------------


def _meanwhile(monkeypatch: pytest.MonkeyPatch, name: str, change: Any) -> None:
    """Do something while a file is being read: after its first piece, once."""
    for kind in (LocalDirectory, SftpDirectory):
        original = kind.chunks

        def chunks(self: Directory, asked: str, start: int = 0, original: Any = original) -> Iterator[bytes]:
            for piece in original(self, asked, start):
                yield piece
                if asked == name and waiting:
                    waiting.pop()()

        monkeypatch.setattr(kind, "chunks", chunks)
    waiting = [change]


@pytest.mark.parametrize("version", [None, "number"])
def test_a_file_that_is_still_written(
    place: tuple[Drop, Endpoint], version: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop, endpoint = place
    given = binding(version=version, options={"complete": "age", "age": 0})
    for number in (1, 2):
        drop.put(f"licence_{number}.csv", f"{HEAD}{number},a\n", manifest=False)
    settle_down(drop.root)

    def grow() -> None:
        with (drop.root / "licence_1.csv").open("a") as file:
            file.write("3,a\n")

    _meanwhile(monkeypatch, "licence_1.csv", grow)
    passes = Passes(endpoint, given)
    first = passes.numbers()
    assert first == (["2"] if version else [])
    assert passes.refused == {}
    assert sorted([*first, *passes.numbers()]) == ["1", "2", "3"]


def test_a_large_file_that_changes_while_it_is_read(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "HELD", 1000)
    monkeypatch.setattr("adapters.files.pickup.IN_MEMORY", 1000)
    text = HEAD + "".join(f"{number},某市某区某某某某\n" for number in range(4 * MANY))
    drop.put("licence_1.csv", text)
    drop.put("licence_2.csv", f"{HEAD}x,a\n")
    settle_down(drop.root)
    passes = Passes(drop.endpoint, binding(version="number"))
    changed = text.replace("某\n", "市\n")
    original = reading.FilesSource._read_with
    waiting = [lambda: drop.put("licence_1.csv", changed)]

    def read_with(self: Any, *given: Any) -> Iterator[Any]:
        for batch in original(self, *given):
            if waiting:
                waiting.pop()()
            yield batch

    monkeypatch.setattr(reading.FilesSource, "_read_with", read_with)
    rows = passes.read()
    assert passes.anew == 1
    assert passes.refused == {}
    # Nothing of what was read before the change: by the second reading the new file lay there whole.
    assert len(rows) == 4 * MANY + 1
    assert {row["holder"][-1] for row in rows} == {"市", "a"}


def test_a_file_that_somebody_takes_away(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two exchanges may read one directory, and one of them moves what it has read."""
    for number in (1, 2):
        drop.put(f"licence_{number}.csv", f"{HEAD}{number},a\n")
    other = Passes(drop.endpoint, binding(version="number"))
    _meanwhile(monkeypatch, "licence_1.csv", lambda: other.read(settled=True))
    passes = Passes(drop.endpoint, binding(version="number"))
    found = passes.numbers()
    assert set(found) <= {"1", "2"}
    assert passes.refused == {}
    assert [name for name in drop.names() if name.startswith("taken/") and "manifest" not in name] == [
        "taken/licence_1.csv",
        "taken/licence_2.csv",
    ]
    assert passes.numbers() == []


# --- names ---------------------------------------------------------------------------------------


def test_one_bad_name_does_not_stop_the_others(place: tuple[Drop, Endpoint]) -> None:
    drop, endpoint = place
    gbk = "licence_证照.csv".encode("gbk")
    (drop.root / "licence_link.csv").symlink_to("/etc/hostname")
    (drop.root / "licence_a\nb.csv").write_text(f"{HEAD}9,z\n")
    (drop.root / "licence_\x1b[2J.csv").write_text(f"{HEAD}9,z\n")
    (drop.root / "licence_\u202evsc.csv").write_text(f"{HEAD}9,z\n")
    Path(os.fsdecode(os.fsencode(drop.root) + b"/" + gbk)).write_text(f"{HEAD}9,z\n")
    (drop.root / "licence_folder.csv").mkdir()
    quoted = """licence_"'`$(x)#:1,.csv"""
    drop.put(quoted, f"{HEAD}1,a\n", manifest=False)
    longest = "licence_" + "证" * 81 + ".csv"
    assert len(longest.encode()) == 255
    drop.put(longest, f"{HEAD}2,a\n", manifest=False)
    given = binding(version="number", options={"complete": "age", "age": 0})
    passes = Passes(endpoint, given)
    rows = passes.read()
    assert [row["number"] for row in rows] == ["1", "2"]
    shown = "licence_" + "".join(f"\\x{byte:02x}" for byte in "证照".encode("gbk")) + ".csv"
    assert sorted(passes.refused) == sorted(
        ["licence_link.csv", "licence_a\\x0ab.csv", "licence_\\x1b[2J.csv", "licence_\\u202evsc.csv", shown]
    )
    assert all(reason.isprintable() for reason in passes.refused.values())
    assert set(passes.waiting()) == set(passes.refused)
    with endpoint.source(given) as source:
        told = [Outcome(row[REFERENCE], "不对") for row in rows]
        told += [Outcome(file.reference, file.reason) for file in passes.files if file.reference]
        source.settle(told)
        source.settle(told)
    for name in (quoted, longest):
        assert f"taken/{name}" in drop.names()
    lists = [name for name in drop.names() if name.endswith(".refused.csv")]
    assert len(lists) == 2
    assert all(len(name.encode()) <= 255 for name in lists)
    again = [file for file in passes.files if file.reason is None]
    assert [referenced(file.reference).name for file in again] == [quoted, longest]


def test_a_name_that_leads_out_of_the_directory_is_never_followed(
    openssh_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = openssh_server.new_folder()
    drop = Drop(root)
    drop.put("licence_1.csv", f"{HEAD}1,a\n")
    original = SftpDirectory._names

    def names(self: SftpDirectory) -> Iterator[Any]:
        for raw, about in original(self):
            if raw == b"licence_1.csv":
                yield b"licence_/../../../etc/passwd.csv", about
            yield raw, about

    monkeypatch.setattr(SftpDirectory, "_names", names)
    passes = Passes(open_endpoint("files", openssh_server.options(root)), binding())
    assert passes.numbers() == ["1"]
    assert list(passes.refused) == ["licence_/../../../etc/passwd.csv"]


# --- afterwards ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "left"),
    [
        ("leave", ["licence_1.csv", "licence_1.csv.manifest.json"]),
        ("move", ["taken/licence_1.csv", "taken/licence_1.csv.manifest.json"]),
        ("delete", []),
    ],
)
def test_what_becomes_of_a_file_that_was_read(
    place: tuple[Drop, Endpoint], after: str, left: list[str], reads: list[str]
) -> None:
    drop, endpoint = place
    drop.put("licence_1.csv", f"{HEAD}1,a\n")
    settle_down(drop.root)
    passes = Passes(endpoint, binding(options={"after": after}))
    passes.read(settled=True)
    assert drop.names() == left
    assert reads.count("licence_1.csv") == 1, "not read again only to be moved"
    with endpoint.source(passes.binding) as source:
        assert source.settle([Outcome(file.reference) for file in passes.files]) == 0
    assert passes.numbers() == []


def test_another_file_of_the_name_is_not_deleted(drop: Drop) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,a\n")
    given = binding(options={"after": "delete"})
    passes = Passes(drop.endpoint, given)
    passes.read()
    drop.put("licence_1.csv", f"{HEAD}2,a\n")
    with drop.endpoint.source(given) as source:
        source.settle([Outcome(file.reference) for file in passes.files])
    assert passes.numbers() == ["2"]


def test_what_waits_is_told_without_reading(drop: Drop, reads: list[str]) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,a\n", manifest=False)
    drop.put("licence_2.csv", f"{HEAD}2,a\n")
    for given, first in (
        (binding(version="number"), "还没有清单 licence_1.csv.manifest.json"),
        (binding(version="number", options={"complete": "marker", "marker": ".ok"}), "还没有完成标记 licence_1.csv.ok"),
        (binding(version="number", options={"complete": "age", "age": 3600}), "满 3600 秒"),
    ):
        passes = Passes(drop.endpoint, given)
        assert first in passes.waiting()["licence_1.csv"]
    passes = Passes(drop.endpoint, binding())
    assert passes.waiting()["licence_2.csv"] == "须等 licence_1.csv：资源没有版本项，不能越过"
    assert reads == []
    assert drop.names() == ["licence_1.csv", "licence_2.csv", "licence_2.csv.manifest.json"]


def test_a_name_that_leaves_no_room_for_its_manifest_is_told_so(drop: Drop) -> None:
    name = f"licence_{'甲' * 80}.csv"
    drop.put(name, f"{HEAD}1,a\n", manifest=False)
    assert "文件名过长" in Passes(drop.endpoint, binding(version="number")).waiting()[name]
    settle_down(drop.root)
    passes = Passes(drop.endpoint, binding(version="number", options={"complete": "age", "age": 1}))
    assert (passes.waiting()[name], passes.numbers(settled=True)) == ("下次执行时收取", ["1"])


def test_what_is_ready_is_told_apart_from_what_waits(drop: Drop) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,a\n")
    drop.put("licence_2.csv", f"{HEAD}2,a\n", manifest=False)
    drop.put("licence_3.csv", f"{HEAD}3,a\n")

    def ready(**changes: Any) -> list[str]:
        with drop.endpoint.source(binding(**changes)) as source:
            return [file.name for file in source.waiting(Selection()) if file.ready]

    assert ready(version="number") == ["licence_1.csv", "licence_3.csv"]
    assert ready() == ["licence_1.csv"]  # without versions none overtakes another


def test_a_digest_of_what_lies_there_changes_with_everything_that_matters(place: tuple[Drop, Endpoint]) -> None:
    drop, endpoint = place
    with endpoint.source(binding()) as source:
        seen = [source.stirring()]
        for change in (
            lambda: drop.put("licence_1.csv", f"{HEAD}1,a\n", manifest=False),
            lambda: drop.put("licence_1.csv", f"{HEAD}1,a\n"),
            lambda: drop.put("licence_1.csv", f"{HEAD}1,ab\n", manifest=False),
            lambda: os.utime(drop.root / "licence_1.csv", (1, 1)),
            lambda: (drop.root / "licence_1.csv.manifest.json").unlink(),
        ):
            change()
            seen.append(source.stirring())
        assert len(set(seen)) == len(seen)
        drop.put("other.txt", "nobody's")
        assert source.stirring() == seen[-1]


def test_a_directory_at_rest_is_not_listed_again_and_again(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,a\n")
    os.utime(drop.root, (1, 1))
    listed: list[str] = []
    original = LocalDirectory.entries
    monkeypatch.setattr(LocalDirectory, "entries", lambda *about: listed.append("") or original(*about))
    with drop.endpoint.source(binding()) as source:
        seen = source.stirring()
        assert [source.stirring() for _ in range(5)] == [seen] * 5
        assert len(listed) == 1
        drop.put("licence_2.csv", f"{HEAD}2,a\n")  # young times of change are not trusted
        second = source.stirring()
        assert second != seen
        source.stirring()
        assert len(listed) == 3
        os.utime(drop.root, (1, 1))
        source.stirring()
        (drop.root / "licence_1.csv").write_text("written in its place")
        assert source.stirring() == second
        monkeypatch.setattr(pickup, "_OFTEN", 0.0)
        assert source.stirring() != second


def test_what_was_read_and_is_not_the_file_that_was_listed(drop: Drop) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,a\n")
    with drop.endpoint.source(binding()) as source:
        assert isinstance(source, reading.FilesSource)
        pickup = source._pickup
        look = pickup.look()
        other = Entry("licence_1.csv", look.entries[0].size + 1, look.entries[0].modified)
        with pytest.raises(Changing):
            pickup.take(other, look)
        with pytest.raises(Changing):
            pickup.take(Entry("licence_2.csv", 1, 1.0), look)


# --- a hundred thousand --------------------------------------------------------------------------

_CROWD = """
import json, sys, time
from tests.adapters.files.conftest import Passes, binding
from adapters.registry import open_endpoint

passes = Passes(open_endpoint("files", {"root": sys.argv[1]}), binding(version="number", options={"after": "leave"}))
said = []
for _ in range(2):
    begun = time.perf_counter()
    with passes.endpoint.source(passes.binding) as source:
        from adapters.base import Selection
        passes.pages.drop()
        given = Selection(after=passes.position, notebook=passes.pages)
        rows = sum(batch.num_rows for batch in source.batches(given))
        files = sum(1 for _ in source.files())
        passes.pages.turn()
        passes.position = source.position()
    said.append([rows, files, time.perf_counter() - begun])
# The figure of getrusage is inherited from who started this process.
[peak] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(json.dumps({"passes": said, "memory": int(peak)}))
"""


def _crowd(root: Path, complete: int, names: int) -> dict[str, Any]:
    """Two passes over a directory of so many names, of which so many are complete."""
    text = f"{HEAD}1,a\n"
    drop = Drop(root)
    drop.put("licence_.csv", text)
    manifest = (root / "licence_.csv.manifest.json").read_text()
    for number in range(names):
        (root / f"licence_{number:06}.csv").write_text(text)
        if number < complete:
            (root / f"licence_{number:06}.csv.manifest.json").write_text(manifest)
    before = time.time() - 60
    for path in root.iterdir():
        os.utime(path, (before, before))
    done = subprocess.run(
        [sys.executable, "-c", _CROWD, str(root)], capture_output=True, text=True, check=True, timeout=900
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_many_names_take_little_memory_and_the_second_pass_reads_nothing(tmp_path: Path) -> None:
    found = _crowd(tmp_path, 2_000, 30_000)
    (rows, files, _), (none, no_files, second) = found["passes"]
    assert (rows, files, none, no_files) == (2_001, 2_001, 0, 0)
    assert found["memory"] < 200 << 10
    assert second < 10


@pytest.mark.long
def test_a_hundred_thousand_files(tmp_path: Path) -> None:
    found = _crowd(tmp_path, 100_000, 100_000)
    (rows, files, _), (none, _, second) = found["passes"]
    assert (rows, files, none) == (100_001, 100_001, 0)
    assert found["memory"] < 200 << 10
    assert second < 20
