from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import Binding
from adapters.database import DatabaseEndpoint
from adapters.database.encoding import NO_TEXT, as_text, decoded, encoding_misfits, told
from adapters.errors import Malformed, Misconfigured
from schemas import profile
from tests.adapters.database.conftest import PERSON, options_of

LETTERS = st.characters(codec="gbk", exclude_characters="\x00")


def raw(*values: bytes | None) -> pa.Array:
    return as_text(pa.array(values, pa.binary()))


def bytes_of(texts: pa.Array) -> list[bytes | None]:
    return texts.cast(pa.binary()).to_pylist()  # type: ignore[no-any-return]


@given(st.lists(st.none() | st.text(LETTERS)))
def test_texts_are_decoded(texts: list[str | None]) -> None:
    found = decoded(raw(*(text if text is None else text.encode("gbk") for text in texts)), "gbk")
    assert found.to_pylist() == texts


def test_what_is_no_text_never_passes_for_one() -> None:
    """Not even if it would be UTF-8 by chance."""
    [kept, lost, chance, none] = bytes_of(
        decoded(raw(b"\xd6\xd0", b"\xff\xfe", "中文字".encode() + b"\x80", None), "gbk")
    )
    assert (kept, lost, none) == ("中".encode(), NO_TEXT + b"\xff\xfe", None)
    assert chance is not None
    assert chance.startswith(NO_TEXT)
    sliced = raw(b"a", b"\xd6\xd0", b"\xff").slice(1)
    assert bytes_of(decoded(sliced, "gb18030")) == ["中".encode(), NO_TEXT + b"\xff"]


def test_references_can_be_kept() -> None:
    good = pa.array(['["甲"]', '["1", "2"]'])
    assert told(good, None) is good
    assert told(raw(b'["a"]', '["甲"]'.encode(), b'["\xff"]'), None).to_pylist() == ['["a"]', '["甲"]', '["\\\\xff"]']
    # The second byte of this character is the sign that JSON escapes with.
    escaped = json.dumps(["廫".encode("gbk").decode("latin-1")], ensure_ascii=False).encode("latin-1")
    assert told(raw(escaped), "gbk").to_pylist() == ['["廫"]']
    with pytest.raises(Malformed):
        told(raw(b"\xff"), "gbk")


def test_what_cannot_be_done_in_another_encoding() -> None:
    binding = Binding(object="t", columns={"id": "id"}, key=("id",))
    assert encoding_misfits(None, binding, sink=True) == []
    assert encoding_misfits("gbk", binding, sink=False) == []
    assert "只能作来源" in encoding_misfits("gbk", binding, sink=True)[0]
    outbox = Binding(
        object="t", columns={"id": "id"}, key=("id",), capture="outbox", profile=profile("jiangsu"), fixed={"x": "甲"}
    )
    assert len(encoding_misfits("gbk", outbox, sink=False)) == 2


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_an_endpoint_that_reads_only(database_url: str) -> None:
    endpoint = DatabaseEndpoint(options_of(database_url) | {"encoding": "gbk"})
    with pytest.raises(Misconfigured, match="只能作来源"):
        endpoint.sink(PERSON)
    if database_url.startswith("postgresql"):
        plain = DatabaseEndpoint(options_of(database_url))
        with plain._place.engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE t (id varchar(9) PRIMARY KEY)")
        binding = Binding(object="t", columns={"id": "id"}, key=("id",))
        with endpoint.source(binding) as source, pytest.raises(Misconfigured, match="encoding"):
            source.schema()
