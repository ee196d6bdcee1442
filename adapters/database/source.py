"""A table to read from: one snapshot, streamed in batches; and the outcomes written back."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from adapters.base import DELETE, OPERATION, REFERENCE, Binding, Outcome, Position, Selection, Source
from adapters.database.binding import table_options
from adapters.database.capture import Window
from adapters.database.check import source_misfits
from adapters.database.dialects.lines import finished
from adapters.database.encoding import decoded, encoding_misfits, told
from adapters.database.keys import key_values, scope_text
from adapters.database.ledger import Ledger
from adapters.database.place import Place
from adapters.database.settle import WriteBack
from adapters.database.shapes import Reading, TableShape
from adapters.errors import Malformed, Misconfigured


class DatabaseSource(Source):
    """One table of a department's database, as the hub reads it.

    Args:
        place: The database.
        binding: The table and how it is captured.
    """

    def __init__(self, place: Place, binding: Binding) -> None:
        self._place = place
        self._binding = binding
        self._options = table_options(binding)
        self._connection: sa.Connection | None = None
        self._window: Window | None = None
        self._readings: dict[str, Reading] | None = None
        self._position: Position | None = None
        self._stream: Iterator[pa.RecordBatch] | None = None
        self._begun = False

    def schema(self) -> pa.Schema:
        """Types as the columns declare them, text for columns with values that Arrow cannot carry."""
        readings = self._opened()[2]
        fields = [pa.field(item, reading.type) for item, reading in readings.items()]
        reserved = [pa.field(OPERATION, pa.int8(), nullable=False), pa.field(REFERENCE, pa.string(), nullable=False)]
        return pa.schema([*fields, *reserved])

    def batches(self, selection: Selection) -> Iterator[pa.RecordBatch]:
        """Take the snapshot now, unless :meth:`schema` has; stream it as it is asked for."""
        if self._begun:
            self.close()
        connection, window, _ = self._opened()
        self._begun = True
        with self._place.translating():
            self._position = window.end(connection, selection.after, self._place.zone)
        self._stream = self._read(selection)
        return self._stream

    def position(self) -> Position | None:
        """The counter or the last operation batch of the snapshot."""
        return self._position

    def settle(self, outcomes: Iterable[Outcome]) -> int:
        """Status and error text to the rows, refused rows to the error-return table."""
        if self._binding.capture not in ("outbox", "batches"):
            return 0
        return WriteBack(self._place, self._binding).settle(outcomes)

    def close(self) -> None:
        """End the snapshot, and the reading of it if that was given up."""
        stream, self._stream = self._stream, None
        if isinstance(stream, Generator):
            stream.close()
        self._release()

    def _release(self) -> None:
        self._begun = False
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with suppress(sa.exc.SQLAlchemyError):
                connection.close()

    def _opened(self) -> tuple[sa.Connection, Window, dict[str, Reading]]:
        if self._connection is None or self._window is None or self._readings is None:
            connection = self._place.snapshot()
            self._connection = connection
            try:
                # What was promised once stays promised in the next pass.
                if self._window is None or self._readings is None:
                    with self._place.translating():
                        shape = self._fitting(connection)
                        self._window = Window(self._place.dialect, self._binding, shape, self._options.overlap)
                        self._readings = self._read_as(connection, self._window, shape)
            except BaseException:
                self.close()
                raise
        return self._connection, self._window, self._readings

    def _fitting(self, connection: sa.Connection) -> TableShape:
        shape = self._place.shape(connection, self._binding.object)
        encoding = self._place.options.encoding
        misfits = [*source_misfits(self._binding, shape), *encoding_misfits(encoding, self._binding, sink=False)]
        if encoding is not None and not self._place.dialect.keeps_bytes(connection):
            misfits.append("数据库自己知道文字的编码，不能另写选项 encoding")
        if misfits:
            raise Misconfigured(f"{self._place.name}：{'；'.join(misfits)}", remedy="改正挂接")
        return shape

    def _read_as(self, connection: sa.Connection, window: Window, shape: TableShape) -> dict[str, Reading]:
        columns = {item: shape.columns[name] for item, name in self._binding.columns.items()}
        texts = set(self._options.text)
        if unknown := texts - set(shape.columns):
            raise Misconfigured(f"表 {shape.name} 没有按文本读取的列 {'、'.join(sorted(unknown))}", remedy="改正挂接")
        texts |= self._strange(connection, window, shape, texts)
        dialect, zone = self._place.dialect, self._place.zone
        return {
            item: dialect.reading(column, window.table.c[column.name], zone, as_text=column.name in texts)
            for item, column in columns.items()
        }

    def _strange(self, connection: sa.Connection, window: Window, shape: TableShape, known: set[str]) -> set[str]:
        """Columns with a value that would make all the others unreadable, found by one look at the table."""
        if self._binding.capture == "journal":
            return set()
        tests = {}
        for name in self._binding.columns.values():
            test = self._place.dialect.strange(shape.columns[name], window.table.c[name])
            if test is not None and name not in known:
                tests[name] = sa.func.max(sa.case((test, 1), else_=0))
        if not tests:
            return set()
        row = connection.execute(sa.select(*tests.values()).where(*window.standing())).one()
        return {name for name, found in zip(tests, row, strict=True) if found}

    def _read(self, selection: Selection) -> Iterator[pa.RecordBatch]:
        connection, window, readings = self._opened()
        schema = self.schema()
        rows = (
            sa.select(window.table).where(*window.standing(), *window.since(selection.after)).order_by(*window.order())
        )
        service = [
            Reading(window.operation(), pa.int8(), pa.int8(), None, OPERATION),
            Reading(window.reference(), pa.string(), pa.string(), None, REFERENCE),
        ]
        try:
            with self._place.translating():
                every = [*readings.values(), *service]
                for arrays in self._place.dialect.read(connection, rows, every, selection.batch_rows):
                    yield pa.RecordBatch.from_arrays(self._legible(arrays), schema=schema)
                if self._binding.capture == "journal":
                    yield from self._graves(connection, selection, readings, schema)
        finally:
            self._release()

    def _legible(self, arrays: list[pa.Array]) -> list[pa.Array]:
        """Texts of another encoding decoded, and a reference that is text whatever the key is."""
        encoding = self._place.options.encoding
        *items, operation, reference = arrays
        if encoding is not None:
            items = [decoded(each, encoding) if pa.types.is_string(each.type) else each for each in items]
        return [*items, operation, told(reference, encoding)]

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


def _again(texts: pa.Array, reading: Reading) -> pa.Array:
    try:
        return finished(pc.cast(texts, reading.wire), reading)
    except pa.ArrowInvalid:
        raise Malformed(
            f"删除记号中列 {reading.column} 的值读不出来", remedy="核对挂接的业务主键与交付时一致"
        ) from None
