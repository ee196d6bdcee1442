"""``shutong messages``: what is owed, worked at, looked at, requeued and withdrawn, by those who may."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
from typer.testing import CliRunner

from exchange.cli.dispatching import told
from exchange.cli.root import app
from tests.exchange.engine.conftest import built_town, town
from tests.exchange.engine.drops import Drops, once
from tests.exchange.engine.town import Town

__all__ = ["built_town", "town"]


@pytest.fixture
def drops(town: Town) -> Drops:
    return Drops(town, 2)


def asked(drops: Drops, *words: str, by: str = "integrator") -> tuple[int, Any]:
    result = CliRunner().invoke(app, ["--home", str(drops.town.home), "--as", by, "messages", *words, "--json"])
    assert result.exit_code != 1, result.stdout
    return result.exit_code, json.loads(result.stdout)


def shown(drops: Drops, *words: str, by: str = "integrator") -> str:
    result = CliRunner().invoke(app, ["--home", str(drops.town.home), "--as", by, "messages", *words])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_owed_worked_at_and_done(drops: Drops) -> None:
    drops.collect(*range(6))
    status, found = asked(drops, "list")
    assert status == 0
    assert found["counts"] == {"owed": 2, "published": 0, "done": 0, "dead": 0, "withdrawn": 0}
    assert found["transport"] == {
        "transport": "embedded", "reachable": True, "error": None, "letters": [],
        "depths": dict.fromkeys(sorted(drops.recipients)),
    }  # fmt: skip
    assert {each["recipient"] for each in found["dispatches"]} == set(drops.recipients)
    status, worked = asked(drops, "work", "--once", "--seconds", "30")
    assert (status, worked["published"], worked["delivered"], worked["dead"]) == (0, 2, 2, 0)
    assert sorted(drops.rows(0)) == once(range(6))
    status, one = asked(drops, "show", str(found["dispatches"][0]["id"]))
    assert (status, one["dispatch"]["state"]) == (0, "done")
    assert one["dispatch"]["done_by"]
    text = shown(drops, "list")
    assert "可用" in text
    assert "已送达" in text
    assert "部门1" in text
    assert "送达批次" in shown(drops, "show", str(one["dispatch"]["id"]))


def test_a_recipient_sees_its_own_and_a_stranger_nothing(drops: Drops) -> None:
    drops.collect(1)
    status, found = asked(drops, "list", by="clerk0")
    assert status == 0
    [own] = found["dispatches"]
    assert own["recipient"] == drops.recipients[0]
    assert found["counts"]["owed"] == 1
    assert list(found["transport"]["depths"]) == [drops.recipients[0]]
    assert asked(drops, "list", "--recipient", drops.recipients[1], by="clerk0")[0] == 3
    [other] = [row for row in drops.owed() if row.recipient == drops.recipients[1]]
    assert asked(drops, "show", str(other.id), by="clerk0")[0] == 4
    assert asked(drops, "withdraw", str(other.id), "--reason", "x", by="clerk0")[0] == 3
    assert asked(drops, "requeue", str(other.id), by="clerk0")[0] == 3
    assert asked(drops, "work", "--once", by="clerk0")[0] == 3
    assert asked(drops, "list", by="tax")[1]["dispatches"] == []
    assert len(asked(drops, "list", by="auditor")[1]["dispatches"]) == 2
    assert drops.states() == ["owed", "owed"]


def test_withdrawn_and_requeued_with_reasons(drops: Drops) -> None:
    drops.collect(1)
    numbers = {row.recipient: str(row.id) for row in drops.owed()}
    first, second = (numbers[code] for code in drops.recipients)
    assert asked(drops, "withdraw", first, "--reason", " ")[0] == 2
    assert asked(drops, "withdraw", first, "--reason", "暂停接收") == (0, {"id": int(first), "state": "withdrawn"})
    assert asked(drops, "withdraw", first, "--reason", "再撤")[0] == 5
    asked(drops, "work", "--once", "--seconds", "30")
    assert sorted(drops.states()) == ["done", "withdrawn"]
    assert drops.files(0) == []
    assert asked(drops, "requeue", second)[0] == 5
    assert asked(drops, "requeue", first) == (0, {"requeued": [int(first)]})
    asked(drops, "work", "--once", "--seconds", "30")
    assert drops.states() == ["done", "done"]
    assert asked(drops, "requeue", "999")[0] == 4
    assert asked(drops, "withdraw", "999", "--reason", "x")[0] == 4
    assert asked(drops, "show", "999")[0] == 4


@pytest.mark.parametrize("words", [("requeue",), ("requeue", "1", "--all"), ("requeue", "1", "--recipient", "部门1")])
def test_it_must_be_clear_what_is_requeued(drops: Drops, words: tuple[str, ...]) -> None:
    assert asked(drops, *words)[0] == 2


def test_dead_letters_with_their_reason_and_all_of_them_requeued(drops: Drops) -> None:
    drops.collect(1)
    shutil.rmtree(drops.root(0))
    drops.root(0).write_text("a file where the directory was")
    asked(drops, "work", "--once", "--seconds", "30")
    status, found = asked(drops, "dead")
    assert status == 0
    if not found["dispatches"]:  # whether such a place is away or wrong is for the endpoint to say
        pytest.fail(str(drops.owed()[0].error))
    [row] = found["dispatches"]
    assert row["error"]
    [letter] = found["letters"]
    assert letter["recipient"] == drops.recipients[0]
    assert letter["reason"] == row["error"]
    assert "消息服务的死信队列" in shown(drops, "dead")
    drops.root(0).unlink()
    drops.root(0).mkdir()
    assert asked(drops, "requeue", "--all")[1] == {"requeued": [row["id"]]}
    assert asked(drops, "dead")[1]["letters"] == []
    asked(drops, "work", "--once", "--seconds", "30")
    assert drops.states() == ["done", "done"]
    assert sorted(drops.rows(0)) == once([1])


def test_a_middleware_that_is_away_is_said_and_harms_nobody(drops: Drops) -> None:
    drops.collect(1)
    secret = drops.town.home / "broker.password"
    secret.touch(mode=0o600)
    secret.write_text("s3cret-of-the-broker")
    drops.set(url="amqp://shutong@127.0.0.1:1/", password="file:broker.password")
    status, found = asked(drops, "list")
    assert status == 0
    assert not found["transport"]["reachable"]
    assert "127.0.0.1:1" in found["transport"]["error"]
    assert "s3cret" not in json.dumps(found)
    assert "不可用" in shown(drops, "list")
    assert asked(drops, "dead")[0] == 0
    assert asked(drops, "withdraw", str(drops.owed()[0].id), "--reason", "x")[0] == 0
    assert asked(drops, "work", "--once", "--seconds", "5")[0] == 8


def test_what_is_told_while_somebody_works() -> None:
    assert told("delivered", {"exchange": "share-1", "run": "r"}) == "share-1: 已送达，批次 r"
    assert told("dead", {"exchange": "share-1", "error": "满了"}) == "share-1: 死信，满了"
    assert told("acknowledging", {"recipient": "x"}) is None
    assert told("remade", {"recipient": "x"}) == "接收方 x 的队列没有应答，已重建；欠下的会重新发布"
    assert told("letters remade", {}) == "死信队列没有应答，已重建"
