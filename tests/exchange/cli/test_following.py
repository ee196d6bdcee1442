from __future__ import annotations

from tests.exchange.cli.county import CODE, SYNC, County


def test_from_the_application_to_the_receipt(county: County) -> None:
    told = county.ask("trace", county.share, by="tax")
    assert told["grant"]["grant"] == county.grant
    assert told["receipt"]["counts"]["written"] == 20
    assert [event["type"] for event in told["events"]][-1] == "RunStarted"
    for name in (told["run"], told["receipt"]["id"]):
        assert county.ask("trace", name, by="tax")["receipt"] == told["receipt"]
    shown = county.run("trace", county.share, by="tax").out
    for text in (told["receipt"]["id"], "《税收征收管理法》", "放行", "通知 税务", "公安", CODE):
        assert text in shown


def test_only_the_parties_follow_it(county: County) -> None:
    assert county.run("trace", county.share, by="centre").status == 3
    assert county.run("trace", SYNC, by="tax").status == 3
    assert county.run("trace", SYNC, by="police").status == 0
    assert county.run("trace", "none", by="auditor").status == 4


def test_notices(county: County) -> None:
    told = county.ask("notices", by="tax")["notices"]
    assert any(county.grant in notice["text"] for notice in told)
    assert any("送达 20 行" in notice["text"] for notice in told)
    assert "送达 20 行" in county.run("notices", by="tax").out
    assert county.run("notices", by="auditor").out in ("没有通知。\n", county.run("notices", by="centre").out)
