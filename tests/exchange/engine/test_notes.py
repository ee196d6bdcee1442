"""What a source remembers: in force with the delivery it belongs to, and never before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exchange.db.tables import ExchangeRow
from exchange.engine.notes import NoteKeeper, OpenNotebook
from exchange.errors import Failed
from exchange.secrets import Vault
from tests.exchange.engine.town import SYNC, Town, person


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "notes", b"k" * 32)


@pytest.fixture
def keeper(town: Town, vault: Vault) -> Any:
    with town.hub() as hub:
        yield NoteKeeper(vault, hub.database)


def written(keeper: NoteKeeper, epoch: int, position: Any, *pages: bytes) -> Any:
    """The position after a pass that wrote pages, or kept the earlier ones."""
    with keeper.open(SYNC, epoch, position, full=False) as notebook:
        for page in pages:
            notebook.write(page)
        if not pages:
            notebook.keep()
        return notebook.sealed({"capture": "diff"})


def put_in_force(town: Town, position: Any) -> None:
    with town.hub() as hub, hub.database.transaction() as session:
        session.get_one(ExchangeRow, SYNC).position = position


def earlier(keeper: NoteKeeper, position: Any) -> list[bytes]:
    with keeper.open(SYNC, 99, position, full=True) as notebook:
        return list(notebook.earlier())


def test_pages_come_back_in_order_as_often_as_asked(town: Town, keeper: NoteKeeper) -> None:
    position = written(keeper, 1, None, b"one", b"two")
    assert keeper.intact(position)
    put_in_force(town, position)
    with keeper.open(SYNC, 2, position, full=False) as notebook:
        assert list(notebook.earlier()) == list(notebook.earlier()) == [b"one", b"two"]
    assert keeper.intact(None)
    assert keeper.intact({"serial": 5})


def test_a_pass_that_found_nothing_keeps_the_notes_in_force(town: Town, keeper: NoteKeeper, vault: Vault) -> None:
    position = written(keeper, 1, None, b"one")
    put_in_force(town, position)
    assert written(keeper, 2, position) == position
    assert len(vault.names()) == 1


def test_what_was_given_up_leaves_nothing(keeper: NoteKeeper, vault: Vault) -> None:
    with pytest.raises(ZeroDivisionError), keeper.open(SYNC, 1, None, full=True) as notebook:
        notebook.write(b"one")
        raise ZeroDivisionError
    assert vault.names() == ()
    assert vault.sweep() == 0
    with keeper.open(SYNC, 1, None, full=True) as notebook:
        notebook.write(b"not sealed")
    assert vault.names() == ()


def test_a_source_without_notes_has_its_position_alone(keeper: NoteKeeper, vault: Vault) -> None:
    with keeper.open(SYNC, 1, {"serial": 1, "notes": {"file": "gone", "digest": "x"}}, full=True) as notebook:
        assert notebook.sealed({"serial": 2, "notes": "the source's own"}) == {"serial": 2}
        assert notebook.sealed(None) is None
    assert vault.names() == ()


def test_notes_that_are_lost_or_changed_are_not_believed(town: Town, keeper: NoteKeeper, vault: Vault) -> None:
    position = written(keeper, 1, None, b"one")
    put_in_force(town, position)
    for harm in (lambda: vault.write(position["notes"]["file"]), None):
        if harm is None:
            vault.remove(position["notes"]["file"])
        else:
            with harm() as writer:
                writer.append(b"another")
        assert not keeper.intact(position)
        assert earlier(keeper, position) == []
        with pytest.raises(Failed, match="缺失或被改动"):
            keeper.open(SYNC, 2, position, full=False)


def test_only_what_is_in_force_is_kept_and_nobody_elses_is_touched(
    town: Town, keeper: NoteKeeper, vault: Vault
) -> None:
    first, second, third = (written(keeper, 1, None, b"1"), None, None)
    put_in_force(town, first)
    second = written(keeper, 2, first, b"2")
    with OpenNotebook(vault, f"notes.{'0' * 24}.1", None) as other:
        other.write(b"another exchange's")
        other.sealed({})
    third = written(keeper, 5, first, b"3")
    keeper.sweep(SYNC, 4)
    assert not vault.exists(second["notes"]["file"]), "what the owner before died over"
    assert vault.exists(third["notes"]["file"]), "of a later owner"
    put_in_force(town, third)
    keeper.sweep(SYNC, 5)
    assert vault.names() == tuple(sorted([third["notes"]["file"], f"notes.{'0' * 24}.1"]))
    keeper.drop(SYNC, 5)
    assert not vault.exists(third["notes"]["file"])


def test_what_an_unfinished_run_will_promote_is_kept(town: Town, keeper: NoteKeeper, vault: Vault) -> None:
    town.report(person(1))
    town.run(SYNC)
    [run] = town.runs(SYNC)
    with town.hub() as hub:
        position = written(keeper, 1, None, b"1")
        with hub.database.transaction() as session:
            row = session.get_one(type(run), run.id)
            row.state, row.after = "staged", position
        keeper.sweep(SYNC, 1)
        assert vault.exists(position["notes"]["file"])
        with hub.database.transaction() as session:
            session.get_one(type(run), run.id).state = "failed"
        keeper.sweep(SYNC, 1)
        assert not vault.exists(position["notes"]["file"])
