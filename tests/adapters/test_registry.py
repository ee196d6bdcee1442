from __future__ import annotations

import subprocess
import sys

import pytest

import adapters
from adapters import registry
from adapters.base import Endpoint
from adapters.errors import Misconfigured, Unsupported
from adapters.memory import MemoryEndpoint
from adapters.registry import endpoint_type, kinds, open_endpoint, secret_fields

LIBRARIES = ("sqlalchemy", "psycopg", "pymysql", "zeep", "spyne", "lxml", "requests")


def test_the_kinds() -> None:
    assert kinds() == ("database", "webservice", "files", "mailbox", "memory")


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_has_a_class_that_says_so(kind: str) -> None:
    found = endpoint_type(kind)
    assert issubclass(found, Endpoint)
    assert found.kind == kind


def test_an_unknown_kind_and_the_nearest() -> None:
    with pytest.raises(Misconfigured, match="是否想写 webservice") as caught:
        endpoint_type("web-service")
    assert "database、webservice、files、mailbox、memory" in caught.value.remedy
    with pytest.raises(Misconfigured):
        endpoint_type("../os:system")


def test_importing_adapters_loads_no_driver() -> None:
    code = f"import sys, adapters; print(*(name for name in {LIBRARIES!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""


def test_a_library_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zeep", None)
    # What is imported again stands in its package too, and must not stay there.
    monkeypatch.setattr(adapters, "webservice", None, raising=False)
    for name in [name for name in sys.modules if name.startswith("adapters.webservice")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(Unsupported, match="zeep") as caught:
        endpoint_type("webservice")
    assert "install zeep" in caught.value.remedy


def test_a_module_of_ours_that_is_missing_is_no_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "KINDS", {"odd": "adapters.nowhere:Nothing"})
    with pytest.raises(ModuleNotFoundError):
        endpoint_type("odd")


def test_an_endpoint_is_opened() -> None:
    assert isinstance(open_endpoint("memory", {"store": "registry"}), MemoryEndpoint)
    assert isinstance(open_endpoint("memory", {"store": "registry"}, zone="UTC"), MemoryEndpoint)


@pytest.mark.parametrize("zone", ["Asia/Shanghia", "", "../etc/passwd", "/etc/localtime", "上海"])
def test_a_zone_that_is_none(zone: str) -> None:
    with pytest.raises(Misconfigured, match="时区"):
        open_endpoint("memory", {"store": "registry"}, zone=zone)


def test_options_are_told_by_kind() -> None:
    with pytest.raises(
        Misconfigured, match=r"memory 端点的选项有误：store：缺少此项；stroe：没有这个选项，是否想写 store？"
    ):
        open_endpoint("memory", {"stroe": "x"})


def test_secrets() -> None:
    assert secret_fields("webservice") == {"password", "secret", "appkey"}
    assert secret_fields("files") == {"key", "passphrase", "password"}
    assert secret_fields("memory") == frozenset()


def test_the_package_exports_the_port() -> None:
    assert sorted(adapters.__all__, key=str.lower) == sorted(set(adapters.__all__), key=str.lower)
    assert all(hasattr(adapters, name) for name in adapters.__all__)
    for module in (adapters.base, adapters.errors):
        public = {
            name
            for name, value in vars(module).items()
            if isinstance(value, type) and value.__module__ == module.__name__
        }
        assert public <= set(adapters.__all__)
