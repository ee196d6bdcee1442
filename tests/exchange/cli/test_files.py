from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exchange.cli.files import content, described
from exchange.errors import Invalid


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "资源.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as missing:
        content(tmp_path / "none.yaml")
    assert missing.value.problems[0].message == "没有这个文件"
    with pytest.raises(Invalid) as folder:
        content(tmp_path)
    assert folder.value.problems[0].message == "不能读取"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("code: 1/1\nname: 甲", [{"code": "1/1", "name": "甲"}]),
        ("- code: 1/1\n- code: 1/2", [{"code": "1/1"}, {"code": "1/2"}]),
        ("resources:\n- code: 1/1\n- code: 1/2", [{"code": "1/1"}, {"code": "1/2"}]),
    ],
)
def test_one_thing_or_several(tmp_path: Path, text: str, expected: Any) -> None:
    assert described(written(tmp_path, text), "resources") == expected


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("", ["资源.yaml 第 1 项"]),
        ("[]", ["资源.yaml"]),
        ("甲", ["资源.yaml 第 1 项"]),
        ("resources: []", ["资源.yaml"]),
        ("- code: 1/1\n- 甲\n- code: 1/2\n- 2", ["资源.yaml 第 2 项", "资源.yaml 第 4 项"]),
        (
            "resources:\n- code: 1/1\nendpoints: []\ndepartments: []",
            ["资源.yaml 第 3 行 endpoints", "资源.yaml 第 4 行 departments"],
        ),
    ],
)
def test_what_describes_nothing_of_the_kind(tmp_path: Path, text: str, places: list[str]) -> None:
    with pytest.raises(Invalid) as error:
        described(written(tmp_path, text), "resources")
    assert [problem.where for problem in error.value.problems] == places


def test_what_is_no_yaml_says_where(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as error:
        described(written(tmp_path, "code: 1\ncode: 2\nname: *a\n"), "resources")
    assert [(problem.where, problem.message) for problem in error.value.problems] == [
        ("资源.yaml 第 2 行", "“code”写了两次，请只留一个"),
        ("资源.yaml 第 3 行", "不接受引用 *a，请把内容写出来"),
    ]
