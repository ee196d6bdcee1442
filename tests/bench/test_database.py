"""The benchmarks run and balance; how fast they are, only a benchmark can say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench import database
from tests.bench.__main__ import main
from tests.bench.report import Result, document, show
from tests.support.servers import PostgreSQLServer, Server


@pytest.mark.long_with.with_args(database.merge)
@pytest.mark.parametrize("part", [database.append, database.merge, database.changes])
def test_a_part_says_how_long_it_took(
    postgresql_server: Server, tmp_path: Path, part: Callable[..., list[Result]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(postgresql_server, PostgreSQLServer)
    found = part(postgresql_server, tmp_path, rows=2000, name="small")
    assert found
    assert found[0].seconds > 0
    capsys.readouterr()
    show(document("database", {}, found), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told.keys() == {"bench", "machine", "versions", "results"}
    assert told["results"][0].keys() == {
        "name", "seconds", "baseline", "baseline_seconds", "ratio", "rows_per_second", "peak_mb",
    }  # fmt: skip
    show(document("database", {}, found), as_json=False)
    assert len({line.count(" | ") for line in capsys.readouterr().out.splitlines() if "small" in line}) == 1


def test_a_part_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["database", "--only", "nothing"])
    assert caught.value.code == 2
    assert "append" in capsys.readouterr().err
