"""Opening references to secrets, and never showing what they hold."""

from __future__ import annotations

import json
import os
import traceback

import pytest

from exchange.errors import Invalid
from exchange.secrets import is_reference, open_connections_by, open_secret, references
from exchange.settings import REFERENCE

HORSE = "correct horse 𠮷"


def secret_file(folder, content: bytes, mode: int = 0o600):
    path = folder / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("text", ["env:A", "env:_x9", "file:a", "file:/etc/x y", "file:密钥"])
def test_references(text):
    assert is_reference(text)


@pytest.mark.parametrize(
    "text",
    ["", "env:", "env:9", "env:A-B", "env:A\n", "file:", "file:a\x00b", "password", "ENV:A", " env:A", "vault:x"],
)
def test_no_references(text):
    assert not is_reference(text)


def test_a_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("HORSE", HORSE)
    assert open_secret("env:HORSE", tmp_path).get_secret_value() == HORSE


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_file_with_or_without_a_last_line_break(tmp_path, end):
    path = secret_file(tmp_path, (HORSE + end).encode())
    assert open_secret("file:secret", tmp_path).get_secret_value() == HORSE
    assert open_secret(f"file:{path}", tmp_path / "elsewhere").get_secret_value() == HORSE


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o602, 0o644, 0o610])
def test_a_file_others_can_reach_is_refused(tmp_path, mode):
    secret_file(tmp_path, HORSE.encode(), mode)
    with pytest.raises(Invalid, match="其他用户") as raised:
        open_secret("file:secret", tmp_path)
    assert "chmod 600" in raised.value.remedy


def test_what_leads_nowhere(tmp_path):
    for reference in ("env:NO_SUCH_HORSE", "file:none", "horse", "file:."):
        with pytest.raises(Invalid) as raised:
            open_secret(reference, tmp_path)
        assert raised.value.remedy


def test_a_pipe_does_not_make_the_hub_wait(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(Invalid, match="普通文件"):
        open_secret("file:pipe", tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"x" * 70000, b"horse \xff\xfe"], ids=["empty", "line", "large", "binary"]
)
def test_what_is_no_secret(tmp_path, content):
    secret_file(tmp_path, content)
    with pytest.raises(Invalid) as raised:
        open_secret("file:secret", tmp_path)
    assert "horse" not in "".join(traceback.format_exception(raised.value))


def test_the_hub_s_own_keys_are_no_password_for_an_endpoint(settings, monkeypatch):
    monkeypatch.setenv("COPY", (settings.home / "keys" / "master.key").read_text())
    for reference in (settings.master_key, settings.audit_key, "env:COPY"):
        with pytest.raises(Invalid, match="自身的密钥") as raised:
            open_secret(reference, settings.home)
        assert (settings.home / "keys" / "master.key").read_text()[12:20] not in str(raised.value)


IN_CONNECTIONS = ["airflow:front", "airflow:front_police.v-2", "airflow:前置库", "airflow:front#extra.key file"]


@pytest.fixture
def connections():
    """Connections that this process knows how to open, by name."""
    known = {("front", None): HORSE, ("front", "key"): "a key", ("empty", None): None}
    open_connections_by(lambda name, value: known[name, value])
    yield known
    open_connections_by(None)


@pytest.mark.parametrize("text", IN_CONNECTIONS)
def test_references_to_connections(text):
    assert is_reference(text)


@pytest.mark.parametrize(
    "text",
    ["airflow:", "airflow:a b", "airflow:a#password", "airflow:a#extra.", "airflow:a#extra.b\n", "airflow:a/b"],
)
def test_no_references_to_connections(text):
    assert not is_reference(text)


@pytest.mark.parametrize("reference", IN_CONNECTIONS)
def test_without_a_scheduler_its_connections_stay_closed_and_that_is_said(reference, tmp_path, monkeypatch):
    monkeypatch.setattr(references, "_connections", [])
    with pytest.raises(Invalid, match="不在 Airflow 的任务里") as raised:
        open_secret(reference, tmp_path)
    assert "env:变量名" in raised.value.remedy


def test_a_connection_s_password_and_its_other_values(connections, tmp_path):
    secret = open_secret("airflow:front", tmp_path)
    assert secret.get_secret_value() == HORSE
    assert HORSE not in repr(secret)
    assert open_secret("airflow:front#extra.key", tmp_path).get_secret_value() == "a key"


@pytest.mark.parametrize("extra", [{"key": "a key"}, '{"key": "a key"}'])
def test_elsewhere_a_connection_in_the_environment_can_be_read(extra, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_CONN_FRONT", json.dumps({"conn_type": "x", "password": HORSE, "extra": extra}))
    assert open_secret("airflow:front", tmp_path).get_secret_value() == HORSE
    assert open_secret("airflow:front#extra.key", tmp_path).get_secret_value() == "a key"
    with pytest.raises(Invalid, match="空的"):
        open_secret("airflow:front#extra.other", tmp_path)


@pytest.mark.parametrize("text", [f"postgres://u:{HORSE}@h/d", f'["{HORSE}"]', f'{{"password": ["{HORSE}"]}}', "{"])
def test_a_connection_in_the_environment_that_is_none_quotes_nothing(text, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_CONN_FRONT", text)
    with pytest.raises(Invalid, match="JSON") as raised:
        open_secret("airflow:front", tmp_path)
    assert HORSE not in "".join(traceback.format_exception(raised.value))


def test_a_connection_without_the_value_is_refused(connections, tmp_path):
    with pytest.raises(Invalid, match="空的"):
        open_secret("airflow:empty", tmp_path)


def test_the_hub_s_own_keys_do_not_pass_through_a_connection(connections, settings):
    connections["front", None] = (settings.home / "keys" / "master.key").read_text()
    with pytest.raises(Invalid, match="自身的密钥"):
        open_secret("airflow:front", settings.home)


def test_the_hub_s_own_secrets_are_in_no_connection():
    """The command line and the door must open them, too."""
    assert not any(REFERENCE.fullmatch(text) for text in IN_CONNECTIONS)
