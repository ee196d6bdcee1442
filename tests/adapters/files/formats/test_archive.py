from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable

import pytest

from adapters.errors import Malformed
from adapters.files.formats import archive as module
from adapters.files.formats.archive import Archive, Limit


def _zip(*names: str, content: bytes = b"x" * 1000) -> io.BytesIO:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name in names:
            made.writestr(name, content)
    return out


def test_members_by_name() -> None:
    found = Archive(_zip("a.xml", "b/", "b/c.xml"), "x.xlsx", 10)
    assert found.names == ["a.xml", "b/c.xml"]
    assert b"".join(found.chunks("b/c.xml")) == b"x" * 1000
    with pytest.raises(Malformed, match="缺少"):
        list(found.chunks("d.xml"))


def test_too_many_members_are_refused_before_they_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = _zip(*map(str, range(20)))
    monkeypatch.setattr(zipfile.ZipFile, "_RealGetContents", lambda self: pytest.fail("the directory was read"))
    with pytest.raises(Malformed, match="20 个成员，至多 19 个"):
        Archive(made, "x.xlsx", 19)


def test_a_directory_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DIRECTORY", 100)
    with pytest.raises(Malformed, match="目录超过"):
        Archive(_zip("a", "b", "c"), "x.xlsx", 10)


def test_two_members_of_one_name() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        made = _zip("a.xml", "a.xml")
    with pytest.raises(Malformed, match="重名"):
        Archive(made, "x.xlsx", 10)


def test_more_than_is_wanted_of_a_member() -> None:
    found = Archive(_zip("a.xml"), "x.xlsx", 10)
    with pytest.raises(Malformed, match=r"x\.xlsx 解开后超过"):
        list(found.chunks("a.xml", most=999))


@pytest.mark.parametrize(
    "spoil",
    [lambda content: content[:-1], lambda content: b"", lambda content: content[5:], lambda content: content * 2],
)
def test_what_is_no_zip(spoil: Callable[[bytes], bytes]) -> None:
    content = spoil(_zip("a.xml").getvalue())
    try:
        found = Archive(io.BytesIO(content), "x.xlsx", 10)
        assert b"".join(found.chunks("a.xml")) == b"x" * 1000
    except Malformed as error:
        assert "x.xlsx" in error.message
        assert error.remedy


def test_limits_count_what_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FREE", 100)
    limit = Limit("x.zip", 10_000)
    limit.add(100, 0)
    limit.add(200, 1)
    with pytest.raises(Malformed, match="300 倍"):
        limit.add(1, 1)
    with pytest.raises(Malformed, match="超过 0 MiB"):
        limit.check(10_001, 10_000)


def test_a_directory_with_more_members_than_it_counts() -> None:
    content = bytearray(_zip("a", "b").getvalue())
    end = content.rindex(b"PK\x05\x06")
    content[end + 8 : end + 12] = struct.pack("<HH", 1, 1)
    with pytest.raises(Malformed, match="2 个成员，至多 1 个"):
        Archive(io.BytesIO(content), "x.zip", 1)


def test_a_locator_that_points_to_another_record_than_the_library_reads() -> None:
    content = _zip(*map(str, range(20))).getvalue()
    end = content.rindex(b"PK\x05\x06")
    size, start = struct.unpack("<II", content[end + 12 : end + 20])

    def record(count: int, length: int) -> bytes:
        return struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, length, start)

    def made(told: int) -> io.BytesIO:
        # An innocent record first, and the one that the library takes right before the locator.
        records = record(1, 46) + record(20, size)
        locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, told, 1)
        return io.BytesIO(content[:end] + records + locator + content[end:])

    with pytest.raises(Malformed, match="不是完整的"):
        Archive(made(end), "x.zip", 1)
    with pytest.raises(Malformed, match="20 个成员，至多 1 个"):
        Archive(made(end + 56), "x.zip", 1)
    honest = content[:end] + record(20, size) + struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1) + content[end:]
    assert len(Archive(io.BytesIO(honest), "x.zip", 20).names) == 20
