"""Documents named by rows, and documents that are rows: taken, or refused with their row and no other."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from adapters.base import Binding, Outcome, Selection, Source
from adapters.errors import Misconfigured, Unavailable
from adapters.files.source import UNTAKEN
from adapters.files.transports.local import LocalDirectory
from adapters.registry import open_endpoint
from schemas.documents import Document
from schemas.unreadable import why_unreadable
from tests.adapters.files.conftest import Drop, Passes, settle_down
from tests.adapters.files.documents import Shelf
from tests.support.openssh import OpenSSHServer

PDF = b"%PDF-1.7\n"
COLUMNS = {"number": "编号", "file": "文件"}


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("store"))


def _binding(**changes: Any) -> Binding:
    given = {
        "object": "lic_*.csv", "columns": COLUMNS, "key": ("number",), "capture": "batches", "documents": ("file",),
        "options": {"complete": "age", "age": 0},
    }  # fmt: skip
    return Binding(**(given | changes))


def _source(drop: Drop, store: Shelf | None, **changes: Any) -> Source:
    endpoint = drop.endpoint
    endpoint.documents = store
    return endpoint.source(_binding(**changes))


def _csv(*rows: tuple[str, ...], header: str = "编号,文件") -> str:
    return "\n".join([header, *(",".join(row) for row in rows)]) + "\n"


def _told(batches: list[pa.RecordBatch]) -> dict[str, str | None]:
    """By number, what a document is called with its content's digest, or why there is none."""
    found: dict[str, str | None] = {}
    for row in (row for batch in batches for row in batch.to_pylist()):
        text = row["file"]
        why = None if text is None else why_unreadable(text)
        found[row["number"]] = why or (text and f"{Document.of(text).name} {Document.of(text).digest[:8]}")
    return found


def _name(content: bytes, name: str) -> str:
    return f"{name} {hashlib.sha256(content).hexdigest()[:8]}"


def test_each_row_gets_its_document_or_its_reason(drop: Drop, store: Shelf, tmp_path: Path) -> None:
    (drop.root / "sub").mkdir()
    kinds = {
        "a.pdf": PDF + b"a", "sub/b.ofd": b"PK\x03\x04b", "c.JPG": b"\xff\xd8\xffc", "d.png": b"\x89PNG\r\n\x1a\nd",
        "e.tiff": b"II*\0e", "late.pdf": b"\r\n junk %PDF-1.4",
    }  # fmt: skip
    wrong = {"f.pdf": b"MZ", "g.exe": b"MZ", "h.png": b"", "big.pdf": PDF + b"x" * 5000, "noending": PDF}
    for name, content in {**kinds, **wrong}.items():
        (drop.root / name).write_bytes(content)
    (drop.root / "link.pdf").symlink_to(drop.root / "a.pdf")
    (drop.root / "out").symlink_to(tmp_path)
    (tmp_path / "secret.pdf").write_bytes(PDF)
    (drop.root / "dir.pdf").mkdir()
    os.mkfifo(drop.root / "pipe.pdf")
    bad = {
        "link.pdf": "符号链接", "out/secret.pdf": "符号链接|不在", "dir.pdf": "不是普通文件",
        "pipe.pdf": "不是普通文件",
        "gone.pdf": "不在交换目录中", "../secret.pdf": "不能含上级目录", "/etc/passwd": "不能含上级目录",
        "a/b/c.pdf": "不能含上级目录", ".hidden.pdf": "隐藏名", "nowhere/x.pdf": "不在交换目录中",
        "f.pdf": "与其扩展名不符", "g.exe": "不在约定的种类", "h.png": "与其扩展名不符", "noending": "不在约定的种类",
        "big.pdf": "超过约定的大小",
    }  # fmt: skip
    names = [*kinds, *bad]
    drop.put("lic_1.csv", _csv(*((str(place), name) for place, name in enumerate(names)), ("空", "")))
    source = _source(drop, store, options={"complete": "age", "age": 0, "document_bytes": 4000})
    found = _told(list(source.batches(Selection())))
    assert found.pop("空") is None
    import re

    for place, name in enumerate(names):
        told = found[str(place)]
        if name in kinds:
            assert told == _name(kinds[name], name.rpartition("/")[2])
        else:
            assert re.search(bad[name], told or ""), name
    assert len(list(store.root.iterdir())) == len(kinds)


def test_further_kinds_are_those_that_were_agreed(drop: Drop, store: Shelf) -> None:
    (drop.root / "a.XML").write_bytes(b"anything")
    drop.put("lic_1.csv", _csv(("1", "a.XML")))
    source = _source(drop, store, options={"complete": "age", "age": 0, "kinds": ["xml", ".docx"]})
    assert _told(list(source.batches(Selection()))) == {"1": _name(b"anything", "a.XML")}


def test_a_digest_that_was_told_must_agree(drop: Drop, store: Shelf) -> None:
    for name in ("a.pdf", "b.pdf", "c.pdf"):
        (drop.root / name).write_bytes(PDF + name.encode())
    right = hashlib.sha256(PDF + b"a.pdf").hexdigest().upper()
    rows = [("1", "a.pdf", right), ("2", "b.pdf", right), ("3", "c.pdf", "")]
    drop.put("lic_1.csv", _csv(*rows, header="编号,文件,摘要"))
    source = _source(drop, store, options={"complete": "age", "age": 0, "document_digest": "摘要"})
    found = _told(list(source.batches(Selection())))
    assert found["1"] == _name(PDF + b"a.pdf", "a.pdf")
    assert "摘要与所报的不符" in (found["2"] or "")
    assert found["3"] == _name(PDF + b"c.pdf", "c.pdf")
    with pytest.raises(Misconfigured, match="document_digest"):
        _source(drop, store, documents=(), options={"document_digest": "摘要"})


def test_an_encrypted_file_is_a_file(drop: Drop, store: Shelf) -> None:
    content = PDF + b"1 0 obj <</Encrypt 2 0 R>>"
    (drop.root / "a.pdf").write_bytes(content)
    drop.put("lic_1.csv", _csv(("1", "a.pdf")))
    assert _told(list(_source(drop, store).batches(Selection()))) == {"1": _name(content, "a.pdf")}


def test_a_spool_that_is_full_takes_nothing(drop: Drop) -> None:
    class Full(Shelf):
        def put(self, chunks: Any) -> tuple[str, int]:
            raise Unavailable("文件写不进暂存处")

    (drop.root / "a.pdf").write_bytes(PDF)
    drop.put("lic_1.csv", _csv(("1", "a.pdf")))
    with pytest.raises(Unavailable, match="写不进"):
        list(_source(drop, Full(drop.root.parent / "full")).batches(Selection()))
    with pytest.raises(Misconfigured, match="没有文件暂存处"):
        list(_source(drop, None).batches(Selection()))


def _settle(source: Source, batches: list[pa.RecordBatch], refused: tuple[str, ...] = ()) -> int:
    return source.settle(
        Outcome(row["_reference"], "错" if row["number"] in refused else None)
        for batch in batches
        for row in batch.to_pylist()
    )


@pytest.mark.parametrize("again", [False, True])
def test_what_was_taken_goes_where_its_data_file_goes(drop: Drop, store: Shelf, again: bool) -> None:
    (drop.root / "sub").mkdir()
    for name in ("a.pdf", "sub/b.pdf", "sub/c.pdf", "changed.pdf"):
        (drop.root / name).write_bytes(PDF + name.encode())
    (drop.root / "taken").mkdir()
    (drop.root / "taken" / "a.pdf").write_bytes(b"an earlier one")
    drop.put("lic_1.csv", _csv(("1", "a.pdf"), ("2", "sub/b.pdf"), ("3", "sub/c.pdf"), ("4", "changed.pdf")))
    source = _source(drop, store)
    batches = list(source.batches(Selection()))
    (drop.root / "changed.pdf").write_bytes(PDF + b"new")
    if again:
        source = _source(drop, store)  # whoever settles need not be who read
    _settle(source, batches, ("3",))
    left = [name for name in drop.names() if not name.endswith(".json")]
    assert left == [
        "changed.pdf", "lic_1.csv.refused.csv", "sub/c.pdf", "taken/a.pdf", "taken/a~2.pdf", "taken/lic_1.csv",
        "taken/sub/b.pdf",
    ]  # fmt: skip
    assert (drop.root / "taken" / "a.pdf").read_bytes() == b"an earlier one"
    _settle(_source(drop, store), batches, ("3",))
    assert [name for name in drop.names() if not name.endswith(".json")] == left


def test_a_snapshot_stays(drop: Drop, store: Shelf) -> None:
    (drop.root / "a.pdf").write_bytes(PDF)
    drop.put("lic_1.csv", _csv(("1", "a.pdf")))
    source = _source(drop, store, capture="snapshot")
    batches = list(source.batches(Selection()))
    _settle(source, batches)
    assert {"a.pdf", "lic_1.csv"} <= set(drop.names())


# --- documents alone --------------------------------------------------------------------------------

ALONE = {
    "object": "*.pdf", "columns": {"number": "number", "file": "document", "size": "size", "name": "name"},
    "options": {"complete": "age", "age": 0, "format": "document", "naming": "{number}_{day}"},
}  # fmt: skip


def test_each_file_is_a_row_once(drop: Drop, store: Shelf) -> None:
    for number in range(5):
        (drop.root / f"{number}_1.pdf").write_bytes(PDF + str(number).encode())
    (drop.root / "strange.pdf").write_bytes(b"MZ")
    source = _source(drop, store, **ALONE)
    batches = list(source.batches(Selection(batch_rows=4)))
    assert [batch.num_rows for batch in batches] == [4, 2]
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert rows[0]["size"] == str(len(PDF) + 1)
    assert [Document.of(row["file"]).name for row in rows[:5]] == [row["name"] for row in rows[:5]]
    assert "命名规则" in (why_unreadable(rows[5]["number"]) or "")
    assert "扩展名" in (why_unreadable(rows[5]["file"]) or "")
    _settle(source, batches, (rows[5]["number"],))
    assert drop.names() == ["strange.pdf", "strange.pdf.refused.csv", *(f"taken/{n}_1.pdf" for n in range(5))]


def test_what_was_changed_for_another_known_file_stays(drop: Drop, store: Shelf) -> None:
    """Two files whose contents their provider had confused, and put right before they were put away."""
    for name in "ab":
        (drop.root / f"{name}_1.pdf").write_bytes(PDF + name.encode())
    settle_down(drop.root)
    batches = list(_source(drop, store, **ALONE).batches(Selection()))
    for name, other in ("ab", "ba"):
        (drop.root / f"{name}_1.pdf").write_bytes(PDF + other.encode())
    _settle(_source(drop, store, **ALONE), batches)
    assert drop.names() == ["a_1.pdf", "b_1.pdf"]


def test_files_that_are_rows_are_noted(drop: Drop, store: Shelf) -> None:
    endpoint = drop.endpoint
    endpoint.documents = store
    for name in ("0_1.pdf", "1_1.pdf", "2_1.pdf"):
        (drop.root / name).write_bytes(PDF + name.encode())
    (drop.root / "strange.pdf").write_bytes(b"MZ")
    settle_down(drop.root)
    options = {**ALONE["options"], "after": "leave"}  # type: ignore[dict-item]
    passes = Passes(endpoint, _binding(**{**ALONE, "options": options}))

    def names(*again: str) -> list[str]:
        return [row["name"] for row in passes.read(*again)]

    assert names() == ["0_1.pdf", "1_1.pdf", "2_1.pdf", "strange.pdf"]
    assert {file.name: (file.document, file.reason is None) for file in passes.files} == {
        "0_1.pdf": (True, True), "1_1.pdf": (True, True), "2_1.pdf": (True, True), "strange.pdf": (True, False),
    }  # fmt: skip
    assert passes.refused == {"strange.pdf": UNTAKEN}
    assert names() == []
    # The same content under another time is the same file; other content is another; so is another name.
    (drop.root / "0_1.pdf").write_bytes(PDF + b"0_1.pdf")
    (drop.root / "1_1.pdf").write_bytes(PDF + b"other")
    (drop.root / "2_1.pdf").rename(drop.root / "3_1.pdf")
    assert names() == ["1_1.pdf", "3_1.pdf"]
    assert names("strange.pdf") == ["strange.pdf"]
    (drop.root / "strange.pdf").write_bytes(PDF)
    assert names() == ["strange.pdf"]


def test_what_was_refused_and_may_have_changed_since_is_looked_at_and_is_a_row_only_if_it_did(
    drop: Drop, store: Shelf
) -> None:
    """Its time is too young to tell; a row refused again and again would be too much for run after run."""
    endpoint = drop.endpoint
    endpoint.documents = store
    passes = Passes(endpoint, _binding(**{**ALONE, "options": {**ALONE["options"], "after": "leave"}}))  # type: ignore[dict-item]
    (drop.root / "0_1.pdf").write_bytes(b"MZ")
    assert len(passes.read()) == 1
    for _ in range(2):
        assert passes.read() == []
        assert passes.refused == {"0_1.pdf": UNTAKEN}
    about = (drop.root / "0_1.pdf").stat()
    (drop.root / "0_1.pdf").write_bytes(PDF)
    assert len(passes.read()) == 1
    assert passes.refused == {}
    (drop.root / "1_1.pdf").write_bytes(b"MZ")
    os.utime(drop.root / "1_1.pdf", ns=(about.st_atime_ns, about.st_mtime_ns))
    assert len(passes.read()) == 1
    assert len(passes.read("1_1.pdf")) == 1


def test_files_with_manifests_take_them_along(drop: Drop, store: Shelf) -> None:
    drop.put("1_1.pdf", "%PDF-1")
    source = _source(drop, store, **{**ALONE, "options": {**ALONE["options"], "complete": "manifest"}})  # type: ignore[dict-item]
    batches = list(source.batches(Selection()))
    _settle(source, batches)
    assert drop.names() == ["taken/1_1.pdf", "taken/1_1.pdf.manifest.json"]


def test_the_columns_are_told(drop: Drop) -> None:
    assert drop.endpoint.check(_binding(**ALONE), pa.schema([]), sink=False) == []
    wrong = {**ALONE, "columns": {"number": "no"}}
    assert "缺少列 no" in drop.endpoint.check(_binding(**wrong), pa.schema([]), sink=False)[0]
    assert "只用于收取" in drop.endpoint.check(_binding(**{**ALONE, "object": "a_*.pdf"}), pa.schema([]), sink=True)[0]


def test_a_server_gives_the_same(openssh_server: OpenSSHServer, store: Shelf) -> None:
    root = openssh_server.new_folder()
    (root / "sub").mkdir()
    names = [f"sub/文件{number}.pdf" for number in range(100)]
    for name in names:
        (root / name).write_bytes(PDF + name.encode())
    (root / "large.pdf").write_bytes(PDF + b"x" * 700_000)
    (root / "empty.pdf").write_bytes(b"")
    (root / "link.pdf").symlink_to(root / "large.pdf")
    (root / "out").symlink_to(root / "sub")
    rows = [*((name, name) for name in names), ("large", "large.pdf"), ("empty", "empty.pdf"), ("link", "link.pdf")]
    rows += [("out", "out/文件1.pdf"), ("gone", "gone.pdf")]
    (root / "lic_1.csv").write_text(_csv(*rows))
    owner = root.parent.stat()
    for path in [root, *root.rglob("*")]:
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
    endpoint = open_endpoint("files", openssh_server.options(root))
    endpoint.documents = store
    source = endpoint.source(_binding())
    batches = list(source.batches(Selection()))
    found = _told(batches)
    assert [found[name] for name in names] == [_name(PDF + name.encode(), name.rpartition("/")[2]) for name in names]
    assert found["large"] == _name(PDF + b"x" * 700_000, "large.pdf")
    for number, words in (("empty", "扩展名"), ("link", "符号链接"), ("out", "不在"), ("gone", "不在")):
        assert words in (found[number] or "")
    _settle(source, batches, ("empty", "link", "out", "gone"))
    assert len(list((root / "taken" / "sub").iterdir())) == 100
    assert (root / "taken" / "large.pdf").exists()
    assert {"empty.pdf", "link.pdf"} <= {path.name for path in root.iterdir()}
    assert not (root / "sub").exists()


# --- what is not what it was, or what was told of it ------------------------------------------------


def _alone(**options: Any) -> dict[str, Any]:
    return {**ALONE, "options": {**ALONE["options"], **options}}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "told", ['{"rows": 1, "sha256": "%s"}' % ("0" * 64), "{}", "x"], ids=["another", "empty", "none"]
)
def test_a_document_is_held_to_its_manifest(drop: Drop, store: Shelf, told: str) -> None:
    drop.put("1_1.pdf", "%PDF-1")
    drop.put("2_1.pdf", "%PDF-2")
    (drop.root / "1_1.pdf.manifest.json").write_text(told)
    endpoint = drop.endpoint
    endpoint.documents = store
    passes = Passes(endpoint, _binding(**_alone(complete="manifest", after="leave")))
    settle_down(drop.root)
    rows = {row["name"]: row["file"] for row in passes.read()}
    assert "摘要" in (why_unreadable(rows["1_1.pdf"]) or "")
    assert Document.of(rows["2_1.pdf"]).name == "2_1.pdf"
    assert passes.refused == {"1_1.pdf": UNTAKEN}
    assert passes.read() == []
    drop.put("1_1.pdf", "%PDF-1")
    assert [row["name"] for row in passes.read()] == ["1_1.pdf"]
    assert passes.refused == {}


@pytest.mark.parametrize("when", ["listed", "read", "read in its place"])
def test_a_document_that_is_another_than_was_listed_waits(
    drop: Drop, store: Shelf, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    for number in (1, 2):
        (drop.root / f"{number}_1.pdf").write_bytes(PDF + bytes(3 << 20))
    settle_down(drop.root)
    endpoint = drop.endpoint
    endpoint.documents = store
    passes = Passes(endpoint, _binding(**_alone(after="leave")))
    final = PDF + bytes(3 << 20)[:-1] + b"!" if when == "read in its place" else PDF + b"final"

    def write() -> None:
        (drop.root / "1_1.pdf").write_bytes(final)

    with monkeypatch.context() as patch:
        real = LocalDirectory.visit

        def visit(self: LocalDirectory, names: Any, use: Any, **options: Any) -> Any:
            def used(number: int, entry: Any, chunks: Any) -> Any:
                def pieces() -> Any:
                    for piece in chunks:
                        if when != "listed" and entry.name == "1_1.pdf":
                            write()
                        yield piece

                return use(number, entry, pieces())

            if when == "listed":
                write()
            return real(self, names, used, **options)

        patch.setattr(LocalDirectory, "visit", visit)
        assert [row["name"] for row in passes.read()] == ["2_1.pdf"]
    assert passes.refused == {}
    [row] = passes.read()
    assert (row["name"], Document.of(row["file"]).digest) == ("1_1.pdf", hashlib.sha256(final).hexdigest())


def test_a_named_document_that_is_being_written_is_not_taken_by_half(
    drop: Drop, store: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    (drop.root / "a.pdf").write_bytes(PDF + bytes(3 << 20))
    (drop.root / "lic_1.csv").write_text(_csv(("1", "a.pdf")))
    real = Shelf.put

    def put(self: Shelf, chunks: Any) -> tuple[str, int]:
        first = next(iter(chunks))
        (drop.root / "a.pdf").write_bytes(PDF)
        return real(self, [first, *chunks])

    source = _source(drop, store)
    with monkeypatch.context() as patch:
        patch.setattr(Shelf, "put", put)
        with pytest.raises(Unavailable, match="在读取期间被改动") as caught:
            list(source.batches(Selection()))
    assert caught.value.retry
    assert _told(list(source.batches(Selection()))) == {"1": _name(PDF, "a.pdf")}
