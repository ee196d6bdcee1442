from __future__ import annotations

import gzip
import io
import os
import random
import time
import zipfile
import zlib
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest

from adapters.errors import Malformed
from adapters.files import wrapping as module
from adapters.files.formats import archive
from adapters.files.formats.base import CHUNK
from adapters.files.options import FORMATS
from adapters.files.wrapping import unwrapped, wrapping

CONTENT = "编号,姓名\n".encode() + b"".join(b"%d,x\n" % number for number in range(50_000))


def _pieces(content: bytes, step: int = 1 << 20) -> Iterator[bytes]:
    return (content[start : start + step] for start in range(0, len(content), step))


def _unwrapped(content: bytes, wrapper: Any, step: int = 1 << 20, *, packed: bool = False) -> bytes:
    return b"".join(unwrapped(_pieces(content, step), wrapper, "a.csv", packed=packed))


def _zip(*members: tuple[str, bytes], **how: Any) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, **how) as made:
        for name, content in members:
            made.writestr(name, content)
    return out.getvalue()


@pytest.mark.parametrize("wrapper", ["none", "gzip", "zip"])
@pytest.mark.parametrize("content", [CONTENT, b"", b"x", random.Random(1).randbytes(3_000_000)])
def test_what_goes_in_comes_out(wrapper: Any, content: bytes) -> None:
    around = wrapping(wrapper, "a.csv")
    made = b"".join([*(around.add(piece) for piece in _pieces(content, 65_537)), around.close()])
    for step in (1_000, 1 << 20):
        assert _unwrapped(made, wrapper, step) == content


def test_others_can_read_what_we_wrap() -> None:
    around = wrapping("zip", "a.csv")
    made = around.add(CONTENT) + around.close()
    with zipfile.ZipFile(io.BytesIO(made)) as found:
        assert found.namelist() == ["a.csv"]
        assert found.testzip() is None
    around = wrapping("gzip", "a.csv")
    assert gzip.decompress(around.add(CONTENT) + around.close()) == CONTENT


def test_the_same_rows_are_the_same_bytes() -> None:
    made = []
    for _ in range(2):
        around = wrapping("gzip", "a.csv")
        made.append(around.add(CONTENT) + around.close())
    assert made[0] == made[1]


@pytest.mark.parametrize("wrapper", ["gzip", "zip"])
def test_a_bomb_is_stopped_before_it_bursts(wrapper: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "FREE", 1 << 20)
    blanks = b"\0" * (64 << 20)
    bomb = gzip.compress(blanks) if wrapper == "gzip" else _zip(("a.csv", blanks))
    assert len(bomb) < 100_000
    taken = 0
    with pytest.raises(Malformed, match=r"a\.csv .*300 倍"):
        for piece in unwrapped([bomb], wrapper, "a.csv", packed=True):
            taken += len(piece)
    assert taken < 40 << 20


def test_more_than_one_may_unpack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive.Limit.__init__, "__defaults__", (1 << 20,))
    with pytest.raises(Malformed, match="超过 1 MiB"):
        _unwrapped(gzip.compress(random.Random(1).randbytes(3 << 20)), "gzip", packed=True)


def test_a_zip_that_lies_about_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(_zip(("a.csv", b"x" * 100_000)))
    lied = (10).to_bytes(4, "little")
    for mark, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = content.index(mark) + at
        content[place : place + 4] = lied
    with pytest.raises(Malformed, match="已损坏"):
        _unwrapped(bytes(content), "zip")


def test_an_encrypted_zip_is_refused_by_name() -> None:
    content = bytearray(_zip(("a.csv", CONTENT)))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + at] |= 1
    with pytest.raises(Malformed, match="加密") as caught:
        _unwrapped(bytes(content), "zip")
    assert "密码" in caught.value.remedy


@pytest.mark.parametrize("wrapper", ["gzip", "zip"])
@pytest.mark.parametrize("inner", ["gzip", "zip", "7z", "rar", "xz", "bzip2", "zstd"])
def test_an_archive_in_an_archive_is_refused_by_name(wrapper: Any, inner: str) -> None:
    mark = next(mark for mark, kind in module._MARKS.items() if kind == inner)
    nested = mark + b"x" * 100
    content = gzip.compress(nested) if wrapper == "gzip" else _zip(("a.csv", nested))
    for step in (1, 1 << 20):
        with pytest.raises(Malformed, match=f"又是 {inner} 压缩包"):
            _unwrapped(content, wrapper, step)


def test_a_wrapper_nobody_wrote_down() -> None:
    with pytest.raises(Malformed, match="没有写明 wrapper 的 gzip"):
        _unwrapped(gzip.compress(CONTENT), "none")


def test_a_workbook_may_lie_in_a_wrapper() -> None:
    workbook = _zip(("xl/workbook.xml", b"<workbook/>"))
    assert _unwrapped(gzip.compress(workbook), "gzip", packed=True) == workbook


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (_zip(("a.csv", b"x"), ("b.csv", b"y")), "2 个成员"),
        (_zip(), "没有文件"),
        (_zip(("a/", b"")), "没有文件"),
        (b"", "不是完整的 zip"),
        (CONTENT, "不是完整的 zip"),
        (_zip(("a.csv", CONTENT))[:-30], "不是完整的 zip"),
        (_zip(("a.csv", CONTENT))[100:], ""),
        (gzip.compress(b"x", mtime=0), "不是完整的 zip"),
    ],
)
def test_zips_that_are_none_or_too_much(content: bytes, words: str) -> None:
    with pytest.raises(Malformed, match=rf"a\.csv .*{words}") as caught:
        _unwrapped(content, "zip")
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(b"x", mtime=0) + gzip.compress(b"y", mtime=0), "不止一个"),
        (gzip.compress(CONTENT)[:-1], "不完整"),
        (gzip.compress(CONTENT)[:-9], "不完整"),
        (gzip.compress(CONTENT)[:-8] + b"\0" * 8, "已损坏"),
        (CONTENT, "不是 gzip"),
        (b"", "不完整"),
        (zlib.compress(CONTENT), "不是 gzip"),
    ],
)
@pytest.mark.parametrize("step", [1_000, 1 << 20])
def test_gzips_that_are_none_or_too_much(content: bytes, words: str, step: int) -> None:
    with pytest.raises(Malformed, match=rf"a\.csv .*{words}"):
        _unwrapped(content, "gzip", step)


def test_zeros_after_a_gzip_are_padding() -> None:
    assert _unwrapped(gzip.compress(CONTENT) + b"\0" * 511, "gzip") == CONTENT


def test_a_method_nobody_has() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_BZIP2) as made:
        made.writestr("a.csv", CONTENT)
    with pytest.raises(Malformed, match="压缩方法"):
        _unwrapped(out.getvalue(), "zip")


@pytest.mark.parametrize("wrapper", ["none", "gzip", "zip"])
def test_bytes_that_drip_are_gathered(wrapper: Any) -> None:
    content = os.urandom(300) * 10_000
    around = wrapping(wrapper, "a.csv")
    wrapped = around.add(content) + around.close()
    pieces = list(unwrapped(_pieces(wrapped, 50), wrapper, "a", packed=False))
    assert b"".join(pieces) == content
    assert all(len(piece) >= CHUNK for piece in pieces[:-1])


@pytest.mark.parametrize("format_", ["csv", "xml"])
def test_what_drips_is_read_in_time(format_: Any) -> None:
    """Five megabytes of one value, fifty bytes at a time."""
    begun = time.process_time()
    before, after = {"csv": (b'a\n"', b'"\n'), "xml": (b"<Package><Body><r><a>", b"</a></r></Body></Package>")}[format_]
    drip = chain([before], (b"x" * 50 for _ in range(100_000)), [after])
    form = FORMATS[format_]
    reader = form.reader(unwrapped(drip, "none", "a", packed=False), "a", form.reading())
    assert [len(row["0"]) for _, batch in reader.batches([0]) for row in batch.to_pylist()] == [5_000_000]
    assert time.process_time() - begun < 5
