from __future__ import annotations

import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import SchemaError
from schemas.plain_yaml import MOST_CHARACTERS, MOST_PROBLEMS, read_plain_yaml

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def refused(text: str | bytes) -> tuple[str, ...]:
    content = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(SchemaError) as caught:
        read_plain_yaml(content, name="甲.yaml")
    return caught.value.problems


def test_scalars_mean_what_they_look_like() -> None:
    text = 'a: 01\nb: yes\nc: -7\nd: "1"\ne: 2020-01-01\nf: [true, False, null, ~]\ng:\nh: 1.5\ni: 𠮷\nj: 0x10'
    assert read_plain_yaml(text.encode(), name="x").data == {
        "a": "01", "b": "yes", "c": -7, "d": "1", "e": "2020-01-01", "f": [True, False, None, None], "g": None,
        "h": "1.5", "i": "𠮷", "j": "0x10",
    }  # fmt: skip


def test_keys_are_text() -> None:
    assert list(read_plain_yaml(b"01: a\n1: b\nnull: c\ntrue: d", name="x").data) == ["01", "1", "null", "true"]


def test_empty_file_and_byte_order_mark() -> None:
    assert read_plain_yaml(b"", name="x").data is None
    assert read_plain_yaml("\ufeffa: 1".encode(), name="x").data == {"a": 1}


def test_a_place_is_told_by_line_and_path() -> None:
    document = read_plain_yaml("甲: 1\n乙:\n  - {丙: 2}\n  - {丙: 3}".encode(), name="f.yaml")
    assert document.where(("乙", 1, "丙")) == "f.yaml 第 4 行 乙 › 2 › 丙"
    assert document.where(("乙", 1, "没有")) == "f.yaml 第 4 行 乙 › 2 › 没有"
    assert document.where(()) == "f.yaml 第 1 行"


def test_a_key_given_twice_is_refused_at_every_depth() -> None:
    problems = refused("a: 1\na: 2\nb:\n  - {x: 1, x: 2}")
    assert len(problems) == 2
    assert "第 2 行" in problems[0] and "“a”" in problems[0]
    assert "第 4 行" in problems[1] and "“x”" in problems[1]


@pytest.mark.parametrize(
    "text",
    [
        '!!python/object/apply:os.system ["true"]',
        "a: !!python/name:os.system",
        "a: !!str 1",
        "a: !mine {b: 1}",
        "!!set {a, b}",
        "a: !!binary aGk=",
    ],
)
def test_tags_are_refused(text: str) -> None:
    assert any("标签" in problem for problem in refused(text))


def test_anchors_and_aliases_are_refused() -> None:
    problems = refused("a: &x {b: 1}\nc: *x\n<<: *x")
    assert [problem.split(":")[0] for problem in problems] == ["甲.yaml 第 1 行", "甲.yaml 第 2 行", "甲.yaml 第 3 行"]


def test_a_billion_laughs_cost_nothing() -> None:
    started = time.monotonic()
    problems = refused(BOMB)
    assert time.monotonic() - started < 1
    assert any("引用" in problem for problem in problems)


def test_a_key_that_is_a_list_is_refused() -> None:
    assert any("键只能是文字" in problem for problem in refused("? [a, b]\n: 1"))
    assert any("引用" in problem for problem in refused("*x : 1"))


@pytest.mark.parametrize("text", ["[" * 100_000, "{" * 100_000, "- " * 1000 + "x"])
def test_deep_nesting_is_refused(text: str) -> None:
    assert any("嵌套" in problem or "问题太多" in problem for problem in refused(text))


def test_problems_are_counted_only_so_far() -> None:
    assert len(refused("[" + "*x," * 10_000 + "]")) == MOST_PROBLEMS + 1


def test_a_second_document_is_refused() -> None:
    assert "只能有一个文档" in refused("a: 1\n---\nb: 2")[0]


@pytest.mark.parametrize("text", ["a: [1", "a: b: c", "@", "a:\n\tb: 1", 'a: "\x00"', "{", "'"])
def test_what_is_not_yaml_is_told_with_its_line(text: str) -> None:
    assert "YAML 格式错误" in refused(text)[0]


def test_other_encodings_and_huge_files_are_refused() -> None:
    assert "UTF-8" in refused("名称: 甲".encode("gbk"))[0]
    assert str(MOST_CHARACTERS) in refused(b"#" * (MOST_CHARACTERS + 1))[0]


_words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co", "Zl", "Zp")), max_size=8)
_plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | _words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=3),
    max_leaves=12,
)


@given(_plain)
def test_plain_data_comes_back_as_it_was_written(data: object) -> None:
    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True

    text = yaml.dump(data, Dumper=Plain, allow_unicode=True, default_style='"' if isinstance(data, str) else None)
    assert read_plain_yaml(text.encode(), name="x").data == data


@given(st.binary(max_size=200))
def test_nothing_but_a_schema_error_comes_out(content: bytes) -> None:
    try:
        read_plain_yaml(content, name="x")
    except SchemaError as error:
        assert error.problems
