"""What the port says of a spool, of the one there is."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import pytest

from adapters.spool import Spool
from exchange.engine.spool import HubSpool
from exchange.secrets import Keyring, create_keys
from exchange.settings import Settings
from tests.exchange.settings.test_model import HUB


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    settings = Settings(home=tmp_path / "home", hub_department=HUB)
    create_keys(settings)
    return HubSpool(settings.home, Keyring(settings), "端点 1/2")


def test_files_by_name(spool: Spool) -> None:
    assert spool.read("a.1") is None
    assert spool.names("") == ()
    spool.write("a.1", b"one")
    spool.write("a.2", b"")
    spool.write("b", b"x" * (20 << 20))
    spool.write("a.1", b"two")
    assert spool.read("a.1") == b"two"
    assert spool.read("a.2") == b""
    assert spool.read("b") == b"x" * (20 << 20)
    assert spool.names("a.") == ("a.1", "a.2")
    spool.remove("a.1")
    spool.remove("a.1")
    assert spool.names("") == ("a.2", "b")


def _hold(home: Path, order: multiprocessing.Queue[str]) -> None:
    settings = Settings(home=home, hub_department=HUB)
    with HubSpool(home, Keyring(settings), "端点 1/2").lock("x"):
        order.put("other")


def test_a_lock_keeps_other_processes_out(spool: Spool, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    order = context.Queue()
    with spool.lock("x"):
        other = context.Process(target=_hold, args=(tmp_path / "home", order))
        other.start()
        time.sleep(1.5)
        order.put("own")
    other.join(30)
    assert other.exitcode == 0
    assert [order.get(timeout=5), order.get(timeout=5)] == ["own", "other"]
    assert spool.names("") == ()
