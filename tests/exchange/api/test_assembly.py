"""All routes are behind the door."""

from __future__ import annotations

from exchange.api import router
from exchange.api.door import Door


def test_no_route_is_beside_the_door() -> None:
    assert len(router.routes) > 80
    assert {type(route) for route in router.routes} == {Door}
