"""``shutong airflow``: the snapshot written and looked at, by those who may."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from typer.testing import CliRunner

from exchange.cli.root import app
from exchange.db import now
from exchange.db.tables import ExchangeRow
from exchange.snapshot import read
from tests.exchange.engine.conftest import built_town, town
from tests.exchange.engine.town import SYNC, Town

__all__ = ["built_town", "town"]


def asked(town: Town, *words: str, by: str = "integrator") -> tuple[int, Any]:
    result = CliRunner().invoke(app, ["--home", str(town.home), "--as", by, "airflow", *words, "--json"])
    assert result.exit_code != 1, result.stdout
    return result.exit_code, json.loads(result.stdout)


def shown(town: Town, *words: str) -> str:
    result = CliRunner().invoke(app, ["--home", str(town.home), "--as", "integrator", "airflow", *words])
    return result.stdout


def test_publishing_says_where_and_how_many(town: Town) -> None:
    status, told = asked(town, "publish")
    path = town.home / "airflow" / "snapshot.json"
    assert status == 0
    assert told == {
        "path": str(path), "changed": True, "exchanges": 2, "pools": 2, "broken": {}, "by": "集成员",
    }  # fmt: skip
    assert {each.id for each in read(path).exchanges} == {SYNC, town.share}
    assert asked(town, "publish")[1]["changed"] is False
    assert "没有变化" in shown(town, "publish")


def test_only_the_hubs_own_engineers_may(town: Town) -> None:
    for by in ("police", "tax", "centre"):
        assert asked(town, "publish", by=by)[0] == 3
        assert asked(town, "status", by=by)[0] == 3
    assert asked(town, "publish", by="auditor")[0] == 3
    assert asked(town, "status", by="auditor")[0] == 0
    assert not (town.home / "airflow").exists()


def test_the_status_says_what_is_wrong(town: Town) -> None:
    status, told = asked(town, "status")
    assert (status, told["wanted"], told["current"]) == (0, False, False)
    assert "没有启用" in shown(town, "status")
    asked(town, "publish")
    status, told = asked(town, "status")
    assert (status, told["current"], told["problem"], told["exchanges"], told["lost"]) == (0, True, None, 2, [])
    path = town.home / "airflow" / "snapshot.json"
    path.write_text(path.read_text()[:-100])
    status, told = asked(town, "status")
    assert (status, told["current"]) == (5, False)
    assert "不完整" in told["problem"]
    path.unlink()
    assert "没有排班快照" in asked(town, "status")[1]["problem"]


def test_the_status_names_what_is_broken_and_what_was_lost(town: Town) -> None:
    asked(town, "publish")
    with town.hub() as hub, hub.database.transaction() as session:
        session.get_one(ExchangeRow, SYNC).due_at = now(session) - timedelta(hours=1)
        session.get_one(ExchangeRow, town.share).settings = {"schedule": "every morning"}
    status, told = asked(town, "status")
    assert (status, told["current"], told["lost"]) == (0, True, [SYNC])
    assert list(told["broken"]) == [town.share]
    page = shown(town, "status")
    assert "schedule" in page
    assert f"{SYNC} 已到期" in page
