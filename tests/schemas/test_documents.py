from __future__ import annotations

import hashlib

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.documents import PATTERN, Document

DIGEST = hashlib.sha256(b"x").hexdigest()
NAMES = st.text(st.characters(blacklist_categories=["Cc", "Cs"], blacklist_characters="/\\"), min_size=1)


@given(st.integers(0, 10**15 - 1), NAMES)
def test_a_text_and_back(size: int, name: str) -> None:
    document = Document(DIGEST, size, name)
    assert Document.of(document.text()) == document
    assert pc.match_substring_regex(pa.array([document.text()]), PATTERN).to_pylist() == [True]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.pdf",
        f"sha256:{DIGEST}:1:",
        f"sha256:{DIGEST.upper()}:1:a.pdf",
        f"sha256:{DIGEST[1:]}:1:a.pdf",
        f"sha256:{DIGEST}:-1:a.pdf",
        f"sha256:{DIGEST}:01:a.pdf",
        f"sha256:{DIGEST}:1:b/a.pdf",
        f"sha256:{DIGEST}:1:a.pdf\n",
        f"md5:{DIGEST}:1:a.pdf",
    ],
)
def test_other_texts_stand_for_none(text: str) -> None:
    with pytest.raises(ValueError, match="不是文件引用"):
        Document.of(text)
    assert pc.match_substring_regex(pa.array([text]), PATTERN).to_pylist() == [False]
