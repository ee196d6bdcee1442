"""The hub's own keys."""

from __future__ import annotations

import copy
import hmac
import logging
import pickle
import stat
import threading
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretBytes

from exchange.errors import Invalid
from exchange.secrets import Keyring, create_keys, with_password
from exchange.settings import Settings
from tests.exchange.settings.test_model import HUB


def texts_of(settings: Settings) -> list[str]:
    return [path.read_text().strip().removeprefix("shutong-key:") for path in (settings.home / "keys").iterdir()]


def test_keys_are_made_for_the_owner_alone(settings):
    folder = settings.home / "keys"
    assert sorted(path.name for path in folder.iterdir()) == ["audit.key", "master.key"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(settings.home.stat().st_mode) == 0o700
    assert len(set(texts_of(settings))) == 2


def test_existing_keys_are_left_alone(settings):
    before = texts_of(settings)
    assert create_keys(settings) == ()
    assert texts_of(settings) == before
    (settings.home / "keys" / "audit.key").unlink()
    assert create_keys(settings) == (settings.home / "keys" / "audit.key",)


def test_many_makers_make_one_key(tmp_path):
    settings = Settings(home=tmp_path / "home", hub_department=HUB)
    start = threading.Barrier(8)
    made: list[object] = []

    def make() -> None:
        start.wait()
        made.extend(create_keys(settings))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2
    assert sorted(path.name for path in (settings.home / "keys").iterdir()) == ["audit.key", "master.key"]


def test_a_key_is_the_same_at_every_call_and_another_for_every_purpose(settings):
    keyring = Keyring(settings)
    assert keyring.derive("grant", "G1") == Keyring(settings).derive("grant", "G1")
    keys = {keyring.derive(*use) for use in [("a",), ("b",), ("a", "b"), ("ab",), ("", "ab"), ("a", "")]}
    assert len(keys) == 5
    assert {len(key) for key in keys} == {32}
    assert keyring.audit_key() not in keys


def test_derivation_is_fixed_for_good(tmp_path, monkeypatch):
    # What was encrypted by an older version must open: this value may never change.
    monkeypatch.setenv("SHUTONG_SECRET_MASTER", "shutong-key:" + "00" * 32)
    keyring = Keyring(Settings(home=tmp_path, hub_department=HUB, master_key="env:SHUTONG_SECRET_MASTER"))
    parts = (b"shutong 1", b"grant", b"G1")
    extracted = hmac.digest(bytes(32), bytes(32), "sha256")
    expanded = hmac.digest(extracted, b"".join(len(p).to_bytes(4) + p for p in parts) + b"\x01", "sha256")
    assert keyring.derive("grant", "G1") == expanded
    assert expanded.hex() == "f98a882aa06f07377ca03af533f3fa45c598eb6ea7a3bf66e046a5a3448fd5e3"


@given(first=st.tuples(st.text(), st.text()), second=st.tuples(st.text(), st.text()))
def test_no_two_uses_share_a_key(first, second):
    keyring = Keyring(Settings(home="/nowhere", hub_department=HUB))
    keyring._opened["file:keys/master.key"] = SecretBytes(b"k" * 32)
    assert (keyring.derive(*first) == keyring.derive(*second)) == (first == second)


def test_keys_from_the_environment(tmp_path, monkeypatch):
    settings = Settings(
        home=tmp_path, hub_department=HUB, master_key="env:SHUTONG_SECRET_M", audit_key="env:SHUTONG_SECRET_A"
    )
    with pytest.raises(Invalid, match="SHUTONG_SECRET_M"):
        create_keys(settings)
    monkeypatch.setenv("SHUTONG_SECRET_M", "shutong-key:" + "ab" * 32)
    monkeypatch.setenv("SHUTONG_SECRET_A", "shutong-key:" + "cd" * 32 + "\n")
    assert create_keys(settings) == ()
    assert Keyring(settings).audit_key() == b"\xcd" * 32
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["horse", "shutong-key:horse", "shutong-key:" + "AB" * 32, "ab" * 32])
def test_what_is_no_key_is_refused(settings, text):
    (settings.home / "keys" / "master.key").write_text(text)
    with pytest.raises(Invalid, match="不是数通的密钥") as raised:
        Keyring(settings).derive("x")
    assert text not in "".join(traceback.format_exception(raised.value))


def test_a_missing_or_open_key_says_what_to_do(settings):
    path = settings.home / "keys" / "audit.key"
    path.chmod(0o644)
    with pytest.raises(Invalid, match="审计密钥"):
        Keyring(settings).audit_key()
    path.unlink()
    with pytest.raises(Invalid, match="审计密钥") as raised:
        Keyring(settings).audit_key()
    assert "shutong init" in raised.value.remedy
    assert "备份" in raised.value.remedy


def test_a_keyring_never_shows_a_key(settings, caplog):
    keyring = Keyring(settings)
    keyring.derive("x")
    keyring.audit_key()
    keys = [text.encode() for text in texts_of(settings)] + [bytes.fromhex(text) for text in texts_of(settings)]
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").info("%s %r %s", keyring, keyring, vars(keyring))
    shown = f"{keyring}{keyring!r}{vars(keyring)}{caplog.text}".encode()
    pickled = pickle.dumps(keyring) + pickle.dumps(copy.deepcopy(keyring))
    for key in keys:
        assert key not in shown
        assert str(key).encode() not in shown
        assert key not in pickled
    assert pickle.loads(pickled).audit_key() == keyring.audit_key()


def test_a_database_address_with_its_password(tmp_path, monkeypatch):
    monkeypatch.setenv("SHUTONG_SECRET_DB", "correct/horse@")
    url = with_password("postgresql://hub@db/hub", "env:SHUTONG_SECRET_DB", tmp_path)
    assert url.password == "correct/horse@"
    assert "horse" not in f"{url} {url!r}"
    assert with_password("sqlite:////x.db", None, tmp_path).database == "/x.db"
