"""Delivering to a directory: one file of changes for each delivery, seen whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from adapters.base import (
    DELETE,
    OPERATION,
    REFERENCE,
    Acknowledgement,
    Answers,
    Binding,
    Claim,
    Delivery,
    Manifest,
    Recall,
    RecallAnswer,
    RefusedRow,
    Sink,
)
from adapters.documents import DocumentStore
from adapters.errors import (
    AdapterError,
    Misconfigured,
    Overtaken,
    Restored,
    StageLost,
    TooManyRefused,
    Unbalanced,
)
from adapters.files.enclosures import Enclosures, folder_of, in_folder, remove_hidden
from adapters.files.formats.base import Writer
from adapters.files.ledger import Entry, Ledger
from adapters.files.options import Chosen, FileOptions, inner_name
from adapters.files.recalls import put_notice, read_answer
from adapters.files.receipts import answered
from adapters.files.stage import REFUSED, accepted, frame, frames
from adapters.files.transports.base import Directory
from adapters.files.wrapping import wrapping
from adapters.spool import short
from schemas.items import documents

UPDATE, REMOVE = "U", "D"
AT_ONCE = 4 << 20
"""Bytes of a file being made that are brought to the disk at a time."""


class SinkOptions(FileOptions):
    """What a binding may say about files to deliver.

    Attributes:
        operation: Header of the column that says what to do with a row: ``U`` put it, ``D`` delete it.
    """

    operation: str = OPERATION


class FilesSink(Sink):
    """Files named after one pattern, in one directory.

    Args:
        directory: Where they are put.
        binding: How they are called, and their columns.
        chosen: Its options.
        store: Where the documents are that go with them.
    """

    def __init__(
        self,
        directory: Directory,
        binding: Binding,
        chosen: Chosen[SinkOptions],
        store: DocumentStore | None = None,
    ) -> None:
        self._store = store
        self._directory = directory
        self._binding = binding
        self._chosen = chosen
        self._ledger = Ledger(directory)

    def begin(self, claim: Claim, schema: pa.Schema) -> Delivery:
        """Start a file with its header; what the key staged under lower epochs goes, its intent first."""
        if problems := unbound(self._binding, schema):
            raise Misconfigured("；".join(problems), remedy="改正挂接")
        if documents(schema) and self._store is None:
            raise Misconfigured("这里没有文件暂存处，不能交付附件", remedy="由平台执行交换时交付")
        delivery = self._delivery(claim, schema)
        delivery.start()
        return delivery

    def resume(self, claim: Claim, schema: pa.Schema) -> Delivery:
        """Take up the file staged under the claim."""
        return self._delivery(claim, schema)

    def _delivery(self, claim: Claim, schema: pa.Schema) -> FilesDelivery:
        return FilesDelivery(self._directory, self._ledger, self._binding, self._chosen, claim, schema, self._store)

    def settled(self, key: str) -> Acknowledgement | None:
        """What the ledger says of a key; a delivery that was left after its rename is finished first."""
        entry = self._ledger.entry(key)
        if entry is None or entry.closed:
            return entry.acknowledgement() if entry else None
        with self._ledger.lock():
            entry = self._ledger.entry(key)
            if entry is None or self._ledger.pending(entry):
                return None
            return self._ledger.carry_out(entry)

    def epoch(self, exchange: str) -> int:
        """The highest epoch that reached a commit."""
        return self._ledger.progress(exchange).epoch

    def answers(self, stamp: str, *, rows: int) -> Answers | None:
        """What the recipient says of a delivery in the receipt beside its file (接收方回执)."""
        entry = self._ledger.stamped(stamp)
        return None if entry is None else answered(self._directory, entry, self._binding, rows)

    def recall(self, recall: Recall) -> str:
        """Put the notice beside the files; its name."""
        return put_notice(self._directory, self._ledger, recall)

    def recalled(self, recall: str) -> RecallAnswer | None:
        """What the recipient answered to a notice."""
        return read_answer(self._directory, recall)


class FilesDelivery(Delivery):
    """One hidden file, until it is given its name; with documents, a hidden folder beside it."""

    def __init__(
        self,
        directory: Directory,
        ledger: Ledger,
        binding: Binding,
        chosen: Chosen[SinkOptions],
        claim: Claim,
        schema: pa.Schema,
        store: DocumentStore | None = None,
    ) -> None:
        self._enclosures = Enclosures(directory, f".{short(claim.key)}.{claim.epoch}.documents", schema, store)
        self._directory = directory
        self._ledger = ledger
        self._binding = binding
        self._chosen = chosen
        self._claim = claim
        self._items = [name for name in schema.names if name not in (OPERATION, REFERENCE)]
        self._part = f".{short(claim.key)}.{claim.epoch}.part"
        self._schema = self._columns(schema)
        # What can be added to is staged as it will be; of anything else the rows are, and the file is made of them.
        # So are rows with documents, as the name of their folder is known last.
        whole = chosen.format.appends and chosen.wrapper == "none" and not self._enclosures
        self._made = None if whole else f"{self._part[:-5]}.made.part"

    def start(self) -> None:
        """Remove what was staged before under the key, and begin the file."""
        with self._ledger.lock():
            entry = self._ledger.entry(self._claim.key)
            if entry is not None and self._ledger.pending(entry) and entry.epoch <= self._claim.epoch:
                self._ledger.withdraw(entry)
            self._clear(self._claim.epoch - 1)
            self._enclosures.clear()
            begun = b"" if self._made else self._writer(None).header()
            self._directory.begin(self._part, begun)

    def stage(self, batch: pa.RecordBatch) -> None:
        """Add a batch to the hidden file; it is on the disk when this returns."""
        self._standing()
        words = pc.if_else(pc.equal(batch.column(OPERATION), DELETE), REMOVE, UPDATE)
        columns = [words, *(batch.column(item) for item in self._items)]
        columns += [pa.repeat(value, batch.num_rows) for value in self._binding.fixed.values()]
        rows = pa.RecordBatch.from_arrays([pc.cast(words, pa.string()), *columns[1:]], schema=self._schema)
        self._chosen.format.check(rows)
        try:
            rows = self._enclosures.enclosed(rows)
        except AdapterError:
            self._standing()
            raise
        self._directory.append(self._part, frame(rows) if self._made else self._writer(None).rows(rows))

    def _standing(self) -> None:
        if not self._directory.exists(self._part):
            raise Overtaken("暂存文件已被更高纪元的任务清除", remedy="由当前持有租约的任务继续")

    def commit(self, manifest: Manifest) -> Acknowledgement:
        """Intent, rename, manifest, ledger closed: in this order, and from wherever it was left."""
        claim = manifest.claim
        if (claim.key, claim.exchange) != (self._claim.key, self._claim.exchange):
            raise Unbalanced("清单属于另一次交付", remedy="核对交换批次")
        with self._ledger.lock():
            entry = self._ledger.entry(claim.key)
            if entry is not None and entry.manifest != manifest.digest:
                raise Unbalanced("同一交付键已以另一份清单提交", remedy="核对交换批次，不要重用交付键")
            if entry is None or self._ledger.pending(entry):
                self._admit(claim)
            if entry is None:
                entry = self._intend(manifest)
            return self._ledger.carry_out(entry)

    def abort(self) -> None:
        """Remove what was staged under the key, by whichever owner up to this one, and before it the intent."""
        with self._ledger.lock():
            entry = self._ledger.entry(self._claim.key)
            if entry is not None and self._ledger.pending(entry):
                if entry.epoch > self._claim.epoch:
                    return
                self._ledger.withdraw(entry)
            self._clear(self._claim.epoch)
            self._enclosures.clear()

    def _clear(self, epoch: int) -> None:
        """Remove what owners up to an epoch have staged."""
        for name in self._directory.hidden(f"{short(self._claim.key)}."):
            of = name.split(".")[2]
            if of.isdecimal() and int(of) <= epoch:
                remove_hidden(self._directory, name)

    def _admit(self, claim: Claim) -> None:
        progress = self._ledger.progress(claim.exchange)
        if progress.epoch > claim.epoch:
            raise Overtaken("目标目录已见过更高的租约纪元", remedy="由当前持有租约的任务继续")
        if progress.epoch < claim.epoch:
            self._ledger.advance(progress.model_copy(update={"epoch": claim.epoch}))

    def _intend(self, manifest: Manifest) -> Entry:
        previous = manifest.previous and self._ledger.entry(manifest.previous)
        if manifest.previous is not None and (not previous or self._ledger.pending(previous)):
            raise Restored("目标目录没有上一次交付的台账", remedy="确认目录是否被恢复，再重新交付")
        rows, deleted, digest, size, refused, enclosed = self._count()
        if rows != manifest.rows:
            raise Unbalanced(f"暂存 {rows} 行，清单记 {manifest.rows} 行", remedy="放弃此次暂存，重新读取")
        if manifest.tolerable is not None and len(refused) > manifest.tolerable:
            raise TooManyRefused(
                f"{len(refused)} 行的附件不能交付，超过容许", remedy="请提供方重新报送附件", refused=refused
            )
        rows -= len(refused)
        name = self._name(manifest.claim) if rows else ""
        folder = folder_of(name) if enclosed else ""
        if self._made and rows:
            digest, size = self._make(self._made, name, rows, folder)
        entry = Entry(
            key=manifest.claim.key,
            exchange=manifest.claim.exchange,
            epoch=manifest.claim.epoch,
            manifest=manifest.digest,
            head=manifest.head,
            name=name,
            part=self._made or self._part,
            stage=self._part if self._made else "",
            rows=rows,
            deleted=deleted,
            sha256=digest,
            size=size,
            columns=tuple(_told(field) for field in self._schema),
            schema_version=manifest.schema_version,
            hidden=self._enclosures.name if enclosed else "",
            folder=folder,
            refused=tuple((row.row, row.rule, row.reason) for row in refused),
            at=datetime.now(UTC),
            closed=rows == 0,
        )
        self._ledger.put(entry)
        return entry

    def _name(self, claim: Claim) -> str:
        # Numbered, because whoever takes the files applies them in the order of their names.
        progress = self._ledger.progress(claim.exchange)
        progress = progress.model_copy(update={"files": progress.files + 1})
        self._ledger.advance(progress)
        return self._binding.object.replace("*", f"{short(claim.exchange)[:6]}-{progress.files:08d}-{short(claim.key)}")

    def _columns(self, schema: pa.Schema) -> pa.Schema:
        """The columns of the file, each with the type of its item."""
        bound = [(self._binding.columns.get(item, item), schema.field(item)) for item in self._items]
        return pa.schema(
            [
                pa.field(self._chosen.options.operation, pa.string()),
                *(pa.field(name, field.type, metadata=field.metadata) for name, field in bound),
                *(pa.field(name, pa.string()) for name in self._binding.fixed),
            ]
        )

    def _writer(self, rows: int | None) -> Writer:
        return self._chosen.format.writer(self._schema, self._chosen.layout, rows)

    def _make(self, made: str, name: str, rows: int, folder: str) -> tuple[str, int]:
        """Make the file of what is staged; answers its digest and size."""
        writer, around = self._writer(rows), wrapping(self._chosen.wrapper, inner_name(name))
        digest = hashlib.sha256()

        def pieces() -> Iterator[bytes]:
            with closing(writer):
                yield around.add(writer.header())
                for batch in frames(self._directory.chunks(self._part)):
                    yield around.add(writer.rows(in_folder(accepted(batch), folder)))
                for piece in writer.trailer():
                    yield around.add(piece)
            yield around.close()

        self._directory.begin(made, b"")
        size = 0
        for content in gathered(pieces(), AT_ONCE):
            digest.update(content)
            size += len(content)
            self._directory.append(made, content)
        return digest.hexdigest(), size

    def _count(self) -> tuple[int, int, str, int, tuple[RefusedRow, ...], bool]:
        """What lies staged now and not was sent.

        Returns:
            Rows, deletions among them, digest, size, what is refused, and whether documents go with the others.
        """
        if not self._directory.exists(self._part):
            raise StageLost("暂存文件不在了", remedy="将自动重新读取")
        digest = hashlib.sha256()
        size = rows = deleted = 0

        def hashed() -> Iterator[bytes]:
            nonlocal size
            for chunk in self._directory.chunks(self._part):
                digest.update(chunk)
                size += len(chunk)
                yield chunk

        refused: list[RefusedRow] = []
        enclosed = False
        for words, reasons, several in self._words(hashed()):
            if reasons is not None and reasons.null_count < len(reasons):
                told = enumerate(reasons.to_pylist(), rows)
                refused += [RefusedRow(row, "document", reason) for row, reason in told if reason is not None]
            rows += len(words)
            deleted += pc.sum(pc.equal(words, REMOVE)).as_py() or 0
            enclosed = enclosed or several > 0
        return rows, deleted, digest.hexdigest(), size, tuple(refused), enclosed

    def _words(self, chunks: Iterable[bytes]) -> Iterator[tuple[pa.StringArray, pa.StringArray | None, int]]:
        """What each staged row says is to be done with it, why it is not delivered, and how many documents go along."""
        if self._made:
            for batch in frames(chunks):
                told = accepted(batch)
                several = sum(len(told) - told.column(name).null_count for name in documents(told.schema))
                yield batch.column(0), batch.column(REFUSED) if REFUSED in batch.schema.names else None, several
            return
        chosen = self._chosen
        told = chosen.layout.model_dump(include=set(chosen.format.reading.model_fields))
        with closing(chosen.format.reader(chunks, self._part, chosen.format.reading.model_validate(told))) as reader:
            if reader.header:
                yield from ((batch.column(0), None, 0) for _, batch in reader.batches([0]))


def gathered(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of at least so many: each is brought to the disk by itself."""
    held = bytearray()
    for piece in pieces:
        held += piece
        if len(held) >= size:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


def _told(field: pa.Field) -> dict[str, str]:
    """What the manifest says of a column."""
    about = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    told = {"name": field.name, "type": about.get("type", "C"), "label": about.get("label", "")}
    return told | ({"document": "true"} if "document" in about else {})


def unbound(binding: Binding, schema: pa.Schema) -> list[str]:
    """The items to deliver that have no column."""
    names = [name for name in schema.names if name not in (OPERATION, REFERENCE)]
    return [f"信息项 {name} 没有挂接到列" for name in names if name not in binding.columns]


def check_pattern(pattern: str) -> str:
    """What is wrong with the name a sink's files are made of; empty: nothing."""
    if pattern.count("*") != 1 or any(sign in pattern for sign in "?[]/") or pattern.startswith((".", "*")):
        return f"文件名 {pattern!r} 应含一个 *，其处填入交付序号，例如 licence_*.csv"
    return ""


def checked(binding: Binding, options: SinkOptions) -> None:
    """Refuse a binding that cannot make a file.

    Raises:
        Misconfigured: listing all that is wrong.
    """
    names = [options.operation, *binding.columns.values(), *binding.fixed]
    twice = sorted({name for name in names if names.count(name) > 1})
    problems = [check_pattern(binding.object)] + [f"列名 {name} 用了不止一次" for name in twice]
    if any(problems):
        raise Misconfigured("；".join(filter(None, problems)), remedy="改正挂接")
