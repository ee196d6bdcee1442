from __future__ import annotations

from pathlib import Path

import pytest

from adapters.registry import open_endpoint
from exchange.engine.opening import open_registered
from exchange.engine.spool import HubSpool
from exchange.errors import Invalid, Tampered
from exchange.secrets import Keyring, create_keys
from exchange.settings import Settings
from tests.exchange.settings.test_model import HUB


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path / "home", hub_department=HUB)
    create_keys(settings)
    return settings


def test_endpoints_do_not_share_a_spool(settings: Settings) -> None:
    one, other = (HubSpool(settings.home, Keyring(settings), name) for name in ("tax", "police"))
    one.write("a", b"secret of one")
    assert other.read("a") is None
    [file] = (path for path in (settings.home / "spool").rglob("a"))
    assert b"secret" not in file.read_bytes()
    other.write("a", b"x")
    [theirs] = (path for path in (settings.home / "spool").rglob("a") if path != file)
    theirs.write_bytes(file.read_bytes())
    with pytest.raises(Tampered):
        other.read("a")


def test_nothing_is_made_and_no_key_is_asked_before_it_is_needed(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", hub_department=HUB)
    spool = HubSpool(settings.home, Keyring(settings), "tax")
    assert not (tmp_path / "home").exists()
    create_keys(settings)
    assert spool.names("") == ()


def test_only_the_hub_gives_an_endpoint_its_spool(settings: Settings) -> None:
    options = {"url": "http://127.0.0.1:1/x"}
    assert open_endpoint("webservice", options).spool is None
    opened = open_registered(
        "webservice", options, "Asia/Shanghai", home=settings.home, name="tax", keyring=Keyring(settings)
    )
    assert isinstance(opened.spool, HubSpool)


def test_no_endpoint_reaches_into_it(settings: Settings) -> None:
    with pytest.raises(Invalid, match="平台自己"):
        open_registered(
            "files", {"root": str(settings.home / "spool" / "x")}, "Asia/Shanghai", home=settings.home, name="tax"
        )
