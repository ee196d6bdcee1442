"""Choosing files (收取): which are complete, which are new, and what lies in the way of the others.

Complete
    A file may be read when it has a manifest, or a marker beside it, or has not changed for a while by the
    directory's own clock; and always only if it is, after it has been read, the very file that was listed.
New
    A file whose name, size and time are as noted is not read again (see :mod:`adapters.files.seen`); of any other
    the digest decides. The same content under another name is another file; the same name with other content is
    read again. What was refused is tried again when it or its manifest changes, or somebody says so.
Order
    By name. Where rows have no version, the last read wins: then no file may overtake one that is still being written
    or was refused.
Names
    A name that must not be touched - a link, no text, a line break - is refused by itself.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapters.base import Selection, TakenFile, WaitingFile
from adapters.errors import AdapterError, Malformed, Misconfigured, Refused, Unavailable
from adapters.files.aside import IN_MEMORY, Aside
from adapters.files.attachments import AttachmentOptions
from adapters.files.ledger import manifest_name
from adapters.files.receipts import is_told
from adapters.files.refusals import report_name
from adapters.files.seen import Note, Seen
from adapters.files.transports.base import LONGEST_NAME, Directory, Entry, Strange, matches, plain

_OURS = (manifest_name(""), report_name(""))
"""Endings of names that are never data, beside those of receipts and recalls."""

_GRAIN = 2.0
"""Seconds that a directory's time of change may be coarse."""
_OFTEN = 5.0
"""Seconds after which files are looked at again in any case."""
MOST_MANIFEST = 64 << 20
"""Bytes of a manifest: a delivery of ours may name a hundred thousand documents and more."""


class PickupOptions(AttachmentOptions):
    """What a binding may say about when a file is read and what becomes of it.

    Attributes:
        complete: When a file may be read: it has a manifest, a marker beside it, or has not changed for a while.
        marker: What a marker's name adds to the file's.
        age: Seconds without change, for ``complete: age``.
        after: What becomes of a file that was read: it stays, goes to the folder ``taken``, or is deleted; a snapshot
            always stays.
    """

    complete: Literal["manifest", "marker", "age"] = "manifest"
    marker: str = Field(".done", min_length=1, max_length=32, pattern=r"^[^/\x00]+$")
    age: float = Field(60.0, ge=0)
    after: Literal["leave", "move", "delete"] = "move"

    @property
    def companion(self) -> str:
        """What the name of the file that makes another complete adds to it; empty: there is none."""
        return {"manifest": manifest_name(""), "marker": self.marker, "age": ""}[self.complete]


class _Manifest(BaseModel):
    """What is used of a file's manifest (清单); further entries belong to others."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    rows: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-fA-F]{64}$")

    @classmethod
    def of(cls, content: bytes) -> Self:
        """What a provider's programme wrote, which may mark it as UTF-8."""
        return cls.model_validate_json(content.removeprefix(b"\xef\xbb\xbf"))


@dataclass(frozen=True)
class Taken:
    """A file chosen for reading, known by its content."""

    entry: Entry
    digest: str
    rows: int | None
    """As its manifest says."""
    looked: float = 0.0
    """The directory's clock before it was listed."""
    content: Aside | None = None
    """What was read of it; None: it is read where it lies."""

    @property
    def small(self) -> bool:
        """It lies in memory."""
        return self.entry.size <= IN_MEMORY

    def close(self) -> None:
        """Let go of its content."""
        _close(self.content)

    @property
    def place(self) -> str:
        """How its rows call it."""
        return f"{self.entry.name}#{self.digest[:16]}"

    @property
    def reference(self) -> str:
        """What its source finds it by when it is settled: place, line 0, and how it looked."""
        return f"{self.entry.name}#{self.digest}:0/{self.entry.size}/{self.entry.modified!r}/{self.looked!r}"


@dataclass(frozen=True)
class Reference:
    """What a reference says: a row of a file, or the file itself.

    The digest of a row's reference is only its beginning, that of a file's is whole.
    """

    name: str
    digest: str
    line: int
    about: tuple[Entry, float] | None = None
    """The file as it was listed, and when; None: it is the reference of a row."""


def referenced(reference: str) -> Reference:
    """The parts of a reference."""
    place, _, line = reference.rpartition(":")
    name, _, digest = place.rpartition("#")
    number, *about = line.split("/")
    if not about:
        return Reference(name, digest, int(number))
    size, modified, looked = about
    return Reference(name, digest, int(number), (Entry(name, int(size), float(modified)), float(looked)))


class Changing(Exception):
    """A file is not, or no longer, the one that was listed: it is still being written, or was taken away."""


class Unusable(Exception):
    """A file cannot be used as a whole.

    Args:
        taken: As far as it is known.
        why: What is wrong with it.
    """

    def __init__(self, taken: Taken, why: AdapterError) -> None:
        super().__init__(why.message)
        self.taken = taken
        self.why = why


class Report:
    """The files of one pass, taken and refused, in little memory."""

    def __init__(self) -> None:
        self._aside = Aside(most=4 << 20)
        self._page: list[TakenFile] = []

    def add(self, file: TakenFile) -> None:
        """Note a file."""
        self._page.append(file)
        if len(self._page) >= 1000:
            self._turn()

    def __iter__(self) -> Iterator[TakenFile]:
        self._turn()
        for page in self._aside.chunks():
            for one in json.loads(page):
                yield TakenFile(**one)

    def close(self) -> None:
        """Forget them."""
        self._aside.close()

    def _turn(self) -> None:
        if self._page:
            self._aside.append(json.dumps([asdict(file) for file in self._page], ensure_ascii=False).encode())
            self._page = []


@dataclass
class Look:
    """One look into the directory.

    Attributes:
        entries: The data files, in the order of their names.
        companions: Size and time of each manifest or marker, by the name of its file.
        strange: Names that are not touched.
        clock: The directory's, before the look.
    """

    entries: list[Entry]
    companions: dict[str, tuple[int, float]]
    strange: list[Strange]
    clock: float

    def each(self) -> Iterator[Entry]:
        """The data files in their order, each let go of when the next one is asked for: there may be very many."""
        self.entries.reverse()
        while self.entries:
            entry = self.entries.pop()
            yield entry
            self.companions.pop(entry.name, None)


class Pickup:
    """The files of one pattern in one directory, as they are chosen.

    Args:
        directory: Where they lie.
        pattern: Their names.
        options: When they may be read.
        in_order: No file may overtake another.
        scratch: Where files are put aside while they are read.
    """

    def __init__(
        self, directory: Directory, pattern: str, options: PickupOptions, *, in_order: bool, scratch: Path | None
    ) -> None:
        self._directory = directory
        self._pattern = plain(pattern)
        self._options = options
        self._in_order = in_order
        self._scratch = scratch
        self._stirred: tuple[int | None, float, str] | None = None

    def look(self, *, only: bool = False) -> Look:
        """What lies in the directory now.

        Args:
            only: Nothing is going to be noted of it; then a server is not asked for its time, which takes a file made
                there, unless the age of files decides.
        """
        clock = 0.0 if only and self._options.complete != "age" else self._directory.clock()
        ending = self._options.companion
        others = (*_OURS, self._options.marker)
        entries: list[Entry] = []
        companions: dict[str, tuple[int, float]] = {}
        strange: list[Strange] = []

        def told(one: Strange) -> None:
            if matches(one.readable, self._pattern) and not (one.readable.endswith(others) or is_told(one.readable)):
                strange.append(one)

        for entry in self._directory.entries("*", told):
            name = entry.name
            if ending and name.endswith(ending) and matches(name[: -len(ending)], self._pattern):
                companions[name[: -len(ending)]] = (entry.size, entry.modified)
            elif matches(name, self._pattern) and not (name.endswith(others) or is_told(name)):
                entries.append(entry)
        entries.sort(key=lambda entry: entry.name)
        return Look(entries, companions, sorted(strange, key=lambda one: one.name), clock)

    def incomplete(self, entry: Entry, look: Look) -> str | None:
        """Why a file may not be read yet; None: it may."""
        options = self._options
        if options.companion:
            if entry.name in look.companions:
                return None
            if len(f"{entry.name}{options.companion}".encode()) > LONGEST_NAME:
                return f"文件名过长，其后放不下 {options.companion}，永远不会完整；由提供方改用短名"
            return f"还没有{'清单' if options.complete == 'manifest' else '完成标记'} {entry.name}{options.companion}"
        quiet = look.clock - entry.modified
        if quiet >= options.age:
            return None
        return f"最近 {max(quiet, 0):.0f} 秒内有改动，满 {options.age:g} 秒没有改动才收取"

    def waiting(self, selection: Selection) -> Iterator[WaitingFile]:
        """What lies there and is not taken yet, and why; nothing is read."""
        look = self.look(only=True)
        for strange in look.strange:
            yield WaitingFile(name=strange.name, size=0, modified=0.0, reason=strange.why.message, refused=True)
        held: str | None = None
        seen = Seen(
            selection.notebook,
            known=selection.after is not None,
            before=(selection.after or {}).get("seen", ()),
            writes=False,
        )
        for entry, note in seen.beside(look.each()):
            known = note is not None and note.seems(entry, look.companions.get(entry.name))
            if known and note is not None and note.reason is None:
                continue
            refused = False
            if known and note is not None and entry.name not in selection.again:
                why, refused = note.reason, True
            else:
                why = self.incomplete(entry, look)
            ready = why is None and held is None
            told = why or ("下次执行时收取" if ready else f"须等 {held}：资源没有版本项，不能越过")
            yield WaitingFile(
                name=entry.name, size=entry.size, modified=entry.modified, reason=told, refused=refused, ready=ready
            )
            if why is not None and self._in_order and held is None:
                held = entry.name

    def stirring(self) -> str:
        """A digest of what lies there by names, sizes and times, without asking for the directory's own time.

        Where the directory tells that no name has come or gone, its files are looked at every few seconds only: a
        file that is written in its place shows then.
        """
        touched, moment = self._directory.touched(), time.time()
        if self._stirred is not None:
            before, listed, digest = self._stirred
            # A name that came within the clock's grain after the look would not show in the time of change.
            if (
                touched == before
                and touched is not None
                and touched / 1e9 < listed - _GRAIN <= moment < listed + _OFTEN
            ):
                return digest
        ending = self._options.companion
        found = [
            (entry.name, entry.size, entry.modified)
            for entry in self._directory.entries("*", lambda _strange: None)
            if matches(entry.name, self._pattern)
            or (ending and entry.name.endswith(ending) and matches(entry.name[: -len(ending)], self._pattern))
        ]
        digest = hashlib.sha256(repr(sorted(found)).encode(errors="surrogateescape")).hexdigest()
        self._stirred = touched, moment, digest
        return digest

    def last(self, look: Look) -> Entry | None:
        """The last complete file."""
        complete = [entry for entry in look.entries if self.incomplete(entry, look) is None]
        return complete[-1] if complete else None

    def take(self, entry: Entry, look: Look, known: Note | None = None) -> Taken:
        """Read a file as far as it must be to know it by its content.

        What lies far is put aside meanwhile, and so is what is small: it is read once. A file whose digest is that of
        a note is answered without another look at its manifest.

        Raises:
            Changing: It is not the file that was listed.
            Unusable: It cannot be read, or is not what its manifest says.
            Unavailable: The directory cannot be reached.
        """
        digest = hashlib.sha256()
        content = None if self._directory.near and entry.size > IN_MEMORY else Aside(self._scratch)
        taken = Taken(entry, "", None, look.clock)
        try:
            size = 0
            for chunk in self._directory.chunks(entry.name):
                size += len(chunk)
                digest.update(chunk)
                if content is not None:
                    content.append(chunk)
            if size != entry.size or not self.still(entry):
                raise Changing  # noqa: TRY301 - what was put aside goes with it
            taken = Taken(entry, digest.hexdigest(), None, look.clock, content)
            if known is not None and known.reason is None and known.digest == taken.digest:
                return taken
            if self._options.complete != "manifest":
                return taken
            return self._held_to(self._manifest(entry.name), taken)
        except Malformed as error:
            _close(content)
            raise Unusable(taken, error) from error
        except (Refused, Misconfigured, Unavailable) as error:
            _close(content)
            # What is no longer there, or not what it was, is no failure of the directory.
            if self.unlike(entry, error):
                raise Changing from error
            if isinstance(error, Refused):
                raise Unusable(taken, error) from error
            raise
        except BaseException:
            _close(content)
            raise

    def told(self, entries: Sequence[Entry]) -> dict[str, str] | None:
        """The digests that the manifests of files say, by their names; a manifest that is gone again says none.

        None: files have no manifests here. A manifest that says nothing usable says an empty text.
        """
        if self._options.complete != "manifest":
            return None

        def use(_number: int, entry: Entry, chunks: Iterator[bytes]) -> str:
            if entry.size > MOST_MANIFEST:
                return ""
            try:
                return _Manifest.of(b"".join(chunks)).sha256.lower()
            except ValidationError:
                return ""

        found = self._directory.visit([manifest_name(entry.name) for entry in entries], use)
        told: dict[str, str] = {}
        for entry, said in zip(entries, found, strict=True):
            if isinstance(said, Unavailable):
                raise said
            if not isinstance(said, Misconfigured):
                told[entry.name] = said if isinstance(said, str) else ""
        return told

    def still(self, entry: Entry) -> bool:
        """Whether a file is as it was listed."""
        return self._directory.about(entry.name) == entry

    def unlike(self, entry: Entry, error: AdapterError) -> bool:
        """Whether an error is explained by a file that is not as it was listed.

        Raises:
            AdapterError: The error itself, where not even that can be asked: then it is the directory's.
        """
        try:
            return not self.still(entry)
        except AdapterError:
            raise error from None

    def _manifest(self, name: str) -> _Manifest:
        place = manifest_name(name)
        content = self._directory.read(place, most=MOST_MANIFEST)
        if content is None:
            raise Changing
        try:
            return _Manifest.of(content)
        except ValidationError as error:
            raise Malformed(f"清单 {place} 不能读取", remedy='写成 {"rows": 行数, "sha256": "文件的摘要"}') from error

    def _held_to(self, manifest: _Manifest, taken: Taken) -> Taken:
        if manifest.sha256.lower() != taken.digest:
            raise Malformed(f"文件 {taken.entry.name} 与清单的摘要不符", remedy="由提供方重新放入文件和清单，清单在后")
        return Taken(taken.entry, taken.digest, manifest.rows, taken.looked, taken.content)


def _close(content: Aside | None) -> None:
    if content is not None:
        content.close()
