from __future__ import annotations

import pytest

from tests.exchange.cli.county import SYNC, County, exchanged, founded, granted, person, published


@pytest.fixture(scope="module")
def reconciled_county(tmp_path_factory: pytest.TempPathFactory) -> County:
    """Rows have moved, into databases of its own."""
    return exchanged(granted(published(founded(tmp_path_factory.mktemp("reconciled")))))


def test_both_ends_agree(reconciled_county: County) -> None:
    county = reconciled_county
    outcome = county.run("reconcile", county.share)
    assert (outcome.status, outcome.err) == (0, "")
    assert f"交换 {county.share}：两端一致" in outcome.out
    assert "怎么办" not in outcome.out
    told = county.ask("reconcile", SYNC)["reconciliation"]
    assert told["agrees"] is True
    assert (told["read"], told["refused"], told["expected"], told["held"]) == (31, 1, 30, 30)
    assert told["digests"]["expected"] == told["digests"]["held"]
    assert told["ranges"]["differing"] == 0
    assert told["rows"] == told["remedies"] == []


def test_where_they_differ(reconciled_county: County) -> None:
    county = reconciled_county
    gone, changed = person(1)["id_no"], person(2)["id_no"]
    with county.database("tax").begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM person WHERE id_no = '{gone}'")
        connection.exec_driver_sql(f"UPDATE person SET name = '测试2' WHERE id_no = '{changed}'")
    outcome = county.run("reconcile", county.share)
    assert (outcome.status, outcome.err) == (7, "")
    for word in ("两端不一致", "对方缺少", "内容不同", "name", "怎么办：", f"shutong run {county.share} --redeliver"):
        assert word in outcome.out
    assert gone not in outcome.out
    assert "不一致的区间：1 个，共 1 个" in outcome.out
    outcome = county.run("reconcile", county.share, "--json")
    assert outcome.status == 7
    told = outcome.document["reconciliation"]
    assert told["counts"] == {"missing": 1, "surplus": 0, "repeated": 0, "older": 0, "newer": 0, "content": 1}
    assert {row["kind"]: (row["key"], row["items"]) for row in told["rows"]} == {
        "missing": (None, []), "content": (None, ["name"]),
    }  # fmt: skip
    assert gone not in outcome.out
    shown = county.run("reconcile", county.share, "--keys", by="auditor")
    assert shown.status == 7
    assert f"id_no={gone}" in shown.out
    assert f"id_no={changed}" in shown.out
    assert county.ask("audit", "search", "--type", "查看业务主键", by="auditor")["events"]
    few = county.run("reconcile", county.share, "--limit", "1", "--json").document["reconciliation"]
    assert (len(few["rows"]), sum(few["counts"].values())) == (1, 2)
    none = county.run("reconcile", county.share, "--limit", "0")
    assert "未列出行。" in none.out
    assert "--redeliver" in none.out
    county.ask("run", county.share, "--redeliver")
    assert county.ask("reconcile", county.share)["reconciliation"]["agrees"]


def test_keys_are_not_for_everybody(reconciled_county: County) -> None:
    county = reconciled_county
    outcome = county.run("reconcile", county.share, "--keys")
    assert outcome.status == 3
    assert "业务主键只给交换双方的人员和审计管理员看" in outcome.err
    assert "去掉 --keys" in outcome.err
    assert county.run("reconcile", county.share, by="tax").status == 3


def test_an_exchange_that_is_not_there(reconciled_county: County) -> None:
    outcome = reconciled_county.run("reconcile", "share-G404", "--json")
    assert outcome.status == 4
    assert outcome.document["error"]["kind"] == "unknown"
