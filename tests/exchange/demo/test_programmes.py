"""What two offices' programmes fetched and pushed, and what of it does not fit the receipts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from exchange.demo import programmes
from exchange.demo.city import COMPANY, HOUSING, INSURANCE, PERMIT, USERS
from exchange.demo.programmes import Programmes
from exchange.engine import RunResult
from exchange.errors import Failed
from tests.exchange.demo.conftest import Shown
from tests.exchange.demo.eyes import query, right_company, table

ITEMS = ("certificate_key", "corp_name", "corp_type", "corp_status")


def test_the_insurance_office_holds_the_companies_that_are_right(shown: Shown) -> None:
    held = table(shown.home, "insurance-caller", "corporation", "certificate_sno")
    reported = table(shown.home, "market", "EX_GDBS_FR", "CERTIFICATE_SNO")
    assert {key: [row[name] for name in ITEMS] for key, row in held.items()} == {
        key: [row[name.upper()] for name in ITEMS] for key, row in reported.items() if right_company(key)
    }
    assert not {"legal_name", "legal_cert_no", "legal_mobile"} & set(next(iter(held.values())))
    fetched = shown.city.programmes.fetched.values()
    assert [(read.pages, read.put, read.gone) for read in fetched] == [(3, 234, 0), (1, 12, 0)]
    states = query(shown.home / "hub.db", "SELECT state FROM mail")
    assert [row["state"] for row in states] == ["fetched"] * 2, "the hub knows that they have arrived"


def test_the_housing_office_was_told_what_was_refused(shown: Shown) -> None:
    pushed = shown.city.programmes.pushed.values()
    assert [(sent.rows, sent.accepted, sent.refused) for sent in pushed] == [(60, 58, 2), (7, 7, 0)]
    found = query(shown.home / "hub.db", "SELECT * FROM message ORDER BY id")
    assert [(row["department"], row["message"], row["rows"]) for row in found] == [
        (HOUSING, "licences-1-60", 60), (HOUSING, "licences-61-67", 7),
    ]  # fmt: skip


def test_a_run_of_another_process_is_as_its_books_have_it(shown: Shown) -> None:
    runs = {run.id: run for run in shown.play.runs}
    mine = [*shown.city.programmes.fetched, *shown.city.programmes.pushed]
    assert len(mine) == 4
    for name in mine:
        (row,) = query(shown.home / "hub.db", "SELECT * FROM run WHERE id = ?", name)
        (receipt,) = query(shown.home / "hub.db", "SELECT * FROM receipt WHERE run = ?", name)
        assert (runs[name].state, runs[name].plan.exchange, runs[name].receipt) == (
            row["state"], row["exchange"], receipt["id"],
        )  # fmt: skip
        assert 0 < runs[name].seconds < 60


def altered(**changes: int | str) -> Callable[[RunResult], RunResult]:
    def make(run: RunResult) -> RunResult:
        receipt = changes.get("receipt", run.receipt)
        counts = {name: value + int(changes.get(name, 0)) for name, value in run.counts.items()}
        return replace(run, counts=counts, receipt=str(receipt))

    return make


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, 0),
        ({"written": 1, "read": 1}, 5),
        ({"written": 1, "unchanged": -1}, 4),
        ({"written": 1, "deleted": 1}, 4),
        ({"refused": 1, "read": 1}, 2),
        ({"receipt": "R0"}, 2),
    ],
)
def test_what_is_not_as_the_receipts_say_is_seen(shown: Shown, changes: dict[str, int | str], wrong: int) -> None:
    """Counts of all five, and for those that call also whose receipt it is."""
    found = shown.city.discrepancies([altered(**changes)(run) for run in shown.play.first])
    assert len(found) == wrong
    assert all("不符" in line and "与回执 R" in line for line in found)


def test_tokens_are_their_owners_alone(shown: Shown) -> None:
    tokens = [shown.home / "fronts" / f"{USERS[code]}.token" for code in (INSURANCE, HOUSING)]
    texts = [token.read_text() for token in tokens]
    assert len(set(texts)) == 2
    assert all(token.stat().st_mode & 0o777 == 0o600 for token in tokens)
    own = [shown.home / "hub.db", *(shown.home / "logs").iterdir()]
    assert not any(text.encode() in file.read_bytes() for text in texts for file in own)


def test_a_door_that_does_not_answer_is_told(shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "insurance.token").write_text("t")
    mine = Programmes(shown.city.hub, tmp_path, tmp_path / "logs")
    mine.door = "http://127.0.0.1:9"
    with pytest.raises(Failed, match="医保局的程序没有得到答复：ConnectionError") as raised:
        mine.fetch(USERS[INSURANCE], COMPANY)
    assert str(tmp_path / "logs") in raised.value.remedy
    with pytest.raises(Failed, match="住建局的程序没有得到答复"):
        mine.push(USERS[HOUSING], PERMIT)
    monkeypatch.setattr(programmes, "SECONDS", 0.01)
    with pytest.raises(Failed, match=r"0\.01 秒内没有得到答复"):
        mine.fetch(USERS[INSURANCE], COMPANY)
