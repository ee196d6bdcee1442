from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from adapters.base import (
    Acknowledgement,
    Binding,
    Capabilities,
    Claim,
    Delivery,
    Endpoint,
    FoundObject,
    Options,
    Outcome,
    Position,
    Probe,
    Selection,
    Sink,
    Source,
)
from adapters.errors import Unsupported

SCHEMA = pa.schema([pa.field("number", pa.string())])
BINDING = Binding(object="x", columns={"number": "no"}, key=("number",))


class _Source(Source):
    closed = False

    def schema(self) -> pa.Schema:
        return SCHEMA

    def batches(self, selection: Selection) -> Iterator[pa.RecordBatch]:
        return iter(())

    def position(self) -> Position | None:
        return None

    def close(self) -> None:
        self.closed = True


class _Sink(Sink):
    closed = False

    def begin(self, claim: Claim, schema: pa.Schema) -> Delivery:
        raise LookupError

    def resume(self, claim: Claim, schema: pa.Schema) -> Delivery:
        raise LookupError

    def settled(self, key: str) -> Acknowledgement | None:
        return None

    def close(self) -> None:
        self.closed = True


class _Endpoint(Endpoint):
    kind = "bare"
    options_type = Options

    def __init__(self, options: Any, *, zone: str = "Asia/Shanghai") -> None:
        self.zone = zone

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(way="file")

    def test(self) -> list[Probe]:
        return []

    def inspect(self, object: str | None = None) -> list[FoundObject]:
        return []

    def source(self, binding: Binding) -> Source:
        return _Source()

    def sink(self, binding: Binding) -> Sink:
        return _Sink()


def test_what_an_adapter_need_not_say() -> None:
    endpoint = _Endpoint(None)
    assert endpoint.prepare(BINDING, SCHEMA) == ""
    assert endpoint.check(BINDING, SCHEMA, sink=True) == []
    with pytest.raises(Unsupported, match="bare"):
        endpoint.install(BINDING, SCHEMA)
    assert endpoint.capabilities == Capabilities("file")
    assert endpoint.source(BINDING).settle([Outcome("1")]) == 0
    sink = endpoint.sink(BINDING)
    assert sink.epoch("E1") == 0
    assert sink.holds(pa.record_batch([pa.array(["1", "2"])], names=["number"])).to_pylist() == [False, False]


@pytest.mark.parametrize("opened", [_Source(), _Sink()], ids=["source", "sink"])
def test_leaving_closes(opened: _Source | _Sink) -> None:
    with pytest.raises(LookupError), opened as same:
        assert same is opened
        raise LookupError
    assert opened.closed


def test_options_refuse_what_they_do_not_know_and_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Options(more=1)  # type: ignore[call-arg]


def test_a_port_with_a_part_missing_cannot_be_made() -> None:
    for kind in (Source, Sink, Delivery, Endpoint):
        with pytest.raises(TypeError, match="abstract"):
            kind()  # type: ignore[abstract]
