from __future__ import annotations

import pytest

from exchange.web.proxies import Proxies
from tests.exchange.web.probe import Headers, Told, asked

OURS = ("10.0.0.0/24", "::1")


def seen(client: str, *lines: str, trusted: tuple[str, ...] = OURS, proto: str = "") -> tuple[str, str]:
    """Address and scheme that the application sees."""
    headers: Headers = [*(("X-Forwarded-For", line) for line in lines), ("X-Forwarded-Proto", proto)]
    told = Told()
    asked(Proxies(told, trusted=trusted), client=client, headers=headers)
    return told.scope["client"][0], told.scope["scheme"]


@pytest.mark.parametrize(
    ("client", "lines", "address"),
    [
        ("10.0.0.5", ["203.0.113.9"], "203.0.113.9"),
        # Whoever calls writes what he likes before what our proxy adds, in the same line or in one of his own.
        ("10.0.0.5", ["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.5", ["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
        ("10.0.0.5", ["10.0.0.7, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.5", ["203.0.113.9, 10.0.0.7"], "203.0.113.9"),
        ("10.0.0.5", ["203.0.113.9,10.0.0.7", "10.0.0.8"], "203.0.113.9"),
        ("::ffff:10.0.0.5", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.5", ["2001:db8::1"], "2001:db8::1"),
        ("10.0.0.5", ["203.0.113.9, <script>"], "10.0.0.5"),
        ("10.0.0.5", [""], "10.0.0.5"),
        ("10.0.0.5", [], "10.0.0.5"),
        # Nobody else is believed.
        ("192.0.2.1", ["203.0.113.9"], "192.0.2.1"),
        ("10.0.1.5", ["203.0.113.9"], "10.0.1.5"),
    ],
)
def test_whose_address_it_is(client: str, lines: list[str], address: str) -> None:
    assert seen(client, *lines)[0] == address


def test_the_scheme_is_a_trusted_proxy_s_to_say() -> None:
    assert seen("10.0.0.5", proto="https")[1] == "https"
    assert seen("192.0.2.1", proto="https")[1] == "http"
    assert seen("10.0.0.5", proto="javascript")[1] == "http"


def test_without_proxies_nothing_is_believed() -> None:
    assert seen("127.0.0.1", "203.0.113.9", trusted=(), proto="https") == ("127.0.0.1", "http")
