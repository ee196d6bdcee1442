from __future__ import annotations

from fastapi.routing import APIRoute

from exchange.console.assembly import routers


def test_no_page_stands_twice_or_in_the_description_of_the_interface() -> None:
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    asked = [(method, route.path) for route in routes for method in route.methods]
    assert len(asked) == len(set(asked))
    assert not [route.path for route in routes if route.include_in_schema]
    assert not [path for _, path in asked if path.startswith(("/api", "/static"))]
