"""The durable manifest: whole or not at all, and nobody changes it unnoticed."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from adapters import TakenFile
from exchange.checks import Leaf
from exchange.engine.manifest import NUMBER, REFUSED, ROWS, Header, Manifest, ManifestWriter
from exchange.errors import Tampered
from exchange.secrets import Vault

HEADER = Header(delivery="d", read=5, filtered=1, refused=1, staged=3, report={"type": 1}, position={"serial": 7})


def rows(*origins: tuple[int, int | None, str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [{"number": number, "staged": staged, "reference": place} for number, staged, place in origins], schema=ROWS
    )


def refused() -> pa.RecordBatch:
    told = {"number": 2, "item": "name", "rule": "length", "reason": "过长", "key_hash": "h", "reference": "r2"}
    return pa.RecordBatch.from_pylist([told], schema=REFUSED)


def content(name: str) -> pa.RecordBatch:
    return pa.record_batch({"name": [name], NUMBER: pa.array([2], pa.int64())})


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "payload", b"k" * 32)


@pytest.fixture
def name(vault: Vault) -> str:
    with vault.write("run1.1") as writer:
        manifest = ManifestWriter(writer)
        manifest.rows(rows((1, 0, "r1"), (3, None, "r3")))
        manifest.refused(refused(), content("某某𠮷"))
        manifest.refused(refused().slice(0, 0), content("").slice(0, 0))
        manifest.leaf(Leaf(1, "ab" * 32, b"\x01first", b"\x01last"))
        manifest.leaf(None)
        manifest.rows(rows((4, 1, "r4"), (5, 2, "r5")))
        manifest.rows(rows())
        manifest.seal(HEADER)
    return "run1.1"


def test_files_come_back_some_at_a_time(vault: Vault) -> None:
    files = [TakenFile(name=f"证照_{number}.csv", size=number, digest="d", rows=number) for number in range(1200)]
    files.append(TakenFile(name="bad.csv", size=1, digest="", reason="坏", reference="bad.csv#:0/1/2.0/3.0"))
    with vault.write("run2.1") as writer:
        manifest = ManifestWriter(writer)
        manifest.files(iter(files))
        manifest.files([])
        manifest.seal(HEADER)
    pages = list(Manifest(vault, "run2.1", vault.digest("run2.1")).files())
    assert [len(page) for page in pages] == [500, 500, 201]
    assert [file for page in pages for file in page] == files


def test_everything_comes_back_in_order(vault: Vault, name: str) -> None:
    manifest = Manifest(vault, name, vault.digest(name))
    assert manifest.header() == HEADER
    assert [row for batch in manifest.rows() for row in batch.to_pylist()] == [
        {"number": 1, "staged": 0, "reference": "r1"},
        {"number": 3, "staged": None, "reference": "r3"},
        {"number": 4, "staged": 1, "reference": "r4"},
        {"number": 5, "staged": 2, "reference": "r5"},
    ]
    (batch,) = manifest.refused()
    assert batch == refused()
    assert list(manifest.contents()) == [content("某某𠮷")]
    assert list(manifest.leaves()) == [
        {"rows": 1, "digest": "ab" * 32, "first": b"\x01first".hex(), "last": b"\x01last".hex()}
    ]


def test_nothing_is_there_before_it_is_sealed(vault: Vault, tmp_path: Path) -> None:
    with pytest.raises(InterruptedError), vault.write("run2.1") as writer:
        ManifestWriter(writer).rows(rows((1, 0, "r1")))
        raise InterruptedError
    with pytest.raises(Tampered):
        Manifest(vault, "run2.1", "0" * 64)
    assert list((tmp_path / "payload").iterdir()) == []


def test_no_content_lies_in_the_open(vault: Vault, name: str, tmp_path: Path) -> None:
    data = (tmp_path / "payload" / name).read_bytes()
    for word in ("某某𠮷".encode(), b"first", b"delivery"):
        assert word not in data


def test_a_manifest_of_another_epoch_is_not_taken_for_this_one(vault: Vault, name: str) -> None:
    with vault.write("run1.2") as writer:
        ManifestWriter(writer).seal(HEADER)
    with pytest.raises(Tampered):
        Manifest(vault, "run1.2", vault.digest(name))


@pytest.mark.parametrize("place", [0, 30, -20, -1])
def test_a_changed_byte_shows(vault: Vault, name: str, tmp_path: Path, place: int) -> None:
    digest = vault.digest(name)
    file = tmp_path / "payload" / name
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)
    with pytest.raises(Tampered) as told:
        Manifest(vault, name, digest)
    assert told.value.remedy


def test_a_missing_manifest_shows(vault: Vault, name: str) -> None:
    digest = vault.digest(name)
    vault.remove(name)
    with pytest.raises(Tampered):
        Manifest(vault, name, digest)


def test_another_manifest_is_taken_over_behind_what_is_there(vault: Vault, name: str) -> None:
    part = Manifest(vault, name, vault.digest(name))
    with vault.write("run3.1") as writer:
        manifest = ManifestWriter(writer)
        for read, staged in ((0, 0), (5, 3)):
            manifest.take_over(part, read=read, staged=staged)
        manifest.kept(refused())
        manifest.seal(HEADER)
    whole = Manifest(vault, "run3.1", vault.digest("run3.1"))
    found = [tuple(row.values()) for batch in whole.rows() for row in batch.to_pylist()]
    once = [(1, 0, "r1"), (3, None, "r3"), (4, 1, "r4"), (5, 2, "r5")]
    assert found == [*once, *((n + 5, None if s is None else s + 3, place) for n, s, place in once)]
    assert [row["number"] for batch in whole.refused() for row in batch.to_pylist()] == [2, 7]
    assert [row for batch in whole.contents() for row in batch.to_pylist()] == [
        {"name": "某某𠮷", NUMBER: 2}, {"name": "某某𠮷", NUMBER: 7},
    ]  # fmt: skip
    assert list(whole.leaves()) == 2 * list(part.leaves())
    with vault.write("run4.1") as writer:
        ManifestWriter(writer).take_over(whole, read=10, staged=6)
        ManifestWriter(writer).seal(HEADER)
    again = Manifest(vault, "run4.1", vault.digest("run4.1"))
    assert [row["number"] for batch in again.kept() for row in batch.to_pylist()] == [12]
