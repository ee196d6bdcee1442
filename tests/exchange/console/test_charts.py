"""Charts: images, and nothing but images."""

from __future__ import annotations

import sys
from xml.etree import ElementTree as ET

import pytest

from exchange.console import charts

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def names(drawn: bytes) -> set[str]:
    return {each.tag.rpartition("}")[2] for each in ET.fromstring(drawn).iter()}


@pytest.mark.parametrize("kind", [charts.bars, charts.lines, charts.lying])
def test_there_is_no_script_in_a_chart_whatever_its_words_are(kind: object) -> None:
    drawn = kind([EVIL, "二"], {EVIL: [0.5, 1], "另一": [None, 0.25]})  # type: ignore[operator]  # each of them
    assert "script" not in names(drawn)
    assert "img" not in names(drawn)
    text = "".join(ET.fromstring(drawn).itertext())
    assert "另一" in text
    assert "window" not in text
    assert b"http://www.kozea" not in drawn.lower() or b"href" not in drawn.lower()


@pytest.mark.parametrize("kind", [charts.bars, charts.lines, charts.lying])
def test_no_data_is_a_chart_that_says_so(kind: object) -> None:
    assert "没有数据" in kind([], {}).decode()  # type: ignore[operator]  # each of them


def test_a_year_has_few_labels() -> None:
    drawn = charts.bars([f"日{number}" for number in range(366)], {"x": [1] * 366})
    texts = [
        each.text
        for each in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")
        if (each.text or "").startswith("日")
    ]
    assert 5 < len(texts) <= 12


def test_shares_are_said_as_per_cent() -> None:
    drawn = charts.lines(["一", "二"], {"率": [1.0, 0.0123]}).decode()
    assert "100%" in drawn
    assert "1.23%" in drawn


def test_an_image_may_do_nothing() -> None:
    answer = charts.image(b"<svg/>")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert "script" not in answer.headers["content-security-policy"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_the_library_leaves_nothing_behind() -> None:
    assert not [finder for finder in sys.meta_path if type(finder).__module__ == "pygal"]
