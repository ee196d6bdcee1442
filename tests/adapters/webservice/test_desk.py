from __future__ import annotations

import inspect

import pytest

from adapters.webservice import desk
from adapters.webservice.desk import Desk, Password, Pushed
from tests.adapters.webservice.memory_desk import MemoryDesk


def test_the_reference_answers_everything_the_port_asks() -> None:
    asked = {name for name, each in vars(Desk).items() if getattr(each, "__isabstractmethod__", False)}
    assert asked == Desk.__abstractmethods__
    for name in asked:
        wanted = list(inspect.signature(getattr(Desk, name)).parameters)
        assert list(inspect.signature(getattr(MemoryDesk, name)).parameters) == wanted
    with pytest.raises(TypeError):
        Desk()  # type: ignore[abstract]


def test_what_is_handed_over_cannot_be_changed() -> None:
    pushed = Pushed(message="m", state="received", rows=1)
    with pytest.raises(AttributeError):
        pushed.rows = 2  # type: ignore[misc]
    assert (pushed.refused, pushed.receipt, pushed.repeated) == ((), None, False)
    assert {Password("u", "p"), Password("u", "p")} == {Password("u", "p")}
    assert desk.Shown.__args__ == (  # type: ignore[attr-defined]
        desk.Token,
        desk.Password,
        desk.Digest,
        desk.Gateway,
        desk.Certificate,
    )
