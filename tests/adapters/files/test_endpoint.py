from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from openlineage.client.naming.dataset import LocalFileSystem, RemoteFileSystem

from adapters.base import FoundColumn
from adapters.errors import Misconfigured
from adapters.registry import open_endpoint, secret_fields
from tests.adapters.files.conftest import Drop, binding
from tests.support.openssh import OpenSSHServer

SCHEMA = pa.schema([pa.field("number", pa.string()), pa.field("holder", pa.string())])


@pytest.mark.parametrize("options", [{}, {"root": "relative"}, {"root": 3}, {"root": "/tmp", "rot": 1}])
def test_wrong_options(options: dict[str, Any]) -> None:
    with pytest.raises(Misconfigured, match=r"root|rot"):
        open_endpoint("files", options)


SFTP: dict[str, Any] = {"root": "/d", "transport": "sftp", "host": "h", "user": "u", "host_key": "k", "key": "s3cret"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"host": None}, "host"),
        ({"user": ""}, "user"),
        ({"host_key": None}, "host_key 和 known_hosts"),
        ({"known_hosts": "/f"}, "host_key 和 known_hosts"),
        ({"key": None}, "key 或 password"),
        ({"root": "/d/../e"}, "root"),
        ({"connections": 1}, "connections"),
        ({"names": "latin-1"}, "names"),
        ({"transport": "ftp"}, "transport"),
        ({"transport": "local"}, "只用于 transport: sftp"),
    ],
)
def test_wrong_options_of_a_server(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(Misconfigured, match=told) as caught:
        open_endpoint("files", SFTP | changes)
    assert "s3cret" not in caught.value.message


def test_secrets_of_a_server_are_references() -> None:
    assert secret_fields("files") == {"key", "passphrase", "password"}
    endpoint = open_endpoint("files", SFTP)
    assert endpoint.identity() == "files sftp://u@h:22/d"
    assert endpoint.identity() == open_endpoint("files", SFTP | {"host": "H", "key": "other"}).identity()
    assert endpoint.identity() != open_endpoint("files", {"root": "/d"}).identity()


def test_files_are_data_sets_as_the_rules_of_openlineage_name_them() -> None:
    here, there = LocalFileSystem("/d/p_*.csv"), RemoteFileSystem("h", "/d/p_*.csv")
    assert open_endpoint("files", {"root": "/d"}).dataset("p_*.csv") == (here.get_namespace(), here.get_name())
    assert open_endpoint("files", SFTP).dataset("p_*.csv") == (there.get_namespace(), there.get_name())
    assert open_endpoint("files", SFTP | {"port": 2022}).dataset("p_*.csv") == ("file://h:2022", "/d/p_*.csv")


def test_a_server_is_tried_looked_into_and_checked(openssh_server: OpenSSHServer) -> None:
    root = openssh_server.new_folder()
    endpoint = open_endpoint("files", openssh_server.options(root))
    probes = endpoint.test()
    assert [probe.name for probe in probes] == [
        "主机密钥", "登录", "列出目录", "写入和改名", "时钟", "可用空间", "数据文件",
    ]  # fmt: skip
    assert all(probe.passed for probe in probes)
    (root / "licence_1.csv").write_text("证照编号,持证人\n1,甲\n")
    assert [found.name for found in endpoint.inspect()] == ["licence_1.csv"]
    options = {"complete": "age", "age": 0}
    assert endpoint.check(binding(options=options), SCHEMA, sink=False) == []
    (root / "licence_2.csv").write_text("证照编号\n1\n")
    assert "缺少列 持证人" in endpoint.check(binding(options=options), SCHEMA, sink=False)[0]
    [told] = open_endpoint("files", openssh_server.options(root / "none")).check(binding(), SCHEMA, sink=True)
    assert "不存在" in told


def test_what_it_can(drop: Drop) -> None:
    capabilities = drop.endpoint.capabilities
    assert (capabilities.way, capabilities.captures) == ("file", {"snapshot", "batches"})
    assert (capabilities.delivers, capabilities.transactional, capabilities.merges, capabilities.settles) == (
        True, True, False, True,
    )  # fmt: skip
    assert drop.endpoint.prepare(binding(), SCHEMA) == ""


def test_test(drop: Drop, tmp_path: Path) -> None:
    for name in ("a.csv", "b.CSV.gz", "c.xlsx", "d.jsonl", "e.xml", "f.parquet", "g.pdf", "a.csv.refused.csv"):
        drop.put(name, "a\n")
    probes = drop.endpoint.test()
    assert [(probe.name, probe.passed) for probe in probes] == [
        (name, True) for name in ("列出目录", "硬链接防护", "写入目录", "改名", "可用空间", "数据文件")
    ]
    assert "6 个" in probes[-1].detail
    [probe] = open_endpoint("files", {"root": str(tmp_path / "none")}).test()
    assert not probe.passed
    assert probe.remedy


def test_a_directory_that_may_only_be_read(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may write everywhere, so rights alone would not show it.
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    probes = drop.endpoint.test()
    assert [probe.passed for probe in probes] == [True, True, False]
    assert probes[-1].remedy


def test_inspect(drop: Drop) -> None:
    drop.put("licence_1.csv", "a\n1\n")
    drop.put("licence_2.csv", "证照\n编号 ,b\n", encoding="gb18030")
    drop.put("licence_2.csv", '"证照\n编号 ",b\n1,2\n', encoding="gb18030")
    drop.put("empty.csv", "")
    found = drop.endpoint.inspect()
    assert [(one.name, one.label) for one in found] == [
        ("empty.csv", "empty.csv"),
        ("licence_1.csv", "licence_1.csv"),
        ("licence_2.csv", "licence_2.csv"),
    ]
    assert found[0].columns == ()
    assert found[2].columns == (FoundColumn("证照编号", "C"), FoundColumn("b", "C"))
    [one] = drop.endpoint.inspect("licence_*.csv")
    assert (one.name, one.label, one.columns) == ("licence_*.csv", "licence_2.csv", found[2].columns)
    assert drop.endpoint.inspect("none*") == []


def test_check(drop: Drop) -> None:
    assert drop.endpoint.check(binding(), SCHEMA, sink=False) == []
    assert drop.endpoint.check(binding(), SCHEMA, sink=True) == []
    (drop.root / "licence_1.jsonl").write_text("")
    assert drop.endpoint.check(binding(object="licence_*.jsonl"), SCHEMA, sink=False) == []
    drop.put("licence_1.csv", "a,b\n")
    assert "缺少列 证照编号" in drop.endpoint.check(binding(), SCHEMA, sink=False)[0]
    assert "outbox" in drop.endpoint.check(binding(capture="outbox"), SCHEMA, sink=False)[0]
    assert "一个 *" in drop.endpoint.check(binding(object="x.csv"), SCHEMA, sink=True)[0]
    gone = open_endpoint("files", {"root": str(drop.root / "none")})
    assert "不存在" in gone.check(binding(), SCHEMA, sink=True)[0]
    assert "不存在" in gone.check(binding(), SCHEMA, sink=False)[0]
