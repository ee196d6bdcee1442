from __future__ import annotations

import pytest

from adapters.files import seen as module
from adapters.files.seen import Note, Seen
from adapters.files.transports.base import Entry
from adapters.memory import Pages


def note(name: str, *, looked: float = 1000.0, reason: str | None = None) -> Note:
    return Note(name, 1, 10.0, f"digest of {name}", looked, reason)


def walk(pages: Pages, names: list[str], *, known: bool = True, **looked: float) -> dict[str, bool]:
    """Go through a directory of these names; which of them were noted. All of them are, then."""
    seen = Seen(pages, known=known)
    found = {}
    for entry, one in seen.beside(Entry(name, 1, 10.0) for name in sorted(names)):
        found[entry.name] = one is not None
        if one is not None:
            seen.keep(one)
        else:
            seen.write(note(entry.name, looked=looked.get(entry.name, 1000.0)))
    seen.end()
    pages.turn()
    return found


@pytest.fixture(autouse=True)
def _short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 3)


def test_names_come_go_and_stay() -> None:
    pages = Pages()
    assert walk(pages, ["a", "b", "c", "d", "e"]) == dict.fromkeys("abcde", False)
    assert walk(pages, ["a", "b", "c", "d", "e"]) == dict.fromkeys("abcde", True)
    assert walk(pages, ["a", "c", "cc", "e", "f"]) == {"a": True, "c": True, "cc": False, "e": True, "f": False}
    assert walk(pages, ["0", "a", "c", "cc", "e", "f"])["0"] is False
    assert all(walk(pages, ["0", "a", "c", "cc", "e", "f"]).values())
    assert sorted(one for one in "bd" if Seen(pages, known=True).remembered(one)) == ["b", "d"]


def test_nothing_changed_nothing_is_written() -> None:
    pages = Pages()
    walk(pages, ["a", "b"])
    walk(pages, ["a"])
    before = list(pages.earlier())
    walk(pages, ["a"])
    assert list(pages.earlier()) == before
    assert pages.earlier() is not before
    kept = Seen(pages, known=True)
    for entry, one in kept.beside([Entry("a", 1, 10.0)]):
        assert one is not None
        assert entry.name == "a"
        kept.keep(one)
    pages.drop()
    kept.end()
    assert pages._written is pages._earlier


def test_a_full_pass_begins_the_list_anew() -> None:
    pages = Pages()
    walk(pages, ["a", "b"])
    assert walk(pages, ["a"], known=False) == {"a": False}
    assert Seen(pages, known=True).remembered("b") is None


def test_what_is_gone_is_forgotten_beyond_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    pages = Pages()
    walk(pages, ["a", "b", "c"], a=3.0, b=1.0, c=2.0)
    walk(pages, [])
    assert [one for one in "abc" if Seen(pages, known=True).remembered(one)] == ["a", "c"]
    walk(pages, ["d"], d=9.0)
    walk(pages, [])
    assert [one for one in "abcd" if Seen(pages, known=True).remembered(one)] == ["a", "d"]


def test_what_older_versions_remembered_counts_until_the_list_is_made() -> None:
    pages = Pages()
    seen = Seen(pages, known=True, before=[["a", 1, "digest of a"]])
    assert seen.remembered("a") is not None
    [(_, one)] = seen.beside([Entry("a", 1, 10.0)])
    assert one is None
    seen.write(note("a"))
    seen.end()
    pages.turn()
    assert all(walk(pages, ["a"]).values())


@pytest.mark.parametrize(
    ("entry", "companion", "reason", "told"),
    [
        (Entry("a", 1, 10.0), None, None, True),
        (Entry("a", 2, 10.0), None, None, False),
        (Entry("a", 1, 11.0), None, None, False),
        (Entry("a", 1, 10.0), (5, 6.0), None, True),
        (Entry("a", 1, 10.0), (5, 6.0), "bad", False),
        (Entry("a", 1, 10.0), None, "bad", True),
    ],
)
def test_what_tells_a_file(
    entry: Entry, companion: tuple[int, float] | None, reason: str | None, *, told: bool
) -> None:
    assert note("a", reason=reason).tells(entry, companion) is told


@pytest.mark.parametrize(("looked", "told"), [(10.0, False), (11.9, False), (12.0, False), (12.1, True), (9.0, False)])
def test_a_time_that_is_as_young_as_the_look_tells_nothing(looked: float, *, told: bool) -> None:
    assert note("a", looked=looked).tells(Entry("a", 1, 10.0), None) is told
