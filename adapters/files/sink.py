"""Delivering to a directory: one file of changes for each delivery, seen whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import field_validator

from adapters.base import DELETE, OPERATION, REFERENCE, Acknowledgement, Binding, Claim, Delivery, Manifest, Sink
from adapters.errors import Misconfigured, Overtaken, Restored, StageLost, Unbalanced
from adapters.files.formats.csv import CsvReader, Encoding, Layout, encode, header
from adapters.files.ledger import Entry, Ledger
from adapters.files.options import FileOptions
from adapters.files.transports.local import LocalDirectory
from adapters.spool import short

UPDATE, REMOVE = "U", "D"


class SinkOptions(FileOptions):
    """What a binding may say about files to deliver.

    Attributes:
        operation: Header of the column that says what to do with a row: ``U`` put it, ``D`` delete it.
    """

    operation: str = OPERATION

    @field_validator("encoding")
    @classmethod
    def _whole_of_unicode(cls, value: Encoding) -> Encoding:
        if value == "gbk":
            raise ValueError("gbk 写不出生僻字，交付请用 gb18030 或 utf-8")
        return value


class FilesSink(Sink):
    """Files named after one pattern, in one directory."""

    def __init__(self, directory: LocalDirectory, binding: Binding, options: SinkOptions) -> None:
        self._directory = directory
        self._binding = binding
        self._options = options
        self._ledger = Ledger(directory)

    def begin(self, claim: Claim, schema: pa.Schema) -> Delivery:
        """Start a file with its header; what the key staged under lower epochs goes, its intent first."""
        if problems := unbound(self._binding, schema):
            raise Misconfigured("；".join(problems), remedy="改正挂接")
        delivery = FilesDelivery(self._directory, self._ledger, self._binding, self._options, claim, schema)
        delivery.start()
        return delivery

    def resume(self, claim: Claim, schema: pa.Schema) -> Delivery:
        """Take up the file staged under the claim."""
        return FilesDelivery(self._directory, self._ledger, self._binding, self._options, claim, schema)

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


class FilesDelivery(Delivery):
    """One hidden file, until it is given its name."""

    def __init__(
        self,
        directory: LocalDirectory,
        ledger: Ledger,
        binding: Binding,
        options: SinkOptions,
        claim: Claim,
        schema: pa.Schema,
    ) -> None:
        self._directory = directory
        self._ledger = ledger
        self._binding = binding
        self._options = options
        self._layout = Layout(options.encoding, options.delimiter)
        self._claim = claim
        self._items = [name for name in schema.names if name not in (OPERATION, REFERENCE)]
        self._part = f".{short(claim.key)}.{claim.epoch}.part"

    def start(self) -> None:
        """Remove what was staged before under the key, and begin the file."""
        with self._ledger.lock():
            entry = self._ledger.entry(self._claim.key)
            if entry is not None and self._ledger.pending(entry) and entry.epoch <= self._claim.epoch:
                self._ledger.withdraw(entry)
            for name in self._directory.hidden(f"{short(self._claim.key)}."):
                epoch = name.split(".")[2]
                if epoch.isdecimal() and int(epoch) < self._claim.epoch:
                    self._directory.remove(name)
            names = [self._options.operation, *(self._binding.columns[item] for item in self._items)]
            self._directory.begin(self._part, header([*names, *self._binding.fixed], self._layout))

    def stage(self, batch: pa.RecordBatch) -> None:
        """Add a batch to the hidden file; it is on the disk when this returns."""
        if not self._directory.exists(self._part):
            raise Overtaken("暂存文件已被更高纪元的任务清除", remedy="由当前持有租约的任务继续")
        words = pc.if_else(pc.equal(batch.column(OPERATION), DELETE), REMOVE, UPDATE)
        columns = [words, *(batch.column(item) for item in self._items)]
        columns += [pa.repeat(value, batch.num_rows) for value in self._binding.fixed.values()]
        lines = pa.record_batch(columns, names=[str(place) for place in range(len(columns))])
        self._directory.append(self._part, encode(lines, self._layout))

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
        """Remove the hidden file, and before it the intent that speaks of it."""
        with self._ledger.lock():
            entry = self._ledger.entry(self._claim.key)
            if entry is not None and self._ledger.pending(entry):
                if entry.epoch > self._claim.epoch:
                    return
                self._ledger.withdraw(entry)
            self._directory.remove(self._part)

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
        rows, deleted, digest = self._count()
        if rows != manifest.rows:
            raise Unbalanced(f"暂存 {rows} 行，清单记 {manifest.rows} 行", remedy="放弃此次暂存，重新读取")
        entry = Entry(
            key=manifest.claim.key,
            exchange=manifest.claim.exchange,
            epoch=manifest.claim.epoch,
            manifest=manifest.digest,
            head=manifest.head,
            name=self._name(manifest.claim) if rows else "",
            part=self._part,
            rows=rows,
            deleted=deleted,
            sha256=digest,
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

    def _count(self) -> tuple[int, int, str]:
        """Rows, deletions among them and digest, of what lies staged now and not of what was sent."""
        if not self._directory.exists(self._part):
            raise StageLost("暂存文件不在了", remedy="将自动重新读取")
        digest = hashlib.sha256()

        def hashed() -> Iterator[bytes]:
            for chunk in self._directory.chunks(self._part):
                digest.update(chunk)
                yield chunk

        reader = CsvReader(hashed(), self._part, self._layout)
        deleted = sum(pc.sum(pc.equal(batch.column(0), REMOVE)).as_py() or 0 for _, batch in reader.batches([0]))
        return reader.records, deleted, digest.hexdigest()


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
