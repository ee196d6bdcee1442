from __future__ import annotations

import pytest

import adapters.database.proposal
from adapters.base import Proposal
from adapters.database import DatabaseEndpoint
from adapters.database.proposal import _CHANGED, _COUNTED
from tests.adapters.database.conftest import Hands


def proposed(endpoint: DatabaseEndpoint) -> tuple[Proposal, ...]:
    [found] = endpoint.inspect("t")
    return found.proposals


def captures(endpoint: DatabaseEndpoint) -> list[str]:
    return [each.capture for each in proposed(endpoint)]


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rows are many."""
    monkeypatch.setattr(adapters.database.proposal, "SMALL", 2)


def rows(hands: Hands) -> None:
    hands.run(*(f"INSERT INTO t (k) VALUES ({number})" for number in range(3)))


def test_state_columns_of_a_known_family_come_first(endpoint: DatabaseEndpoint, hands: Hands, large: None) -> None:
    hands.run(
        "CREATE TABLE t (k integer PRIMARY KEY, sync_sign varchar(1), sync_date timestamp NULL, "
        "update_date timestamp NULL, sync_error_desc varchar(1000))"
    )
    hands.run("CREATE INDEX t_update ON t (update_date)")
    rows(hands)
    first, second, *_ = proposed(endpoint)
    assert (first.capture, first.profile) == ("outbox", "jiangsu")
    assert "sync_sign" in first.reasons[0]
    assert (second.capture, second.options) == ("watermark", {"watermark": "update_date", "overlap": 600})


def test_operation_batches(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run("CREATE TABLE t (k integer, cd_batch varchar(40), cd_operation varchar(1), cd_time varchar(20))")
    assert (proposed(endpoint)[0].capture, proposed(endpoint)[0].profile) == ("batches", "national")


def test_a_time_of_changes_with_an_index_is_a_watermark(endpoint: DatabaseEndpoint, hands: Hands, large: None) -> None:
    hands.run("CREATE TABLE t (k integer PRIMARY KEY, gxsj timestamp NULL, ver bigint, born date)")
    rows(hands)
    bare = proposed(endpoint)
    assert [each.options.get("watermark") for each in bare[:2]] == ["gxsj", "ver"]
    assert all(any("索引" in reason for reason in each.reasons) for each in bare[:2])
    hands.run("CREATE INDEX t_ver ON t (ver)")
    best = proposed(endpoint)[0]
    assert (best.options, best.capture) == ({"watermark": "ver"}, "watermark")
    assert "每次只读有变化的行" in best.reasons[0]


def test_without_either_a_table_is_compared_and_a_small_one_read_whole(
    endpoint: DatabaseEndpoint, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands.run("CREATE TABLE t (k integer PRIMARY KEY, born date)")
    rows(hands)
    assert captures(endpoint) == ["snapshot", "diff"]
    monkeypatch.setattr(adapters.database.proposal, "SMALL", 2)
    assert captures(endpoint) == ["diff", "snapshot"]


def test_without_a_key_nothing_can_be_compared(endpoint: DatabaseEndpoint, hands: Hands, large: None) -> None:
    hands.run("CREATE TABLE t (k integer, v varchar(9))")
    rows(hands)
    assert captures(endpoint) == ["snapshot"]


@pytest.mark.parametrize("name", ["update_time", "UPDATED_AT", "gxsj", "last_update_time", "modified", "write_date"])
def test_names_of_times_of_changes(name: str) -> None:
    assert _CHANGED.fullmatch(name)


@pytest.mark.parametrize("name", ["birth_date", "created_at", "csrq", "born", "apply_time"])
def test_names_of_other_times(name: str) -> None:
    assert not _CHANGED.fullmatch(name)


def test_names_of_counters() -> None:
    assert [bool(_COUNTED.fullmatch(name)) for name in ("ver", "row_version", "DATA_REV", "number", "id")] == [
        True, True, True, False, False,
    ]  # fmt: skip
