"""Made-up rows: right where they should be right, wrong where they should be wrong, the same every time."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from stdnum import numdb

from exchange.demo.generation import CITY, RARE, Generator, later
from schemas.divisions import division
from tests.exchange.demo.eyes import right_company, right_licence, right_person, right_project, supplementary

ISSUER = "11321200TE0000037U"


@pytest.fixture
def make() -> Generator:
    return Generator()


def test_the_districts_are_real_and_inhabited(make: Generator) -> None:
    assert len(make.districts) == 6
    for code in make.districts:
        found = division(code)
        assert found is not None
        assert found.full_name.startswith("江苏省泰州市")
        assert found.name != "市辖区"
        assert not found.abolished
        # Straight from the package's own data.
        assert numdb.get("cn/loc").info(code)[-1][1]["county"].endswith(found.name)
        assert code.startswith(CITY[:4])


def test_people_are_right(make: Generator) -> None:
    people = list(make.people(1, 300))
    assert all(map(right_person, people))
    assert len({row["identity_number"] for row in people}) == 300
    for row in people:
        number = row["identity_number"]
        assert number[:6] == row["division_code"] in make.districts
        assert number[6:14] == row["birth_date"].replace("-", "") < "19000101"
        assert (int(number[16]) % 2 == 1) == (row["sex"] == "1")


def test_the_wrong_people_are_as_many_as_asked_for_and_wrong_in_every_way(make: Generator) -> None:
    people = list(make.people(1, 60, wrong=8))
    assert [right_person(row) for row in people] == [False] * 8 + [True] * 52

    def faults(row: dict[str, Any], as_meant: dict[str, Any]) -> list[str]:
        return [name for name in row if row[name] != as_meant[name]]

    found = Counter(
        fault for row, meant in zip(people, Generator().people(1, 60), strict=True) for fault in faults(row, meant)
    )
    assert found == {"identity_number": 2, "name": 2, "sex": 2, "birth_date": 2}


@pytest.mark.parametrize(
    ("rows", "key", "right"),
    [
        (lambda make, wrong: make.companies(1, 40, wrong=wrong), "certificate_sno", right_company),
        (lambda make, wrong: make.projects(1, 40, wrong=wrong), "project_code", right_project),
        (lambda make, wrong: make.licences(1, 40, ISSUER, wrong=wrong), "certificate_source_id", right_licence),
    ],
    ids=["companies", "projects", "licences"],
)
def test_identifiers_are_right_but_for_the_wrong_ones(make: Generator, rows: Any, key: str, right: Any) -> None:
    made = list(rows(make, 5))
    assert [right(row[key]) for row in made] == [False] * 5 + [True] * 35
    assert len({row[key] for row in made}) == 40
    assert all(len(row[key]) == len(made[-1][key]) for row in made), "wrong in its check character alone"
    assert all(right(row[key]) for row in rows(make, 0))


def test_one_name_in_eight_has_a_rare_character(make: Generator) -> None:
    names = [row["name"] for row in make.people(1, 400)]
    rare = [name for name in names if set(name) & set(RARE)]
    assert len(rare) == 50
    assert any(supplementary(name[0]) for name in rare)
    assert any(supplementary(name[1]) for name in rare)
    assert {len(name) for name in names} == {3}
    assert set("".join(rare)) >= set(RARE)


@pytest.mark.parametrize(
    ("rows", "item"),
    [
        (lambda make: make.companies(1, 160), "corp_name"),
        (lambda make: make.licences(1, 160, ISSUER), "certificate_holder"),
        (lambda make: make.projects(1, 160), "project_name"),
    ],
    ids=["database", "files", "webservice"],
)
def test_what_travels_in_each_way_has_rare_characters_in_it(make: Generator, rows: Any, item: str) -> None:
    names = [row[item] for row in rows(make)]
    assert sum(bool(set(name) & set(RARE)) for name in names) == 20
    assert any(map(supplementary, names))


def test_the_same_seed_makes_the_same_city_and_another_another() -> None:
    assert list(Generator().people(1, 20)) == list(Generator().people(1, 20))
    assert list(Generator(1).people(1, 20)) != list(Generator(2).people(1, 20))


def test_cases_refer_to_their_item_and_steps_and_results_to_their_case(make: Generator) -> None:
    (item,) = make.service_items(7, 1, ISSUER)
    cases = list(make.cases(1, 5, item))
    steps, results = list(make.steps(cases)), list(make.results(cases))
    assert {case["task_code"] for case in cases} == {item["task_code"]}
    assert [step["project_no"] for step in steps] == [case["project_no"] for case in cases for _ in range(2)]
    assert len({step["row_guid"] for step in steps}) == 10
    assert [result["project_no"] for result in results] == [case["project_no"] for case in cases]


def test_later_is_a_month_and_a_version_later() -> None:
    row = {"id": 1, "name": "旧", "data_version": 3, "update_time": "2026-01-05 09:00:00"}
    assert later(row, name="新") == {
        "id": 1, "name": "新", "data_version": 4, "update_time": "2026-02-04 09:00:00",
    }  # fmt: skip
    assert later({"at": "2026-01-31 00:00:00"}, "at") == {"at": "2026-03-02 00:00:00"}
