from __future__ import annotations

from tests.exchange.cli.county import HUB, POLICE, TAX, County


def test_departments(first_county: County) -> None:
    told = first_county.ask("department", "list", by="tax")["departments"]
    assert [each["code"] for each in told] == [HUB, POLICE, TAX]
    assert "某市公安局" in first_county.run("department", "list", by="tax").out


def test_a_department_by_any_of_its_names(first_county: County) -> None:
    shown = [first_county.ask("department", "show", name, by="tax") for name in (POLICE, "某市公安局", "公安")]
    assert shown[0] == shown[1] == shown[2]
    assert shown[0]["endpoints"] == ["police"]
    outcome = first_county.run("department", "show", "某市公安", by="tax")
    assert outcome.status == 4
    assert "某市公安局" in outcome.err
    assert "police" in first_county.run("department", "show", "公安", by="tax").out


def test_endpoints(first_county: County) -> None:
    told = first_county.ask("endpoint", "list", by="tax")["endpoints"]
    assert [each["name"] for each in told] == ["library", "police", "tax"]
    told = first_county.ask("endpoint", "list", "--department", "税务", by="tax")["endpoints"]
    assert [each["name"] for each in told] == ["tax"]
    assert first_county.run("endpoint", "list", "--department", "税务").out.splitlines()[2].split() == [
        "tax", "税务", "database", "Asia/Shanghai",
    ]  # fmt: skip


def test_an_address_is_for_its_department_and_who_configures(first_county: County) -> None:
    for by in ("integrator", "police"):
        assert first_county.ask("endpoint", "show", "police", by=by)["options"]["path"].endswith("police.db")
    outcome = first_county.run("endpoint", "show", "police", by="tax")
    assert outcome.status == 3
    assert "police.db" not in outcome.out + outcome.err
    assert "police.db" in first_county.run("endpoint", "show", "police").out
    denied = first_county.ask("audit", "search", "--type", "AccessDenied", by="auditor")["events"]
    assert any("police" in event["body"]["action"] for event in denied)


def test_what_lies_at_an_endpoint(first_county: County) -> None:
    told = first_county.ask("endpoint", "inspect", "police")
    assert [each["name"] for each in told["objects"]] == ["people"]
    told = first_county.ask("endpoint", "inspect", "police", "people")
    assert [column["name"] for column in told["objects"][0]["columns"]] == ["id_no", "name", "district", "ver"]
    assert told["objects"][0]["key"] == ["id_no"]
    shown = first_county.run("endpoint", "inspect", "police", "people").out
    assert "字符型" in shown
    proposals = told["objects"][0]["proposals"]
    assert proposals[0]["capture"] == "watermark"
    assert proposals[0]["options"] == {"watermark": "ver"}
    assert all(each["reasons"] for each in proposals)
    assert "capture: watermark; options: {watermark: ver}" in shown
    assert "people" in first_county.run("endpoint", "inspect", "police").out
    assert first_county.run("endpoint", "inspect", "police", by="chief").status == 3


def test_trying_an_endpoint(changing_county: County) -> None:
    county = changing_county
    for name in ("tax", "police"):
        # A ledger is needed where something is delivered, not where it is only read.
        outcome = county.run("endpoint", "test", name)
        assert outcome.status == 0
        assert "全部通过" in outcome.out
    options = {"product": "sqlite", "path": str(county.home.parent / "gone" / "police.db")}
    gone = {"name": "police", "department": POLICE, "kind": "database", "options": options}
    county.ask("apply", county.file("gone.yaml", {"endpoints": [gone]}))
    outcome = county.run("endpoint", "test", "police", "--json")
    assert outcome.status == 8
    assert outcome.document["passed"] is False
    assert "有未通过的测试项" in county.run("endpoint", "test", "police").out


def test_whether_an_exchange_fits_its_target(county: County) -> None:
    assert county.ask("endpoint", "prepare", county.share)["fits"] is True
    assert "可以执行" in county.run("endpoint", "prepare", county.share).out
    script = county.run("endpoint", "prepare", county.share, "--sql", by="tax")
    assert "CREATE TABLE IF NOT EXISTS shutong_ledger" in script.out
    assert county.run("endpoint", "prepare", "share-none").status == 4


def test_an_exchange_that_does_not_fit(changing_county: County) -> None:
    county = changing_county
    options = {"product": "sqlite", "path": str(county.home.parent / "tax.db")}
    moved = {"name": "tax", "department": TAX, "kind": "database", "options": options}
    county.ask("apply", county.file("moved.yaml", {"endpoints": [moved]}))
    with county.database("tax").begin() as connection:
        connection.exec_driver_sql("CREATE TABLE person (id_no VARCHAR(18) PRIMARY KEY)")
    outcome = county.run("endpoint", "prepare", county.share, "--json")
    assert outcome.status == 2
    assert outcome.document["problems"]
    outcome = county.run("endpoint", "prepare", county.share)
    assert outcome.status == 2
    assert f"shutong endpoint prepare {county.share} --sql" in outcome.out
