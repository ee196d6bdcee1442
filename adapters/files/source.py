"""Reading a directory of files: which are complete, which are new, what they hold, what became of it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapters.base import DELETE, OPERATION, PUT, REFERENCE, Binding, Outcome, Position, Selection, Source
from adapters.errors import Malformed, Unavailable
from adapters.files.formats.csv import CsvReader, Layout
from adapters.files.ledger import manifest_name
from adapters.files.options import FileOptions
from adapters.files.refusals import Refusals, report_name
from adapters.files.transports.local import Entry, LocalDirectory

TAKEN = "taken"
REMEMBERED = 4096
"""How many files that are no longer there stay remembered, the latest by name."""


class SourceOptions(FileOptions):
    """What a binding may say about files to read.

    Attributes:
        null: The text that means null where it is not quoted.
        operation: Header of the column that says what to do with a row (I, U or D), if there is one.
        complete: When a file may be read: it has a manifest, a marker beside it, or has not changed for a while.
        marker: What a marker's name adds to the file's.
        age: Seconds without change, for ``complete: age``.
        move: Whether a file that was read goes to the folder ``taken``; a snapshot always stays.
    """

    null: str = ""
    operation: str | None = None
    complete: Literal["manifest", "marker", "age"] = "manifest"
    marker: str = Field(".done", min_length=1, max_length=32, pattern=r"^[^/\x00]+$")
    age: float = Field(60.0, ge=0)
    move: bool = True


class _Manifest(BaseModel):
    """What is used of a file's manifest (清单); further entries belong to others."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    rows: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-fA-F]{64}$")


@dataclass(frozen=True)
class _Taken:
    """A file chosen for reading, known by its content."""

    entry: Entry
    digest: str
    rows: int | None

    @property
    def remembered(self) -> list[str | int]:
        return [self.entry.name, self.entry.size, self.digest]


class FilesSource(Source):
    """The files of one pattern in one directory."""

    def __init__(self, directory: LocalDirectory, binding: Binding, options: SourceOptions) -> None:
        self._directory = directory
        self._binding = binding
        self._options = options
        self._layout = Layout(options.encoding, options.delimiter, options.null)
        self._position: Position | None = None

    def schema(self) -> pa.Schema:
        """Text throughout: a file vouches for no type."""
        return pa.schema(
            [
                *(pa.field(item, pa.string()) for item in self._binding.columns),
                pa.field(OPERATION, pa.int8(), nullable=False),
                pa.field(REFERENCE, pa.string(), nullable=False),
            ]
        )

    def batches(self, selection: Selection) -> Iterator[pa.RecordBatch]:
        """Choose the files now; read them one after another."""
        if self._binding.capture == "snapshot":
            chosen = self._last()
            self._position = None
        else:
            known = list((selection.after or {}).get("seen", ()))
            chosen = self._unseen(known)
            self._position = {"seen": self._remember(known + [taken.remembered for taken in chosen])}
        return self._read_all(chosen, selection.batch_rows)

    def position(self) -> Position | None:
        """The files seen so far, by name, size and digest; a snapshot has no window."""
        return self._position

    def settle(self, outcomes: Iterable[Outcome]) -> int:
        """List the refused lines beside each file, then move the file away."""
        told: dict[tuple[str, str], tuple[int, dict[int, str]]] = {}
        for outcome in outcomes:
            place, _, line = outcome.reference.rpartition(":")
            name, _, digest = place.rpartition("#")
            count, refused = told.get((name, digest), (0, {}))
            if outcome.reason is not None:
                refused[int(line)] = outcome.reason
            told[name, digest] = (count + 1, refused)
        marked = 0
        for (name, digest), (count, refused) in told.items():
            listed = Refusals(self._directory, name, self._options.encoding).add(digest, refused)
            marked += count if self._move(name, digest) else listed
        return marked

    def header(self) -> tuple[str, ...] | None:
        """The header of the last file, None if there is no file."""
        entries = self._entries()
        if not entries:
            return None
        name = entries[-1].name
        return CsvReader(self._directory.chunks(name), name, self._layout).header

    def places(self, header: tuple[str, ...], name: str) -> dict[str, int]:
        """Where in a header the bound names stand.

        A header may hold line breaks and blanks that nobody sees: they do not tell names apart.

        Raises:
            Malformed: A name is missing or stands there twice; all of them are listed.
        """
        found: dict[str, list[int]] = {}
        for place, text in enumerate(header):
            found.setdefault(_bare(text), []).append(place)
        wanted = [*self._binding.columns.values(), *self._binding.fixed]
        if self._options.operation:
            wanted.append(self._options.operation)
        missing = [text for text in wanted if _bare(text) not in found]
        twice = [text for text in wanted if len(found.get(_bare(text), ())) > 1]
        if missing or twice:
            problems = [f"缺少列 {text}" for text in missing] + [f"列 {text} 不止一个" for text in twice]
            raise Malformed(f"文件 {name} 的表头{'，'.join(problems)}", remedy="由提供方改正表头，或改正挂接的列名")
        return {text: found[_bare(text)][0] for text in wanted}

    def _entries(self) -> list[Entry]:
        companions = (".manifest.json", report_name(""), self._options.marker)
        return [entry for entry in self._directory.listing(self._binding.object) if not entry.name.endswith(companions)]

    def _complete(self, entry: Entry) -> bool:
        match self._options.complete:
            case "manifest":
                return self._directory.exists(manifest_name(entry.name))
            case "marker":
                return self._directory.exists(entry.name + self._options.marker)
            case _:
                return time.time() - entry.modified >= self._options.age

    def _last(self) -> list[_Taken]:
        complete = [entry for entry in self._entries() if self._complete(entry)]
        return [self._taken(complete[-1])] if complete else []

    def _unseen(self, known: list[list[str | int]]) -> list[_Taken]:
        seen = {tuple(one) for one in known}
        chosen = []
        for entry in self._entries():
            if not self._complete(entry):
                if self._binding.version is None:
                    # The last read wins: a later file must not overtake one that is still being written.
                    break
                continue
            taken = self._taken(entry)
            if tuple(taken.remembered) not in seen:
                chosen.append(taken)
        return chosen

    def _taken(self, entry: Entry) -> _Taken:
        manifest = self._manifest(entry.name) if self._options.complete == "manifest" else None
        digest = hashlib.sha256()
        for chunk in self._directory.chunks(entry.name):
            digest.update(chunk)
        if manifest is not None and manifest.sha256.lower() != digest.hexdigest():
            raise Malformed(f"文件 {entry.name} 与清单的摘要不符", remedy="由提供方重新放入文件和清单，清单在后")
        return _Taken(entry, digest.hexdigest(), manifest.rows if manifest else None)

    def _manifest(self, name: str) -> _Manifest:
        place = manifest_name(name)
        content = self._directory.read(place)
        try:
            return _Manifest.model_validate_json(content or b"")
        except ValidationError as error:
            raise Malformed(f"清单 {place} 不能读取", remedy='写成 {"rows": 行数, "sha256": "文件的摘要"}') from error

    def _remember(self, seen: list[list[str | int]]) -> list[list[str | int]]:
        present = {entry.name for entry in self._entries()}
        gone = sorted((one for one in seen if one[0] not in present), key=lambda one: str(one[0]))[-REMEMBERED:]
        return gone + [one for one in seen if one[0] in present]

    def _read_all(self, chosen: list[_Taken], size: int) -> Iterator[pa.RecordBatch]:
        for taken in chosen:
            for batch in self._read(taken):
                for start in range(0, batch.num_rows, size):
                    yield batch.slice(start, size)

    def _read(self, taken: _Taken) -> Iterator[pa.RecordBatch]:
        name = taken.entry.name
        digest = hashlib.sha256()
        reader = CsvReader(self._hashed(name, digest), name, self._layout)
        places = self.places(reader.header, name)
        # Two items may be bound to one column, and Arrow reads each column once.
        columns = sorted(set(places.values()))
        within = {text: columns.index(place) for text, place in places.items()}
        for lines, batch in reader.batches(columns):
            yield self._shaped(taken, lines, {text: batch.column(place) for text, place in within.items()})
        if digest.hexdigest() != taken.digest:
            raise Unavailable(f"文件 {name} 在读取期间被改动", remedy="等提供方写完后再试")
        if taken.rows is not None and taken.rows != reader.records:
            raise Malformed(
                f"文件 {name} 有 {reader.records} 行，清单记 {taken.rows} 行", remedy="由提供方重新放入文件和清单"
            )

    def _hashed(self, name: str, digest: hashlib._Hash) -> Iterator[bytes]:
        for chunk in self._directory.chunks(name):
            digest.update(chunk)
            yield chunk

    def _shaped(self, taken: _Taken, lines: pa.Array, texts: Mapping[str, pa.Array]) -> pa.RecordBatch:
        place = f"{taken.entry.name}#{taken.digest[:16]}"
        columns = [texts[header] for header in self._binding.columns.values()]
        columns.append(self._operations(taken.entry.name, lines, texts))
        columns.append(pc.binary_join_element_wise(place, pc.cast(lines, pa.string()), ":"))
        batch = pa.record_batch(columns, schema=self.schema())
        for header, value in self._binding.fixed.items():
            mask = pc.fill_null(pc.equal(texts[header], value), fill_value=False)
            texts = {name: column.filter(mask) for name, column in texts.items()}
            batch = batch.filter(mask)
        return batch

    def _operations(self, name: str, lines: pa.Array, texts: Mapping[str, pa.Array]) -> pa.Array:
        if self._options.operation is None:
            return pa.repeat(pa.scalar(PUT, pa.int8()), len(lines))
        words = pc.utf8_upper(pc.utf8_trim_whitespace(texts[self._options.operation]))
        known = pc.is_in(words, value_set=pa.array(["I", "U", "D"]))
        if not pc.all(known).as_py():
            line = lines.filter(pc.invert(known))[0].as_py()
            raise Malformed(
                f"文件 {name} 第 {line} 行的操作列 {self._options.operation} 不是 I、U 或 D",
                remedy="由提供方改正后重新放入",
            )
        deletes = pc.equal(words, "D")
        return pc.if_else(deletes, pa.scalar(DELETE, pa.int8()), pa.scalar(PUT, pa.int8()))

    def _move(self, name: str, digest: str) -> bool:
        """Move a file that is still the one that was read, its companion first: a repeat finds the file."""
        if not self._options.move or self._binding.capture == "snapshot" or not self._directory.exists(name):
            return False
        content = hashlib.sha256()
        for chunk in self._directory.chunks(name):
            content.update(chunk)
        if content.hexdigest()[:16] != digest:
            return False
        folder = self._directory.folder(TAKEN)
        to = f"{name}.{digest}" if folder.exists(name) else name
        companions = {"manifest": manifest_name(""), "marker": self._options.marker, "age": ""}
        companion = companions[self._options.complete]
        if companion and self._directory.exists(name + companion):
            self._directory.rename(name + companion, to + companion, into=folder)
        self._directory.rename(name, to, into=folder)
        return True


def _bare(text: str) -> str:
    return "".join(text.split())
