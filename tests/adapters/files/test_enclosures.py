"""Documents that go with a delivery: a folder beside the data file, whole or not there."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from adapters.base import DELETE, OPERATION, PUT, Claim, Manifest, Sink
from adapters.errors import Misconfigured, StageLost, TooManyRefused, Unavailable
from adapters.files.enclosures import GONE, folder_of, in_folder
from adapters.files.transports import local, protocol, sftp
from adapters.files.transports.protocol import Session
from adapters.registry import open_endpoint
from tests.adapters.files.conftest import binding
from tests.adapters.files.documents import Shelf
from tests.support.openssh import OpenSSHServer

SCHEMA = pa.schema(
    [
        pa.field("number", pa.string()),
        pa.field("file", pa.string(), metadata={"type": "G", "document": "true", "label": "文件"}),
        pa.field(OPERATION, pa.int8()),
    ]
)
CLAIM = Claim(key="run-1", exchange="E1", epoch=1)
COLUMNS = {"number": "编号", "file": "文件"}
CHANGES = {6, 13, 14, 15, 18}
"""Requests that change a server's directory: write, remove, make and remove a folder, rename."""
PRELOADED = ["tests.adapters.files.test_enclosures", "adapters.files.endpoint"]


def _sink(options: dict[str, Any], store: Shelf | None, **changes: Any) -> Sink:
    endpoint = open_endpoint("files", options)
    endpoint.documents = store
    return endpoint.sink(binding(columns=COLUMNS, **changes))


def _batch(*rows: tuple[str, str | None, int]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], schema=SCHEMA)


def _manifest(claim: Claim = CLAIM, rows: int = 3, **changes: Any) -> Manifest:
    return replace(Manifest(claim=claim, digest="d" * 64, rows=rows), **changes)


def _rows(store: Shelf) -> pa.RecordBatch:
    return _batch(
        ("1", store.text(b"%PDF-1", "甲.pdf"), PUT), ("2", store.text(b"%PDF-2", "甲.PDF"), PUT), ("3", None, DELETE)
    )


def _whole(root: Path, place: str) -> dict[str, bytes | None]:
    """What a delivery's rows name, proven by its manifest."""
    about = json.loads((root / f"{place}.manifest.json").read_text())
    data = (root / place).read_bytes()
    assert (about["sha256"], about["size"]) == (hashlib.sha256(data).hexdigest(), len(data))
    rows = list(csv.DictReader(data.decode().splitlines()))
    assert about["rows"] == len(rows)
    for each in about["documents"]:
        content = (root / each["name"]).read_bytes()
        assert (each["size"], each["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    named = {row["编号"]: row["文件"] for row in rows}
    assert {name for name in named.values() if name} == {each["name"] for each in about["documents"]}
    return {number: (root / name).read_bytes() if name else None for number, name in named.items()}


def test_a_folder_beside_the_data_file(tmp_path: Path) -> None:
    store, root = Shelf(tmp_path / "store"), tmp_path / "drop"
    root.mkdir()
    delivery = _sink({"root": str(root)}, store).begin(CLAIM, SCHEMA)
    delivery.stage(_rows(store))
    assert [path for path in root.iterdir() if not path.name.startswith(".")] == []
    answer = delivery.commit(_manifest())
    assert (answer.written, answer.deleted, answer.refused) == (3, 1, ())
    assert _whole(root, answer.place) == {"1": b"%PDF-1", "2": b"%PDF-2", "3": None}
    folder = root / folder_of(answer.place)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o640}
    about = json.loads((root / f"{answer.place}.manifest.json").read_text())
    assert {"name": "文件", "type": "G", "label": "文件", "document": "true"} in about["schema"]
    # The same again is the same answer, also when the recipient has taken everything.
    (root / answer.place).unlink()
    assert delivery.commit(_manifest()) == answer


def test_a_delivery_without_documents_has_no_folder(tmp_path: Path) -> None:
    delivery = _sink({"root": str(tmp_path)}, Shelf(tmp_path / ".store")).begin(CLAIM, SCHEMA)
    delivery.stage(_batch(("1", None, PUT)))
    answer = delivery.commit(_manifest(rows=1))
    assert [path.name for path in tmp_path.iterdir() if path.is_dir() and not path.name.startswith(".")] == []
    assert "documents" not in json.loads((tmp_path / f"{answer.place}.manifest.json").read_text())


@pytest.mark.parametrize("format", ["xlsx", "jsonl", "xml", "parquet"])
def test_every_format_names_its_documents(tmp_path: Path, format: str) -> None:
    store, root = Shelf(tmp_path / "store"), tmp_path / "drop"
    root.mkdir()
    delivery = _sink({"root": str(root)}, store, object=f"licence_*.{format}").begin(CLAIM, SCHEMA)
    delivery.stage(_rows(store))
    answer = delivery.commit(_manifest())
    about = json.loads((root / f"{answer.place}.manifest.json").read_text())
    assert [(root / each["name"]).read_bytes() for each in about["documents"]] == [b"%PDF-1", b"%PDF-2"]


def test_a_document_that_is_gone_or_another_refuses_its_row_alone(tmp_path: Path) -> None:
    store, root = Shelf(tmp_path / "store"), tmp_path / "drop"
    root.mkdir()
    rows = _rows(store)
    (store.root / hashlib.sha256(b"%PDF-2").hexdigest()).write_bytes(b"%PDF-2 and more")
    delivery = _sink({"root": str(root)}, store).begin(CLAIM, SCHEMA)
    delivery.stage(rows)
    with pytest.raises(TooManyRefused) as caught:
        delivery.commit(_manifest(tolerable=0))
    assert [(row.row, row.rule, row.reason) for row in caught.value.refused] == [(1, "document", GONE)]
    answer = delivery.commit(_manifest(tolerable=1))
    assert (answer.written, answer.deleted, [row.row for row in answer.refused]) == (2, 1, [1])
    assert _whole(root, answer.place) == {"1": b"%PDF-1", "3": None}
    assert len(list((root / folder_of(answer.place)).iterdir())) == 1
    assert _sink({"root": str(root)}, store).settled(CLAIM.key) == answer


def test_what_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    store, root = Shelf(tmp_path / "store"), tmp_path / "drop"
    root.mkdir()
    sink = _sink({"root": str(root)}, store)
    delivery = sink.begin(CLAIM, SCHEMA)
    delivery.stage(_rows(store))
    delivery.abort()
    assert {path.name for path in root.iterdir()} == {".shutong"}
    delivery = sink.begin(CLAIM, SCHEMA)
    delivery.stage(_rows(store))
    later = replace(CLAIM, epoch=2)
    sink.begin(later, SCHEMA).stage(_rows(store))
    assert [path.name.split(".")[2] for path in root.glob(".*.documents")] == ["2"]


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, root = Shelf(tmp_path / "store"), tmp_path / "drop"
    root.mkdir()
    delivery = _sink({"root": str(root)}, store).begin(CLAIM, SCHEMA)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(local.LocalDirectory, "_made", full)
    with pytest.raises(Unavailable, match="磁盘已满") as caught:
        delivery.stage(_rows(store))
    assert caught.value.retry
    delivery.abort()
    assert {path.name for path in root.iterdir()} == {".shutong"}


def test_nothing_is_delivered_without_a_store(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="暂存处"):
        _sink({"root": str(tmp_path)}, None).begin(CLAIM, SCHEMA)


def test_rows_without_documents_stay_as_they_are() -> None:
    rows = pa.record_batch([["1"]], names=["number"])
    assert in_folder(rows, "f") is rows


@pytest.mark.parametrize(
    ("name", "folder"),
    [("a_1.csv", "a_1"), ("a_1.csv.gz", "a_1"), ("a.b_1.xlsx", "a.b_1"), ("a_1", "a_1.documents")],
)
def test_the_folder_is_called_like_the_file(name: str, folder: str) -> None:
    assert folder_of(name) == folder


# --- deaths -----------------------------------------------------------------------------------------


def _strike(allowed: int) -> Callable[[], None]:
    made = [0]

    def change() -> None:
        made[0] += 1
        if made[0] > allowed:
            os.kill(os.getpid(), signal.SIGKILL)

    return change


def _deliver(
    options: dict[str, Any], store: Path, claim: Claim, previous: str | None, allowed: int, ended: Any
) -> None:
    """Deliver, and die before the change of that number."""
    change = _strike(allowed)
    if options.get("transport") == "sftp":
        original = Session._request

        def request(self: Session, kind: int, rest: bytes, data: bytes | memoryview = b"") -> int:
            if kind in CHANGES or (kind == 200 and protocol.RENAMES.encode() in rest):
                change()
            return original(self, kind, rest, data)

        Session._request = request  # type: ignore[method-assign]
        # Whoever dies between two requests has sent the first.
        protocol.HELD = 0
    else:
        for owner, name in (
            (local.LocalDirectory, "_made"), (local.LocalDirectory, "rename"), (local.LocalDirectory, "remove"),
            (local.LocalDirectory, "folder"), (local.LocalDirectory, "remove_folder"), (local, "_fill"),
            (local, "_flush"),
        ):  # fmt: skip
            setattr(owner, name, _before(getattr(owner, name), change))
    shelf = Shelf(store)
    delivery = _sink(options, shelf).begin(claim, SCHEMA)
    delivery.stage(_rows(shelf))
    delivery.commit(_manifest(claim, previous=previous))
    ended.set()


def _before(method: Callable[..., Any], change: Callable[[], None]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        change()
        return method(*arguments, **named)

    return call


def _die_everywhere(root: Path, store: Shelf, options: dict[str, Any], least: int) -> None:
    """Whoever comes after, under a higher epoch, ends with one file, one folder, one manifest and one answer."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    previous: str | None = None
    deaths = 0
    for allowed in range(300):
        claim = Claim(key=f"run-{allowed}", exchange="E1", epoch=2 * allowed + 1)
        ended = context.Event()
        child = context.Process(target=_deliver, args=(options, store.root, claim, previous, allowed, ended))
        child.start()
        child.join(60)
        assert child.exitcode == (0 if ended.is_set() else -signal.SIGKILL)
        deaths += not ended.is_set()
        sink = _sink(options, store)
        later = replace(claim, epoch=claim.epoch + 1)
        answer = sink.settled(claim.key)
        if answer is None:
            delivery = sink.begin(later, SCHEMA)
            delivery.stage(_rows(store))
            answer = delivery.commit(_manifest(later, previous=previous))
        assert sink.resume(later, SCHEMA).commit(_manifest(later, previous=previous)) == answer
        sink.resume(later, SCHEMA).abort()
        assert answer.written == 3
        assert _whole(root, answer.place) == {"1": b"%PDF-1", "2": b"%PDF-2", "3": None}
        shown = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
        assert len(shown) == 3 * (allowed + 1)
        assert [path.name for path in root.iterdir() if path.name.startswith(".") and path.name != ".shutong"] == []
        previous = claim.key
        if ended.is_set():
            break
    assert ended.is_set()
    assert deaths >= least


def test_death_at_every_change_of_a_local_delivery(tmp_path: Path) -> None:
    root = tmp_path / "drop"
    root.mkdir()
    _die_everywhere(root, Shelf(tmp_path / "store"), {"root": str(root)}, least=15)


@pytest.mark.long
def test_death_at_every_change_on_a_server(
    tmp_path: Path, openssh_server: OpenSSHServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = openssh_server.new_folder()
    monkeypatch.setattr(sftp, "PAUSE", 0.05)
    _die_everywhere(root, Shelf(tmp_path / "store"), openssh_server.options(root), least=20)


@pytest.mark.parametrize("how", ["folder", "one", "further", "hidden", "shorter", "link"])
@pytest.mark.parametrize("intended", [False, True])
def test_what_was_staged_and_is_not_as_it_was_is_staged_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, intended: bool
) -> None:
    """Somebody clears up a drop while a delivery lies there: the delivery comes whole, or not yet."""
    store, root = Shelf(tmp_path / "store"), tmp_path / "drop"
    root.mkdir()
    sink = _sink({"root": str(root)}, store)
    delivery = sink.begin(CLAIM, SCHEMA)
    delivery.stage(_rows(store))
    if intended:
        with monkeypatch.context() as broken:
            broken.setattr(local.LocalDirectory, "rename", _cut(local.LocalDirectory.rename))
            with pytest.raises(Unavailable):
                delivery.commit(_manifest())
        assert len(list((root / ".shutong").glob("delivery-*"))) == 1
    [hidden] = root.glob(".*.documents")
    match how:
        case "folder":
            shutil.rmtree(hidden)
        case "one":
            (hidden / "甲.pdf").unlink()
        case "further":
            (hidden / "丙.pdf").write_bytes(b"%PDF-3")
        case "hidden":
            (hidden / ".丙.pdf").write_bytes(b"%PDF-3")
        case "shorter":
            (hidden / "甲.pdf").write_bytes(b"%PDF")
        case _:
            (hidden / "甲.pdf").unlink()
            (hidden / "甲.pdf").symlink_to(store.root)
    with pytest.raises(StageLost, match="附件"):
        delivery.commit(_manifest())
    assert [path for path in root.iterdir() if not path.name.startswith(".")] == []
    delivery = sink.begin(CLAIM, SCHEMA)
    delivery.stage(_rows(store))
    answer = delivery.commit(_manifest())
    assert _whole(root, answer.place) == {"1": b"%PDF-1", "2": b"%PDF-2", "3": None}
    assert len([path for path in root.iterdir() if not path.name.startswith(".")]) == 3


def _cut(rename: Callable[..., None]) -> Callable[..., None]:
    def cut(directory: Any, name: str, to: str, **about: Any) -> None:
        if name.endswith(".documents"):
            raise Unavailable("断开")
        rename(directory, name, to, **about)

    return cut
