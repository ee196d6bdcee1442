"""A table to read from: one snapshot, streamed in batches; and the outcomes written back."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from adapters.base import (
    DELETE,
    OPERATION,
    REFERENCE,
    Binding,
    Cut,
    KeyRange,
    Outcome,
    Position,
    Selection,
    Settled,
    Source,
)
from adapters.database.binding import children_of, table_options, without_children
from adapters.database.capture import Window
from adapters.database.check import source_misfits, watermark_misfits
from adapters.database.children import Child, child_shapes, reading, source_children_misfits
from adapters.database.cutting import CUT, KeyAxis
from adapters.database.dialects.base import Read
from adapters.database.dialects.lines import finished
from adapters.database.difference import Compared, Difference, Notes, Range, runs
from adapters.database.encoding import decoded, encoding_misfits, told
from adapters.database.fit import fitted
from adapters.database.keys import key_text, key_values, row_text, scope_text
from adapters.database.ledger import Ledger
from adapters.database.place import Place
from adapters.database.settle import WriteBack
from adapters.database.shapes import Column, Expression, Reading, TableShape
from adapters.database.watermark import Watermark
from adapters.errors import Malformed, Misconfigured

_LOOKED_UP = 500
"""Keys that one statement asks for."""
DIFFERENCE: Position = {"capture": "diff"}
"""The position after a pass by difference: what it compares with stands in the notebook."""


class DatabaseSource(Source):
    """One table of a department's database, as the hub reads it.

    Args:
        place: The database.
        binding: The table and how it is captured.
    """

    def __init__(self, place: Place, binding: Binding) -> None:
        self._place = place
        self._binding = without_children(binding)
        self._bound = children_of(binding)
        self._order = tuple(binding.columns)
        self._children: list[Child] = []
        self._options = table_options(binding)
        self._connection: sa.Connection | None = None
        self._shape: TableShape | None = None
        self._window: Window | None = None
        self._readings: dict[str, Reading] | None = None
        self._position: Position | None = None
        self._watermark: Watermark | None = None
        self._stream: Iterator[pa.RecordBatch] | None = None
        self._begun = False
        self._within: KeyRange | None = None
        self._asked: tuple[sa.Connection, Read] | None = None
        self._kept = ExitStack()

    def schema(self) -> pa.Schema:
        """Types as the columns declare them, text for columns with values that Arrow cannot carry."""
        connection, window = self._opened()
        return self._promised(self._reading(connection, window, []))

    def batches(self, selection: Selection) -> Iterator[pa.RecordBatch]:
        """Take the snapshot now, unless :meth:`schema` has; stream it as it is asked for."""
        if self._begun:
            self.close()
        connection, window = self._opened()
        self._begun = True
        self._watermark = None
        if selection.within != self._within:
            self._within, self._readings = selection.within, None
            window.within = [] if selection.within is None else self._axis(window).within(selection.within)
        with self._place.translating():
            if self._binding.capture == "watermark":
                self._watermark = self._begin_window(connection, window, selection)
            self._position = window.end(connection, selection.after, self._place.zone)
        self._stream = self._compare(selection) if self._binding.capture == "diff" else self._read(selection)
        return self._stream

    def cut(self, parts: int, *, batch_rows: int) -> Cut | None:
        """Cut the table by its business key, all in one snapshot; see :mod:`adapters.database.cutting`."""
        if self._binding.capture not in CUT or self._bound or self._place.options.encoding is not None:
            return None
        try:
            connection, window = self._opened()
            with self._place.translating():
                axis = self._axis(window)
                if not axis.fit:
                    return None
                position = window.end(connection, None, self._place.zone)
                if self._binding.capture == "watermark":
                    # Nothing was counted yet of the window that closes here: it is read again the next time.
                    position = self._begin_window(connection, window, Selection()).position()
                ranges = axis.cut(connection, window, parts, batch_rows)
        finally:
            self._release()
        return Cut(position, ranges) if len(ranges) > 1 else None

    def _axis(self, window: Window) -> KeyAxis:
        assert self._shape is not None  # noqa: S101
        return KeyAxis(self._place.dialect, self._binding, self._shape, window.table)

    def position(self) -> Position | None:
        """The counter, the last operation batch or the watermark of the snapshot; complete when all is read."""
        return self._position if self._watermark is None else self._watermark.position()

    def settle(self, outcomes: Iterable[Outcome], settled: Settled | None = None) -> int:
        """Status and error text to the rows, refused rows to the error-return table."""
        if self._binding.capture not in ("outbox", "batches"):
            return 0
        return WriteBack(self._place, self._binding).settle(outcomes)

    def buried(self, keys: pa.RecordBatch) -> pa.BooleanArray:
        """Look the keys up among the tombstones, where the place keeps any."""
        place, binding = self._place, self._binding
        found: set[str] = set()
        with place.translating(), place.engine.connect() as connection:
            ledger = Ledger(place.dialect, place.namespace)
            if ledger.missing(connection):
                return super().buried(keys)
            shape = place.shape(connection, binding.object)
            columns = [
                fitted(keys.column(item), shape.columns[binding.columns[item]], place.dialect, place.zone)
                for item in binding.key
            ]
            texts = key_text(columns, binding.key).to_pylist()
            graves = ledger.tombstones.c
            here = graves.object == binding.object, graves.scope == scope_text(binding.fixed)
            for start in range(0, len(texts), _LOOKED_UP):
                part = graves.key_text.in_(texts[start : start + _LOOKED_UP])
                found.update(connection.execute(sa.select(graves.key_text).where(*here, part)).scalars())
        return pa.array([text in found for text in texts], pa.bool_())

    def lookup(self, keys: pa.RecordBatch) -> pa.RecordBatch:
        """Ask for the rows over a connection that is kept; each asking sees the table as it is then."""
        try:
            with self._place.translating():
                if self._asked is None:
                    asked = self._kept.enter_context(self._place.engine.connect())
                    self._asked = asked, self._kept.enter_context(self._place.dialect.repeatedly(asked))
                connection, read = self._asked
                found = self._looked_up(connection, read, keys)
                connection.rollback()
        except BaseException:
            self.close()
            raise
        return found

    def _looked_up(self, connection: sa.Connection, read: Read, keys: pa.RecordBatch) -> pa.RecordBatch:
        if self._shape is None:
            self._shape = self._fitting(connection)
        place, binding = self._place, self._binding
        window = Window(place.dialect, binding, self._shape, self._options.overlap)
        columns = [self._shape.columns[binding.columns[item]] for item in binding.key]
        values = [
            fitted(keys.column(item), column, place.dialect, place.zone).to_pylist()
            for item, column in zip(binding.key, columns, strict=True)
        ]
        named = [
            sa.and_(*(window.table.c[column.name] == value for column, value in zip(columns, row, strict=True)))
            for row in zip(*values, strict=True)
        ]
        conditions = [sa.or_(sa.false(), *named)]
        readings = self._reading(connection, window, conditions)
        rows = sa.select(window.table).where(*window.standing(), *conditions)
        every = [*readings.values(), *_service(window)]
        schema = self._promised(readings)
        batches = [
            pa.RecordBatch.from_arrays(self._legible(arrays), schema=schema) for arrays in read(rows, every, _LOOKED_UP)
        ]
        whole = pa.Table.from_batches(batches, schema=schema).combine_chunks().to_batches()
        return whole[0] if whole else pa.RecordBatch.from_pylist([], schema=schema)

    def close(self) -> None:
        """End the snapshot, and the reading of it if that was given up."""
        stream, self._stream = self._stream, None
        if isinstance(stream, Generator):
            stream.close()
        self._release()
        self._asked = None
        with suppress(sa.exc.SQLAlchemyError):
            self._kept.close()

    def _release(self) -> None:
        self._begun = False
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with suppress(sa.exc.SQLAlchemyError):
                connection.close()

    def _opened(self) -> tuple[sa.Connection, Window]:
        if self._connection is None:
            tables = [child.table for child in self._bound.values()]
            self._connection = self._place.snapshot(self._binding.object, *tables)
        try:
            if self._shape is None or self._window is None:
                with self._place.translating():
                    self._shape = self._fitting(self._connection)
                self._window = Window(self._place.dialect, self._binding, self._shape, self._options.overlap)
        except BaseException:
            self._release()  # not the stream, which may be what is running
            raise
        return self._connection, self._window

    def _begin_window(self, connection: sa.Connection, window: Window, selection: Selection) -> Watermark:
        assert self._shape is not None  # noqa: S101
        return Watermark(
            connection,
            self._place.dialect,
            self._shape.columns[self._options.watermark or ""],
            window,
            self._options,
            zone=self._place.zone,
            after=selection.after,
        )

    def _fitting(self, connection: sa.Connection) -> TableShape:
        shape = self._place.shape(connection, self._binding.object)
        misfits = [*source_misfits(self._binding, shape), *watermark_misfits(self._options, shape)]
        misfits += [
            f"表 {shape.name} 没有按文本读取的列 {each}" for each in self._options.text if each not in shape.columns
        ]
        shapes = child_shapes(self._place, connection, self._bound)
        misfits += source_children_misfits(self._binding, self._bound, shape, shapes)
        encoding = self._place.options.encoding
        misfits += encoding_misfits(encoding, self._binding, sink=False)
        if encoding is not None and not self._place.dialect.keeps_bytes(connection):
            misfits.append("数据库自己知道文字的编码，不能另写选项 encoding")
        if misfits:
            raise Misconfigured(f"{self._place.name}：{'；'.join(misfits)}", remedy="改正挂接")
        self._children = [Child(item, bound, found) for item, bound in self._bound.items() if (found := shapes[item])]
        return shape

    def _reading(
        self, connection: sa.Connection, window: Window, conditions: Sequence[Expression]
    ) -> dict[str, Reading]:
        """How each item is read; what was promised for the whole table stays promised."""
        if self._readings is not None:
            return self._readings
        texts = set(self._options.text)
        try:
            with self._place.translating():
                texts |= self._strange(connection, window, texts, conditions)
        except BaseException:
            self._release()
            raise
        dialect, zone = self._place.dialect, self._place.zone
        readings = {
            item: dialect.reading(column, window.table.c[column.name], zone, as_text=column.name in texts)
            for item, column in self._columns.items()
        }
        assert self._shape is not None  # noqa: S101
        for child in self._children:
            readings[child.item] = reading(self._place, child, self._binding, window.table, self._shape)
        readings = {item: readings[item] for item in self._order}
        if not conditions:
            self._readings = readings
        return readings

    @property
    def _columns(self) -> dict[str, Column]:
        assert self._shape is not None  # noqa: S101
        return {item: self._shape.columns[name] for item, name in self._binding.columns.items()}

    def _promised(self, readings: dict[str, Reading]) -> pa.Schema:
        fields = [pa.field(item, reading.type) for item, reading in readings.items()]
        reserved = [pa.field(OPERATION, pa.int8(), nullable=False), pa.field(REFERENCE, pa.string(), nullable=False)]
        return pa.schema([*fields, *reserved])

    def _strange(
        self, connection: sa.Connection, window: Window, known: set[str], conditions: Sequence[Expression]
    ) -> set[str]:
        """Columns with a value that would make all the others unreadable, found by one look at the table.

        Where only a part of it is read, a look would cost as much again: there all that may have one.
        """
        if self._binding.capture == "journal":
            return set()
        tests = {}
        for column in self._columns.values():
            name = column.name
            test = self._place.dialect.strange(column, window.table.c[name])
            if test is not None and name not in known:
                tests[name] = test
        if not tests or conditions:
            return set(tests)
        standing = window.standing()
        look = sa.select(sa.literal(1)).select_from(window.table).where(sa.or_(*tests.values()), *standing).limit(1)
        if connection.execute(look).first() is None:
            return set()
        each = [sa.func.max(sa.case((test, 1), else_=0)) for test in tests.values()]
        row = connection.execute(sa.select(*each).where(*standing)).one()
        return {name for name, found in zip(tests, row, strict=True) if found}

    def _read(self, selection: Selection) -> Iterator[pa.RecordBatch]:
        connection, window = self._opened()
        mark = self._watermark
        since = window.since(selection.after) if mark is None else mark.conditions()
        readings = self._reading(connection, window, since)
        schema = self._promised(readings)
        rows = sa.select(window.table).where(*window.standing(), *since).order_by(*window.order())
        service = _service(window)
        places = self._own_reference(connection, window, list(readings))
        if places:
            service.pop()
        if mark is not None:
            service.append(Reading(mark.closing(), pa.int8(), pa.int8(), None, "closing"))
        try:
            with self._place.translating():
                every = [*readings.values(), *service]
                for arrays in self._place.dialect.read(connection, rows, every, selection.batch_rows):
                    if mark is not None:
                        mark.counted += pc.sum(arrays.pop().cast(pa.int64())).as_py() or 0
                    if places:
                        arrays.append(row_text([arrays[place] for place in places]))
                    yield pa.RecordBatch.from_arrays(self._legible(arrays), schema=schema)
                last = selection.within is None or selection.within.beyond is None
                if self._binding.capture == "journal" and last:
                    yield from self._graves(connection, selection, readings, schema)
        finally:
            self._release()

    def _own_reference(self, connection: sa.Connection, window: Window, items: list[str]) -> list[int]:
        """Places of the items that a reference can be made of without asking the place; empty: it must be asked."""
        place = self._place
        if not window.refers_by_key or place.options.encoding is not None or place.dialect.keeps_bytes(connection):
            return []
        return [items.index(item) for item in self._binding.key]

    def _legible(self, arrays: list[pa.Array]) -> list[pa.Array]:
        """Texts of another encoding decoded, and a reference that is text whatever the key is."""
        encoding = self._place.options.encoding
        *items, operation, reference = arrays
        if encoding is not None:
            items = [decoded(each, encoding) if pa.types.is_string(each.type) else each for each in items]
        return [*items, operation, told(reference, encoding)]

    def _compare(self, selection: Selection) -> Iterator[pa.RecordBatch]:
        """What differs from the last pass, found by ranges and then by rows; or everything, in a full pass."""
        connection, window = self._opened()
        assert self._shape is not None  # noqa: S101
        question = Difference(self._place.dialect, self._binding, self._shape, window)
        try:
            with self._place.translating():
                notebook = selection.notebook
                notes = Notes(notebook, question.about) if notebook is not None else None
                ranges = notes.ranges if notes is not None else []
                full = notes is None or not ranges or not notes.comparable or not _compares(selection)
                self._position = DIFFERENCE if notebook is not None else None
                differing, within = list(range(len(ranges))), []
                if not full:
                    differing, keyless = question.differing(connection, ranges)
                    within = [question.within(ranges, differing)]
                    if not differing and not keyless and notebook is not None:
                        notebook.keep()
                        return
                compared = Compared(notebook, notes, question.about, differing, everything=full)
                yield from self._compared(question, compared, selection.batch_rows, within, ranges)
        finally:
            self._release()

    def _compared(
        self,
        question: Difference,
        compared: Compared,
        batch_rows: int,
        within: Sequence[Expression],
        ranges: Sequence[Range],
    ) -> Iterator[pa.RecordBatch]:
        connection, window = self._opened()
        readings = self._reading(connection, window, within)
        schema = self._promised(readings)
        rows = sa.select(window.table).where(*window.standing(), *within).order_by(*question.order())
        every = [
            *readings.values(),
            *_service(window),
            Reading(question.digest(), pa.string(), pa.string(), None, "digest"),
            Reading(question.number(ranges), pa.int32(), pa.int32(), None, "range"),
        ]
        waiting = _Batches(schema, batch_rows)
        for arrays in self._place.dialect.read(connection, rows, every, batch_rows):
            *items, digests, numbers = arrays
            batch = pa.RecordBatch.from_arrays(self._legible(items), schema=schema)
            for number, start, length in runs(numbers):
                part = batch.slice(start, length)
                changed, gone = compared.through(number, part.column(REFERENCE), digests.slice(start, length))
                yield from waiting.add(self._gone(gone, readings, schema))
                yield from waiting.add(part.filter(changed))
        yield from waiting.add(self._gone(compared.end(), readings, schema))
        yield from waiting.rest()

    def _gone(self, keys: Sequence[str], readings: dict[str, Reading], schema: pa.Schema) -> pa.RecordBatch:
        if not keys:
            return pa.RecordBatch.from_pylist([], schema=schema)
        batch = self._buried(keys, [None] * len(keys), readings, schema)
        for item in self._binding.key:
            place = schema.get_field_index(item)
            instant = self._columns[item].family == "instant"
            if instant and pa.types.is_string(schema.field(place).type):
                # As a key it is written in UTC, without saying so.
                said = pc.binary_join_element_wise(batch.column(place), "+00:00", "")
                batch = batch.set_column(place, schema.field(place), said)
        return batch

    def _graves(
        self, connection: sa.Connection, selection: Selection, readings: dict[str, Reading], schema: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        """Rows deleted since, or ever in a full pass, whose reader may hold them: key and version, nothing else."""
        graves = Ledger(self._place.dialect, self._place.namespace).tombstones
        query = (
            sa.select(graves.c.key_text, graves.c.version)
            .where(graves.c.object == self._binding.object)
            .order_by(graves.c.key_text)
        )
        if selection.after is not None:
            query = query.where(graves.c.serial > selection.after["serial"])
        if self._binding.fixed:
            query = query.where(graves.c.scope == scope_text(self._binding.fixed))
        result = connection.execution_options(stream_results=True).execute(query)
        for part in result.partitions(selection.batch_rows):
            texts, versions = zip(*part, strict=True)
            yield self._buried(texts, versions, readings, schema)

    def _buried(
        self, texts: Sequence[str], versions: Sequence[str | None], readings: dict[str, Reading], schema: pa.Schema
    ) -> pa.RecordBatch:
        columns = dict(key_values(texts, self._binding.key))
        if self._binding.version is not None and self._binding.version not in columns:
            columns[self._binding.version] = pa.array(versions, pa.string())
        columns[OPERATION] = pa.array([DELETE] * len(texts), pa.int8())
        columns[REFERENCE] = pa.array(texts, pa.string())
        arrays = []
        for field in schema:
            if field.name not in columns:
                arrays.append(pa.nulls(len(texts), field.type))
            elif field.name in readings:
                arrays.append(_again(columns[field.name], readings[field.name]))
            else:
                arrays.append(columns[field.name])
        return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _compares(selection: Selection) -> bool:
    """Whether the last pass was one by difference, and this is not to be a full one."""
    return selection.after is not None and selection.after.get("capture") == DIFFERENCE["capture"]


class _Batches:
    """Rows gathered into batches of a size, whatever pieces they come in."""

    def __init__(self, schema: pa.Schema, size: int) -> None:
        self._schema = schema
        self._size = size
        self._parts: list[pa.RecordBatch] = []
        self._rows = 0

    def add(self, part: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Take rows in; the batches that are full with them."""
        if part.num_rows:
            self._parts.append(part)
            self._rows += part.num_rows
        if self._rows >= self._size:
            yield from self.rest()

    def rest(self) -> Iterator[pa.RecordBatch]:
        """All that was taken in."""
        whole = pa.Table.from_batches(self._parts, schema=self._schema).combine_chunks()
        self._parts, self._rows = [], 0
        yield from whole.to_batches(max_chunksize=self._size)


def _service(window: Window) -> list[Reading]:
    return [
        Reading(window.operation(), pa.int8(), pa.int8(), None, OPERATION),
        Reading(window.reference(), pa.string(), pa.string(), None, REFERENCE),
    ]


def _again(texts: pa.Array, reading: Reading) -> pa.Array:
    try:
        return finished(pc.cast(texts, reading.wire), reading)
    except pa.ArrowInvalid:
        raise Malformed(
            f"删除记号中列 {reading.column} 的值读不出来", remedy="核对挂接的业务主键与交付时一致"
        ) from None
