"""What is the broker's own; what every transport does is in ``test_base.py``."""

from __future__ import annotations

import secrets
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from adapters.errors import AdapterError, Misconfigured, Refused, Unanswered, Unavailable
from adapters.messaging import Message
from adapters.messaging.broker import BrokerAddress, BrokerTransport, routing_key
from tests.adapters.messaging.conftest import address_of
from tests.support.rabbitmq import RabbitMQServer
from tests.support.servers import free_port

ONE, A, B = "101001001/0001", "11321200TE00000291", "11321200TF00000005"


@pytest.fixture
def transport(rabbitmq_server: RabbitMQServer) -> Iterator[BrokerTransport]:
    with BrokerTransport(address_of(rabbitmq_server), exchange=f"b{secrets.token_hex(4)}") as transport:
        yield transport


def test_a_topic_is_one_word_of_a_routing_key() -> None:
    keys = [routing_key(topic) for topic in ("101001001/0001", "a.b", "*", "#", "人口")]
    assert keys == ["101001001%2F0001", "a%2Eb", "%2A", "%23", "%E4%BA%BA%E5%8F%A3"]


def test_queues_are_durable_quorum_queues_and_messages_persistent(
    transport: BrokerTransport, rabbitmq_server: RabbitMQServer
) -> None:
    transport.declare({A: [ONE]})
    sent = Message(ONE, {"run": "r1"})
    assert transport.publish(sent)
    name = transport._names.queue(A)
    with closing(rabbitmq_server.connect()) as connection:
        channel = connection.channel()
        # Declared with other arguments it would be refused.
        channel.queue_declare(name, durable=True, auto_delete=False, arguments=transport._arguments())
        raw = channel.basic_get(name)
        assert raw.properties["delivery_mode"] == 2
        assert raw.delivery_info["routing_key"] == "101001001%2F0001"
        assert Message.decoded(raw.body.encode() if isinstance(raw.body, str) else raw.body) == sent
    assert transport._arguments()["x-queue-type"] == "quorum"


def test_a_queue_of_that_name_of_another_kind_is_said(
    transport: BrokerTransport, rabbitmq_server: RabbitMQServer
) -> None:
    name = transport._names.queue(A)
    with closing(rabbitmq_server.connect()) as connection:
        connection.channel().queue_declare(name, durable=True, auto_delete=False)
        with pytest.raises(Misconfigured) as caught:
            transport.declare({A: [ONE]})
        connection.channel().queue_delete(name)
    assert caught.value.remedy
    transport.declare({A: [ONE]})


def test_a_wrong_password_is_refused_and_told_nowhere(rabbitmq_server: RabbitMQServer) -> None:
    address = address_of(rabbitmq_server, password=SecretStr("wr0ng-password"))
    with BrokerTransport(address) as transport, pytest.raises(Refused) as caught:
        transport.declare({A: [ONE]})
    told = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.remedy} {address!r}"
    assert "wr0ng" not in told
    assert not caught.value.retry


def test_a_broker_that_is_not_there_is_unavailable() -> None:
    address = BrokerAddress(url=f"amqp://x@127.0.0.1:{free_port()}/", password=SecretStr("p"))
    with BrokerTransport(address) as transport:
        for act in (lambda: transport.declare({A: [ONE]}), lambda: transport.depths([A]), transport.subscribe):
            with pytest.raises(Unavailable) as caught:
                act()
            assert caught.value.retry


def test_something_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.messaging.broker._PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = BrokerAddress(url=f"amqp://x@127.0.0.1:{silent.getsockname()[1]}/", password=SecretStr("p"))
        began = time.monotonic()
        with BrokerTransport(address) as transport, pytest.raises(Unavailable):
            transport.declare({A: [ONE]})
        assert time.monotonic() - began < 10


def test_a_queue_that_is_deleted_under_a_consumer_is_told_and_consumed_again(
    transport: BrokerTransport, rabbitmq_server: RabbitMQServer
) -> None:
    transport.declare({A: [ONE]})
    with transport.subscribe() as subscription:
        subscription.watch([A])
        assert subscription.take(0.2) is None
        rabbitmq_server.delete_queues(transport._names.queue(A))
        with pytest.raises(Unavailable):
            for _ in range(50):
                subscription.take(0.2)
        assert not transport.publish(Message(ONE))
        transport.declare({A: [ONE]})
        assert transport.publish(Message(ONE))
        taken = subscription.take(5)
        assert taken is not None
        subscription.acknowledge(taken)


def test_an_idle_connection_that_was_cut_is_opened_again(
    transport: BrokerTransport, rabbitmq_server: RabbitMQServer
) -> None:
    transport.declare({A: [ONE]})
    transport._link.connection.connection.sock.shutdown(socket.SHUT_RDWR)
    assert transport.publish(Message(ONE))
    assert transport.depths([A])[A] is not None


@pytest.mark.long_with("crashed")
@pytest.mark.parametrize("how", ["silent", "crashed"])
def test_a_queue_that_nobody_serves_stops_no_other_and_is_made_anew(
    transport: BrokerTransport, rabbitmq_server: RabbitMQServer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.messaging.broker._PATIENCE", 4.0)
    transport.declare({A: [ONE]})
    rabbitmq_server.break_queues(how)
    transport.declare({A: [ONE], B: [ONE]})  # the broker says that it is there
    assert transport.publish(Message(ONE, {"to": "b"}), queue=B)
    with transport.subscribe() as subscription:
        subscription.watch([A, B])
        began = time.monotonic()
        taken = subscription.take(0.2)
        assert taken is not None
        assert (taken.queue, subscription.silent()) == (B, {A})
        subscription.acknowledge(taken)
        subscription.watch([B])
        assert time.monotonic() - began < 8
        assert not transport.mend(B, [ONE]), "it answers"
        for mended in (transport.mend(A, [ONE]), transport.mend(None)):
            assert mended
        assert time.monotonic() - began < 40
        assert not transport.mend(A, [ONE])
        assert not transport.mend(None)
        subscription.watch([A, B])
        assert transport.publish(Message(ONE, {"to": "all"}))
        found = set()
        while (taken := subscription.take(1)) is not None:
            found.add((taken.queue, *taken.message.body.values()))
            subscription.acknowledge(taken)
        assert subscription.silent() == frozenset()
        assert found == {(A, "all"), (A,), (B, "all"), (B,)}, "what asked a queue is a hint that says nothing"
    transport.bury(Message(ONE, {}, "m"), A, "why")
    assert [letter.reason for letter in transport.dead_letters()] == ["why"]


@pytest.mark.long_with("crashed")
@pytest.mark.parametrize("how", ["silent", "crashed"])
def test_what_is_published_to_a_queue_that_nobody_serves_is_unanswered(
    transport: BrokerTransport, rabbitmq_server: RabbitMQServer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport.declare({A: [ONE]})
    rabbitmq_server.break_queues(how)
    monkeypatch.setattr("adapters.messaging.broker._PATIENCE", 3.0)
    for act in (
        lambda: transport.publish(Message(ONE), queue=A),
        lambda: transport.publish(Message(ONE)),
        lambda: transport.bury(Message(ONE), A, "why"),
        transport.dead_letters,
        lambda: transport.forget(["x"]),
    ):
        began = time.monotonic()
        with pytest.raises(Unanswered) as caught:
            act()
        assert time.monotonic() - began < 9
        assert caught.value.remedy
    assert transport.mend(A, [ONE])
    assert transport.publish(Message(ONE))


def test_a_broker_that_takes_no_messages_keeps_its_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    with RabbitMQServer() as server:
        address = address_of(server)
        with BrokerTransport(address) as transport:
            transport.declare({A: [ONE]})
            assert transport.publish(Message(ONE))
        time.sleep(2)  # killed at once, it would not serve the queue afterwards, though it has confirmed the message
        server.go_away()
        server.options = ["disk_free_limit.absolute = 900000GB"]
        server._command()
        server.come_back()
        monkeypatch.setattr("adapters.messaging.broker._PATIENCE", 3.0)
        with BrokerTransport(address) as transport:
            for act in (lambda: transport.publish(Message(ONE)), lambda: transport.mend(A, [ONE])):
                with pytest.raises(Unavailable, match="内存或磁盘不足") as caught:
                    act()
                assert not isinstance(caught.value, Unanswered)
            with transport.subscribe() as subscription:
                subscription.watch([A])
                assert subscription.take(5) is not None


def test_whoever_waits_for_a_queue_shows_that_he_lives(
    rabbitmq_server: RabbitMQServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"b{secrets.token_hex(4)}"
    address = address_of(rabbitmq_server, heartbeat=5)
    with BrokerTransport(address, exchange=name) as transport:
        transport.declare({A: [ONE]})
        rabbitmq_server.break_queues()
        monkeypatch.setattr("adapters.messaging.broker._HESITATION", 17.0)
        with transport.subscribe() as subscription:
            subscription.watch([A])
            began = time.monotonic()
            assert subscription.take(0.1) is None, "the broker has not hung up meanwhile"
            assert 17 <= time.monotonic() - began < 25
            assert subscription.silent() == {A}


def test_what_is_no_message_becomes_a_dead_letter(transport: BrokerTransport, rabbitmq_server: RabbitMQServer) -> None:
    transport.declare({A: [ONE]})
    with transport._link.channel() as channel:
        transport._link.publish(channel, b"\x00\xff", "", transport._names.queue(A))
    transport.publish(Message(ONE))
    with transport.subscribe() as subscription:
        subscription.watch([A])
        taken = subscription.take(5)
        assert taken is not None
        assert taken.message.topic == ONE
    [letter] = transport.dead_letters()
    assert letter.queue == A
    assert "不是数通发出" in letter.reason


def _certificate(folder: Path, name: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    moment = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(hours=1))
        .not_valid_after(moment + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, private = folder / f"{name}.crt", folder / f"{name}.key"
    pem.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pem, private


def test_over_tls_with_a_certificate_that_is_verified(tmp_path: Path) -> None:
    server = RabbitMQServer()
    try:
        pem, private = _certificate(server.folder, "broker")
        other, _ = _certificate(tmp_path, "other")
        for path in (pem, private):
            path.chmod(0o644)
        port = free_port()
        server.options = [
            f"listeners.ssl.default = 127.0.0.1:{port}",
            f"ssl_options.cacertfile = {pem}",
            f"ssl_options.certfile = {pem}",
            f"ssl_options.keyfile = {private}",
            "ssl_options.verify = verify_none",
        ]
        server.start()
        # It listens for TLS a little later than without.
        until = time.monotonic() + 30
        while True:
            with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=5):
                break
            assert time.monotonic() < until
            time.sleep(0.1)
        url = f"amqps://{server.user}@127.0.0.1:{port}/"
        address = BrokerAddress(url=url, password=SecretStr(server.password), authorities=pem)
        with BrokerTransport(address) as transport:
            transport.declare({A: [ONE]})
            assert transport.publish(Message(ONE))
            with transport.subscribe() as subscription:
                subscription.watch([A])
                taken = subscription.take(5)
                assert taken is not None
                assert isinstance(subscription._link.connection.connection.sock, ssl.SSLSocket)  # type: ignore[attr-defined]
        stranger = BrokerAddress(url=url, password=SecretStr(server.password), authorities=other)
        with BrokerTransport(stranger) as transport, pytest.raises(AdapterError, match="证书不能验证"):
            transport.declare({A: [ONE]})
    finally:
        server.stop()
