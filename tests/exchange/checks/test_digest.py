from __future__ import annotations

import hashlib
import hmac
import math
import struct
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.checks import digest
from exchange.checks.digest import Digest, bounds, encoded_keys, key_hashes, leaf, sort_by_key
from exchange.errors import Invalid

SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("bytes", pa.binary()),
        ("amount", pa.decimal128(20, 2)),
        ("count", pa.int64()),
        ("ratio", pa.float64()),
        ("day", pa.date32()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("local", pa.timestamp("us")),
        ("alive", pa.bool_()),
        ("_operation", pa.int8()),
    ]
)
ROW = {
    "text": "𠮷",
    "bytes": b"\0\xff",
    "amount": Decimal("-1.50"),
    "count": -7,
    "ratio": 0.5,
    "day": date(1969, 12, 31),
    "at": datetime(2025, 1, 2, 5, 5, tzinfo=UTC),
    "local": datetime(2025, 1, 2, 13, 5, 0, 1),  # noqa: DTZ001 - without a zone on purpose
    "alive": True,
    "_operation": 1,
}
OTHER: dict[str, list[Any]] = {
    "text": ["", "𠮷 ", "吉", None],
    "bytes": [b"", b"\0\xfe", None],
    "amount": [Decimal("-1.49"), Decimal(0), None],
    "count": [7, 0, None],
    "ratio": [0.25, 0.0, math.nan, None],
    "day": [date(1970, 1, 1), date(1970, 1, 2), None],
    "at": [datetime(2025, 1, 2, 5, 5, 0, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC), None],
    "local": [datetime(2025, 1, 2, 13, 5), None],  # noqa: DTZ001 - without a zone on purpose
    "alive": [False, None],
    "_operation": [0, None],
}


def batch(*rows: dict[str, Any]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), schema=SCHEMA)


def canonical(given: pa.RecordBatch) -> bytes:
    """The documented bytes, written the slow way from Python values."""
    out = [b"shutong leaf 1\n", struct.pack("<IQ", given.num_columns, given.num_rows)]
    epoch = datetime(1970, 1, 1, tzinfo=UTC)

    def bits(flags: list[bool]) -> bytes:
        size = (len(flags) + 7) // 8
        return sum(flag << place for place, flag in enumerate(flags)).to_bytes(size, "little")

    def micros(moment: datetime | None) -> int:
        if moment is None:
            return 0
        gone = moment.replace(tzinfo=UTC) - epoch
        return (gone.days * 86400 + gone.seconds) * 10**6 + gone.microseconds

    for field, column in zip(given.schema, given.columns, strict=True):
        values = column.to_pylist()
        valid = bits([value is not None for value in values])
        match field.name:
            case "text" | "bytes":
                raw = [(v.encode() if isinstance(v, str) else v) or b"" for v in values]
                tag = b"C\0" if field.name == "text" else b"G\0"
                body = b"".join(struct.pack("<i", len(v)) for v in raw) + b"".join(raw)
            case "amount":
                tag = b"N\x02"
                body = b"".join(int((v or 0) * 100).to_bytes(16, "little", signed=True) for v in values)
            case "count":
                tag, body = b"I\x40", b"".join(struct.pack("<q", v or 0) for v in values)
            case "_operation":
                tag, body = b"I\x08", b"".join(struct.pack("<b", v or 0) for v in values)
            case "ratio":
                tag, body = b"F\x40", b"".join(struct.pack("<d", v or 0.0) for v in values)
            case "day":
                days = [0 if v is None else (v - date(1970, 1, 1)).days for v in values]
                tag, body = b"D\0", b"".join(struct.pack("<i", v) for v in days)
            case "at" | "local":
                tag = b"T\0" if field.name == "at" else b"t\0"
                body = b"".join(struct.pack("<q", micros(v)) for v in values)
            case _:
                tag, body = b"L\0", bits([bool(v) for v in values])
        out += [tag, valid, body]
    return b"".join(out)


rows_strategy = st.lists(
    st.fixed_dictionaries({name: st.sampled_from([ROW[name], *OTHER[name]]) for name in ROW}), max_size=20
)


@given(rows_strategy)
def test_a_leaf_is_the_documented_bytes(rows: list[dict[str, Any]]) -> None:
    given = batch(*rows)
    assert leaf(given) == hashlib.sha256(canonical(given)).digest()


@given(rows_strategy, rows_strategy, rows_strategy)
def test_a_leaf_does_not_depend_on_where_the_rows_lie(
    before: list[dict[str, Any]], rows: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    expected = leaf(batch(*rows))
    whole = batch(*before, *rows, *after)
    assert leaf(whole.slice(len(before), len(rows))) == expected
    pieces = [batch(*rows[:1]), batch(*rows[1:3]), batch(*rows[3:])]
    assert leaf(pa.concat_batches(pieces)) == expected
    chosen = pa.array([len(before) <= row < len(before) + len(rows) for row in range(whole.num_rows)], pa.bool_())
    assert leaf(whole.filter(chosen)) == expected


def test_a_leaf_does_not_depend_on_the_encoding_of_text() -> None:
    values = ["a", None, "𠮷", "", "a"]
    column = pa.array(values)
    expected = leaf(pa.record_batch({"c": column}))
    for other in (
        column.dictionary_encode(),
        column.cast(pa.large_string()),
        column.cast(pa.string_view()),
        pa.array(["x", *values]).dictionary_encode()[1:],
    ):
        assert leaf(pa.record_batch({"c": other})) == expected
    assert leaf(pa.record_batch({"c": column.cast(pa.binary())})) != expected


def test_what_lies_under_a_null_does_not_count() -> None:
    valid = pa.py_buffer(b"\x05")
    for kind, garbage, clean in (
        (pa.int64(), struct.pack("<3q", 1, 99, 3), [1, None, 3]),
        (pa.date32(), struct.pack("<3i", 1, 99, 3), [1, None, 3]),
        (pa.decimal128(20, 0), b"".join(v.to_bytes(16, "little") for v in (1, 99, 3)), [1, None, 3]),
        (pa.bool_(), b"\x07", [True, None, True]),
    ):
        dirty = pa.Array.from_buffers(kind, 3, [valid, pa.py_buffer(garbage)])
        neat = pa.array(clean, pa.int32()).cast(kind) if kind == pa.date32() else pa.array(clean, kind)
        assert leaf(pa.record_batch({"c": dirty})) == leaf(pa.record_batch({"c": neat}))
    offsets = pa.py_buffer(struct.pack("<4i", 0, 1, 3, 4))
    for kind, neat in ((pa.string(), ["a", None, "d"]), (pa.binary(), [b"a", None, b"d"])):
        dirty = pa.Array.from_buffers(kind, 3, [valid, offsets, pa.py_buffer(b"abcd")])
        assert leaf(pa.record_batch({"c": dirty})) == leaf(pa.record_batch({"c": pa.array(neat, kind)}))


def test_zero_and_nan_have_one_form_each() -> None:
    nan = np.frombuffer(struct.pack("<2Q", 0x7FF8000000000001, 0x8000000000000000), "<f8")
    assert leaf(pa.record_batch({"c": pa.array(nan)})) == leaf(pa.record_batch({"c": pa.array([math.nan, 0.0])}))


def test_precision_is_no_part_of_a_value_but_scale_is() -> None:
    def of(kind: pa.DataType) -> bytes:
        return leaf(pa.record_batch({"c": pa.array([Decimal("1.50")], kind)}))

    assert of(pa.decimal128(10, 2)) == of(pa.decimal128(20, 2)) == of(pa.decimal64(10, 2)) == of(pa.decimal256(20, 2))
    assert of(pa.decimal128(10, 2)) != of(pa.decimal128(10, 3))


@pytest.mark.parametrize("name", ROW)
def test_any_single_change_shows(name: str) -> None:
    seen = {leaf(batch(ROW, ROW))}
    for value in OTHER[name]:
        seen.add(leaf(batch(ROW, ROW | {name: value})))
        seen.add(leaf(batch(ROW | {name: value}, ROW)))
    assert len(seen) == 1 + 2 * len(OTHER[name])


def test_rows_removed_added_or_moved_show() -> None:
    other = ROW | {"text": "吉"}
    leaves = [leaf(batch(*rows)) for rows in ([], [ROW], [ROW, ROW], [ROW, other], [other, ROW], [other])]
    assert len(set(leaves)) == len(leaves)


@given(
    st.lists(st.none() | st.text("ab", max_size=3), min_size=2, max_size=2),
    st.lists(st.none() | st.text("ab", max_size=3), min_size=2, max_size=2),
)
def test_text_does_not_flow_from_one_value_into_the_next(left: list[str | None], right: list[str | None]) -> None:
    leaves = [leaf(pa.record_batch({"c": pa.array(values, pa.string())})) for values in (left, right)]
    assert (leaves[0] == leaves[1]) == (left == right)


def test_types_without_canonical_form_are_refused() -> None:
    for column in (pa.array([[1]]), pa.array([1], pa.timestamp("ns")), pa.array([1.5], pa.float32()), pa.nulls(1)):
        with pytest.raises(Invalid) as raised:
            leaf(pa.record_batch({"c": column}))
        assert [problem.where for problem in raised.value.problems] == ["信息项 c"]
    with pytest.raises(Invalid):
        leaf(pa.record_batch({"c": pa.array([Decimal(1)], pa.decimal256(60, 2))}))


@pytest.mark.skipif("sm3" not in hashlib.algorithms_available, reason="this OpenSSL has no SM3")
def test_sm3() -> None:
    given = batch(ROW)
    assert digest.available("sm3")
    assert leaf(given, "sm3") == hashlib.new("sm3", canonical(given)).digest() != leaf(given)


def test_algorithms_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert digest.available("sha256")
    assert not digest.available("md5")
    with pytest.raises(Invalid, match="md5"):
        Digest("md5")

    def without_sm3(name: str) -> Any:
        raise ValueError(name)

    monkeypatch.setattr(hashlib, "new", without_sm3)
    with pytest.raises(Invalid, match="OpenSSL"):
        leaf(batch(ROW), "sm3")


def test_the_root_covers_leaves_and_their_rows() -> None:
    first, second = batch(ROW), batch(ROW | {"count": 1}, ROW)
    running = Digest()
    empty = running.root()
    leaves = [running.add(first), running.add(batch()), running.add(second)]
    assert [None if made is None else (made.rows, made.first, made.last) for made in leaves] == [
        (1, b"", b""),
        None,
        (2, b"", b""),
    ]
    assert running.rows == 3
    expected = b"shutong root 1\n"
    for rows, part in ((1, first), (2, second)):
        expected += struct.pack("<Q", rows) + leaf(part)
    assert running.root() == hashlib.sha256(expected).hexdigest() != empty
    assert running.root() == running.root()
    swapped = Digest()
    swapped.add(second)
    swapped.add(first)
    assert swapped.root() != running.root()


keys = st.lists(
    st.tuples(st.none() | st.text(max_size=3), st.none() | st.integers(-5, 5)), unique=True, min_size=1, max_size=12
)


@given(keys, st.randoms())
def test_a_leaf_with_a_key_does_not_depend_on_the_order_of_rows(rows: list[tuple[Any, Any]], random: Any) -> None:
    def of(order: list[tuple[Any, Any]]) -> Any:
        columns = [
            pa.array([row[place] for row in order], kind) for place, kind in enumerate((pa.string(), pa.int64()))
        ]
        running = Digest(key=("a", "b"))
        return running.add(pa.RecordBatch.from_arrays(columns, names=["a", "b"])), running.root()

    shuffled = rows.copy()
    random.shuffle(shuffled)
    assert of(rows) == of(shuffled)


@given(st.lists(st.text(max_size=3), max_size=12))
def test_text_is_ordered_by_its_bytes(values: list[str]) -> None:
    column = pa.array(values, pa.string())
    found = sort_by_key(pa.record_batch({"c": column}), ["c"]).column(0).to_pylist()
    assert found == sorted(values, key=str.encode)
    encoded = sort_by_key(pa.record_batch({"c": column.dictionary_encode()}), ["c"]).column(0).to_pylist()
    assert encoded == found


def test_plane_two_comes_after_full_width() -> None:
    found = sort_by_key(pa.record_batch({"c": ["𠮷", "Ａ", "吉"]}), ["c"]).column(0).to_pylist()
    assert found == ["吉", "Ａ", "𠮷"]


def test_other_keys_are_ordered_by_value_with_nulls_last() -> None:
    def order(column: pa.Array) -> list[Any]:
        return sort_by_key(pa.record_batch({"c": column}), ["c"]).column(0).to_pylist()

    assert order(pa.array([10, None, 9])) == [9, 10, None]
    assert order(pa.array([True, False])) == [False, True]
    assert order(pa.array([True])) == [True]
    ordered = pa.record_batch({"c": [1, 2, 2, 3]})
    assert sort_by_key(ordered, ["c"]) is ordered


def test_bounds_are_the_keys_of_both_ends() -> None:
    given = pa.record_batch({"a": ["x", "y", "z"], "b": [1, 2, None]})
    first, last = bounds(given, ["a", "b"])
    assert first == b"\1\1\0\0\0x\1\1\0\0\0001"
    assert last == b"\1\1\0\0\0z\0"
    made = Digest(key=("a",)).add(given)
    assert made is not None
    assert (made.first, made.last) == (b"\1\1\0\0\0x", b"\1\1\0\0\0z")


def test_keys_are_encoded_alike_whatever_the_source_typed_them_as() -> None:
    text = encoded_keys(pa.record_batch({"a": [" 12　", "13", None]}), ["a"])
    assert text == encoded_keys(pa.record_batch({"a": [12, 13, None]}), ["a"])
    assert text == encoded_keys(pa.record_batch({"a": pa.array([b"12", b"13", None])}), ["a"])
    assert text == encoded_keys(pa.record_batch({"a": pa.array(["12", "13", None]).dictionary_encode()}), ["a"])
    assert encoded_keys(pa.record_batch({"a": pa.array([b"\xff "])}), ["a"]) == [b"\1\2\0\0\0\xff "]


@given(st.lists(st.tuples(st.none() | st.text("ab", max_size=3), st.none() | st.text("ab", max_size=3)), unique=True))
def test_different_keys_have_different_bytes(rows: list[tuple[str | None, str | None]]) -> None:
    columns = [pa.array([row[place] for row in rows], pa.string()) for place in (0, 1)]
    found = encoded_keys(pa.RecordBatch.from_arrays(columns, names=["a", "b"]), ["a", "b"])
    assert len(set(found)) == len(rows)


def test_key_hashes_are_keyed() -> None:
    given = pa.record_batch({"a": ["x", "y", "x"], "b": ["1", "1", "2"]})
    found = key_hashes(given, ["a"], b"secret")
    assert found[0] == found[2] != found[1]
    assert found[0] == hmac.new(b"secret", b"\1\1\0\0\0x", "sha256").hexdigest()
    assert key_hashes(given, ["a"], b"other") != found
    assert len(set(key_hashes(given, ["a", "b"], b"secret"))) == 3
    assert key_hashes(given.slice(0, 0), ["a"], b"secret") == []


def test_leaves_that_were_hashed_elsewhere_come_to_the_same_root() -> None:
    whole, joined = Digest("sha256", key=["n"]), Digest("sha256", key=["n"])
    for low in (0, 3, 6):
        batch = pa.record_batch({"n": pa.array(range(low, low + 3), pa.int64())})
        whole.add(batch)
        made = Digest("sha256", key=["n"]).add(batch)
        assert made is not None
        joined.join(made.rows, made.digest)
    assert (joined.root(), joined.rows) == (whole.root(), 9)
