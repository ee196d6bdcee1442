from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from exchange.db import now
from exchange.db.tables import ApplicationRow, EventRow, ExchangeRow
from exchange.engine import RunState
from exchange.errors import Denied, Invalid
from exchange.hub.roster import ZONE
from exchange.identity import Actor
from exchange.plan import Tolerance
from exchange.settings import Role
from tests.exchange.engine.town import CODE, POLICE, SYNC, TAX, Town, application, person, resource, wrong


def written(folder: Path, content: dict[str, Any] | str, name: str = "described.yaml") -> Path:
    file = folder / name
    file.write_text(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return file


def problems(town: Town, *paths: Path) -> list[str]:
    with town.hub() as hub, pytest.raises(Invalid) as refused:
        hub.configuration.apply(list(paths), by=town.actor("integrator"))
    return [str(problem) for problem in refused.value.problems]


def test_what_is_announced_is_what_happens_and_then_nothing_is_left_to_do(town: Town, tmp_path: Path) -> None:
    by = town.actor("integrator")
    new = {"code": "11321200TE00000884", "name": "住建局", "division": "321200"}
    changed = resource(abstract="改过的摘要")
    file = written(tmp_path, {"departments": [new], "resources": [changed]})
    with town.hub() as hub:
        announced = hub.configuration.plan([file], by=by)
        assert [(each.kind, each.action) for each in announced] == [("部门", "create"), ("资源", "change")]
        assert new["code"] not in {each.code for each in hub.directory.departments()}
        assert hub.configuration.apply([file], by=by) == announced
        assert {each.action for each in hub.configuration.plan([file], by=by)} == {"same"}


def test_an_export_applied_again_changes_nothing(town: Town, tmp_path: Path) -> None:
    with town.hub() as hub:
        text = hub.configuration.export()
        assert {"departments", "endpoints", "resources", "applications", "exchanges"} == set(yaml.safe_load(text))
        file = written(tmp_path, text)
        changes = hub.configuration.apply([file], by=town.actor("integrator"))
    assert len(changes) >= 7
    assert {each.action for each in changes} == {"same"}
    assert "password" not in text


def tolerances(town: Town) -> dict[str, Tolerance]:
    with town.hub() as hub:
        planned = {name: hub.sharing.plan(name).tolerance for name in (SYNC, town.share)}
        assert planned == {each.id: each.tolerance for each in hub.oversight.status()}
        return planned


def test_an_exchange_may_tolerate_more_or_less_than_the_hub(town: Town, tmp_path: Path) -> None:
    by = town.actor("integrator")
    assert tolerances(town) == dict.fromkeys((SYNC, town.share), Tolerance(share=0.5))
    file = written(tmp_path, {"exchanges": [{"id": SYNC, "tolerance": {"rows": 3, "share": 0.01}}]})
    with town.hub() as hub:
        (announced,) = hub.configuration.plan([file], by=by)
        assert (announced.kind, announced.name, announced.action) == ("交换", SYNC, "change")
        assert announced.details == ("tolerance: 无 → {'rows': 3, 'share': 0.01}",)
        assert hub.configuration.apply([file], by=by) == [announced]
        assert [each.action for each in hub.configuration.apply([file], by=by)] == ["same"]
        export = written(tmp_path, hub.configuration.export(), "export.yaml")
        assert {each.action for each in hub.configuration.apply([export], by=by)} == {"same"}
    assert tolerances(town) == {SYNC: Tolerance(rows=3, share=0.01), town.share: Tolerance(share=0.5)}
    again = written(tmp_path, {"exchanges": [{"id": SYNC}, {"id": town.share, "tolerance": {"rows": 0}}]})
    with town.hub() as hub:
        hub.configuration.apply([again], by=by)
    assert tolerances(town) == {SYNC: Tolerance(share=0.5), town.share: Tolerance(rows=0)}
    told = town.all(sa.select(EventRow.body).where(EventRow.type == "ToleranceConfigured").order_by(EventRow.id))
    assert told == [{"rows": "3", "share": "0.01"}, {"rows": None, "share": None}, {"rows": "0", "share": None}]


@pytest.mark.parametrize(("text", "share"), [("0.05", 0.05), ("5%", 0.05), ("0.5%", 0.005), ("0", 0.0), ("100%", 1.0)])
def test_a_share_is_a_fraction_or_a_percentage(town: Town, tmp_path: Path, text: str, share: float) -> None:
    file = written(tmp_path, f"exchanges: [{{id: {SYNC}, tolerance: {{share: {text}}}}}]")
    with town.hub() as hub:
        hub.configuration.apply([file], by=town.actor("integrator"))
    assert tolerances(town)[SYNC] == Tolerance(share=share)


def test_what_is_wrong_with_a_tolerance(town: Town, tmp_path: Path) -> None:
    given = [
        {"id": SYNC, "tolerance": {"rows": -1, "share": 1.5, "rate": 1}},
        {"id": "sync-nothing", "tolerance": {"rows": 1}},
        {"id": town.share, "tolerance": {"rows": "three", "share": "5‰"}, "schedule": "daily"},
    ]
    found = problems(town, written(tmp_path, {"exchanges": given}))
    assert len(found) == 7
    for words in ("数值过小", "数值过大", "多余或不认识的键", "没有交换 sync-nothing", "应为整数", "应为数", "cron"):
        assert any(words in text for text in found), words
    assert tolerances(town)[SYNC] == Tolerance(share=0.5)


def test_an_exchange_has_a_rhythm_of_its_own(town: Town, tmp_path: Path) -> None:
    by = town.actor("integrator")
    rhythm = {"schedule": "30 3 * * 1", "priority": 5, "all_of": [CODE], "timeout_minutes": 30, "parts": 4}
    file = written(tmp_path, {"exchanges": [{"id": town.share, "tolerance": {"rows": 3}, **rhythm}]})
    with town.hub() as hub:
        hub.configuration.apply([file], by=by)
        assert [each.action for each in hub.configuration.apply([file], by=by)] == ["same"]
        export = written(tmp_path, hub.configuration.export(), "export.yaml")
        assert {each.action for each in hub.configuration.apply([export], by=by)} == {"same"}
        with hub.database.reading() as session:
            settings = session.get_one(ExchangeRow, town.share).settings
        assert settings == {"tolerance": {"rows": 3}, **rhythm}
        again = written(tmp_path, {"exchanges": [{"id": town.share, "tolerance": {"rows": 3}}]})
        (undone,) = hub.configuration.apply([again], by=by)
        assert "schedule: 30 3 * * 1 → 无" in undone.details
    told = town.all(sa.select(EventRow.body).where(EventRow.type == "RhythmConfigured").order_by(EventRow.id))
    plain = {"schedule": None, "priority": 1, "all_of": [], "timeout_minutes": 240, "parts": 1}
    assert told == [rhythm, plain]


def test_other_times_hold_at_once_and_take_nothing_back_that_is_due(town: Town, tmp_path: Path) -> None:
    def due(**rhythm: str) -> tuple[datetime, datetime]:
        """When it is due by times of its own, in Beijing; and what time it is."""
        file = written(tmp_path, {"exchanges": [{"id": SYNC, **rhythm}]})
        with town.hub() as hub:
            hub.configuration.apply([file], by=town.actor("integrator"))
            with hub.database.reading() as session:
                found = session.get_one(ExchangeRow, SYNC).due_at
                assert found is not None
                return found.astimezone(ZONE), now(session)

    def to_be_due(moment: datetime) -> None:
        with town.hub() as hub, hub.database.transaction() as session:
            session.get_one(ExchangeRow, SYNC).due_at = moment

    town.report(person(1))
    town.run(SYNC)
    yearly, _ = due(schedule="0 4 1 1 *")
    assert f"{yearly:%m-%d %H:%M}" == "01-01 04:00"
    to_be_due(yearly + timedelta(days=400))
    daily, moment = due()
    assert timedelta() < daily - moment <= timedelta(days=1)
    late = moment - timedelta(hours=1)
    to_be_due(late)
    assert due(schedule="0 4 1 1 *")[0] == late


def test_what_is_wrong_with_a_rhythm(town: Town, tmp_path: Path) -> None:
    given = [
        {"id": SYNC, "all_of": [CODE], "priority": 101, "timeout_minutes": 0},
        {"id": town.share, "all_of": ["101001001/0099"]},
    ]
    found = problems(town, written(tmp_path, {"exchanges": given}))
    assert len(found) == 3
    for words in ("数值过大", "数值过小", "101001001/0099"):
        assert any(words in text for text in found), words
    only = problems(town, written(tmp_path, {"exchanges": [{"id": SYNC, "all_of": [CODE]}]}))
    assert any("只用于从基础库读取的共享" in text for text in only)


def test_only_who_receives_says_how_incomplete_a_delivery_may_be(town: Town, tmp_path: Path) -> None:
    own = Actor(name="税务集成员", established="os-user", department=TAX, roles=frozenset({Role.INTEGRATOR}))
    mine = written(tmp_path, {"exchanges": [{"id": town.share, "tolerance": {"rows": 1}}]}, "mine.yaml")
    others = written(tmp_path, {"exchanges": [{"id": SYNC, "tolerance": {"rows": 1}}]}, "others.yaml")
    with town.hub() as hub:
        assert [each.action for each in hub.configuration.apply([mine], by=own)] == ["change"]
        with pytest.raises(Invalid, match="未作任何改动"):
            hub.configuration.apply([others], by=own)
        with pytest.raises(Denied):
            hub.configuration.apply([mine], by=town.actor("police"))


def test_one_refused_row_more_than_tolerated_and_nothing_is_delivered(town: Town, tmp_path: Path) -> None:
    file = written(tmp_path, {"exchanges": [{"id": SYNC, "tolerance": {"rows": 1}}]})
    with town.hub() as hub:
        hub.configuration.apply([file], by=town.actor("integrator"))
    town.report(*(person(number) for number in range(8)), wrong(20), wrong(21))
    stopped = town.run(SYNC)
    assert stopped.state == RunState.STOPPED
    assert stopped.reasons == ("拒收 2 行，共读 10 行，超过容许（1 行）",)
    assert town.rows("library") == {}
    assert set(town.flags().values()) == {"0"}
    town.execute("police", f"DELETE FROM inf_person WHERE id_no = '{wrong(21)['id_no']}'")
    assert town.run(SYNC).state == RunState.SETTLED


def test_everything_wrong_is_told_at_once_with_its_place_and_nothing_is_applied(town: Town, tmp_path: Path) -> None:
    good = {"code": "11321200TE00000884", "name": "住建局", "division": "321200"}
    first = written(
        tmp_path,
        {
            "departments": [good, {"code": POLICE, "name": "公安局", "division": "321200", "colour": "red"}],
            "endpoints": [
                {"name": "new", "department": TAX, "kind": "databse", "options": {}},
                {"name": "new-two", "department": TAX, "kind": "files", "options": {"roots": "/x"}},
            ],
            "resources": [
                resource(code="9/x"),
                resource(code="101001001/0002", key=["nobody"], share_type=7),
            ],
            "applications": [application(id="A1", department=3), {"id": "A2"}],
        },
        "one.yaml",
    )
    told = problems(town, first)
    for word in ("colour", "databse", "roots", "9/x", "nobody", "共享类型", "applications › 1", "applications › 2"):
        assert any(word in line for line in told), word
    assert all("one.yaml 第" in line for line in told)
    with town.hub() as hub:
        assert good["code"] not in {each.code for each in hub.directory.departments()}


def test_files_that_cannot_be_read_are_named(town: Town, tmp_path: Path) -> None:
    told = problems(
        town,
        written(tmp_path, "departments: [\n", "broken.yaml"),
        written(tmp_path, "departements: []\n", "misspelt.yaml"),
        written(tmp_path, "- a\n", "list.yaml"),
        written(tmp_path, "departments: {a: 1}\n", "mapping.yaml"),
        written(tmp_path, "departments: [{name: 无代码}, 3]\n", "nameless.yaml"),
        written(tmp_path, "a: &x 1\nb: *x\n", "alias.yaml"),
        tmp_path / "absent.yaml",
    )
    for name in ("broken", "misspelt", "list", "mapping", "nameless", "alias", "absent"):
        assert any(f"{name}.yaml" in line for line in told), name
    assert any("departments" in line and "misspelt" in line for line in told)


def test_the_same_thing_twice_names_both_places(town: Town, tmp_path: Path) -> None:
    one = written(tmp_path, {"resources": [resource()]}, "a.yaml")
    two = written(tmp_path, {"resources": [resource()]}, "b.yaml")
    (told,) = problems(town, one, two)
    assert "b.yaml" in told
    assert "a.yaml" in told


def test_an_application_is_entered_once_and_never_changed(town: Town, tmp_path: Path) -> None:
    by = town.actor("integrator")
    file = written(tmp_path, {"applications": [application(id="A-1")]})
    with town.hub() as hub:
        assert hub.configuration.apply([file], by=by)[0].action == "create"
        assert hub.configuration.apply([file], by=by)[0].action == "same"
        with hub.database.reading() as session:
            assert session.get_one(ApplicationRow, "A-1").state == "pending"
    changed = written(tmp_path, {"applications": [application(id="A-1", scope="更大的范围")]}, "changed.yaml")
    (told,) = problems(town, changed)
    assert "更大的范围" in told


@pytest.mark.parametrize("who", ["police", "chief", "auditor"])
def test_only_integrators_apply_descriptions(town: Town, tmp_path: Path, who: str) -> None:
    file = written(tmp_path, {"departments": []})
    with town.hub() as hub, pytest.raises(Denied):
        hub.configuration.apply([file], by=town.actor(who))


def test_injected_words_stay_words(town: Town, tmp_path: Path) -> None:
    words = "'); DROP TABLE resource; --"
    file = written(tmp_path, {"resources": [resource(name=words[:40], abstract=words)]})
    with town.hub() as hub:
        hub.configuration.apply([file], by=town.actor("integrator"))
        assert hub.directory.resource(CODE, by=town.actor("police")).resource.abstract == words
