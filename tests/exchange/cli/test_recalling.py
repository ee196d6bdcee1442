from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.exchange.cli.county import CODE, RESOURCE, SYNC, TAX, County, application


@pytest.fixture
def drop(changing_county: County, tmp_path: Path) -> Path:
    """The tax office's directory, in which a file lies."""
    county, root = changing_county, tmp_path / "drop"
    root.mkdir()
    endpoint = {"name": "drop", "department": TAX, "kind": "files", "options": {"root": str(root)}}
    county.ask("apply", county.file("drop.yaml", {"endpoints": [endpoint]}))
    offered = {**RESOURCE, "share_ways": ["数据库", "文件"]}
    county.ask("resource", "register", county.file("files.yaml", offered), by="police")
    for verb, by in (("submit", "police"), ("agree", "chief"), ("submit", "police"), ("agree", "centre")):
        county.ask("resource", verb, CODE, by=by)
    file = county.file("again.yaml", application(way="file", target={"endpoint": "drop", "object": "people_*.csv"}))
    made = county.ask("application", "submit", file, by="tax")["applications"][0]
    county.ask("application", "decide", made["id"], "--approve", "--reason", "依法履职所需", by="chief")
    return root


def _share(county: County) -> str:
    [found] = [
        each["id"]
        for each in county.ask("status")["exchanges"]
        if each["id"].startswith("share-")
        and county.ask("exchange", "plan", each["id"])["target"]["endpoint"] == "drop"
    ]
    return str(found)


def test_called_back_and_answered(changing_county: County, drop: Path) -> None:
    county, share = changing_county, _share(changing_county)
    run = county.ask("run", share)["run"]["id"]
    assert county.run("files", "recall", run, "--reason", "误发", by="tax").status == 3
    assert county.run("files", "recall", "nothing", "--reason", "误发", by="police").status == 4
    assert county.run("files", "recall", share, "--reason", "误发", "--document", "a.pdf", by="police").status == 4
    [made] = county.ask("files", "recall", run, "--reason", "误发", by="police")["recalls"]
    assert (made["state"], made["run"], made["exchange"], made["recipient"]) == ("notified", run, share, TAX)
    again = county.run("files", "recall", share, "--reason", "误发", by="police")
    assert (again.status, "已经撤回过" in again.err) == (5, True)
    [notice] = [json.loads(path.read_text()) for path in drop.glob("RECALL-*.json")]
    (drop / notice["answer"]["file"]).write_text(json.dumps({"state": "partly", "reason": "已用于办件", "by": "李四"}))
    shown = county.run("files", "recalls", by="tax")
    for word in ("税务", made["place"], "已通知，待答复", "误发"):
        assert word in shown.out
    assert county.ask("files", "recalls", "--state", "kept", by="tax")["recalls"] == []
    assert county.ask("files", "recalls", "--exchange", "another", by="tax")["recalls"] == []


def test_sent_again(changing_county: County, drop: Path) -> None:
    county, share = changing_county, _share(changing_county)
    first = county.ask("run", share)["run"]
    assert county.run("files", "resend", first["id"], by="police").status == 3
    assert county.run("files", "resend", "nothing").status == 4
    again = county.ask("files", "resend", first["receipt"])["run"]
    assert (again["state"], again["counts"]["written"]) == ("settled", first["counts"]["written"])
    one, two = sorted(drop.glob("people_*.csv"))
    assert (one.read_bytes(), one.name != two.name) == (two.read_bytes(), True)
    traced = county.run("trace", again["id"])
    assert first["id"] in traced.out
    empty = county.ask("run", share)["run"]["id"]
    assert county.run("files", "resend", empty).status == 5


def test_a_revocation_with_recall(changing_county: County, drop: Path) -> None:
    county, share = changing_county, _share(changing_county)
    county.ask("run", share)
    grant = share.removeprefix("share-")
    told = county.ask("grant", "revoke", grant, "--reason", "误发", "--recall", by="chief")
    assert (told["state"], len(told["recalls"])) == ("revoked", 1)
    assert len(list(drop.glob("RECALL-*.json"))) == 1


def test_what_went_into_a_table_is_refused_with_the_remedy(changing_county: County) -> None:
    county = changing_county
    grant = next(each["id"] for each in county.ask("grant", "list", "--kind", "sharing", by="tax")["grants"])
    refused = county.run("grant", "revoke", grant, "--reason", "误发", "--recall", by="chief")
    assert (refused.status, "去掉 --recall" in refused.err) == (5, True)
    assert county.ask("grant", "show", grant, by="tax")["state"] == "active"
    assert county.run("files", "recall", SYNC, "--reason", "误发", by="police").status == 5
    assert "没有撤回" in county.run("files", "recalls", by="police").out
