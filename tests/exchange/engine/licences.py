"""Licences with their files: the police drop them, the hub collects them, two recipients get them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from catalog import EndpointSpec
from exchange.hub import Hub
from tests.exchange.engine.town import POLICE, TAX, Town, grant, publish, resource

CODE = "102001001/0001"
SYNC = "sync-102001001-0001"
ITEMS = (
    {"name": "number", "label": "证照编号", "type": "C", "length": 64, "mandatory": True},
    {"name": "holder", "label": "持证单位", "type": "C", "length": 200, "mandatory": True},
    {"name": "trust_level", "label": "可信等级", "type": "C", "length": 1, "mandatory": True,
     "code_list": "licence_trust_level"},
    {"name": "file", "label": "证照文件", "type": "G", "document": True},
    {"name": "ver", "label": "数据版本", "type": "I", "mandatory": True},
)  # fmt: skip
COLUMNS = {"number": "编号", "holder": "单位", "trust_level": "等级", "file": "文件", "ver": "版本"}


def pdf(text: str) -> bytes:
    """A file that begins as a PDF does."""
    return b"%PDF-1.7\n" + text.encode() + b"\n%%EOF\n"


@dataclass
class Licences:
    """The drops, and what was dropped.

    Attributes:
        town: Where all this happens.
        root: The police's drop.
        out: The drop of who was granted the files.
        plain: The drop of who was not.
        shares: The two exchanges.
        told: Row and content by number, as the police last dropped them.
    """

    town: Town
    root: Path
    out: Path
    plain: Path
    shares: tuple[str, str] = ("", "")
    told: dict[str, tuple[dict[str, str], bytes | None]] = field(default_factory=dict)
    _drops: int = 0

    def row(self, number: str, name: str, *, level: str = "A", version: int = 1) -> dict[str, str]:
        """A row of the data file."""
        return {"编号": number, "单位": f"{number}公司", "等级": level, "文件": name, "版本": str(version)}

    def drop(self, *licences: tuple[dict[str, str], bytes | None]) -> str:
        """Put documents, then a data file that names them, then its manifest."""
        for row, content in licences:
            if content is not None:
                path = self.root / row["文件"]
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
        self._drops += 1
        name = f"licence_{self._drops:03d}.csv"
        out = io.StringIO(newline="")
        writer = csv.DictWriter(out, list(COLUMNS.values()))
        writer.writeheader()
        writer.writerows(row for row, _ in licences)
        data = out.getvalue().encode()
        (self.root / name).write_bytes(data)
        about = {"rows": len(licences), "sha256": hashlib.sha256(data).hexdigest()}
        (self.root / f"{name}.manifest.json").write_text(json.dumps(about))
        for row, content in licences:
            self.told[row["编号"]] = (row, content)
        return name

    def delivered(self, root: Path) -> dict[str, tuple[dict[str, str], bytes | None]]:
        """What lies in a recipient's drop, every manifest proven, by number; later files stand for earlier ones."""
        found: dict[str, tuple[dict[str, str], bytes | None]] = {}
        files = sorted(root.glob("lic_*.csv"))
        folders = {path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")}
        for file in files:
            about = json.loads((root / f"{file.name}.manifest.json").read_text())
            data = file.read_bytes()
            assert about["sha256"] == hashlib.sha256(data).hexdigest()
            assert about["size"] == len(data)
            rows = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
            assert len(rows) == about["rows"]
            listed = {each["name"]: each for each in about.get("documents", [])}
            assert {name for row in rows if (name := row.get("file"))} == set(listed)
            assert ({file.stem} & folders) == ({file.stem} if listed else set())
            folders.discard(file.stem)
            if listed:
                assert {f"{file.stem}/{path.name}" for path in (root / file.stem).iterdir()} == set(listed)
            for name, each in listed.items():
                content = (root / name).read_bytes()
                assert (each["size"], each["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
            for row in rows:
                name = row.get("file")
                found[row["number"]] = (row, (root / name).read_bytes() if name else None)
        assert folders == set(), "documents without a delivery"
        assert [path.name for path in root.iterdir() if path.name.endswith((".part", ".documents"))] == []
        return found

    def expected(self) -> dict[str, bytes | None]:
        """The content of each licence that may be used."""
        return {number: content for number, (row, content) in self.told.items() if row["等级"] != "C"}

    def run_all(self) -> None:
        """Collect, then share with both."""
        for exchange in (SYNC, *self.shares):
            self.town.run(exchange)


def build(town: Town, folder: Path, options: Mapping[str, Mapping[str, Any]] | None = None, **reading: Any) -> Licences:
    """Register the drops, publish the resource, and grant it to both.

    Args:
        town: A town.
        folder: Where the drops are made.
        options: Further options of the endpoints ``inbox``, ``out`` and ``plain``, by name.
        reading: Options of the offer.
    """
    roots = {}
    for name, department in (("inbox", POLICE), ("out", TAX), ("plain", TAX)):
        given = dict((options or {}).get(name) or {})
        if "root" not in given:
            (folder / name).mkdir()
            given["root"] = str(folder / name)
        roots[name] = Path(given["root"])
        spec = EndpointSpec(name=name, department=department, kind="files", options=given)
        with town.hub() as hub:
            hub.registration.put_endpoint(spec, by=town.actor("integrator"))
    offer = {"endpoint": "inbox", "object": "licence_*.csv", "columns": COLUMNS, "capture": "batches"}
    offer["options"] = reading
    written = resource(
        code=CODE, classes=["102001001"], name="营业执照", abstract="证照及其文件", items=ITEMS, key=["number"],
        formats=["电子文件/PDF"], share_ways=["file"], share_condition="依法履职需要", offer=offer, share_type=2,
    )  # fmt: skip
    with town.hub() as hub:
        publish(town, hub, written)
        shares = [_granted(town, hub, name, files=name == "out") for name in ("out", "plain")]
    return Licences(town, roots["inbox"], roots["out"], roots["plain"], (shares[0], shares[1]))


def _granted(town: Town, hub: Hub, endpoint: str, *, files: bool) -> str:
    items = [item["name"] for item in ITEMS if files or not item.get("document")]
    target = {"endpoint": endpoint, "object": "lic_*.csv", "columns": {name: name for name in items}}
    name = grant(
        town, hub, resource=CODE, way="file", items=items, filter=None, masks={}, target=target, scope="全部",
    )  # fmt: skip
    return f"share-{name}"


def remove_all(folder: Path) -> None:
    """Empty a drop."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
