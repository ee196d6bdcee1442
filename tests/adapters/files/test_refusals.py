from __future__ import annotations

from pathlib import Path

import pytest

from adapters.files import refusals as module
from adapters.files.refusals import Refusals, report_name
from adapters.files.transports.local import LocalDirectory


def test_lines_are_added_and_replaced_but_never_lost(tmp_path: Path) -> None:
    refusals = Refusals(LocalDirectory(tmp_path), "a.csv", "utf-8")
    assert refusals.add("aa", {}) == 0
    assert not (tmp_path / report_name("a.csv")).exists()
    assert refusals.add("aa", {10: "甲", 9: "乙"}) == 2
    assert refusals.add("aa", {10: "甲"}) == 0
    assert refusals.add("bb", {10: "丙"}) == 1
    assert refusals.add("aa", {9: "丁,\n"}) == 1
    text = (tmp_path / report_name("a.csv")).read_bytes()
    assert text.startswith(b"\xef\xbb\xbf")
    assert text.decode("utf-8-sig") == ('"行号","原因","文件指纹"\n"9","丁,\n","aa"\n"10","甲","aa"\n"10","丙","bb"\n')


@pytest.mark.parametrize(
    ("encoding", "expected"), [("gbk", "gb18030"), ("gb18030", "gb18030"), ("utf-8-sig", "utf-8-sig")]
)
def test_in_the_encoding_the_provider_reads(tmp_path: Path, encoding: str, expected: str) -> None:
    Refusals(LocalDirectory(tmp_path), "a.csv", encoding).add("aa", {2: "缺少 𠮷"})  # type: ignore[arg-type]
    assert "缺少 𠮷" in (tmp_path / "a.csv.refused.csv").read_bytes().decode(expected)


def test_a_list_that_is_too_large_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = LocalDirectory(tmp_path)
    refusals = Refusals(directory, "a.csv", "utf-8")
    refusals.add("0123", {2: "甲"})
    monkeypatch.setattr(module, "LARGEST", 10)
    assert refusals.add("0123", {3: "乙"}) == 1
    content = (tmp_path / report_name("a.csv")).read_text("utf-8-sig")
    assert "乙" in content
    assert "甲" not in content
