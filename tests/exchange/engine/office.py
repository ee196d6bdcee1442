"""A department that drops files, three that are granted them, and what each should then find.

The department drops data files of one format, with licences as documents in folders beside them, or documents alone;
some are wrong, some still being written, some put right after they were refused. Recipients: one gets everything with
the documents, into a directory; one those of the best level with the documents, on a server; one everything without the
documents, into a directory. A grant that is revoked is followed by another, with a drop of its own.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import random
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
import xlsxwriter

from catalog import Department, EndpointSpec
from exchange.authorisation import Application
from exchange.hub import Hub
from tests.exchange.engine.drops import code_of, set_messages
from tests.exchange.engine.licences import CODE, COLUMNS, ITEMS, SYNC, pdf
from tests.exchange.engine.town import POLICE, Town, application, publish, resource
from tests.support.openssh import OpenSSHServer
from tests.support.proxy import Line

OPERATION = "操作"
PATTERNS = {
    "csv": "licence_*.csv", "gzip": "licence_*.csv.gz", "jsonl": "licence_*.jsonl", "xml": "licence_*.xml",
    "xlsx": "licence_*.xlsx", "parquet": "licence_*.parquet", "document": "L*.pdf",
}  # fmt: skip
"""What is dropped, and how it is called."""
NAMING = "{number}_{trust_level}_{ver}"
Row = dict[str, str]


class Licence(NamedTuple):
    """A licence as it stands in the library."""

    ver: int
    holder: str
    level: str
    content: bytes | None


@dataclass
class Grant:
    """A grant and its drop."""

    id: str
    root: Path
    documents: bool
    best: bool
    """Licences of level A alone."""
    revoked: bool = False

    @property
    def share(self) -> str:
        """Its exchange."""
        return f"share-{self.id}"


KINDS = ((True, False, "local"), (True, True, "sftp"), (False, False, "local"))
"""Whether the three get documents, only the best, and where."""


def rendered(form: str, rows: list[Row]) -> bytes:
    """A data file."""
    names = [OPERATION, *COLUMNS.values()]
    if form == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    if form == "xml":
        body = "".join(
            "<row>" + "".join(f"<{name}>{escape(row[name])}</{name}>" for name in names) + "</row>" for row in rows
        )
        return f"<?xml version='1.0' encoding='utf-8'?><Package><Head/><Body>{body}</Body></Package>".encode()
    if form == "parquet":
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({name: [row[name] for row in rows] for name in names}), sink)
        return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]
    if form == "xlsx":
        out = io.BytesIO()
        with xlsxwriter.Workbook(out) as book:
            sheet = book.add_worksheet()
            for number, line in enumerate([names, *([row[name] for name in names] for row in rows)]):
                for place, text in enumerate(line):
                    sheet.write_string(number, place, text)
        return out.getvalue()
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(rows)
    content = text.getvalue().encode()
    return gzip.compress(content, mtime=0) if form == "gzip" else content


def broken(form: str, content: bytes) -> bytes:
    """A data file that cannot be used."""
    if form == "csv":
        return content + b'"'
    if form == "jsonl":
        return content + b'{"'
    return content[: len(content) * 2 // 3]


@dataclass
class Office:
    """The drops and what belongs into them.

    Attributes:
        form: What is dropped.
        after: What becomes of what was taken.
        library: What the library should hold, by number.
        taken: What should have been taken: name and digest of each file.
        refused: What lies there and cannot be used: its bytes by its name.
        written: What is still being written: what makes each complete, by name.
    """

    town: Town
    inbox: Path
    form: str
    after: str
    server: OpenSSHServer
    line: Line
    remote: bool
    grants: list[Grant] = field(default_factory=list)
    library: dict[str, Licence] = field(default_factory=dict)
    ever: set[tuple[str, Licence]] = field(default_factory=set)
    """What it ever held."""
    taken: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: dict[str, bytes] = field(default_factory=dict)
    written: dict[str, Callable[[], None]] = field(default_factory=dict)
    mending: dict[str, Callable[[], None]] = field(default_factory=dict)
    """What puts a refused file right."""
    _version: int = 1
    _number: int = 0
    _file: int = 0

    # --- the department's hands ----------------------------------------------------------------

    def drop(self, chance: random.Random, *, late: bool = False) -> None:
        """Finish what was begun and put right what was refused, mostly; then drop some more.

        Args:
            chance: Decides.
            late: What was dropped before may not have been read yet, so that nothing of it is touched.
        """
        for later in () if late else (self.written, self.mending):
            for name in list(later):
                if chance.random() < 0.7:
                    later.pop(name)()
        for _ in range(chance.choice((1, 1, 2, 3))):
            (self._drop_documents if self.form == "document" else self._drop_data)(chance)

    def _drop_data(self, chance: random.Random) -> None:
        kind = chance.choices(("good", "twice", "again", "broken", "lying", "writing"), (50, 12, 8, 12, 6, 12))[0]
        plain = kind in ("good", "twice")
        rows, effects = self._rows(chance, known=plain)
        content = rendered(self.form, rows)
        self._file += 1
        name = PATTERNS[self.form].replace("*", f"{self._file:04}")
        if kind in ("broken", "lying"):
            wrong = broken(self.form, content) if kind == "broken" else content
            self._put(name, wrong, rows=len(rows) + (kind == "lying"))
            self.refused[name] = wrong

            def mend() -> None:
                self._put(name, content, rows=len(rows))
                del self.refused[name]
                self._counts(name, content, effects)

            self.mending[name] = mend
        elif kind == "writing":
            self._write(name, content[: len(content) // 2])

            def finish() -> None:
                self._put(name, content, rows=len(rows))
                self._counts(name, content, effects)

            self.written[name] = finish
        else:
            self._put(name, content, rows=len(rows))
            self._counts(name, content, effects)
            if kind == "twice":
                self._file += 1
                other = PATTERNS[self.form].replace("*", f"{self._file:04}")
                self._put(other, content, rows=len(rows))
                self._counts(other, content, {})
        if kind == "again" and self.form != "document":
            # The same name once more, with other content, but only when the first is known to have been taken.
            rows, effects = self._rows(chance, known=False)
            later = rendered(self.form, rows)

            def replace() -> None:
                self._put(name, later, rows=len(rows))
                self._counts(name, later, effects)

            self.written[name] = replace

    def _rows(self, chance: random.Random, *, known: bool) -> tuple[list[Row], dict[str, Licence | None]]:
        """Rows of a file and what they do; known: of licences that are there already, too."""
        rows: list[Row] = []
        effects: dict[str, Licence | None] = {}
        for _ in range(chance.randrange(2, 7)):
            self._version += 1
            old = chance.choice(sorted(self.library)) if known and self.library and chance.random() < 0.5 else ""
            if old in effects:
                continue
            if old and chance.random() < 0.3:
                was = self.library[old]
                rows.append(self._row("D", old, was.holder, was.level, ""))
                effects[old] = None
                continue
            level = chance.choice("AAB")
            number = old or self._new()
            place, content = self._document(chance)
            holder = f"{number}公司{self._version}"
            rows.append(self._row("U" if old else "I", number, holder, level, place))
            effects[number] = Licence(self._version, holder, level, content)
        if not rows:
            self._version += 1
            number = self._new()
            rows.append(self._row("I", number, "独行", "A", ""))
            effects[number] = Licence(self._version, "独行", "A", None)
        if len(rows) > 2 and chance.random() < 0.3:
            self._version += 1
            self._refused_row(chance, rows)
        return rows, effects

    def _refused_row(self, chance: random.Random, rows: list[Row]) -> None:
        """One whose original must be seen, or whose document is not there: nothing comes of it."""
        if chance.random() < 0.5:
            place, _ = self._document(chance)
            rows.append(self._row("I", self._new(), "无效", "C", place))
        else:
            rows.append(self._row("I", self._new(), "缺件", "A", f"缺{self._version}.pdf"))

    def _row(self, operation: str, number: str, holder: str, level: str, place: str) -> Row:
        values = {
            "number": number, "holder": holder, "trust_level": level, "file": place, "ver": str(self._version),
        }  # fmt: skip
        return {OPERATION: operation, **{COLUMNS[name]: value for name, value in values.items()}}

    def _new(self) -> str:
        self._number += 1
        return f"L{self._number}"

    def _document(self, chance: random.Random) -> tuple[str, bytes | None]:
        """A document put into the drop, or none: large or small, new or known, in a folder or not."""
        kind = chance.random()
        if kind < 0.15:
            return "", None
        content = pdf("同" if kind < 0.3 else f"证照{self._version}")
        if kind > 0.93:
            content += secrets.token_bytes(1) * 3_000_000
        place = chance.choice(("", "证照/", "pdf/")) + f"执照{self._version}.pdf"
        self._write(place, content)
        return place, content

    def _drop_documents(self, chance: random.Random) -> None:
        """Documents that are rows."""
        wrong = 0
        for _ in range(chance.randrange(2, 6)):
            self._version += 1
            kind = chance.choices(("good", "original", "wrong", "writing"), (76, 6, 9, 9))[0]
            wrong += kind in ("original", "wrong")
            if wrong > 2:
                kind = "good"
            old = kind == "good" and self.library and chance.random() < 0.4
            number = chance.choice(sorted(self.library)) if old else self._new()
            level = "C" if kind == "original" else chance.choice("AAB")
            name = f"{number}_{level}_{self._version}.pdf"
            content = pdf("同" if chance.random() < 0.2 else name)
            effects: dict[str, Licence | None] = {number: Licence(self._version, name, level, content)}

            def put(name: str = name, content: bytes = content, effects: dict[str, Licence | None] = effects) -> None:
                self._put(name, content, rows=1)
                self._counts(name, content, effects)

            if kind == "good":
                put()
            elif kind == "original":
                self._put(name, content, rows=1)
                self._counts(name, content, {})
            elif kind == "wrong":
                self._put(name, b"GIF89a", rows=1)
                self.refused[name] = b"GIF89a"

                def mend(name: str = name, put: Callable[[], None] = put) -> None:
                    del self.refused[name]
                    put()

                self.mending[name] = mend
            else:
                self._write(name, content[:7])
                self.written[name] = put
        # Of what is refused too much would stop the run.
        for _ in range(4):
            self._version += 1
            name = f"{(number := self._new())}_B_{self._version}.pdf"
            self._put(name, pdf(name), rows=1)
            self._counts(name, pdf(name), {number: Licence(self._version, name, "B", pdf(name))})

    def _counts(self, name: str, content: bytes, effects: dict[str, Licence | None]) -> None:
        """A file that can be used is complete."""
        self.taken[name, hashlib.sha256(content).hexdigest()] += 1
        for number, licence in effects.items():
            if licence is None:
                self.library.pop(number, None)
            else:
                self.library[number] = licence
                self.ever.add((number, licence))

    def _put(self, name: str, content: bytes, *, rows: int) -> None:
        """A file and then what makes it complete."""
        self._write(name, content)
        if self.form == "document":
            self._write(f"{name}.done", b"")
        else:
            about = {"rows": rows, "sha256": hashlib.sha256(content).hexdigest()}
            self._write(f"{name}.manifest.json", json.dumps(about).encode())

    def _write(self, name: str, content: bytes) -> None:
        """As whoever owns the drop does: at once, under its name."""
        path = self.inbox / name
        owner = self.inbox.stat()
        if not path.parent.exists():
            path.parent.mkdir(mode=0o750)
            os.chown(path.parent, owner.st_uid, owner.st_gid)
        made = self.inbox.parent / f"{secrets.token_hex(4)}.new"
        made.write_bytes(content)
        os.chown(made, owner.st_uid, owner.st_gid)
        made.rename(path)

    # --- grants --------------------------------------------------------------------------------

    def grant(self, number: int) -> Grant:
        """Give one of the three a grant, with a new drop."""
        documents, best, where = KINDS[number]
        name = f"drop{number}-{len(self.grants)}"
        root = self.server.new_folder() if where == "sftp" else self.town.home.parent / name
        root.mkdir(exist_ok=True)
        options = self.remote_options(root) if where == "sftp" else {"root": str(root)}
        code = code_of(number)
        items = [item["name"] for item in ITEMS if documents or not item.get("document")]
        asked = application(
            resource=CODE, department=code, way="file", items=items, masks={}, scope="全部",
            filter={"item": "trust_level", "is": "A"} if best else None,
            target={"endpoint": name, "object": "lic_*.csv", "columns": {each: each for each in items}},
        )  # fmt: skip
        with self.town.hub() as hub:
            spec = EndpointSpec(name=name, department=code, kind="files", options=options)
            hub.registration.put_endpoint(spec, by=self.town.actor("integrator"))
            made = hub.sharing.apply(Application.model_validate(asked), by=self.town.actor(f"clerk{number}"))
            granted = hub.sharing.decide(made, approved=True, reasons=["依法履职"], by=self.town.actor("chief"))
        assert granted is not None
        self.grants.append(Grant(granted, root, documents, best))
        return self.grants[-1]

    def remote_options(self, root: Path) -> dict[str, Any]:
        """Options of an endpoint on the server, over the line that is cut."""
        return self.server.options(root, key="file:drop.key", port=self.line.port, idle=5, connect=5)

    def replace(self) -> None:
        """New grants for those whose grants were revoked."""
        for number in range(len(KINDS)):
            mine = [each for each in self.grants if (each.documents, each.best) == KINDS[number][:2]]
            if all(each.revoked for each in mine):
                self.grant(number)

    # --- what should lie where -----------------------------------------------------------------

    def wanted(self, grant: Grant) -> dict[str, Licence]:
        """What the recipient of a grant should hold."""
        return {
            number: licence if grant.documents else licence._replace(content=None)
            for number, licence in self.library.items()
            if not grant.best or licence.level == "A"
        }

    def misses(self, grant: Grant, rows: dict[str, Licence]) -> dict[str, Any]:
        """What the recipient of a grant holds otherwise than he should, by number: what he has, and should have.

        Files cannot be looked into: what has left the filter of a grant stays with its recipient.
        """
        wanted = self.wanted(grant)
        stays = {(number, each) for number, each in self.ever if grant.best and each.level == "A"}
        return {
            number: (rows.get(number), wanted.get(number))
            for number in sorted(rows.keys() | wanted.keys())
            if rows.get(number) != wanted.get(number) and (number in wanted or (number, rows[number]) not in stays)
        }

    def faults(self) -> Iterator[str]:
        """What is wrong in the provider's drop."""
        yield from _leftovers(self.inbox)
        for name, content in self.refused.items():
            if not (self.inbox / name).exists() or (self.inbox / name).read_bytes() != content:
                yield f"{name}, which was refused, is not where it was"
            report = self.inbox / f"{name}.refused.csv"
            if not report.exists() or report.stat().st_size < 20:
                yield f"no reason lies beside {name}"
        there = {path.name for path in self.inbox.glob(PATTERNS[self.form]) if ".pdf." not in path.name}
        last = {name for name, _ in self.taken}
        if self.after == "leave" and last - there:
            yield f"{sorted(last - there)} should have stayed"
        refused_rows = self.form == "document"
        if (
            self.after != "leave"
            and not refused_rows
            and (left := (there & last) - set(self.refused) - set(self.written))
        ):
            yield f"{sorted(left)} should have been put away"
        if self.after == "move" and not refused_rows:
            digests = Counter(
                hashlib.sha256(path.read_bytes()).hexdigest()
                for path in (self.inbox / "taken").glob("licence_*")
                if not path.name.endswith(".json")
            )
            wanted = Counter(digest for _, digest in self.taken.elements())
            if digests != wanted:
                yield f"{len(digests - wanted)} files too many and {len(wanted - digests)} too few among those taken"


def _leftovers(root: Path) -> Iterator[str]:
    """Hidden names, and what was half made."""
    for path in root.rglob("*"):
        inside = path.relative_to(root).parts
        hidden = inside[0] != ".shutong" and any(part.startswith(".") for part in inside)
        if hidden or path.name.endswith((".part", ".documents")):
            yield f"{path} was left"


def held(grant: Grant) -> tuple[dict[str, Licence], list[str]]:
    """What a recipient holds who applies the files in the order of their names; and what is wrong with them."""
    root, faults = grant.root, [*_leftovers(grant.root)]
    rows: dict[str, Licence] = {}
    seen: Counter[tuple[str, str]] = Counter()
    folders = {path.name for path in root.iterdir() if path.is_dir() and path.name != ".shutong"}
    manifests = {path.name for path in root.glob("lic_*.manifest.json")}
    for path in sorted(root.glob("lic_*.csv")):
        manifests.discard(f"{path.name}.manifest.json")
        about = json.loads((root / f"{path.name}.manifest.json").read_text())
        data = path.read_bytes()
        lines = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
        if (about["sha256"], about["size"], about["rows"]) != (_digest(data), len(data), len(lines)):
            faults.append(f"the manifest of {path.name} is not true")
        listed = {each["name"]: (each["size"], each["sha256"]) for each in about.get("documents", [])}
        inside = {f"{path.stem}/{each.name}": each.read_bytes() for each in (root / path.stem).glob("*")}
        folders.discard(path.stem)
        if listed != {name: (len(content), _digest(content)) for name, content in inside.items()}:
            faults.append(f"the documents of {path.name} are not those of its manifest")
        if {line.get("file") or "" for line in lines} - {""} != set(listed):
            faults.append(f"the documents of {path.name} are not those of its rows")
        for line in lines:
            if line["_operation"] == "D":
                rows.pop(line["number"], None)
                continue
            seen[line["number"], line["ver"]] += 1
            content = inside.get(line["file"]) if line.get("file") else None
            rows[line["number"]] = Licence(int(line["ver"]), line["holder"], line["trust_level"], content)
    if twice := [each for each, many in seen.items() if many > 1]:
        faults.append(f"{twice} came more than once")
    if folders or manifests:
        faults.append(f"{sorted(folders | manifests)} belong to no data file")
    return rows, faults


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def open_office(
    town: Town, server: OpenSSHServer, line: Line, *, form: str, remote: bool, after: str, messages: dict[str, Any]
) -> Office:
    """Register everything and grant it to three."""
    key = town.home / "drop.key"
    key.touch(mode=0o600)
    key.write_text(server.key.read_text())
    inbox = server.new_folder() if remote else town.home.parent / "inbox"
    inbox.mkdir(exist_ok=True)
    set_messages(town, **{"deliveries": 100, **messages})
    office = Office(town, inbox, form, after, server, line, remote)
    file = town.home / "shutong.toml"
    people = [
        f'\n[actors.clerk{number}]\nname = "经办{number}"\ndepartment = "{code_of(number)}"\nroles = ["clerk"]\n'
        for number in range(len(KINDS))
    ]
    file.write_text(file.read_text() + "".join(people))
    with town.hub() as hub:
        _publish(office, hub)
    for number in range(len(KINDS)):
        office.grant(number)
    return office


def _publish(office: Office, hub: Hub) -> None:
    town, by = office.town, office.town.actor("integrator")
    for number in range(len(KINDS)):
        hub.registration.put_department(
            Department(code=code_of(number), name=f"部门{number}", division="321200"), by=by
        )
    options = office.remote_options(office.inbox) if office.remote else {"root": str(office.inbox)}
    hub.registration.put_endpoint(EndpointSpec(name="inbox", department=POLICE, kind="files", options=options), by=by)
    reading: dict[str, Any] = {"after": office.after, "operation": OPERATION}
    columns = COLUMNS
    if office.form == "document":
        columns = {name: name for name in COLUMNS} | {"holder": "name", "file": "document"}
        reading = {"after": office.after, "format": "document", "naming": NAMING, "complete": "marker"}
    offer = {
        "endpoint": "inbox", "object": PATTERNS[office.form], "columns": columns, "capture": "batches",
        "options": reading,
    }  # fmt: skip
    written = resource(
        code=CODE, classes=["102001001"], name="营业执照", abstract="证照及其文件", items=ITEMS, key=["number"],
        formats=["电子文件/PDF"], share_ways=["file"], share_condition="依法履职需要", offer=offer, share_type=2,
    )  # fmt: skip
    publish(town, hub, written)


def library(town: Town) -> dict[str, tuple[int, str, str, str | None]]:
    """What the library holds: version, holder, level and digest of the document."""
    names = ("number", "ver", "holder", "trust_level", "file")
    query = sa.select(*map(sa.column, names)).select_from(sa.table("r_102001001_0001"))
    rows = town.query("library", query)
    assert len({row[0] for row in rows}) == len(rows), "a row twice"
    return {row[0]: (row[1], row[2], row[3], row[4].split(":")[1] if row[4] else None) for row in rows}


__all__ = ["SYNC", "Grant", "Licence", "Office", "held", "library", "open_office"]
