"""Reading a directory of files: what they hold, and what became of it.

Which files are read, and when, is chosen by :mod:`adapters.files.pickup`. A file that cannot be used as a whole is
refused by itself, and the others are read. Its rows are held back until it is known to be usable, as far as a little
memory goes; of a larger one rows have gone ahead when it turns out not to be, and everything is read anew without it,
and from then on each of the large files is read through before the first of its rows is handed over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from adapters.base import (
    DELETE,
    OPERATION,
    PUT,
    REFERENCE,
    Binding,
    Outcome,
    Position,
    Selection,
    Settled,
    Source,
    TakenFile,
    WaitingFile,
)
from adapters.documents import DocumentStore
from adapters.errors import AdapterError, Malformed, Misconfigured, ReadAnew, Refused, Unavailable
from adapters.files.attachments import After, Attachments
from adapters.files.formats.base import Reader, bare
from adapters.files.formats.csv import CsvReading
from adapters.files.formats.document import DocumentReading, header_of
from adapters.files.options import Chosen
from adapters.files.pickup import Changing, Look, Pickup, PickupOptions, Report, Taken, Unusable, referenced
from adapters.files.receipts import hand_back, hub_receipt
from adapters.files.refusals import Refusals, report_name
from adapters.files.seen import GRAIN, Note, Seen
from adapters.files.transports.base import Directory, Entry, fitted
from adapters.files.wrapping import unwrapped

TAKEN = "taken"
UNTAKEN = "文件不能收取，原因见其所在行"
DIGITS, WHOLE = 16, 64
"""Of a digest, in the reference of a row and in that of a file."""
HELD = 8 << 20
"""Bytes of a file's rows that are held back until all of it has been read."""


class SourceOptions(PickupOptions):
    """What a binding may say about files to read.

    Attributes:
        operation: Header of the column that says what to do with a row (I, U or D), if there is one.
    """

    operation: str | None = None


@dataclass
class _Outcomes:
    """What one file is told when it is settled."""

    digest: str
    """Of its content, as far as it is known."""
    rows: int = 0
    refused: dict[int, str] = field(default_factory=dict)
    about: tuple[Entry, float] | None = None
    whole: bool = False
    """It was refused whole."""


class _Passed(NamedTuple):
    """A file that is a row, as it was come by."""

    entry: Entry
    note: Note | None
    """What is noted of it, and to be heeded."""
    companion: tuple[int, float] | None
    new: bool
    """It is to be looked into now."""


class FilesSource(Source):
    """The files of one pattern in one directory.

    Args:
        directory: Where they lie.
        binding: Which, and what of them.
        chosen: Its options.
        scratch: Where files are put aside while they are read.
        store: Where documents go.
    """

    def __init__(
        self,
        directory: Directory,
        binding: Binding,
        chosen: Chosen[SourceOptions],
        scratch: Path | None = None,
        store: DocumentStore | None = None,
    ) -> None:
        self._attachments = Attachments(directory, binding, chosen.options, store)
        self._directory = directory
        self._binding = binding
        self._options = chosen.options
        self._chosen = chosen
        self._in_order = binding.version is None
        self._pickup = Pickup(directory, binding.object, chosen.options, in_order=self._in_order, scratch=scratch)
        self._position: Position | None = None
        self._report = Report()
        self._bad: dict[str, Unusable] = {}
        self._unsteady: set[Entry] = set()

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
        """Read the files that are complete and new, one after another, each whole or not at all.

        Raises:
            ReadAnew: A file of which rows were handed over already cannot be used.
        """
        self._report.close()
        self._report = Report()
        if self._binding.capture == "snapshot":
            self._position = None
            return self._documents(selection) if self._chosen.format.opaque else self._snapshot(selection)
        self._position = {"capture": "batches"} if selection.notebook is not None else None
        return self._documents(selection) if self._chosen.format.opaque else self._new(selection)

    def position(self) -> Position | None:
        """That there is a list of the files seen, in the notebook; a snapshot has no window."""
        return self._position

    def files(self) -> Iterator[TakenFile]:
        """The files of the last pass: those taken, and those that were refused in it."""
        return iter(self._report)

    def waiting(self, selection: Selection) -> Iterator[WaitingFile]:
        """The files that are not taken yet, and why."""
        return self._pickup.waiting(selection)

    def stirring(self) -> str:
        """A digest of the names, sizes and times of the files and of what makes them complete."""
        return self._pickup.stirring()

    def close(self) -> None:
        """Forget the files of the last pass."""
        self._report.close()

    def settle(self, outcomes: Iterable[Outcome], settled: Settled | None = None) -> int:
        """List what was refused beside each file, put the hub's receipt there, then put the file away.

        A file that was refused whole stays. Files that are rows have one receipt together, under the name of the run.
        """
        told: dict[tuple[str, str], _Outcomes] = {}
        for outcome in outcomes:
            place = referenced(outcome.reference)
            one = told.setdefault((place.name, place.digest[:DIGITS]), _Outcomes(place.digest))
            if place.about is None:
                one.rows += 1
            else:
                one.digest, one.about = place.digest, place.about
                one.whole = outcome.reason is not None
            if outcome.reason is not None:
                one.refused[place.line] = outcome.reason
        layout = self._chosen.layout
        encoding = layout.encoding if isinstance(layout, CsvReading) else "utf-8"
        marked = 0
        if self._chosen.format.opaque:
            digests = {name: digest for (name, digest), one in told.items() if not one.refused}
            accepted = list(digests)
            if settled is not None:
                self._receipt(settled.run, None, len(told), len(told) - len(accepted), settled)
            self._attachments.settled(accepted, self._after, TAKEN, self._options.companion, digests)
            told = {place: one for place, one in told.items() if one.refused}
            marked += len(accepted)
        for (name, digest), one in told.items():
            listed = Refusals(self._directory, name, encoding).add(digest, one.refused)
            if self._chosen.format.opaque:
                marked += listed
            else:
                marked += one.rows if self._put_away(name, one, settled) else listed
        return marked

    def header(self) -> tuple[str, ...] | None:
        """The header of the last file, None if there is no file."""
        if isinstance(self._chosen.layout, DocumentReading):
            return header_of(self._chosen.layout.naming)
        entries = self._pickup.look(only=True).entries
        if not entries:
            return None
        name = entries[-1].name
        with closing(self._reader(self._directory.chunks(name), name, ())) as reader:
            return reader.header

    def _snapshot(self, selection: Selection) -> Iterator[pa.RecordBatch]:
        """The last file: without it there is nothing to deliver, so that what is wrong with it is raised."""
        look = self._pickup.look()
        entry = self._pickup.last(look)
        if entry is None:
            return
        try:
            yield from self._whole(self._pickup.take(entry, look), selection.batch_rows)
        except Unusable as error:
            raise error.why from error
        except Changing as error:
            raise Unavailable(f"文件 {entry.name} 在读取期间被改动", remedy="等提供方写完后再试") from error

    def _new(self, selection: Selection) -> Iterator[pa.RecordBatch]:
        look = self._pickup.look()
        for strange in look.strange:
            self._report.add(TakenFile(name=strange.name, size=0, digest="", reason=_words(strange.why)))
        after = selection.after
        seen = Seen(selection.notebook, known=after is not None, before=(after or {}).get("seen", ()))
        barred: TakenFile | None = None
        stopped, behind = False, 0
        for entry, note in seen.beside(look.each()):
            again = entry.name in selection.again
            known = note is not None and note.tells(entry, look.companions.get(entry.name)) and not again
            if note is not None and (known or stopped):
                seen.keep(note)
            if stopped:
                behind += not known
            elif known and note is not None and note.reason is not None:
                barred = TakenFile(name=entry.name, size=entry.size, digest=note.digest, reason=note.reason)
                stopped = self._in_order
            elif not known:
                barred, done = None, False
                if entry not in self._unsteady and self._pickup.incomplete(entry, look) is None:
                    try:
                        old = note or seen.remembered(entry.name)
                        found = yield from self._file(entry, look, None if again else old, selection.batch_rows)
                        seen.write(found)
                        note, done = None, True
                    except Unusable as error:
                        barred, done = self._refused(error), isinstance(error.why, Malformed)
                        if done:
                            seen.write(_note(error.taken, look, barred.reason))
                            note = None
                    except Changing:
                        pass
                if note is not None:
                    seen.keep(note)
                stopped = self._in_order and (barred is not None or not done)
                if barred is not None and not stopped:
                    self._report.add(barred)
        seen.end()
        if stopped and barred is not None:
            held = f"；资源没有版本项，其后 {behind} 个文件须等它" if behind else ""
            self._report.add(replace(barred, reason=f"{barred.reason}{held}"))

    def _documents(self, selection: Selection) -> Iterator[pa.RecordBatch]:
        """Files that are rows themselves: many of them make one batch, and each is refused by its row."""
        look = self._pickup.look()
        for strange in look.strange:
            self._report.add(TakenFile(name=strange.name, size=0, digest="", reason=_words(strange.why)))
        snapshot = self._binding.capture == "snapshot"
        seen = Seen(
            None if snapshot else selection.notebook,
            known=selection.after is not None and not snapshot,
            before=() if snapshot else (selection.after or {}).get("seen", ()),
        )
        passed: list[_Passed] = []
        wanted = 0
        for entry, note in seen.beside(look.each()):
            again = entry.name in selection.again
            companion = look.companions.get(entry.name)
            known = note is not None and note.tells(entry, companion) and not again
            new = not known and self._pickup.incomplete(entry, look) is None
            if new:
                note = None if again else note or seen.remembered(entry.name)
            passed.append(_Passed(entry, note, companion, new))
            wanted += new
            if wanted == selection.batch_rows:
                yield from self._described(passed, look, seen)
                passed, wanted = [], 0
        yield from self._described(passed, look, seen)
        seen.end()

    def _described(self, passed: Sequence[_Passed], look: Look, seen: Seen) -> Iterator[pa.RecordBatch]:
        """The rows of some files, and what is to be noted of all that were passed on the way."""
        notes = [one.note for one in passed if one.new and one.note is not None and one.note.reason is None]
        known: set[tuple[str | int, ...]] = {(note.name, note.size, note.digest) for note in notes}
        entries = [one.entry for one in passed if one.new]
        told = self._pickup.told(entries) if entries else None
        taken, texts, changing = (
            self._attachments.rows(entries, self._naming, known, told) if entries else ([], {}, set[Entry]())
        )
        found = dict(taken)
        for entry, note, companion, new in passed:
            if not new or entry in changing:
                if note is not None:
                    seen.keep(note)
            elif entry not in found and note is not None:
                seen.write(note.seen_as(entry, look.clock))
            else:
                about = (entry.name, entry.size, entry.modified, found[entry], look.clock)
                seen.write(Note(*about) if found[entry] else Note(*about, UNTAKEN, companion))
        for entry, digest in taken:
            reason = None if digest else UNTAKEN
            self._report.add(
                TakenFile(name=entry.name, size=entry.size, digest=digest, rows=1, document=True, reason=reason)
            )
        # What was refused as it is was a row then, and is none again: too many such would stop the run.
        standing = {
            one.entry.name
            for one in passed
            if one.new and one.note is not None and one.note.reason and one.note.seems(one.entry, one.companion)
        }
        fresh = [bool(digest) or entry.name not in standing for entry, digest in taken]
        if any(fresh):
            references = [f"{entry.name}#{digest[:DIGITS]}:1" for entry, digest in taken]
            columns: list[pa.Array] = [texts[header] for header in self._binding.columns.values()]
            columns += [pa.repeat(pa.scalar(PUT, pa.int8()), len(taken)), pa.array(references, pa.string())]
            yield pa.record_batch(columns, schema=self.schema()).filter(pa.array(fresh))

    @property
    def _naming(self) -> str:
        layout = self._chosen.layout
        return layout.naming if isinstance(layout, DocumentReading) else ""

    @property
    def _after(self) -> After:
        return "leave" if self._binding.capture == "snapshot" else self._options.after

    def _named_in(self, name: str, refused: Mapping[int, str]) -> list[str]:
        """The documents that the accepted rows of a data file name."""
        found: list[str] = []
        with closing(self._reader(self._directory.chunks(name), name, self._wanted())) as reader:
            places = self.places(reader.header, name)
            wanted = sorted({places[self._binding.columns[item]] for item in self._binding.documents})
            for lines, batch in reader.batches(wanted):
                kept = pc.invert(pc.is_in(lines, value_set=pa.array(list(refused), pa.int64())))
                for column in batch.columns:
                    found += column.filter(kept).drop_null().to_pylist()
        return found

    def _file(self, entry: Entry, look: Look, known: Note | None, rows: int) -> Generator[pa.RecordBatch, None, Note]:
        """The rows of a file, and then what is to be noted of it.

        Raises:
            Unusable: It cannot be used, and none of its rows was handed over.
            Changing: It is not the file that was listed, and none of its rows was handed over.
            ReadAnew: The same, and some were.
        """
        if entry.name in self._bad and self._bad[entry.name].taken.entry == entry:
            raise self._bad[entry.name]
        taken = self._pickup.take(entry, look, known)
        with closing(taken):
            if known is not None and known.reason is None and known.digest == taken.digest:
                return known.seen_as(entry, look.clock)
            count, size = 0, 0
            held: list[pa.RecordBatch] | None = []
            try:
                if (self._bad or self._unsteady) and not taken.small:
                    for _ in self._whole(taken, rows):
                        pass
                for batch in self._whole(taken, rows):
                    count += batch.num_rows
                    if held is None:
                        yield batch
                        continue
                    held.append(batch)
                    size += batch.nbytes
                    if size > HELD:
                        ready, held = held, None
                        yield from ready
            except Unusable as error:
                if held is None:
                    self._bad[entry.name] = error
                    # Whoever is told that reading begins anew need not know the name.
                    raise ReadAnew("一个文件读到后面才知道不能用，重新读取其余的文件") from error
                raise
            except Changing as error:
                if held is None:
                    self._unsteady.add(entry)
                    raise ReadAnew("一个文件在读取期间被改动，重新读取") from error
                raise
            yield from held or ()
        self._report.add(
            TakenFile(name=entry.name, size=entry.size, digest=taken.digest, rows=count, reference=taken.reference)
        )
        return _note(taken, look)

    def _whole(self, taken: Taken, rows: int) -> Iterator[pa.RecordBatch]:
        """The rows of a file in batches of at most so many.

        Raises:
            Unusable: It is not what it should be.
            Changing: It is not the file that was taken.
        """
        try:
            for batch in self._read(taken):
                for start in range(0, batch.num_rows, rows):
                    yield batch.slice(start, rows)
        except Malformed as error:
            raise Unusable(taken, error) from error
        except (Misconfigured, Refused, Unavailable) as error:
            if self._pickup.unlike(taken.entry, error):
                raise Changing from error
            raise

    def _refused(self, error: Unusable) -> TakenFile:
        taken = error.taken
        return TakenFile(
            name=taken.entry.name,
            size=taken.entry.size,
            digest=taken.digest,
            reason=_words(error.why),
            reference=taken.reference,
        )

    def _reader(self, chunks: Iterable[bytes], name: str, expected: Sequence[str]) -> Reader:
        chosen = self._chosen
        inner = unwrapped(chunks, chosen.wrapper, name, packed=chosen.format.packed)
        return chosen.format.reader(inner, name, chosen.layout, expected)

    def places(self, header: tuple[str, ...], name: str) -> dict[str, int]:
        """Where in a header the bound names stand.

        A header may hold line breaks and blanks that nobody sees: they do not tell names apart.

        Raises:
            Malformed: A name is missing or stands there twice; all of them are listed.
        """
        found: dict[str, list[int]] = {}
        for place, text in enumerate(header):
            found.setdefault(bare(text), []).append(place)
        wanted = self._wanted()
        missing = [text for text in wanted if bare(text) not in found]
        twice = [text for text in wanted if len(found.get(bare(text), ())) > 1]
        if missing or twice:
            problems = [f"缺少列 {text}" for text in missing] + [f"列 {text} 不止一个" for text in twice]
            raise Malformed(f"文件 {name} 的表头{'，'.join(problems)}", remedy="由提供方改正表头，或改正挂接的列名")
        return {text: found[bare(text)][0] for text in wanted}

    def _wanted(self) -> list[str]:
        operation = [self._options.operation] if self._options.operation else []
        return [*self._binding.columns.values(), *self._binding.fixed, *operation, *self._attachments.wanted]

    def _read(self, taken: Taken) -> Iterator[pa.RecordBatch]:
        name = taken.entry.name
        digest = hashlib.sha256()
        chunks = self._hashed(taken, digest)
        with closing(self._reader(chunks, name, self._wanted())) as reader:
            yield from self._read_with(reader, taken, name)
        # What a reader has not asked for, an archive's last bytes for one, is part of the file too.
        for _ in chunks:
            pass
        if digest.hexdigest() != taken.digest:
            raise Changing
        if taken.rows is not None and taken.rows != reader.records:
            raise Malformed(
                f"文件 {name} 有 {reader.records} 行，清单记 {taken.rows} 行", remedy="由提供方重新放入文件和清单"
            )

    def _read_with(self, reader: Reader, taken: Taken, name: str) -> Iterator[pa.RecordBatch]:
        places = self.places(reader.header, name)
        # Two items may be bound to one column, and Arrow reads each column once.
        columns = sorted(set(places.values()))
        within = {text: columns.index(place) for text, place in places.items()}
        for lines, batch in reader.batches(columns):
            yield self._shaped(taken, reader, lines, {text: batch.column(place) for text, place in within.items()})

    def _hashed(self, taken: Taken, digest: hashlib._Hash) -> Iterator[bytes]:
        chunks = self._directory.chunks(taken.entry.name) if taken.content is None else taken.content.chunks()
        for chunk in chunks:
            digest.update(chunk)
            yield chunk

    def _shaped(self, taken: Taken, reader: Reader, lines: pa.Array, texts: Mapping[str, pa.Array]) -> pa.RecordBatch:
        texts = self._attachments.taken(texts)
        columns = [texts[header] for header in self._binding.columns.values()]
        columns.append(self._operations(taken.entry.name, reader, lines, texts))
        columns.append(pc.binary_join_element_wise(taken.place, pc.cast(lines, pa.string()), ":"))
        batch = pa.record_batch(columns, schema=self.schema())
        for header, value in self._binding.fixed.items():
            unread = pc.fill_null(pc.starts_with(texts[header], "\0"), fill_value=False)
            if pc.any(unread).as_py():
                # Whether such a row is meant for us cannot be told, and leaving it out would lose it unseen.
                where = reader.place(lines.filter(unread)[0].as_py())
                raise Malformed(
                    f"文件 {taken.entry.name} {where}的固定值列 {header} 不能读取", remedy="由提供方改正后重新放入"
                )
            mask = pc.fill_null(pc.equal(texts[header], value), fill_value=False)
            texts = {name: column.filter(mask) for name, column in texts.items()}
            lines = lines.filter(mask)
            batch = batch.filter(mask)
        return batch

    def _operations(self, name: str, reader: Reader, lines: pa.Array, texts: Mapping[str, pa.Array]) -> pa.Array:
        if self._options.operation is None:
            return pa.repeat(pa.scalar(PUT, pa.int8()), len(lines))
        words = pc.utf8_upper(pc.utf8_trim_whitespace(texts[self._options.operation]))
        known = pc.is_in(words, value_set=pa.array(["I", "U", "D"]))
        if not pc.all(known).as_py():
            line = lines.filter(pc.invert(known))[0].as_py()
            raise Malformed(
                f"文件 {name} {reader.place(line)}的操作列 {self._options.operation} 不是 I、U 或 D",
                remedy="由提供方改正后重新放入",
            )
        deletes = pc.equal(words, "D")
        return pc.if_else(deletes, pa.scalar(DELETE, pa.int8()), pa.scalar(PUT, pa.int8()))

    def _put_away(self, name: str, one: _Outcomes, settled: Settled | None) -> bool:
        """Put the receipt beside a file that is still the one that was read, and put the file away with what it names.

        The file goes last, after its receipt, its documents and its companion: a repeat finds it.
        """
        if one.whole:
            if settled is not None:
                self._receipt(name, one.digest or None, 0, 0, settled, reason=one.refused[0], listed=name)
            return False
        if settled is None and self._after == "leave":
            return False
        whole = self._same(name, one.digest, one.about)
        if whole is None:
            return False
        folder = self._directory.folder(TAKEN) if self._after == "move" else None
        to = fitted(name, f".{whole}") if folder is not None and folder.exists(name) else name
        if settled is not None:
            self._receipt(to, whole, one.rows, len(one.refused), settled, listed=name)
        if self._after == "leave":
            return False
        if self._attachments:
            self._attachments.settled(self._named_in(name, one.refused), self._after, TAKEN)
        companion = self._options.companion
        if folder is None:
            if companion:
                self._directory.remove(name + companion)
            self._directory.remove(name)
            return True
        if companion and self._directory.exists(name + companion):
            self._directory.rename(name + companion, to + companion, into=folder)
        self._directory.rename(name, to, into=folder)
        return True

    def _receipt(
        self,
        name: str,
        digest: str | None,
        told: int,
        refused: int,
        settled: Settled,
        *,
        reason: str | None = None,
        listed: str = "",
    ) -> None:
        """Put the hub's receipt where what it speaks of goes."""
        refusals = report_name(listed) if listed else "*" + report_name("")
        content = hub_receipt(
            name if listed else self._binding.object,
            digest,
            told=told,
            refused=refused,
            refusals=refusals,
            settled=settled,
            reason=reason,
        )
        folder = self._directory.folder(TAKEN) if self._after == "move" and reason is None else None
        hand_back(self._directory, name, content, into=folder)

    def _same(self, name: str, digest: str, about: tuple[Entry, float] | None) -> str | None:
        """The digest of a file if it is the one that was read; None: it is not, or is gone.

        Where size and time tell, it is not read again.
        """
        found = self._directory.about(name)
        if found is None:
            return None
        if about is not None and len(digest) == WHOLE and found == about[0] and found.modified < about[1] - GRAIN:
            return digest
        content = hashlib.sha256()
        for chunk in self._directory.chunks(name):
            content.update(chunk)
        whole = content.hexdigest()
        return whole if whole.startswith(digest) else None


def _words(why: AdapterError) -> str:
    return f"{why.message}（{why.remedy}）" if why.remedy else why.message


def _note(taken: Taken, look: Look, reason: str | None = None) -> Note:
    entry = taken.entry
    companion = look.companions.get(entry.name) if reason is not None else None
    return Note(entry.name, entry.size, entry.modified, taken.digest, taken.looked, reason, companion)
