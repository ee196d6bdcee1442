"""What a directory's files were when they were last looked at (已收清单), from pass to pass.

The list lies in the pages of the run's notebook, in the order of names, and comes into force with the delivery of
what was read. It is gone through beside the directory's listing, so that neither pass nor list needs memory for all.

A note tells a file by name, size and time of change, and its content by the SHA-256. As with any such list, a file
that was changed in the very moment of the look bears the same time and may bear the same size: so one whose time
is not older than the look by more than the clock's :data:`GRAIN` is read again, and its digest decides.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, replace
from typing import Any

from adapters.base import Notebook
from adapters.files.transports.base import Entry

GRAIN = 2.0
"""Seconds in which two changes of a file may bear one time."""
PAGE = 2_000
"""Notes of a page."""
REMEMBERED = 4_096
"""How many files that are no longer there stay remembered, those seen last."""
_HEADER = b"H" + json.dumps({"form": "files", "number": 1}).encode()


@dataclass(frozen=True, slots=True)
class Note:
    """One file, as it was.

    Attributes:
        name: Its name.
        size: Its bytes.
        modified: Its time of change.
        digest: SHA-256 of its content; empty: it was refused unread.
        looked: The directory's clock before the look.
        reason: Why it was refused; None: it was taken.
        companion: Size and time of change of its manifest or marker, of a refused file alone.
    """

    name: str
    size: int
    modified: float
    digest: str
    looked: float
    reason: str | None = None
    companion: tuple[int, float] | None = None

    def tells(self, entry: Entry, companion: tuple[int, float] | None) -> bool:
        """Whether a file need not be read to know that it is still this one."""
        return self.modified < self.looked - GRAIN and self.seems(entry, companion)

    def seems(self, entry: Entry, companion: tuple[int, float] | None) -> bool:
        """Whether a file looks like this one, as far as that can be seen from outside."""
        if (self.size, self.modified) != (entry.size, entry.modified):
            return False
        return self.reason is None or self.companion == companion

    def seen_as(self, entry: Entry, looked: float) -> Note:
        """The same content under another size or time."""
        return replace(self, name=entry.name, size=entry.size, modified=entry.modified, looked=looked)


class Seen:
    """The list as the last pass left it, and as this one leaves it.

    Args:
        notebook: Where it lies; None: nothing was noted, and nothing is.
        known: Notes are to be heeded; otherwise the list is begun anew.
        before: What older versions remembered in the position: name, size and digest.
        writes: The pass is noted; otherwise it is only looked at what is noted.
    """

    def __init__(
        self, notebook: Notebook | None, *, known: bool, before: Iterable[Any] = (), writes: bool = True
    ) -> None:
        self._notebook = notebook
        self._writes = writes
        self._known = known and notebook is not None and next(notebook.earlier(), b"") == _HEADER
        self._gone: dict[str, Note] = {}
        self._was = 0
        for name, size, digest in before:
            self._gone[name] = Note(name, size, -1.0, digest, 0.0)
        for note in self._notes(b"G"):
            self._gone[note.name] = note
            self._was += 1
        self._same = 0
        self._begun = False
        self._fresh: list[Note] = []
        self._left: list[tuple[float, str, Note]] = []

    def beside(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, Note | None]]:
        """The directory's files with what is noted of each, in the order of names; those gone are put down as such."""
        earlier = self._notes(b"P")
        note = next(earlier, None)
        for entry in entries:
            while note is not None and note.name < entry.name:
                self.lose(note)
                note = next(earlier, None)
            if note is not None and note.name == entry.name:
                yield entry, note
                note = next(earlier, None)
            else:
                yield entry, None
        while note is not None:
            self.lose(note)
            note = next(earlier, None)

    def remembered(self, name: str) -> Note | None:
        """The file of a name that was there and was gone when it was looked for."""
        return self._gone.get(name)

    def keep(self, note: Note) -> None:
        """A file is as the last pass noted it, or what it is now is for a later one: its note stands."""
        if self._begun:
            self._put(note)
        else:
            self._same += 1

    def write(self, note: Note) -> None:
        """A file is not as the last pass noted it, or was not noted."""
        self._begin()
        self._gone.pop(note.name, None)
        self._put(note)

    def lose(self, note: Note) -> None:
        """A file has gone since it was listed."""
        self._begin()
        self._forget(note)

    def end(self) -> None:
        """Everything has been gone through."""
        if self._notebook is None:
            return
        if not self._begun and self._known and len(self._gone) == self._was:
            self._notebook.keep()
            return
        self._begin()
        self._turn()
        for note in self._gone.values():
            self._forget(note)
        gone = sorted((note for _, _, note in self._left), key=lambda note: note.name)
        for start in range(0, len(gone), PAGE):
            self._notebook.write(_page(b"G", gone[start : start + PAGE]))

    def _forget(self, note: Note) -> None:
        if note.reason is not None:
            return
        about = (note.looked, note.name, note)
        (heapq.heappush if len(self._left) < REMEMBERED else heapq.heappushpop)(self._left, about)

    def _begin(self) -> None:
        """From here on the list differs from the last one; up to here it is the same."""
        if self._begun or self._notebook is None or not self._writes:
            return
        self._begun = True
        self._notebook.write(_HEADER)
        same, self._same = self._same, 0
        for note in self._notes(b"P"):
            if same == 0:
                break
            self._put(note)
            same -= 1

    def _put(self, note: Note) -> None:
        self._fresh.append(note)
        if len(self._fresh) >= PAGE:
            self._turn()

    def _turn(self) -> None:
        if self._fresh and self._notebook is not None:
            self._notebook.write(_page(b"P", self._fresh))
        self._fresh = []

    def _notes(self, kind: bytes) -> Iterator[Note]:
        if not self._known or self._notebook is None:
            return
        for page in self._notebook.earlier():
            if page[:1] == kind:
                for name, size, modified, digest, looked, reason, companion in json.loads(page[1:]):
                    stamp = (companion[0], companion[1]) if companion else None
                    yield Note(name, size, modified, digest, looked, reason, stamp)


def _page(kind: bytes, notes: Iterable[Note]) -> bytes:
    return kind + json.dumps([astuple(note) for note in notes], ensure_ascii=False, separators=(",", ":")).encode()
