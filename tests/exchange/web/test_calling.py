from __future__ import annotations

from starlette.requests import HTTPConnection

from exchange.web.calling import address_of


def test_the_address_is_the_connection_s_and_no_header_s() -> None:
    scope = {"type": "http", "client": ("192.0.2.7", 1), "headers": [(b"x-forwarded-for", b"203.0.113.9")]}
    assert address_of(HTTPConnection(scope)) == "192.0.2.7"
    assert address_of(HTTPConnection({**scope, "client": None})) == ""
