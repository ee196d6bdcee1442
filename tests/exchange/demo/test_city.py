"""What lies where after both rounds, seen by independent eyes: plain SQL and plain files, never through the hub."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from exchange.demo import city as module
from exchange.demo.city import (
    APPROVAL,
    CASE,
    COMPANY,
    CORRECTED,
    DEVELOPMENT,
    HOUSING,
    INSURANCE,
    ITEM,
    LICENCE,
    MARKET,
    PERMIT,
    PERSON,
    POLICE,
    PROJECT,
    PUSHED_TO,
    RESULT,
    STEP,
    WRONG,
    City,
    people,
)
from exchange.demo.generation import RARE
from exchange.errors import Invalid, Misplaced
from exchange.settings import ADMINISTRATORS, Role
from schemas import record_classes
from schemas.divisions import is_division
from tests.exchange.demo.conftest import Shown
from tests.exchange.demo.eyes import (
    GRANTED_DISTRICTS,
    Rows,
    alive,
    csv_files,
    family,
    latest,
    masked,
    one,
    pick,
    query,
    right_company,
    right_licence,
    right_person,
    right_project,
    supplementary,
    table,
)

PERSON_ITEMS = (
    "identity_number",
    "name",
    "sex",
    "birth_date",
    "division_code",
    "address",
    "marital_state",
    "update_time",
)
COMPANY_ITEMS = (
    "certificate_sno",
    "certificate_key",
    "corp_name",
    "corp_type",
    "corp_status",
    "data_version",
    "update_time",
)
PROJECT_ITEMS = ("project_code", "project_name", "division_code", "project_type", "place_code_detail", "exchange_time")
LICENCE_ITEMS = ("certificate_source_id", "certificate_name", "certificate_holder", "issue_dept", "trust_level")


@pytest.fixture
def home(shown: Shown) -> Path:
    return shown.home


def police(home: Path) -> Rows:
    return table(home, "police", "inf_population", "identity_number")


def companies(home: Path) -> Rows:
    """The register as its office has it, under the items' names."""
    found = table(home, "market", "EX_GDBS_FR", "CERTIFICATE_SNO")
    return {
        key: {"data_version": row["VERSION"], **{name.lower(): value for name, value in row.items()}}
        for key, row in found.items()
    }


def operations(home: Path) -> Rows:
    """The last operation of each service item."""
    rows = query(home / "fronts" / "approval.db", "SELECT * FROM up_task_general_basic ORDER BY cd_time, cd_batch")
    return latest(rows, "row_guid")


def projects(shown: Shown) -> Rows:
    """What the service would answer, the last report of each project, its code written as in the code list."""
    rows = shown.city._service.read(None, 1000)[0]
    return latest(({**row, "project_type": (row["project_type"] or "").upper()} for row in rows), "project_code")


def licences(home: Path) -> Rows:
    taken = home / "fronts" / "market-drop" / "taken"
    return latest((row for rows in csv_files(taken, "gb18030") for row in rows), "certificate_source_id")


def permits(home: Path) -> Rows:
    """What the housing office's programme had to push."""
    return latest(query(home / "fronts" / "housing-permits.db", "SELECT * FROM reported"), "certificate_source_id")


def people_granted(home: Path) -> Rows:
    return {
        key: row for key, row in police(home).items() if right_person(row) and row["division_code"] in GRANTED_DISTRICTS
    }


# --- the city ------------------------------------------------------------------------------------


def test_there_are_departments_families_classes_and_real_divisions(home: Path) -> None:
    departments = query(home / "hub.db", "SELECT * FROM department")
    assert len(departments) == 7
    assert all(right_company(row["code"]) for row in departments)
    bodies = [json.loads(row["body"]) for row in query(home / "hub.db", "SELECT body FROM resource_version")]
    offers = [body["offer"] for body in bodies if body.get("offer")]
    assert {offer.get("profile") for offer in offers} >= {"national", "jiangsu", "guangdong", "shandong"}
    assert {body["record_class"] for body in bodies if body.get("record_class")} == set(record_classes())
    assert len(record_classes()) == 6
    districts = {row["division_code"] for row in police(home).values()}
    assert len(districts) == 6
    assert all(map(is_division, districts))


def test_two_people_approve_and_the_administrators_are_separate() -> None:
    staff = people()
    names = [entry.name for entry in staff.values()]
    assert len(set(names)) == len(names)
    for role in ADMINISTRATORS:
        assert sum(role in entry.roles for entry in staff.values()) == 1
    assert not any(len(entry.roles & ADMINISTRATORS) > 1 for entry in staff.values())
    clerks = {entry.department for entry in staff.values() if Role.CLERK in entry.roles}
    assert clerks == {entry.department for entry in staff.values() if Role.REVIEWER in entry.roles}


def test_every_resource_was_approved_twice_by_different_people(home: Path) -> None:
    moves = query(home / "hub.db", "SELECT * FROM resource_history")
    approvers = {}
    for move in moves:
        if move["action"] in ("agree_registration", "agree_publication"):
            approvers.setdefault(move["resource"], set()).add(move["actor"])
    assert len(approvers) == one(home / "hub.db", "SELECT count(*) FROM resource") == 10
    assert all(len(names) == 2 for names in approvers.values())


# --- what was refused ----------------------------------------------------------------------------


def test_what_is_wrong_is_refused_and_nothing_else(home: Path) -> None:
    refused = query(
        home / "hub.db",
        "SELECT e.resource, q.rule, q.file FROM quarantine q JOIN exchange e ON e.id = q.exchange "
        "WHERE q.rule <> 'reference'",
    )
    assert Counter(row["resource"] for row in refused) == WRONG
    assert Counter(row["rule"] for row in refused) == {
        "identity_number": 3, "mandatory": 3, "code_list": 3, "type": 3,
        "credit_code": 6, "licence_identifier": 5, "project_code": 2,
    }  # fmt: skip
    assert all((home / "payload" / row["file"]).exists() for row in refused)


def test_the_police_are_told_in_their_own_table(home: Path) -> None:
    wrong = WRONG[PERSON] - CORRECTED
    reported = police(home)
    assert Counter(row["sync_sign"] for row in reported.values()) == {"1": len(reported) - wrong, "2": wrong}
    for row in reported.values():
        assert row["sync_sign"] == ("1" if right_person(row) else "2")
        assert bool(row["sync_error_desc"]) == (row["sync_sign"] == "2")
        assert row["sync_date"]
    told = {row["sync_error_desc"].partition("：")[0] for row in reported.values() if row["sync_error_desc"]}
    assert told == {"公民身份号码", "姓名", "性别代码", "出生日期"}


def test_the_market_office_finds_the_rows_in_its_error_table(home: Path) -> None:
    front = home / "fronts" / "market.db"
    returned = query(front, "SELECT * FROM EX_GDBS_FR_ERROR")
    wrong = {key for key in companies(home) if not right_company(key)}
    assert len(wrong) == WRONG[COMPANY]
    assert {row["CERTIFICATE_SNO"] for row in returned} == wrong
    assert all("统一社会信用代码" in row["ERROR_REMARK"] or "机构代码" in row["ERROR_REMARK"] for row in returned)
    assert {row["REC_FLAG"] for row in companies_flags(front)} == {"1"}


def companies_flags(front: Path) -> list[dict[str, Any]]:
    return query(front, "SELECT REC_FLAG FROM EX_GDBS_FR WHERE RESPONSETIME IS NOT NULL")


def test_every_row_of_an_outbox_was_read(home: Path) -> None:
    for place, name, state in [
        ("market", "EX_GDBS_FR", "REC_FLAG"), ("approval", "EA_JC_STEP_BASICINFO", "SIGNSTATE"),
        ("approval", "EA_JC_STEP_PROC", "SIGNSTATE"), ("approval", "EA_JC_STEP_DONE", "SIGNSTATE"),
    ]:  # fmt: skip
        found = query(home / "fronts" / f"{place}.db", f"SELECT DISTINCT {state} AS state FROM {name}")
        assert found == [{"state": "1"}], name


def test_the_drop_has_a_list_of_refused_rows(home: Path) -> None:
    drop = home / "fronts" / "market-drop"
    (refused,) = drop.glob("*.refused.csv")
    lines = refused.read_bytes().decode("gb18030").splitlines()
    assert len(lines) - 1 == WRONG[LICENCE]
    assert all("电子证照" in line for line in lines[1:])
    assert not list(drop.glob("licence_????????.csv")), "what was taken lies with what was taken"


def test_rows_with_an_unknown_service_item_are_kept_with_a_state(home: Path) -> None:
    known = {row["task_code"] for row in query(home / "library.db", "SELECT task_code FROM up_task_general_basic")}
    rows = query(home / "library.db", "SELECT task_code FROM up_pro_accept")
    assert sum(row["task_code"] not in known for row in rows) == 3
    kept = query(home / "hub.db", "SELECT * FROM quarantine WHERE rule = 'reference'")
    assert len(kept) == 3
    assert {row["item"] for row in kept} == {"task_code"}


# --- the base library ----------------------------------------------------------------------------


def test_the_library_holds_what_is_right_as_last_reported(shown: Shown) -> None:
    home = shown.home

    def held(name: str, key: str) -> Rows:
        return table(home, "library", name, key)

    good = {key: row for key, row in police(home).items() if right_person(row)}
    found = held("population", "identity_number")
    assert {key: pick(row, PERSON_ITEMS) for key, row in found.items()} == {
        key: pick(row, PERSON_ITEMS) for key, row in good.items()
    }
    assert {row["shutong_provider"] for row in found.values()} == {POLICE}

    wanted = (*COMPANY_ITEMS, "legal_name")
    found = held("up_uc_corporator_identity", "certificate_sno")
    assert {key: pick(row, wanted) for key, row in found.items()} == {
        key: pick(row, wanted) for key, row in companies(home).items() if right_company(key)
    }
    assert {row["shutong_provider"] for row in found.values()} == {MARKET}

    found = held("investment_project", "project_code")
    assert {key: pick(row, PROJECT_ITEMS) for key, row in found.items()} == {
        key: pick(row, PROJECT_ITEMS) for key, row in projects(shown).items() if right_project(key)
    }
    assert {row["shutong_provider"] for row in found.values()} == {DEVELOPMENT}

    found = held("up_lic_data", "certificate_source_id")
    for provider, reported in ((MARKET, licences(home)), (HOUSING, permits(home))):
        mine = {key: row for key, row in found.items() if row["shutong_provider"] == provider}
        assert {key: pick(row, LICENCE_ITEMS) for key, row in mine.items()} == {
            key: pick(row, LICENCE_ITEMS) for key, row in reported.items() if right_licence(key)
        }

    found = held("up_task_general_basic", "task_guid")
    assert {key: pick(row, ("task_code", "task_version", "promise_day")) for key, row in found.items()} == {
        key: pick(row, ("task_code", "task_version", "promise_day"))
        for key, row in operations(home).items()
        if row["cd_operation"] != "D"
    }
    assert {row["shutong_provider"] for row in found.values()} == {APPROVAL}
    assert one(home / "library.db", "SELECT count(*) FROM up_pro_process") == 400
    assert one(home / "library.db", "SELECT count(*) FROM up_pro_result") == 160


def test_corrected_rows_arrived_in_the_second_round(shown: Shown) -> None:
    home = shown.home
    wrong = shown.city._known_people[: WRONG[PERSON]]
    assert not any(map(right_person, wrong))
    second = {
        row["identity_number"]
        for row in query(home / "library.db", "SELECT * FROM population WHERE shutong_serial = 2")
    }
    by_address = {row["address"]: key for key, row in police(home).items()}
    corrected = [by_address[row["address"]] for row in wrong[:CORRECTED]]
    still = [by_address[row["address"]] for row in wrong[CORRECTED:]]
    assert set(corrected) <= second
    assert not set(still) & set(table(home, "library", "population", "identity_number"))


def test_late_lower_versions_lost(shown: Shown) -> None:
    home = shown.home
    reported = table(home, "approval", "EA_JC_STEP_BASICINFO", "PROJECT_NO")
    held = table(home, "library", "up_pro_accept", "project_no")
    late = {key for key, row in reported.items() if row["DATAVER"] == "0"}
    assert len(late) == 5
    assert {reported[key]["HANDLE_USER_NAME"] for key in late} == {"迟到的经办人"}
    assert {(held[key]["data_version"], held[key]["handle_user_name"]) for key in late} == {(1, None)}
    advanced = {key for key, row in reported.items() if row["DATAVER"] == "2" and row["DATASTATE"] == "1"}
    assert len(advanced) == 10
    assert {(held[key]["data_version"], held[key]["promise_date"][:10]) for key in advanced} == {(2, "2026-02-20")}


def test_deleted_rows_are_gone_and_leave_tombstones(home: Path) -> None:
    reported = table(home, "approval", "EA_JC_STEP_BASICINFO", "PROJECT_NO")
    cases = {key for key, row in reported.items() if row["DATASTATE"] == "0"}
    items = {key for key, row in operations(home).items() if row["cd_operation"] == "D"}
    assert (len(cases), len(items)) == (4, 2)
    assert not cases & set(table(home, "library", "up_pro_accept", "project_no"))
    assert set(table(home, "library", "up_pro_accept", "project_no")) == set(reported) - cases
    graves = query(home / "library.db", "SELECT object, key_text FROM shutong_tombstone")
    buried = {(row["object"], json.loads(row["key_text"])[0]) for row in graves}
    assert buried == {("up_pro_accept", key) for key in cases} | {("up_task_general_basic", key) for key in items}
    passed_on = query(home / "fronts" / "tax.db", "SELECT object, key_text FROM shutong_tombstone")
    assert {(row["object"], json.loads(row["key_text"])[0]) for row in passed_on} == {
        ("service_item", key) for key in items
    }


# --- what recipients hold ------------------------------------------------------------------------


def columns(home: Path, place: str, name: str) -> list[str]:
    return [row["name"] for row in query(home / "fronts" / f"{place}.db", f'PRAGMA table_info("{name}")')]


def test_the_insurance_office_holds_two_districts_with_masked_names(home: Path) -> None:
    held = table(home, "insurance", "person", "identity_number")
    assert {key: (row["name"], row["birth_date"], row["division_code"]) for key, row in held.items()} == {
        key: (masked(row["name"]), row["birth_date"], row["division_code"]) for key, row in people_granted(home).items()
    }
    items = ["identity_number", "name", "birth_date", "division_code", "update_time"]
    states = {"sync_sign", "sync_date", "sync_error_desc", "update_date"}
    found = columns(home, "insurance", "person")
    assert set(found) - states == set(items)
    assert any(supplementary(row["name"]) for row in held.values()), "a rare family name is masked whole or not at all"


def test_who_moved_out_of_the_grant_was_taken_back(shown: Shown) -> None:
    before = {
        row["identity_number"]: row for row in shown.city._known_people if row["division_code"] in GRANTED_DISTRICTS
    }
    left = {key for key, row in police(shown.home).items() if row["division_code"] not in GRANTED_DISTRICTS} & set(
        before
    )
    assert left
    assert not left & set(table(shown.home, "insurance", "person", "identity_number"))
    (run,) = [r for r in shown.play.second if (r.plan.resource, r.plan.recipient) == (PERSON, INSURANCE)]
    assert run.counts["deleted"] == len(left)


def test_the_insurance_office_itself_saw_only_changes(shown: Shown) -> None:
    first, second = (
        next(r.counts for r in results if (r.plan.resource, r.plan.recipient) == (PERSON, INSURANCE))
        for results in (shown.play.first, shown.play.second)
    )
    assert shown.play.insured == (first["written"], second["written"] - second["deleted"])
    assert shown.play.insured[1] < shown.play.insured[0] / 5


def test_the_tax_office_holds_companies_without_personal_items(home: Path) -> None:
    held = table(home, "tax", "corporation", "certificate_sno")
    assert {key: pick(row, COMPANY_ITEMS) for key, row in held.items()} == {
        key: pick(row, COMPANY_ITEMS) for key, row in companies(home).items() if right_company(key)
    }
    personal = {"legal_name", "legal_cert_no", "legal_mobile", "legal_certno_begin_date", "legal_certno_end_date"}
    assert not personal & set(columns(home, "tax", "corporation"))
    assert sum("更名" in row["corp_name"] for row in held.values()) == 8


def test_the_tax_office_holds_the_service_items_that_stand(home: Path) -> None:
    held = table(home, "tax", "service_item", "task_guid")
    standing = {key: row for key, row in operations(home).items() if row["cd_operation"] != "D"}
    assert {key: pick(row, ("task_name", "task_version", "promise_day")) for key, row in held.items()} == {
        key: pick(row, ("task_name", "task_version", "promise_day")) for key, row in standing.items()
    }
    assert sum(row["task_version"] == 2 for row in held.values()) == 3


def test_the_housing_office_holds_the_projects_of_the_service(shown: Shown) -> None:
    held = table(shown.home, "housing", "project", "project_code")
    assert {key: pick(row, PROJECT_ITEMS) for key, row in held.items()} == {
        key: pick(row, PROJECT_ITEMS) for key, row in projects(shown).items() if right_project(key)
    }
    assert sum(row["total_money"].startswith("12345") for row in held.values()) == 3


def test_the_housing_office_has_files_of_licences(home: Path) -> None:
    drop = home / "fronts" / "housing-drop"
    files = csv_files(drop, "utf-8")
    assert [len(rows) for rows in files] == [147, 10]
    held = latest((row for rows in files for row in rows), "certificate_source_id")
    assert {row["_operation"] for row in held.values()} == {"U"}
    assert {key: pick(row, LICENCE_ITEMS) for key, row in held.items()} == {
        key: pick(row, LICENCE_ITEMS) for key, row in licences(home).items() if right_licence(key)
    }
    assert {row["certificate_validate_end"] for row in held.values()} == {"2031-01-04"}
    granted = {*LICENCE_ITEMS, "certificate_validate_end", "certificate_file", "update_time", "_operation"}
    assert all(set(row) == granted for row in held.values())
    taken = home / "fronts" / "market-drop"
    for key, row in licences(home).items():
        if right_licence(key):
            [given] = taken.glob(f"**/{row['certificate_file']}")
            assert drop.joinpath(held[key]["certificate_file"]).read_bytes() == given.read_bytes()
            assert given.read_bytes().startswith(b"%PDF-")
    for file in drop.glob("*.csv"):
        manifest = json.loads(file.with_name(f"{file.name}.manifest.json").read_text())
        assert manifest["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_the_housing_office_s_drop_is_on_a_server(shown: Shown) -> None:
    assert shown.city.no_server == ""
    options = json.loads(one(shown.home / "hub.db", "SELECT options FROM endpoint WHERE name = 'housing-drop'"))
    assert options["transport"] == "sftp"
    assert options["key"] == "file:sftp.key"


def test_the_tax_office_gets_rows_without_files(home: Path) -> None:
    drop = home / "fronts" / "tax-drop"
    assert [len(rows) for rows in csv_files(drop, "utf-8")] == [147, 10]
    assert not list(drop.glob("**/*.pdf"))


def test_a_machine_without_a_server_of_files_has_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchange.demo.fileserver._PLACES", str(tmp_path))
    with closing(City(tmp_path / "home")) as city:
        assert "sshd" in city.no_server
        assert (tmp_path / "home" / "fronts" / "housing-drop").is_dir()
        assert city.dropped() == [(0, 0), (0, 0)]


def test_a_revoked_grant_delivers_nothing_more_and_takes_nothing_away(shown: Shown) -> None:
    home = shown.home
    held = table(home, "tax", "case_result", "project_no")
    reported = table(home, "approval", "EA_JC_STEP_DONE", "PROJECT_NO")
    first = {row["project_no"] for row in shown.city._known_cases[:150]}
    assert set(held) == first < set(reported)
    assert {key: row["result_type"] for key, row in held.items()} == {
        key: reported[key]["RESULT_TYPE"] for key in first
    }
    assert columns(home, "tax", "case_result") == ["project_no", "result_type", "result_date", "data_version"]
    (grant,) = query(home / "hub.db", "SELECT * FROM \"grant\" WHERE state = 'revoked'")
    runs = query(
        home / "hub.db", 'SELECT * FROM run WHERE exchange IN (SELECT id FROM exchange WHERE "grant" = ?)', grant["id"]
    )
    assert [row["state"] for row in runs] == ["settled"]
    assert (
        one(home / "fronts" / "tax.db", "SELECT count(*) FROM shutong_ledger WHERE exchange = ?", runs[0]["exchange"])
        == 1
    )
    assert len(shown.play.stopped) == 1
    assert one(
        home / "hub.db", "SELECT count(*) FROM event WHERE type = 'AccessDenied' AND exchange = ?", runs[0]["exchange"]
    )


def test_who_was_refused_has_nothing(home: Path) -> None:
    states = Counter(row["state"] for row in query(home / "hub.db", "SELECT state FROM application"))
    assert states == {"refused": 2, "granted": 9}
    decisions = query(home / "hub.db", "SELECT * FROM decision WHERE NOT approved")
    assert sorted(row["decider"] == "platform" for row in decisions) == [False, True]
    assert all(json.loads(row["reasons"]) for row in decisions)
    places = {
        place: {row["name"] for row in query(home / "fronts" / f"{place}.db", "SELECT name FROM sqlite_master")}
        for place in ("housing", "tax")
    }
    assert "person" not in places["housing"]
    assert "penalty" not in places["tax"]


def test_rare_characters_survive_in_all_three_ways(shown: Shown) -> None:
    home = shown.home
    arrived = {
        "database": [row["corp_name"] for row in table(home, "tax", "corporation", "certificate_sno").values()],
        "webservice": [row["project_name"] for row in table(home, "housing", "project", "project_code").values()],
        "file": [
            row["certificate_holder"] for rows in csv_files(home / "fronts" / "housing-drop", "utf-8") for row in rows
        ],
    }
    for way, names in arrived.items():
        rare = set("".join(names)) & set(RARE)
        assert any(map(supplementary, rare)), way
        assert not any("\ufffd" in name or "?" in name for name in names), way
    assert set("".join(arrived["database"])) >= set(RARE)
    people_held = table(home, "library", "population", "identity_number").values()
    assert set("".join(row["name"] for row in people_held)) >= set(RARE)


# --- what went by SOAP ---------------------------------------------------------------------------


def test_the_housing_office_s_service_holds_the_items_that_stand(shown: Shown) -> None:
    folder = shown.home / "fronts" / "housing-service"
    rows = query(folder / "received.db", "SELECT * FROM service_item")
    held = {row["task_guid"]: row for row in rows}
    wanted = ("task_name", "task_version", "promise_day")
    standing = {key: row for key, row in operations(shown.home).items() if row["cd_operation"] != "D"}
    assert {key: pick(row, wanted) for key, row in held.items()} == {
        key: pick(row, wanted) for key, row in standing.items()
    }
    assert len(held) == len(rows) == 58


def test_its_messages_are_those_of_the_deliveries(shown: Shown) -> None:
    messages = query(shown.home / "fronts" / "housing-service" / "received.db", "SELECT * FROM message")
    runs = [run for run in shown.play.runs if run.plan.exchange == f"share-{shown.city.grants[PUSHED_TO]}"]
    assert [run.plan.way for run in runs] == ["webservice"] * 2
    for run in runs:
        delivery = one(shown.home / "hub.db", "SELECT delivery FROM run WHERE id = ?", run.id)
        mine = [each for each in messages if each["id"].startswith(delivery)]
        assert sum(each["put"] for each in mine) == run.counts["written"] - run.counts["deleted"]
        assert sum(each["gone"] for each in mine) == run.counts["deleted"]
    assert [run.counts["deleted"] for run in runs] == [0, 2]
    assert shown.play.received == (len(messages), 2, 58)


# --- what the hub says, and what it does not -----------------------------------------------------


def test_no_citizen_is_in_the_hub_s_own_files(home: Path) -> None:
    reported = police(home).values()
    secrets = [row["identity_number"].encode() for row in reported]
    secrets += [row["name"].encode() for row in reported if row["name"] and supplementary(row["name"])]
    own = [home / "hub.db", home / "heads.jsonl", *(home / "payload").iterdir()]
    for file in own:
        content = file.read_bytes()
        assert content
        assert not any(secret in content for secret in secrets), file.name


def test_counts_are_what_the_databases_hold(shown: Shown) -> None:
    home = shown.home
    library = home / "library.db"
    tables = {
        PERSON: "population", COMPANY: "up_uc_corporator_identity", LICENCE: "up_lic_data", PERMIT: "up_lic_data",
        PROJECT: "investment_project", ITEM: "up_task_general_basic", CASE: "up_pro_accept",
        STEP: "up_pro_process", RESULT: "up_pro_result",
    }  # fmt: skip
    second = {r.plan.resource: r.counts for r in shown.play.second if r.plan.kind == "synchronisation"}
    assert set(second) == set(tables)
    for resource, name in tables.items():
        # Licences of two departments go into one table in turn.
        serial = {LICENCE: 3, PERMIT: 4}.get(resource, 2)
        moved = one(library, f"SELECT count(*) FROM {name} WHERE shutong_serial = ?", serial)
        gone = one(library, "SELECT count(*) FROM shutong_tombstone WHERE object = ? AND serial = ?", name, serial)
        assert (moved, gone) == (
            second[resource]["written"] - second[resource]["deleted"],
            second[resource]["deleted"],
        ), name


def test_the_city_s_configuration_can_be_read_again(home: Path) -> None:
    folder = home / "configuration"
    assert {path.stem for path in folder.glob("*.yaml")} == {"departments", "endpoints", "resources"}
    assert len(list(folder.glob("application-*.json"))) == 11
    endpoints = yaml.safe_load((folder / "endpoints.yaml").read_text(encoding="utf-8"))["endpoints"]
    places = [
        Path(e["options"].get("path") or e["options"]["root"])
        for e in endpoints
        if e["kind"] in ("database", "files") and "transport" not in e["options"]
    ]
    assert all(place.is_relative_to(home) and place.exists() for place in places)


# --- making and closing it -----------------------------------------------------------------------


def answers(address: str) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", urlsplit(address).port or 0)) == 0


def addresses(city: City, home: Path) -> list[str]:
    endpoints = yaml.safe_load((home / "configuration" / "endpoints.yaml").read_text(encoding="utf-8"))["endpoints"]
    return [*(each["options"]["url"] for each in endpoints if each["kind"] == "webservice"), city.programmes.door]


def test_a_city_answers_until_it_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHUTONG_DATABASE_URL", f"sqlite:///{tmp_path / 'somebody.db'}")
    threads = threading.active_count()
    city = City(tmp_path / "city")
    places = addresses(city, tmp_path / "city")
    assert len(places) == 3
    assert all(map(answers, places))
    pids = family(city)
    assert len(pids) >= 5, "the two behind a real server have a process that works for them"
    city.demand_running()
    assert os.environ["SHUTONG_DATABASE_URL"] == f"sqlite:///{tmp_path / 'somebody.db'}"
    city.close()
    city.close()
    assert not any(map(answers, places))
    assert not any(map(alive, pids))
    assert threading.active_count() == threads
    assert not (tmp_path / "somebody.db").exists()
    assert (tmp_path / "city" / "hub.db").exists()


@pytest.mark.parametrize("failure", [Invalid("所述有误"), KeyboardInterrupt()], ids=["refused", "interrupted"])
def test_a_city_that_was_not_finished_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    pids: list[int] = []

    def fail(city: City, _: object) -> None:
        pids.extend(family(city))
        raise failure

    threads = threading.active_count()
    monkeypatch.setattr(module.City, "_describe", fail)
    with pytest.raises(type(failure)):
        City(tmp_path / "city")
    assert len(pids) >= 4
    assert not any(map(alive, pids))
    assert threading.active_count() == threads


def test_a_home_is_not_built_over(shown: Shown) -> None:
    before = (shown.home / "hub.db").read_bytes()
    with pytest.raises(Misplaced, match="已存在"):
        City(shown.home)
    assert (shown.home / "hub.db").read_bytes() == before
