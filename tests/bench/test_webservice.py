"""The benchmark's parts run and balance; how fast they are, only a benchmark can say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench import webservice
from tests.bench.report import Result
from tests.support.servers import PostgreSQLServer, Server


@pytest.mark.long_with.with_args(webservice.push)
@pytest.mark.parametrize("part", [webservice.read, webservice.push])
def test_rows_come_and_go_beside_plain_spyne(
    postgresql_server: Server, tmp_path: Path, part: Callable[..., list[Result]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(postgresql_server, PostgreSQLServer)
    monkeypatch.setattr(webservice, "ROUNDS", 1)
    found = part(postgresql_server, tmp_path, rows=1000, plainly=1000)
    assert all(each.ratio and each.rows_per_second and "spyne" in each.baseline for each in found)


@pytest.mark.long
def test_each_side_alone_and_its_memory(
    postgresql_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(postgresql_server, PostgreSQLServer)
    monkeypatch.setattr(webservice, "ROUNDS", 1)
    assert len(webservice.alone(postgresql_server, tmp_path, rows=1000)) == 2
    found = webservice.memory(postgresql_server, tmp_path, rows=(1000,))
    assert [each.name.rpartition(", ")[2] for each in found] == ["reading", "serving"]
    assert all(each.peak_mb and each.peak_mb < 1000 for each in found)
