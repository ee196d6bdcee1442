"""A place of every kind: what a test must do there beside the port, and what cannot be done there.

A gap is written down with its reason and with the error it must end in; the test still runs, and a gap that
has closed fails it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import sqlalchemy as sa

from adapters.base import OPERATION, REFERENCE, Acknowledgement, Binding, Claim, Endpoint, Manifest, Selection, Sink
from adapters.database.layout import ROW, stage_prefix
from adapters.errors import AdapterError, Misconfigured, Unsupported
from adapters.files.formats.base import text_of
from adapters.files.options import FORMATS, told_by
from adapters.files.stage import frame, frames
from adapters.files.wrapping import wrapping
from adapters.mailbox import pages, write_message
from adapters.memory import forget, store
from adapters.registry import open_endpoint
from adapters.webservice.outbox import Outbox
from exchange.audit import AuditLog
from exchange.checks.normalise import normalise
from exchange.db import HubDatabase, now
from exchange.db.tables import MailRow, MessageRow
from exchange.engine.mailbox import Mailroom, letter_of
from exchange.engine.spool import HubSpool
from exchange.secrets import Keyring, Vault, create_keys
from exchange.service import rows_service, serve
from exchange.settings import Settings
from schemas import Item, profile
from tests.adapters.webservice.receiver import Receiver
from tests.conformance.cases import Case
from tests.exchange.settings.test_model import HUB
from tests.support.openssh import OpenSSHServer

ZONE = "Asia/Shanghai"
_count = itertools.count(1)


@dataclass(frozen=True)
class Gap:
    """Something that cannot be done at a place: how it must end, and why."""

    ends: type[BaseException]
    reason: str


class Place(ABC):
    """One endpoint and the hands of its department."""

    kind: ClassVar[str]
    gaps: ClassVar[Mapping[str, Gap]] = {}
    """Capability or name of a case to the gap."""

    def __init__(self, folder: Path, fixture: Callable[[str], Any]) -> None:
        self.folder = folder
        self.fixture = fixture
        self.closing = ExitStack()
        self.endpoint: Endpoint = self.open()

    @abstractmethod
    def open(self) -> Endpoint:
        """The endpoint."""

    @abstractmethod
    def provide(self, case: Case) -> Binding:
        """Let the rows of a case lie there, by the department's own hands, and say how they are read."""

    def ask(self, case: Case) -> Binding:
        """The same as :meth:`provide`, but so that single rows can be asked for, where they can be at all."""
        return self.provide(case)

    def outbox(self, case: Case) -> Binding:
        """The same as :meth:`provide`, but so that outcomes can be written back."""
        return self.provide(case)

    @abstractmethod
    def steal(self, claim: Claim) -> None:
        """Take one row away from what is staged under a claim."""

    def target(self, items: tuple[Item, ...], case: Case | None = None, **more: Any) -> Binding:
        """A binding that can be delivered to, prepared as its administrator would."""
        names = {item.name: item.name for item in items} | dict(case.columns if case else {})
        given = {"object": self.object_name(case.object if case else ""), "columns": names, "key": ("number",)}
        binding = Binding(**(given | more))
        self.prepare(binding, Case("", items, ()).schema)
        return binding

    def prepare(self, binding: Binding, schema: pa.Schema) -> None:
        """What the administrator does before the first delivery; most places need nothing."""

    def object_name(self, wanted: str) -> str:
        """A name of a table that no other test uses."""
        return f"{wanted or 't'}{next(_count)}"

    def reading(self, binding: Binding) -> Binding:
        """The binding that reads what was delivered under another."""
        return binding

    def answering(self, items: tuple[Item, ...]) -> Binding:
        """A target whose recipient says of each row what became of it."""
        return self.target(items)

    def answer(self, binding: Binding, number: str, reason: str | None) -> None:
        """What the recipient's own system does with a delivered row: used, or not, with a reason."""

    def rows(self, binding: Binding, items: tuple[Item, ...]) -> list[dict[str, Any]]:
        """What can be read there now, typed by the hub's own hand, in the order of the keys."""
        with self.endpoint.source(self.reading(binding)) as source:
            typed = []
            for batch in source.batches(Selection()):
                found = normalise(batch, items, ZONE, key=binding.key, version=binding.version)
                assert found.findings == []
                typed += found.batch.to_pylist()
        return sorted(_without(typed), key=lambda row: str(row["number"]))


class Run:
    """A delivery from beginning to end, under keys of its own."""

    def __init__(self, sink: Sink, schema: pa.Schema, exchange: str | None = None) -> None:
        self.sink = sink
        self.schema = schema
        self.claim = Claim(key=f"plan/{uuid.uuid4().hex}", exchange=exchange or f"E{uuid.uuid4().hex[:12]}", epoch=1)

    def manifest(self, rows: int, **more: Any) -> Manifest:
        """A manifest under the claim; ``epoch`` raises it."""
        claim = replace(self.claim, epoch=more.pop("epoch", self.claim.epoch))
        digest = hashlib.sha256(f"{self.claim.key}{rows}".encode()).hexdigest()
        return Manifest(**({"claim": claim, "digest": digest, "rows": rows, "head": "1:a"} | more))

    def deliver(self, *batches: pa.RecordBatch, **more: Any) -> Acknowledgement:
        """Stage and commit."""
        delivery = self.sink.begin(self.claim, self.schema)
        for batch in batches:
            delivery.stage(batch)
        return delivery.commit(self.manifest(sum(batch.num_rows for batch in batches), **more))


class MemoryPlace(Place):
    """A store of this process."""

    kind = "memory"

    def open(self) -> Endpoint:
        name = uuid.uuid4().hex
        self.closing.callback(forget, name)
        self._store = store(name)
        return open_endpoint(self.kind, {"store": name})

    def prepare(self, binding: Binding, schema: pa.Schema) -> None:
        self.endpoint.install(binding, schema)

    def provide(self, case: Case) -> Binding:
        binding = self.target(case.items, case)
        fields = [case.schema.field(name).with_name(column) for name, column in binding.columns.items()]
        rows = ({column: row.get(name) for name, column in binding.columns.items()} for row in case.rows)
        self._store.create(binding.object, pa.schema(fields), *rows)
        return binding

    def outbox(self, case: Case) -> Binding:
        return replace(self.provide(case), capture="outbox")

    def steal(self, claim: Claim) -> None:
        stage = self._store.stages[claim.key, claim.epoch]
        stage[-1] = stage[-1].slice(1)

    def answer(self, binding: Binding, number: str, reason: str | None) -> None:
        (row,) = [row for row in self._store.tables[binding.object].rows.values() if row.values["number"] == number]
        row.state, row.reason = "done" if reason is None else "failed", reason


class FilesPlace(Place):
    """A directory of this machine, and files of one format in it."""

    kind = "files"
    ending: ClassVar[str] = ".csv"
    gaps: ClassVar[Mapping[str, Gap]] = {
        "merges": Gap(AssertionError, "a file of changes compares nothing: every staged row counts as written"),
    }

    def open(self) -> Endpoint:
        return open_endpoint(self.kind, {"root": str(self.folder)})

    def object_name(self, wanted: str) -> str:
        return f"{super().object_name(wanted)}_*{self.ending}"

    def reading(self, binding: Binding) -> Binding:
        return replace(binding, capture="batches", options={"operation": OPERATION})

    def provide(self, case: Case) -> Binding:
        binding = self.target(case.items, case)
        batch = case.batch.drop_columns([OPERATION])
        content = self.written(binding.object, batch.rename_columns([*binding.columns.values()]))
        name = binding.object.replace("*", "1")
        (self.folder / name).write_bytes(content)
        manifest = {"rows": batch.num_rows, "sha256": hashlib.sha256(content).hexdigest()}
        (self.folder / f"{name}.manifest.json").write_text(json.dumps(manifest))
        return replace(binding, capture="batches")

    def written(self, pattern: str, batch: pa.RecordBatch) -> bytes:
        """The file that its department writes."""
        wrapper, name = told_by(pattern)
        form, around = FORMATS[name], wrapping(wrapper, "rows")
        form.check(batch)
        with closing(form.writer(batch.schema, form.writing(), batch.num_rows)) as writer:
            pieces = [writer.header(), writer.rows(batch), *writer.trailer()]
        return b"".join([*map(around.add, pieces), around.close()])

    def rows(self, binding: Binding, items: tuple[Item, ...]) -> list[dict[str, Any]]:
        """Applies the files one after another, as their receiver would."""
        there: dict[Any, dict[str, Any]] = {}
        reading = self.reading(binding) if binding.capture != "batches" else binding
        with self.endpoint.source(reading) as source:
            for batch in source.batches(Selection()):
                found = normalise(batch, items, ZONE, key=binding.key, version=binding.version)
                assert found.findings == []
                for row in found.batch.to_pylist():
                    there.pop(row["number"], None)
                    if not row[OPERATION]:
                        there[row["number"]] = row
        return sorted(_without([*there.values()]), key=lambda row: str(row["number"]))

    def answer(self, binding: Binding, number: str, reason: str | None) -> None:
        [file] = self.folder.glob(f"{binding.object}.manifest.json")
        receipt = file.with_name(file.name.replace(".manifest.json", ".receipt.json"))
        refused = [] if reason is None else [{"key": {binding.columns["number"]: number}, "reason": reason}]
        receipt.write_text(json.dumps({"state": "stored", "rows": refused}))

    def steal(self, claim: Claim) -> None:
        [part] = self.folder.glob(f".*.{claim.epoch}.part")
        part.write_bytes(b"".join(part.read_bytes().splitlines(keepends=True)[:-1]))


class LinesPlace(FilesPlace):
    """Files of JSON Lines."""

    ending = ".jsonl"


class MadePlace(FilesPlace):
    """Files that cannot be added to: what is staged are rows."""

    def steal(self, claim: Claim) -> None:
        [part] = self.folder.glob(f".*.{claim.epoch}.part")
        *before, last = frames([part.read_bytes()])
        part.write_bytes(b"".join(frame(batch) for batch in [*before, last.slice(0, last.num_rows - 1)]))


class WorkbookPlace(MadePlace):
    """Workbooks."""

    ending = ".xlsx"
    gaps: ClassVar[Mapping[str, Gap]] = {
        **FilesPlace.gaps,
        "a mebibyte": Gap(Unsupported, "a cell takes 32,767 characters"),
    }


class XmlPlace(MadePlace):
    """Packages of XML."""

    ending = ".xml"


class ParquetPlace(MadePlace):
    """Files of Parquet."""

    ending = ".parquet"


class ZippedPlace(MadePlace):
    """CSV in a zip."""

    ending = ".csv.zip"


class SftpPlace(FilesPlace):
    """A directory on an SFTP server, which the department sees as its own."""

    def open(self) -> Endpoint:
        server: OpenSSHServer = self.fixture("openssh_server")
        self.folder = server.new_folder()
        return open_endpoint(self.kind, server.options(self.folder))


class MailboxPlace(Place):
    """A box at a hub that is nothing but a database and a vault."""

    kind = "mailbox"
    gaps: ClassVar[Mapping[str, Gap]] = {
        "merges": Gap(AssertionError, "a letter compares nothing: every staged row counts as written"),
        "settles": Gap(AssertionError, "what became of a message stands with its run"),
        "answers": Gap(AssertionError, "a letter that was fetched is not seen any more"),
    }

    def open(self) -> Endpoint:
        settings = Settings(home=self.folder, hub_department="11321200TE00000104")
        create_keys(settings)
        database = HubDatabase(f"sqlite:///{self.folder / 'hub.db'}")
        database.migrate()
        self.closing.callback(database.close)
        keyring = Keyring(settings)
        self._database = database
        self._vault = Vault(self.folder / "mail", keyring.derive("mail"))
        self._room = Mailroom(database, self._vault, AuditLog(database, keyring, settings))
        return self._room.opened(open_endpoint(self.kind, {}), "box")

    def provide(self, case: Case) -> Binding:
        names = {item.name: case.columns.get(item.name, item.name) for item in case.items}
        columns = [text_of(case.batch.column(item)) for item in names]
        batch = pa.record_batch([*columns, case.batch.column(OPERATION)], names=[*names.values(), OPERATION])
        file = self._room.message_name()
        given = Binding(object=self.object_name(case.object), columns=names, key=("number",), capture="pushed")
        rows = write_message(self._room.post("box"), file, iter([batch]))
        about = {"department": "1", "message": file, "exchange": "E", "endpoint": "box", "digest": "", "kept": True}
        with self._database.transaction() as session:
            row = MessageRow(object=given.object, file=file, rows=rows, received_at=now(session), **about)
            session.add(row)
        return replace(given, options={"message": file})

    def rows(self, binding: Binding, items: tuple[Item, ...]) -> list[dict[str, Any]]:
        """Applies the letters one after another, as the department's programme would."""
        if binding.capture == "pushed":
            return super().rows(binding, items)
        with self._database.reading() as session:
            query = sa.select(MailRow).where(MailRow.object == binding.object).order_by(MailRow.at)
            letters = [letter_of(row) for row in session.scalars(query)]
        there: dict[Any, dict[str, Any]] = {}
        for letter in letters:
            for page in range(0, letter.rows, 2):
                for batch in pages(self._room.post("box"), letter, page, 2):
                    for row in batch.to_pylist():
                        there.pop(row["number"], None)
                        if not row[OPERATION]:
                            there[row["number"]] = row
        return sorted(_without([*there.values()]), key=lambda row: str(row["number"]))

    def steal(self, claim: Claim) -> None:
        post = self._room.post("box")
        last = post.names("letter.")[-1]
        assert last.split(".")[2] == str(claim.epoch)
        [batch] = [each for chunk in post.read(last) for each in pa.ipc.open_stream(chunk)]
        write_message(post, last, iter([batch.slice(1)]))


class WebServicePlace(Place):
    """A SOAP service of this machine."""

    kind = "webservice"
    gaps: ClassVar[Mapping[str, Gap]] = {
        "merges": Gap(AssertionError, "a service is not asked what it holds: every row it takes counts as written"),
        "transactional": Gap(AssertionError, "a service has no transaction of ours"),
        "settles": Gap(AssertionError, "no way of answering is agreed with anybody"),
        "answers": Gap(AssertionError, "a service is not asked what became of rows"),
        "blanks and quotes in names": Gap(Misconfigured, "names of elements have neither blanks nor quotes"),
        "rare characters in names": Gap(Misconfigured, "schemas know the letters of XML 1.0's fourth edition only"),
    }

    def open(self) -> Endpoint:
        settings = Settings(home=self.folder / "home", hub_department=HUB)
        create_keys(settings)
        self._spool = HubSpool(settings.home, Keyring(settings), "receiver")
        self._rows: list[dict[str, str | None]] = []
        return self._receive(("number", "remark"))

    def _receive(self, names: tuple[str, ...]) -> Endpoint:
        self._names = names
        receiver = Receiver(dict.fromkeys(names, "xs:string"), key=names[0])
        server = self.closing.enter_context(serve(receiver))
        receiver.address = server.url
        endpoint = open_endpoint(self.kind, {"url": f"{server.url}?wsdl", "largest": 1 << 28})
        endpoint.spool = self._spool
        return endpoint

    def _serve(self, names: tuple[str, ...]) -> Endpoint:
        def read(cursor: str | None, limit: int) -> tuple[list[dict[str, str | None]], str | None]:
            start = int(cursor or 0)
            return self._rows[start : start + limit], str(start + limit) if start + limit < len(self._rows) else None

        server = self.closing.enter_context(
            serve(rows_service(f"S{next(_count)}", f"urn:x:{next(_count)}", names, read))
        )
        return open_endpoint(self.kind, {"url": f"{server.url}?wsdl"})

    def provide(self, case: Case) -> Binding:
        names = {item.name: case.columns.get(item.name, item.name) for item in case.items}
        self.endpoint = self._serve(tuple(names.values()))
        texts = {column: text_of(case.batch.column(name)).to_pylist() for name, column in names.items()}
        self._rows = [{name: texts[name][row] for name in texts} for row in range(len(case.rows))]
        return Binding(object="Query", columns=names, key=("number",), options={"rows": 3})

    def ask(self, case: Case) -> Binding:
        texts = {item.name: text_of(case.batch.column(item.name)).to_pylist() for item in case.items}
        receiver = Receiver(dict.fromkeys(texts, "xs:string"), key="number")
        receiver.rows = {row["number"]: row for row in pa.table(texts).to_pylist()}
        server = self.closing.enter_context(serve(receiver))
        receiver.address = server.url
        self.endpoint = open_endpoint(self.kind, {"url": f"{server.url}?wsdl"})
        options = {"lookup": {"operation": "Lookup", "key": {"number": "id"}}}
        return Binding(object="Query", columns={name: name for name in texts}, key=("number",), options=options)

    def target(self, items: tuple[Item, ...], case: Case | None = None, **more: Any) -> Binding:
        names = {item.name: item.name for item in items} | dict(case.columns if case else {})
        if tuple(names.values()) != self._names:
            self.endpoint = self._receive(tuple(names.values()))
        pushed = {"message": "messageId", "accepted": "accepted", "duplicate": "duplicate", "refused": "refused"}
        options = {**pushed, "operation": "op", "rows": 2}
        return Binding(**({"object": "Push", "columns": names, "key": ("number",), "options": options} | more))

    def reading(self, binding: Binding) -> Binding:
        return replace(binding, object="Query", options={}) if binding.object == "Push" else binding

    def steal(self, claim: Claim) -> None:
        outbox = Outbox(self._spool)
        [batch] = outbox.batches(claim.key, claim.epoch)
        outbox.add(claim.key, claim.epoch, 0, batch.slice(1))


class DatabasePlace(Place):
    """A front-end database."""

    kind = "database"

    @abstractmethod
    def url(self) -> str:
        """Of the one database that all tests of the session share."""

    def open(self) -> Endpoint:
        parts = sa.make_url(self.url())
        options: dict[str, Any] = {"product": parts.get_backend_name()}
        if parts.host:
            options |= {"host": parts.host, "port": parts.port, "user": parts.username, "database": parts.database}
            options |= {"password": parts.password}
        else:
            options |= {"path": parts.database}
        return open_endpoint(self.kind, options, zone=ZONE)

    def prepare(self, binding: Binding, schema: pa.Schema) -> None:
        self.endpoint.install(binding, schema)

    def provide(self, case: Case) -> Binding:
        binding = self.target(case.items, case)
        # By the port itself: the department's own hands write SQL, which differs by product.
        Run(self.endpoint.sink(binding), case.schema).deliver(case.batch)
        return binding

    def outbox(self, case: Case) -> Binding:
        family = profile("jiangsu")
        assert family.state
        table = sa.Table(
            self.object_name(""),
            sa.MetaData(),
            sa.Column("number", sa.String(40), primary_key=True),
            sa.Column("remark", sa.Text),
            sa.Column(family.state.column, sa.String(1)),
            sa.Column(family.error_text, sa.String(family.error_length)),
            *(sa.Column(name, sa.DateTime) for name in (family.read_at, family.written_at)),
        )
        engine = sa.create_engine(self.url(), poolclass=sa.NullPool)
        with engine.begin() as connection:
            table.create(connection)
            connection.execute(sa.insert(table), list(case.rows))
        columns = {item.name: item.name for item in case.items}
        return Binding(object=table.name, columns=columns, key=("number",), capture="outbox", profile=family)

    def answering(self, items: tuple[Item, ...]) -> Binding:
        return self.target(items, profile=profile("jiangsu"))

    def answer(self, binding: Binding, number: str, reason: str | None) -> None:
        family = profile("jiangsu")
        assert family.state
        assert family.error_text
        said = sa.table(
            binding.object, sa.column("number"), sa.column(family.state.column), sa.column(family.error_text)
        )
        values = {family.state.column: "1" if reason is None else "2", family.error_text: reason}
        with sa.create_engine(self.url(), poolclass=sa.NullPool).begin() as connection:
            connection.execute(sa.update(said).where(said.c.number == number).values(values))

    def steal(self, claim: Claim) -> None:
        engine = sa.create_engine(self.url(), poolclass=sa.NullPool)
        table = sa.Table(f"{stage_prefix(claim.key)}{claim.epoch}", sa.MetaData(), autoload_with=engine)
        with engine.begin() as connection:
            number = connection.execute(sa.select(sa.func.max(table.c[ROW]))).scalar_one()
            connection.execute(sa.delete(table).where(table.c[ROW] == number))


class SQLitePlace(DatabasePlace):
    """A database that is a file."""

    def url(self) -> str:
        return f"sqlite:///{self.folder / 'front.db'}"


class PostgreSQLPlace(DatabasePlace):
    """A database on a server of the one product."""

    def url(self) -> str:
        return str(self.fixture("postgresql_database"))


class MariaDBPlace(DatabasePlace):
    """A database on a server of the other product."""

    gaps: ClassVar[Mapping[str, Gap]] = {
        "an hour that came twice": Gap(
            AssertionError, "a column without zone cannot tell the two apart: the later row is refused"
        ),
        "rare characters in names": Gap(AdapterError, "its names hold no characters beyond the first plane"),
    }

    def url(self) -> str:
        return str(self.fixture("mariadb_database"))


PLACES: dict[str, Mapping[str, type[Place]]] = {
    "memory": {"memory": MemoryPlace},
    "files": {
        "files": FilesPlace,
        "jsonl": LinesPlace,
        "xlsx": WorkbookPlace,
        "xml": XmlPlace,
        "parquet": ParquetPlace,
        "zip": ZippedPlace,
        "sftp": SftpPlace,
    },
    "webservice": {"webservice": WebServicePlace},
    "mailbox": {"mailbox": MailboxPlace},
    "database": {"sqlite": SQLitePlace, "postgresql": PostgreSQLPlace, "mariadb": MariaDBPlace},
}
"""Kind to its places; a kind that is registered and not here fails the collection."""


def _without(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in (OPERATION, REFERENCE)} for row in rows]
