"""The benchmark of single rows asks and is answered; how fast, only a benchmark can say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.lookup import lookup
from tests.support.servers import PostgreSQLServer, Server


@pytest.mark.long
def test_rows_are_asked_for_straight_and_through_the_hub(postgresql_server: Server, tmp_path: Path) -> None:
    assert isinstance(postgresql_server, PostgreSQLServer)
    found = lookup(postgresql_server, tmp_path, queries=30, clients=(1, 3), rounds=1, name="small")
    assert [each.name for each in found] == [
        "small, 1 clients", "small, 1 clients: added p50", "small, 1 clients: added p99",
        "small, 3 clients", "small, 3 clients: added p50", "small, 3 clients: added p99",
        "small, 3 clients, PostgreSQL table",
    ]  # fmt: skip
    assert all(each.ratio is not None and each.ratio > 0 for each in found[:6:3])
