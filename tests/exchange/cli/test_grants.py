from __future__ import annotations

from tests.exchange.cli.county import CODE, TAX, County


def test_both_kinds(county: County) -> None:
    grants = county.ask("grant", "list", by="chief")["grants"]
    assert {grant["kind"] for grant in grants} == {"collection", "sharing"}
    told = county.ask("grant", "list", "--kind", "sharing", "--state", "active", "--resource", CODE, by="tax")["grants"]
    assert [(grant["id"], grant["department"]) for grant in told] == [(county.grant, TAX)]
    assert county.ask("grant", "list", "--state", "revoked", by="tax")["grants"] == []
    assert "归集" in county.run("grant", "list", by="chief").out


def test_only_the_parties_see_it(county: County) -> None:
    assert county.run("grant", "show", county.grant, by="centre").status == 3
    assert county.run("explain", county.grant, by="centre").status == 3
    assert county.run("explain", county.share, by="centre").status == 3
    assert county.run("grant", "show", "G-none", by="tax").status == 4
    assert county.run("explain", "none", by="tax").status == 4
    sharing = [grant["kind"] for grant in county.ask("grant", "list", by="centre")["grants"]]
    assert sharing == ["collection"]


def test_one_grant_whole(county: County) -> None:
    told = county.ask("grant", "show", county.grant, by="tax")
    assert (told["used"], told["passes"]) == (20, True)
    shown = county.run("grant", "show", county.grant, by="tax").out
    for text in ("《税收征收管理法》", "姓名只留首字", "所在区", "现在可以放行", "依法履职所需"):
        assert text in shown


def test_the_same_by_grant_application_and_exchange(county: County) -> None:
    (entry,) = county.ask("application", "list", by="tax")["applications"]
    told = [county.ask("explain", name, by="tax") for name in (county.grant, entry["id"], county.share)]
    assert told[0] == told[1] == told[2]
    assert [item["mask"] for item in told[0]["items"]] == ["", "姓名只留首字", "", ""]


def test_suspended_resumed_revoked(changing_county: County) -> None:
    county, grant = changing_county, changing_county.grant
    assert county.run("grant", "suspend", grant, "--reason", "核查", by="tax").status == 3
    assert "已中止" in county.run("grant", "suspend", grant, "--reason", "核查", by="chief").out
    shown = county.run("explain", grant, by="tax").out
    assert "现在不能放行" in shown
    assert "已中止" in shown
    assert county.ask("grant", "resume", grant, "--reason", "核查完毕", by="chief")["state"] == "active"
    assert county.ask("grant", "revoke", grant, "--reason", "职责调整", by="chief")["state"] == "revoked"
    assert county.run("grant", "resume", grant, "--reason", "再来", by="chief").status == 5
    assert county.run("grant", "revoke", "G-none", "--reason", "没有", by="chief").status == 4
    reasons = [
        event["body"]["reason"]
        for name in ("授权中止", "授权恢复", "授权撤销")
        for event in county.ask("audit", "search", "--type", name, by="auditor")["events"]
    ]
    assert [reason.partition("（")[0] for reason in reasons] == ["核查", "核查完毕", "职责调整"]
