from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from exchange.authorisation.reading import Text, askable, near, quoted, read, sentences
from exchange.errors import Invalid


class Letter(BaseModel):
    model_config = ConfigDict(extra="forbid")

    to: Text = Field(min_length=1)
    pages: list[Text] = []


LETTER = TypeAdapter(Letter)


def wrong(data: object) -> list[str]:
    with pytest.raises(Invalid) as caught:
        read(LETTER, data, "信件")
    assert caught.value.__cause__ is None
    return [str(problem) for problem in caught.value.problems]


def test_places_are_counted_from_one_and_said_in_chinese() -> None:
    assert wrong({"to": "", "pages": ["一", 2], "from": "x"}) == [
        "信件 › to: 不能为空",
        "信件 › pages › 2: 应为文本（数字、日期请加引号）",
        "信件 › from: 多余或不认识的键",
    ]
    assert wrong([]) == ["信件: 应为键值对"]


@pytest.mark.parametrize("letter", ["\0", "\x1b", "\u202e", "\u200b", "\ufeff", "\ud800", "\u2028"])
def test_what_nobody_sees_is_refused(letter: str) -> None:
    assert wrong({"to": f"a{letter}b"}) == ["信件 › to: 含有看不见的字符或残缺的字符"]


@pytest.mark.parametrize("text", ["第一行\n第二行\t完", "𠮷野家", "葛\U000e0100", "é", "😀"])
def test_what_people_write_is_kept(text: str) -> None:
    assert read(LETTER, {"to": text}, "信件").to == text


def test_near_names() -> None:
    assert near("nmae", ["name", "district"]) == "，是否指 name"
    assert near("xyz", ["name"]) == ""


def test_quoted_stays_on_one_line() -> None:
    assert quoted("a\r\n\tb") == "“a␍␊␉b”"
    assert quoted("长" * 61) == f"“{'长' * 60}…”"


def test_reasons_are_what_is_written() -> None:
    assert sentences([" 依法履职 ", "", " \n"], "审核意见") == ["依法履职"]
    with pytest.raises(Invalid) as caught:
        sentences(["可", "\ud800"], "审核意见")
    assert caught.value.problems[0].where == "审核意见 › 2"


def test_what_no_database_holds_is_no_name() -> None:
    assert askable("G0123")
    assert askable("𠮷")
    assert not askable("G\0")
    assert not askable("\udce4")
