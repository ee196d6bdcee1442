"""What every transport promises, tried on each of them."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from adapters.errors import AdapterError, Malformed, Misconfigured, Refused, Unavailable
from adapters.files.transports.base import (
    CHUNK,
    Directory,
    Entry,
    Strange,
    beside,
    fitted,
    matches,
    plain,
    renaming_probe,
)
from adapters.files.transports.local import LocalDirectory
from tests.adapters.files.transports.conftest import Remote


@pytest.fixture(params=["local", "sftp"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Directory, Path]:
    """A directory and where it lies, in truth."""
    if request.param == "local":
        return LocalDirectory(tmp_path), tmp_path
    remote: Remote = request.getfixturevalue("remote")
    return remote.open(), remote.root


def test_entries_are_files_that_match(opened: tuple[Directory, Path]) -> None:
    directory, root = opened
    for name in ("b.csv", "a.csv", ".c.csv", "d.txt", "B.CSV", "引号\"'.csv"):
        (root / name).write_text("xy")
    (root / "folder.csv").mkdir()
    os.mkfifo(root / "pipe.csv")
    assert [entry.name for entry in directory.listing("*.csv")] == ["a.csv", "b.csv", "引号\"'.csv"]
    assert {entry.name for entry in directory.entries("*")} == {
        "a.csv", "b.csv", "引号\"'.csv", "B.CSV", "d.txt",
    }  # fmt: skip
    [entry] = directory.listing("a.csv")
    assert (entry.size, int(entry.modified)) == (2, int((root / "a.csv").stat().st_mtime))
    assert directory.hidden("c") == [".c.csv"]


@pytest.mark.parametrize("name", ["../x", "/etc/hostname", "a/b", "..", ".", "", "a\0b", "**/x"])
def test_names_never_lead_out(opened: tuple[Directory, Path], name: str) -> None:
    directory, root = opened
    calls: list[Callable[[], object]] = [
        lambda: list(directory.entries(name)),
        lambda: list(directory.chunks(name)),
        lambda: directory.write(name, b"x"),
        lambda: directory.append(name, b"x"),
        lambda: directory.upload(name, io.BytesIO(b"x")),
        lambda: directory.rename("a", name),
        lambda: directory.rename(name, "a"),
        lambda: directory.remove(name),
        lambda: directory.exists(name),
        lambda: directory.folder(name),
    ]
    for call in calls:
        with pytest.raises(Misconfigured):
            call()
    assert list(root.iterdir()) == []


def test_links_are_refused(opened: tuple[Directory, Path]) -> None:
    directory, root = opened
    secret = root / "secret"
    secret.write_text("x")
    (root / "a.csv").symlink_to(secret)
    (root / "inside").symlink_to(root)
    calls: list[Callable[[], object]] = [
        lambda: directory.listing("*.csv"),
        lambda: list(directory.chunks("a.csv")),
        lambda: directory.append("a.csv", b"more"),
        lambda: directory.begin("a.csv", b"other"),
        lambda: directory.upload("a.csv", io.BytesIO(b"other")),
    ]
    for call in calls:
        with pytest.raises(Refused, match=r"a\.csv 是符号链接"):
            call()
    with pytest.raises(AdapterError):
        directory.folder("inside")
    assert secret.read_text() == "x"


def test_what_is_no_file_is_not_read(opened: tuple[Directory, Path]) -> None:
    directory, root = opened
    (root / "a.csv").mkdir()
    os.mkfifo(root / "b.csv")
    for name in ("a.csv", "b.csv"):
        with pytest.raises(Malformed, match="普通文件"):
            list(directory.chunks(name))


def test_a_name_that_is_no_text_is_told(opened: tuple[Directory, Path]) -> None:
    directory, root = opened
    os.close(os.open(os.fsencode(root) + b"/" + "证照.csv".encode("gbk"), os.O_CREAT | os.O_WRONLY, 0o644))
    assert directory.listing("*.txt") == []
    with pytest.raises(Malformed, match=r"\\xd6\\xa4\\xd5\\xd5\.csv 不是 UTF-8"):
        directory.listing("*.csv")


def test_strange_names_are_told_and_the_others_listed(opened: tuple[Directory, Path]) -> None:
    directory, root = opened
    for name in ("a.csv", "行\n行.csv", "\u202e.csv", "b.csv"):
        (root / name).write_text("xy")
    (root / "link.csv").symlink_to(root / "a.csv")
    os.close(os.open(os.fsencode(root) + b"/" + "证照.csv".encode("gbk"), os.O_CREAT | os.O_WRONLY, 0o644))
    with pytest.raises(Malformed, match=r"换行或控制字符"):
        directory.listing("行*")
    found: list[Strange] = []
    assert [entry.name for entry in directory.listing("*.csv", found.append)] == ["a.csv", "b.csv"]
    assert {one.name: type(one.why) for one in found} == {
        "行\\x0a行.csv": Malformed,
        "\\u202e.csv": Malformed,
        "link.csv": Refused,
        "\\xd6\\xa4\\xd5\\xd5.csv": Malformed,
    }


def test_a_file_as_it_is_now(opened: tuple[Directory, Path]) -> None:
    directory, root = opened
    (root / "a.csv").write_text("xy")
    assert directory.about("a.csv") == directory.listing("a.csv")[0]
    (root / "link.csv").symlink_to(root / "a.csv")
    (root / "folder").mkdir()
    assert directory.about("link.csv") is directory.about("folder") is directory.about("b.csv") is None


@pytest.mark.parametrize("name", ["a.csv", "证" * 81 + ".csv", "a" * 255, "\U00020bb7" * 60])
def test_a_name_with_an_ending_fits(opened: tuple[Directory, Path], name: str) -> None:
    directory, root = opened
    made = fitted(name, ".refused.csv")
    assert made.endswith(".refused.csv")
    assert made.startswith(name[:10] if len(name) > 10 else name)
    assert made != fitted(f"{name[:-1]}x", ".refused.csv")
    directory.write(made, b"x")
    assert (root / made).read_bytes() == b"x"


def test_the_longest_name(opened: tuple[Directory, Path]) -> None:
    directory, root = opened
    name = "证" * 85
    assert len(name.encode()) == 255
    (root / name).write_text("x")
    assert [entry.name for entry in directory.listing("证*")] == [name]
    assert directory.read(name) == b"x"
    directory.rename(name, name, into=directory.folder("taken"))
    assert (root / "taken" / name).read_text() == "x"
    with pytest.raises(Misconfigured, match="过长"):
        directory.begin(f"{name}x", b"x")


def test_rights_do_not_depend_on_the_mask(opened: tuple[Directory, Path]) -> None:
    directory, root = opened
    before = os.umask(0o077)
    try:
        directory.write("a", b"x")
        directory.begin("b", b"x")
        directory.upload("c", io.BytesIO(b"x"))
        directory.folder("d")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in root.iterdir()}
    assert modes == {"a": 0o640, "b": 0o640, "c": 0o640, "d": 0o750}


def test_a_file_is_written_read_added_to_and_removed(opened: tuple[Directory, Path]) -> None:
    directory, root = opened
    assert directory.read("a") is None
    with pytest.raises(Misconfigured):
        directory.append("a", b"x")
    directory.begin("a", b"1")
    directory.append("a", b"")
    directory.append("a", b"23")
    assert directory.read("a") == b"123"
    directory.begin("a", b"4")
    assert (root / "a").read_bytes() == b"4"
    directory.write("a", b"5")
    assert directory.read("a") == b"5"
    directory.begin(beside("a"), b"left")
    directory.unwrite("a")
    directory.remove("a")
    directory.remove("a")
    assert not directory.exists("a")
    assert list(root.iterdir()) == []
    with pytest.raises(Misconfigured, match="不存在"):
        list(directory.chunks("a"))


def test_pieces_are_bounded_and_whole(opened: tuple[Directory, Path]) -> None:
    directory, root = opened
    content = os.urandom(3 * CHUNK + 12345)
    (root / "a").write_bytes(content)
    for start in (0, 1, CHUNK, len(content) - 1, len(content), len(content) + 7):
        pieces = list(directory.chunks("a", start))
        assert b"".join(pieces) == content[start:]
        assert all(0 < len(piece) <= CHUNK for piece in pieces)
    left = directory.chunks("a")
    next(left)
    left.close()  # type: ignore[attr-defined]
    assert directory.read("a") == content


def test_upload_and_download(opened: tuple[Directory, Path]) -> None:
    directory, root = opened
    content = os.urandom(2 * CHUNK + 77)
    digest = hashlib.sha256(content).hexdigest()
    assert directory.upload(".a", io.BytesIO(content)) == digest
    assert (root / ".a").read_bytes() == content
    for there in (content[:CHUNK], content, content + b"x", b""):
        (root / ".a").write_bytes(there)
        os.chown(root / ".a", root.stat().st_uid, root.stat().st_gid)
        assert directory.upload(".a", io.BytesIO(content)) == digest
        assert (root / ".a").read_bytes() == content
    for here in (b"", content[: CHUNK + 5], content):
        file = io.BytesIO(here)
        assert directory.download(".a", file) == digest
        assert file.getvalue() == content


def test_a_folder(opened: tuple[Directory, Path]) -> None:
    directory, root = opened
    inside = directory.folder("taken")
    assert type(inside) is type(directory)
    inside.write("a", b"x")
    assert directory.folder("taken").read("a") == b"x"
    (root / "file").write_text("x")
    with pytest.raises(Misconfigured):
        directory.folder("file")


def test_it_can_be_tried(opened: tuple[Directory, Path]) -> None:
    directory, root = opened
    assert directory.readable()
    assert directory.writable()
    assert abs(directory.clock() - (root.stat().st_mtime)) < 60
    probes = directory.probes()
    assert [probe.name for probe in probes if not probe.passed] == []
    assert renaming_probe(directory)[0].passed
    assert list(root.iterdir()) == []


def test_plain_and_matches() -> None:
    assert plain("证照 1.csv") == "证照 1.csv"
    assert matches("a.csv", "*.csv")
    assert not matches(".a.csv", "*.csv")
    assert not matches("A.CSV", "*.csv")


def _owned(root: Path) -> None:
    """What the tests put on a server belongs to its user."""
    owner = root.stat()
    for path in root.rglob("*"):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def test_many_files_are_used_each_with_what_came_of_it(opened: tuple[Directory, Path]) -> None:
    directory, root = opened
    (root / "sub").mkdir()
    sizes = {f"文件{number}": number * 997 for number in range(90)} | {"large": 3 * CHUNK + 1, "empty": 0}
    for name, size in sizes.items():
        (root / "sub" / name).write_bytes(b"x" * size)
    (root / "sub" / "link").symlink_to("large")
    (root / "sub" / "folder").mkdir()
    (root / "way").symlink_to("sub")
    _owned(root)
    names = [*sizes, "link", "folder", "gone", "a" * 300]

    def use(number: int, entry: Entry, chunks: Iterator[bytes]) -> tuple[str, int, int]:
        assert entry.name == names[number]
        return names[number], entry.size, sum(map(len, chunks))

    found = directory.visit(names, use, folder="sub")
    assert found[: len(sizes)] == [(name, size, size) for name, size in sizes.items()]
    assert [type(each) for each in found[len(sizes) :]] == [Refused, Malformed, Misconfigured, Misconfigured]
    assert all(isinstance(each, AdapterError) for each in directory.visit(["large"], use, folder="way"))
    assert all(isinstance(each, AdapterError) for each in directory.visit(["large"], use, folder="nowhere"))
    with pytest.raises(Unavailable):

        def fail(*_: object) -> None:
            raise Unavailable("the spool is full")

        directory.visit(names, fail, folder="sub")


def test_many_files_are_made_renamed_and_removed(opened: tuple[Directory, Path]) -> None:
    directory, root = opened
    folder = directory.folder("made")
    contents = {f"文件{number}": os.urandom(number * 1500) for number in range(80)} | {"large": os.urandom(CHUNK + 9)}

    def spoiled() -> Iterator[bytes]:
        yield b"begun"
        raise Malformed("no more")

    def large_and_spoiled() -> Iterator[bytes]:
        yield b"x" * CHUNK
        raise Malformed("no more")

    files = [(name, len(content), partial(iter, [content])) for name, content in contents.items()]
    told = folder.fill([*files, ("bad", 5, spoiled), ("worse", 2 * CHUNK, large_and_spoiled)])
    assert [each is not None for each in told] == [False] * len(contents) + [True, True]
    made = {path.name: path.read_bytes() for path in (root / "made").iterdir()}
    assert made == contents
    assert {stat.S_IMODE(path.stat().st_mode) for path in (root / "made").iterdir()} == {0o640}
    other = directory.folder("other")
    assert folder.rename_all([(name, f"{name}.x") for name in [*contents, "gone"]], into=other) == len(contents)
    assert {path.name for path in (root / "other").iterdir()} == {f"{name}.x" for name in contents}
    directory.remove_folder("made")
    directory.remove_folder("other")
    directory.remove_folder("never")
    assert sorted(path.name for path in root.iterdir()) == ["other"]
    other.remove_all(["文件1.x", "gone"])
    assert len(list((root / "other").iterdir())) == len(contents) - 1
    directory.remove_folder("other", whole=True)
    assert list(root.iterdir()) == []


def test_a_folder_that_is_there(opened: tuple[Directory, Path]) -> None:
    directory, root = opened
    (root / "sub").mkdir()
    (root / "sub" / "a").write_bytes(b"1")
    (root / "way").symlink_to("sub")
    (root / "file").write_bytes(b"1")
    found = directory.within("sub")
    assert found is not None
    assert found.exists("a")
    assert [directory.within(name) for name in ("way", "file", "gone")] == [None, None, None]
