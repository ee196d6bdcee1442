from __future__ import annotations

import pytest
from pydantic_core import PydanticCustomError

from catalog import vocabulary
from catalog.vocabulary import choose
from schemas import code_list


@pytest.mark.parametrize(
    ("field", "table", "written", "meant"),
    [
        ("share_type", vocabulary.SHARE_TYPES, 2, 2),
        ("share_type", vocabulary.SHARE_TYPES, "2", 2),
        ("share_type", vocabulary.SHARE_TYPES, " 有条件共享 ", 2),
        ("share_type", vocabulary.SHARE_TYPES, "不予", 3),
        ("share_ways", vocabulary.SHARE_WAYS, "webservice", "webservice"),
        ("share_ways", vocabulary.SHARE_WAYS, "web service", "webservice"),
        ("share_ways", vocabulary.SHARE_WAYS, "文件下载", "file"),
        ("update_cycle", vocabulary.UPDATE_CYCLES, "每旬", "ten_days"),
        ("update_cycle", vocabulary.UPDATE_CYCLES, "1", "realtime"),
    ],
)  # fmt: skip
def test_a_word_its_term_and_its_code_mean_the_same(field: str, table: dict, written: object, meant: object) -> None:
    assert choose(field, table, written) == meant


@pytest.mark.parametrize("written", [True, 0, 4, "0", "公开", "", None, [1], {}])
def test_anything_else_is_refused_with_what_may_be_written(written: object) -> None:
    with pytest.raises(PydanticCustomError) as caught:
        choose("share_type", vocabulary.SHARE_TYPES, written)
    assert "2（有条件共享）" in (caught.value.context or {})["remedy"]


@pytest.mark.parametrize(
    ("field", "table", "codes"),
    [
        ("share_type", vocabulary.SHARE_TYPES, "share_type"),
        ("share_ways", vocabulary.SHARE_WAYS, "share_way"),
        ("update_cycle", vocabulary.UPDATE_CYCLES, "update_cycle"),
    ],
)
def test_every_code_of_the_products_is_understood(field: str, table: dict, codes: str) -> None:
    words = [choose(field, table, label) for label in code_list(codes).codes.values()]
    assert [choose(field, table, code) for code in code_list(codes).codes] == words
    assert len(set(words)) == len(words)


def test_the_format_categories_are_those_of_the_guide() -> None:
    assert set(vocabulary.FORMATS) == set(code_list("resource_format").codes.values())
    assert set(vocabulary.FORMATS) >= vocabulary.STRUCTURED


@pytest.mark.parametrize(
    ("class_code", "path"),
    [
        ("1", "基础信息资源"),
        ("105", "基础信息资源 › 电子证照基础信息"),
        ("105001001", "基础信息资源 › 电子证照基础信息 › 105001001"),
        ("399001", "部门信息资源 › 399001"),
        ("7", "7"),
    ],
)
def test_a_class_is_put_in_words_as_far_as_it_has_names(class_code: str, path: str) -> None:
    assert vocabulary.class_path(class_code) == path
