"""The two transports, each new and empty for every test."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from adapters.messaging import Transport
from adapters.messaging.broker import BrokerAddress, BrokerTransport
from adapters.messaging.embedded import EmbeddedTransport
from tests.support.rabbitmq import RabbitMQServer

Opening = Callable[[], Transport]


def address_of(server: RabbitMQServer, **changes: object) -> BrokerAddress:
    return BrokerAddress(**{"url": server.url, "password": SecretStr(server.password), **changes})  # type: ignore[arg-type]


@pytest.fixture(params=["embedded", "broker"])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opening]:
    """Opens one transport, as often as it is asked to."""
    opened: list[Transport] = []
    if request.param == "embedded":

        def make() -> Transport:
            return EmbeddedTransport(tmp_path / "messages.db", visible=0.7, deliveries=3)
    else:
        server: RabbitMQServer = request.getfixturevalue("rabbitmq_server")
        name = f"t{secrets.token_hex(4)}"

        def make() -> Transport:
            return BrokerTransport(address_of(server), exchange=name, deliveries=3)

    def open_one() -> Transport:
        opened.append(make())
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


@pytest.fixture
def transport(opening: Opening) -> Transport:
    return opening()
