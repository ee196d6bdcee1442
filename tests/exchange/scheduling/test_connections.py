"""Endpoints' secrets in Airflow's connections, and the connection that names a hub."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import redact

from exchange.engine.opening import open_registered, problems_of_options
from exchange.errors import Failed, Invalid
from exchange.scheduling.connections import DEFAULT, ShutongHook, open_connection, open_hub
from exchange.secrets import open_connections_by, open_secret
from tests.exchange.engine.town import Town

HORSE = "c0rrect-horse-𠮷"
KEY = "-----BEGIN KEY-----\nbattery0staple\n-----END KEY-----\n"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """What a process opens, it opens for all of its hubs."""
    yield
    open_connections_by(None)


@pytest.fixture
def front(monkeypatch: pytest.MonkeyPatch) -> str:
    """A connection of Airflow's."""
    told = {"conn_type": "postgres", "password": HORSE, "extra": {"key": KEY, "timeout": 3, "who": "x"}}
    monkeypatch.setenv("AIRFLOW_CONN_FRONT", json.dumps(told))
    return "front"


def test_the_password_and_other_values_of_a_connection(front: str) -> None:
    assert open_connection(front, None) == HORSE
    assert open_connection(front, "key") == KEY
    assert open_connection(front, "nothing") is None


def test_what_was_opened_is_masked_whatever_it_is_called(front: str) -> None:
    open_connection(front, None)
    open_connection(front, "key")
    shown = str(redact(f"password {HORSE}, key {KEY}, a line battery0staple of it"))
    assert HORSE not in shown
    assert "battery0staple" not in shown


def test_a_value_that_is_no_text_is_refused_without_being_shown(front: str) -> None:
    with pytest.raises(Invalid, match="timeout 不是文本") as raised:
        open_connection(front, "timeout")
    assert "3" not in raised.value.message


def test_a_connection_that_airflow_does_not_give_may_come_later() -> None:
    with pytest.raises(Failed, match="没有给出连接 nowhere") as raised:
        open_connection("nowhere", None)
    assert raised.value.retry
    assert "Connections" in raised.value.remedy


def test_a_task_s_hub_opens_endpoints_with_them_and_tells_nobody(
    town: Town, front: str, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"product": "postgresql", "host": "127.0.0.1", "port": 9, "database": "f", "user": "u"}
    options["password"] = f"airflow:{front}"
    assert problems_of_options("database", options, where="端点") == []
    with caplog.at_level(logging.DEBUG), closing(open_hub(town.home)) as hub:
        home = hub.settings.home
        endpoint = open_registered("database", options, "Asia/Shanghai", home=home, name="front")
        probes = endpoint.test()  # nobody listens there
    assert [probe.passed for probe in probes] == [False]
    assert endpoint._place.options.password.get_secret_value() == HORSE  # type: ignore[attr-defined]
    for told in (repr(endpoint._place), repr(probes), caplog.text):  # type: ignore[attr-defined]
        assert HORSE not in told


def test_a_failure_to_open_quotes_no_secret(front: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_FRONT", json.dumps({"conn_type": "x", "password": f"shutong-key:{HORSE}"}))
    open_connections_by(open_connection)
    with pytest.raises(Invalid, match="自身的密钥") as raised:
        open_secret("airflow:front", tmp_path)
    assert HORSE not in "".join(traceback.format_exception(raised.value))


def test_the_home_is_the_connection_s_unless_it_is_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CITY", json.dumps({"conn_type": "shutong", "extra": {"home": "/srv/city"}}))
    monkeypatch.setenv("SHUTONG_HOME", str(tmp_path))
    assert ShutongHook().home == tmp_path
    assert ShutongHook("city").home == Path("/srv/city")
    with pytest.raises(AirflowNotFoundException):
        _ = ShutongHook("nowhere").home
    monkeypatch.delenv("SHUTONG_HOME")
    assert ShutongHook().home == Path.home() / ".shutong"
    monkeypatch.setenv(f"AIRFLOW_CONN_{DEFAULT.upper()}", '{"conn_type": "shutong", "extra": {"home": "/srv/hub"}}')
    assert ShutongHook().home == Path("/srv/hub")


def test_a_connection_is_tried_out(town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHUTONG_HOME", str(town.home))
    passed, told = ShutongHook().test_connection()
    assert (passed, told) == (True, f"枢纽 {town.home}：2 个交换")
    monkeypatch.setenv("SHUTONG_HOME", str(tmp_path / "nothing"))
    passed, told = ShutongHook().test_connection()
    assert not passed
    assert "shutong init" in told
    passed, told = ShutongHook("nowhere").test_connection()
    assert not passed
    assert "nowhere" in told
