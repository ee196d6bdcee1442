"""The durable manifest: whole or not at all, and nobody changes it unnoticed."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

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
    for word in ("某某𠮷".encode(), b"first", b"r4", b"delivery"):
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
