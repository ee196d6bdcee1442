"""Every adapter has the port's own signatures: callers know one, they know all."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest

from adapters.base import Delivery, Endpoint, Options, Sink, Source
from adapters.registry import endpoint_type, kinds
from tests.conformance.cases import NUMBER, REMARK, Case
from tests.conformance.places import Place, Run


def _public(port: type) -> Iterator[str]:
    return (name for name, value in vars(port).items() if callable(value) and not name.startswith("_"))


def _conforms(adapter: type, port: type) -> None:
    for name in _public(port):
        expected = inspect.signature(getattr(port, name))
        found = inspect.signature(getattr(adapter, name))
        assert [(p.name, p.kind, p.default) for p in found.parameters.values()] == [
            (p.name, p.kind, p.default) for p in expected.parameters.values()
        ], f"{adapter.__name__}.{name}"
        assert found.return_annotation == expected.return_annotation, f"{adapter.__name__}.{name}"


@pytest.mark.parametrize("kind", kinds())
def test_endpoints(kind: str) -> None:
    found = endpoint_type(kind)
    _conforms(found, Endpoint)
    assert issubclass(found.options_type, Options)
    assert found.options_type.model_config["extra"] == "forbid"
    assert list(inspect.signature(found.__init__).parameters) == ["self", "options", "zone"]
    assert inspect.signature(found.__init__).parameters["zone"].default == "Asia/Shanghai"


def test_sources(place: Place) -> None:
    binding = place.provide(Case("one", (NUMBER, REMARK), ({"number": "1"},)))
    with place.endpoint.source(binding) as source:
        _conforms(type(source), Source)


@pytest.mark.needs("delivers")
def test_sinks_and_deliveries(place: Place) -> None:
    binding = place.target((NUMBER, REMARK))
    with place.endpoint.sink(binding) as sink:
        _conforms(type(sink), Sink)
        run = Run(sink, Case("none", (NUMBER, REMARK), ()).schema)
        delivery = sink.begin(run.claim, run.schema)
        _conforms(type(delivery), Delivery)
        delivery.abort()
