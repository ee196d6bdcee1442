from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from exchange.db.tables import ApplicationRow
from exchange.errors import Denied, Invalid
from tests.exchange.engine.town import CODE, POLICE, TAX, Town, application, resource


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
