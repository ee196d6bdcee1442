from __future__ import annotations

from pathlib import Path

import yaml

from tests.exchange.cli.county import POLICE, RESOURCE, TAX, County

CHANGED = {"departments": [{"code": POLICE, "name": "某市公安局", "short_name": "公安局", "division": "321200"}]}


def test_what_would_change_changes_nothing(founded_county: County) -> None:
    file = founded_county.file("changed.yaml", CHANGED)
    told = founded_county.ask("plan", file)
    assert told["changed"] == 1
    assert told["changes"][0]["action"] == "change"
    assert founded_county.ask("plan", file) == told
    outcome = founded_county.run("plan", file)
    assert "将要改动 1 项，0 项不变。" in outcome.out
    assert "short_name" in outcome.out


def test_what_is_applied_is_there(founded_county: County) -> None:
    file = founded_county.file("changed.yaml", CHANGED)
    outcome = founded_county.run("apply", file)
    assert outcome.status == 0
    assert "已经改动 1 项" in outcome.out
    assert founded_county.ask("department", "show", "公安局")["code"] == POLICE
    assert founded_county.run("apply", file).out == "没有差别，未作改动。\n"
    assert founded_county.run("plan", file).out == "没有差别，无需应用。\n"


def test_everything_wrong_at_once_and_nothing_changed(founded_county: County) -> None:
    wrong = {"departments": [{"code": "1", "name": "甲", "division": "321200"}], "departmants": [], "endpoints": {}}
    outcome = founded_county.run("apply", founded_county.file("wrong.yaml", wrong), "--json")
    assert outcome.status == 2
    assert len(outcome.document["error"]["problems"]) >= 2
    assert len(founded_county.ask("department", "list")["departments"]) == 3


def test_only_those_who_configure(founded_county: County) -> None:
    file = founded_county.file("changed.yaml", CHANGED)
    for verb in ("plan", "apply"):
        assert founded_county.run(verb, file, by="tax").status == 3
    for by in ("tax", "police", "centre"):
        outcome = founded_county.run("export", by=by)
        assert (outcome.status, outcome.out) == (3, "")
    assert founded_county.run("export", by="auditor").status == 0


def test_a_file_that_is_not_there(first_county: County) -> None:
    outcome = first_county.run("plan", "no-such.yaml")
    assert outcome.status == 2
    assert "no-such.yaml" in outcome.err


def test_what_is_exported_changes_nothing_when_applied(founded_county: County, tmp_path: Path) -> None:
    founded_county.ask("resource", "register", founded_county.file("people.yaml", RESOURCE), by="police")
    path = tmp_path / "all.yaml"
    assert founded_county.run("export", str(path)).status == 0
    described = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert [each["code"] for each in described["departments"]][1:] == [POLICE, TAX]
    assert founded_county.run("export").out == path.read_text(encoding="utf-8")
    assert founded_county.ask("export") == described
    assert founded_county.ask("plan", str(path))["changed"] == 0
    assert founded_county.run("export", str(path)).status == 5
    assert founded_county.run("export", str(tmp_path / "none" / "all.yaml")).status == 5
