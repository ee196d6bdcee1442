"""The clerk at her terminal: sees what is wrong, corrects it, and sends it again."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.exchange.cli.county import NAMES, SYNC, TAX, County, founded, granted, person, published


@pytest.fixture
def refusing_county(tmp_path: Path) -> County:
    """People are reported, two of them wrongly, and what is due was run; with databases of its own."""
    county = granted(published(founded(tmp_path)))
    table = sa.table("people", *map(sa.column, NAMES))
    with county.database("police").begin() as connection:
        connection.execute(sa.insert(table), [person(number) for number in range(60)])
        connection.execute(sa.insert(table), [{**person(60), "name": None}, {**person(61), "id_no": "3212021850"}])
    county.ask("run", "--due")
    return county


def numbers(county: County) -> dict[str, str]:
    """Item that is wrong to the number of its row."""
    return {row["item"]: str(row["id"]) for row in county.ask("quarantine", "list", by="police")["rows"]}


def test_from_the_refusal_to_the_receipt(refusing_county: County) -> None:
    county = refusing_county
    number = numbers(county)["name"]
    assert "待处理" in county.run("quarantine", "list", "--state", "待处理", by="police").out
    shown = county.run("quarantine", "show", number, by="police").out
    assert "必填，现为空" in shown
    assert f"shutong quarantine repair {number} --set" in shown
    assert person(60)["id_no"] not in shown
    assert f"{person(60)['id_no'][:6]}********" in shown

    wrong = county.run("quarantine", "repair", number, "--set", "name=", "--set", "district=32120212345", by="police")
    assert wrong.status == 2
    for text in ("必填，现为空", "补全必填信息项", "district"):
        assert text in wrong.err
    assert "32120212345" not in wrong.err

    told = county.ask("quarantine", "repair", number, "--set", "name=欧阳=某某", "--reason", "漏填", by="police")
    assert told == {"row": int(number), "items": ["name"]}
    row = county.ask("quarantine", "show", number, by="police")["row"]
    assert (row["state"], row["repaired_by"], row["repair_reason"]) == ("repaired", "公安经办", "漏填")
    assert next(item for item in row["items"] if item["name"] == "name")["value"] == "欧阳=某某"

    told = county.ask("quarantine", "replay", SYNC, by="police")["run"]
    assert (told["counts"]["read"], told["counts"]["written"], told["replayed"]) == (1, 1, 1)
    assert told["receipt"].startswith("R")
    assert county.ask("quarantine", "list", "--state", "replayed", by="police")["rows"][0]["id"] == int(number)
    traced = county.run("trace", told["id"], by="police").out
    assert "隔离重送" in traced
    assert "容错" in traced
    county.ask("run", county.share)
    with county.database("tax").connect() as connection:
        names = connection.execute(sa.text("SELECT name FROM person WHERE name LIKE '欧%'")).scalars().all()
    assert names == (["欧****"] if person(60)["district"] == "321202" else [])


def test_a_row_that_will_never_be_delivered(refusing_county: County) -> None:
    county = refusing_county
    number = numbers(county)["id_no"]
    assert county.ask("quarantine", "drop", number, "--reason", "重复登记", by="police")["dropped"] is True
    assert county.run("quarantine", "drop", number, "--reason", "重复登记", by="police").status == 5
    assert "不再送" in county.run("quarantine", "show", number, by="police").out
    found = county.ask("audit", "search", "--type", "弃送隔离行", by="auditor")["events"]
    assert [event["body"] for event in found] == [{"row": int(number), "reason": "重复登记"}]


def test_nobody_else_is_shown_anything(refusing_county: County) -> None:
    county = refusing_county
    number = numbers(county)["id_no"]
    for who in ("tax", "chief", "auditor", "integrator", "centre"):
        for words in (("show", number), ("repair", number, "--set", "name=x"), ("drop", number, "--reason", "x")):
            outcome = county.run("quarantine", *words, by=who)
            assert outcome.status == 3, words
            assert "3212021850" not in outcome.out + outcome.err
    assert county.run("quarantine", "replay", SYNC, by="tax").status == 3
    assert len(county.ask("audit", "search", "--type", "AccessDenied", by="auditor")["events"]) == 16


def test_refused_rows_without_their_content(county: County) -> None:
    (row,) = county.ask("quarantine", "list", by="police")["rows"]
    assert (row["exchange"], row["item"], row["rule"]) == (SYNC, "name", "mandatory")
    assert county.ask("quarantine", "list", "--exchange", SYNC, "--run", row["run"], by="auditor")["rows"] == [row]
    assert county.ask("quarantine", "list", "--exchange", county.share, by="auditor")["rows"] == []
    assert county.ask("quarantine", "list", by="tax")["rows"] == []
    shown = county.run("quarantine", "list", by="police").out
    assert "mandatory" in shown
    assert "3212021850" not in shown
    assert county.run("quarantine", "list", by="tax").out == "没有被拒收的行。\n"


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("show", "99999"), 4),
        (("show", "none"), 2),
        (("repair", "99999", "--set", "name=x"), 4),
        (("repair", "1"), 2),
        (("repair", "1", "--set", "秘密"), 2),
        (("repair", "1", "--set", "=秘密"), 2),
        (("repair", "1", "--set", "name=a", "--set", "name=秘密"), 2),
        (("drop", "1"), 2),
        (("list", "--state", "秘密"), 2),
        (("replay", "nothing"), 4),
    ],
)
def test_what_is_asked_wrongly(county: County, words: tuple[str, ...], status: int) -> None:
    by = "integrator" if words[0] == "replay" else "police"
    outcome = county.run("quarantine", *words, by=by)
    assert outcome.status == status, outcome
    assert "秘密" not in outcome.out + outcome.err


def test_there_is_nothing_to_replay(refusing_county: County) -> None:
    outcome = refusing_county.run("quarantine", "replay", SYNC)
    assert outcome.status == 5
    assert "没有可重送的行" in outcome.err
    assert f"shutong quarantine list --exchange {SYNC} --state open" in outcome.err


def test_the_tolerance_of_an_exchange_is_set_in_a_file_and_shown(changing_county: County) -> None:
    county = changing_county
    file = county.file("tolerance.yaml", {"exchanges": [{"id": county.share, "tolerance": {"rows": 12}}]})
    assert county.ask("plan", file)["changes"][0]["kind"] == "交换"
    assert county.ask("apply", file)["changed"] == 1
    shown = {each["id"]: each for each in county.ask("status")["exchanges"]}
    assert shown[county.share]["tolerance"] == {"rows": 12, "share": None}
    assert shown[SYNC]["tolerance"] == {"rows": None, "share": 0.05}
    assert "12 行" in county.run("status").out
    assert shown[county.share]["recipient"] == TAX
    assert county.ask("export")["exchanges"] == [{"id": county.share, "tolerance": {"rows": 12}}]
