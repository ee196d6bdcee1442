"""What the hub does when its own disk is full, and when the target cannot hold a value."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from exchange.engine import RunState
from exchange.errors import Failed
from exchange.receipts import balanced
from tests.exchange.engine.town import SYNC, Town, at, build, counts, person, wrong
from tests.support.servers import Server


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """What this process meets then is what a full disk gives."""
    none, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (none, hard))


def test_a_full_disk_at_the_hub_loses_nothing(town: Town) -> None:
    """The refused rows' content is what fills it: the manifest cannot be made durable, so nothing is delivered."""
    long = [{**wrong(number), "name": "长" * 400_000} for number in range(10, 16)]
    town.report(*(person(number) for number in range(10)), *long)
    with no_file_longer_than(4 << 20), pytest.raises(Failed, match="加密文件") as caught:
        town.run(SYNC)
    assert caught.value.retry
    assert "磁盘" in caught.value.remedy
    [failed] = town.runs(SYNC)
    assert failed.state == RunState.FAILED
    assert town.rows("library") == {}
    assert set(town.flags().values()) == {"0"}
    assert [each.name for each in (town.home / "payload").iterdir() if each.name.endswith(".part")] == []
    collected = town.run(SYNC)
    assert collected.state == RunState.SETTLED
    assert collected.counts == counts(read=16, refused=6, written=10)
    assert town.rows("library") == town.good()
    assert town.stages("library") == []
    assert town.faults() == []


def test_a_folder_that_is_shut_is_told_as_one(town: Town) -> None:
    town.report(person(1))
    payload = town.home / "payload"
    assert not payload.exists()
    with pytest.raises(Failed, match="加密文件"):
        town.run(SYNC, observe=at("2.leased", payload.touch))
    payload.unlink()
    assert town.run(SYNC).counts == counts(read=1, written=1)


def test_what_a_target_cannot_hold_is_a_refused_row_in_the_books(mariadb_server: Server, tmp_path: Path) -> None:
    url = mariadb_server.new_database()
    urls = {name: f"sqlite:///{tmp_path / name}.db" for name in ("police", "library")} | {"tax": url}
    with closing(build(tmp_path / "home", urls)) as town:
        town.execute("tax", "ALTER TABLE person MODIFY name varchar(64) CHARACTER SET utf8mb3")
        town.report(person(1), person(2, name="𠮷野家"), person(4), wrong(5))
        collected, shared = town.run_both()
        assert collected.counts == counts(read=4, refused=1, written=3)
        assert shared.counts == counts(read=3, refused=1, written=2)
        assert balanced(shared.counts)
        [lost] = town.quarantined(town.share)
        assert (lost.rule, lost.number) == ("text", 2)
        assert "列 name" in lost.reason
        assert "𠮷" not in lost.reason
        [receipt] = town.receipts(town.share)
        assert receipt.body["report"] == {"text": 1}
        held = town.granted()
        held.pop(person(2)["id_no"])
        assert town.rows("tax") == held
        # Once the column can, the row comes with its next report.
        town.execute("tax", "ALTER TABLE person MODIFY name varchar(64) CHARACTER SET utf8mb4")
        town.report(person(2, name="𠮷野家", version=2))
        assert town.run_both()[1].counts == counts(read=1, written=1)
        assert town.rows("tax") == town.granted()
    mariadb_server.drop_database(url)
