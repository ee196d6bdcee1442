"""Opening endpoints: secrets are references, errors are the hub's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import adapters
from catalog import EndpointSpec
from exchange.engine.opening import binding, open_registered, problems_of_endpoint, problems_of_options, translated
from exchange.errors import Failed, HubError, Invalid, Red
from exchange.plan import End
from tests.exchange.engine.town import POLICE

SERVER = {"product": "postgresql", "host": "127.0.0.1", "port": 5, "database": "d", "user": "u"}


@pytest.mark.parametrize(
    ("error", "kind", "retry"),
    [
        (adapters.Unavailable, Failed, True),
        (adapters.Refused, Failed, False),
        (adapters.Malformed, Failed, False),
        (adapters.Unsupported, Failed, False),
        (adapters.Misconfigured, Invalid, False),
        (adapters.Overtaken, Red, False),
        (adapters.Restored, Red, False),
        (adapters.Unbalanced, Red, False),
    ],
)
def test_every_error_of_the_adapters_becomes_the_hubs_own(
    error: type[adapters.AdapterError], kind: type[HubError], retry: bool
) -> None:
    with pytest.raises(kind) as told, translated("目标端 tax"):
        raise error("表不在", remedy="建表")
    assert told.value.message == "目标端 tax: 表不在"
    assert told.value.remedy == "建表"
    assert told.value.retry is retry
    assert isinstance(told.value.__cause__, error)


def test_an_error_of_the_hub_passes_as_it_is() -> None:
    with pytest.raises(Failed, match=r"^原样$"), translated("目标端 tax"):
        raise Failed("原样")


def test_a_secret_is_registered_as_a_reference_only() -> None:
    found = problems_of_options("database", {**SERVER, "password": "hunter2"}, where="端点 tax")
    assert [problem.where for problem in found] == ["端点 tax › options › password"]
    assert "hunter2" not in str(found)
    assert problems_of_options("database", {**SERVER, "password": "env:PASSWORD"}, where="端点 tax") == []


@pytest.mark.parametrize(
    ("kind", "options", "word"),
    [
        ("databse", SERVER, "databse"),
        ("database", {**SERVER, "prot": 1}, "prot"),
        ("database", {**SERVER, "port": "eleven"}, "port"),
        ("database", {"product": "oracle"}, "product"),
        ("database", {"product": "postgresql"}, "host"),
        ("webservice", {}, "url"),
        ("database", {**SERVER, "password": ["a", "list"]}, "password"),
    ],
)
def test_options_that_are_wrong_are_told(kind: str, options: dict[str, Any], word: str) -> None:
    assert word in "；".join(map(str, problems_of_options(kind, options, where="端点 tax")))


def test_a_secret_that_is_not_there_is_told_without_opening_anything(tmp_path: Path) -> None:
    options = {**SERVER, "password": "file:nothing.password"}
    with pytest.raises(Invalid, match=r"nothing\.password"):
        open_registered("database", options, "Asia/Shanghai", home=tmp_path, name="tax")


def test_an_opened_secret_is_not_shown(tmp_path: Path) -> None:
    secret = tmp_path / "tax.password"
    secret.write_text("hunter2")
    secret.chmod(0o600)
    endpoint = open_registered(
        "database", {**SERVER, "password": "file:tax.password"}, "Asia/Shanghai", home=tmp_path, name="tax"
    )
    assert "hunter2" not in repr(vars(endpoint))


def test_relative_paths_lie_in_the_home_wherever_the_process_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fronts").mkdir()
    (tmp_path / "fronts" / "tax.db").touch()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    options = {"product": "sqlite", "path": "fronts/tax.db"}
    endpoint = open_registered("database", options, "Asia/Shanghai", home=tmp_path, name="tax")
    assert endpoint.test()[0].passed
    assert endpoint.scratch == tmp_path / "spool"


def test_an_endpoint_does_not_lead_into_the_hub(tmp_path: Path) -> None:
    options = {"product": "sqlite", "path": "hub.db"}
    spec = EndpointSpec(name="tax", department=POLICE, kind="database", options=options)
    assert "平台自己的文件" in str(problems_of_endpoint(spec, home=tmp_path))
    with pytest.raises(Invalid):
        open_registered("database", options, "Asia/Shanghai", home=tmp_path, name="tax")


def test_a_binding_carries_the_family_as_data() -> None:
    end = End(
        endpoint="police", object="inf", columns={"a": "A"}, capture="outbox", profile="jiangsu", options={"x": 1}
    )
    bound = binding(end, ("a",), "v")
    assert bound.profile is not None
    assert bound.profile.name == "jiangsu"
    assert (bound.object, bound.capture, bound.key, bound.version, dict(bound.options)) == (
        "inf", "outbox", ("a",), "v", {"x": 1},
    )  # fmt: skip
    assert binding(End(endpoint="e", object="o", columns={}), (), None).profile is None
