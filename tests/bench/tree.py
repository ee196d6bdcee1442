"""A county whose bureau drops many small documents on its SFTP server, for the tax office's drop on the same server."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from catalog import EndpointSpec, Resource
from exchange.authorisation import Application
from exchange.hub import open_hub
from tests.bench.client import Client
from tests.bench.county import CODE, POLICE, TAX, County
from tests.bench.report import Result, told, watched
from tests.support.openssh import OpenSSHServer

SYNC = f"sync-{CODE.replace('/', '-')}"
BASELINE = "OpenSSH sftp: get -r, then put -r"


class TreeCounty(County):
    """Both departments are directories on one server.

    Args:
        home: Where the hub lives.
        server: The server.
    """

    def __init__(self, home: Path, server: OpenSSHServer) -> None:
        super().__init__(home, "", "")
        self.server = server
        self.given, self.received = server.new_folder(), server.new_folder()
        secret = home / "sftp.key"
        secret.touch(mode=0o600)
        secret.write_text(server.key.read_text())

    def _prepare(self) -> None:
        """Directories need none."""

    def _endpoint(self, name: str, department: str, url: str) -> EndpointSpec:
        root = self.given if name == "police" else self.received
        options = self.server.options(root, key="file:sftp.key")
        return EndpointSpec(name=name, department=department, kind="files", options=options)

    def _publish(self, hub: Any, capture: str, options: dict[str, Any]) -> None:
        resource = {
            "classes": ["101001001"], "name": "证照文件", "code": CODE, "provider_code": POLICE,
            "abstract": "证照编号和证照文件", "formats": ["电子文件/PDF"], "share_type": 2,
            "share_condition": "依法履职需要", "share_ways": ["file"], "update_cycle": "daily", "key": ["number"],
            "items": [
                {"name": "number", "label": "证照编号", "type": "C", "length": 64, "mandatory": True},
                {"name": "paper", "label": "证照文件", "type": "G", "document": True},
            ],
            "offer": {
                "endpoint": "police", "object": "*.pdf", "capture": "batches",
                "columns": {"number": "number", "paper": "document"},
                "options": {"format": "document", "naming": "N{number}", "complete": "age", "age": 0, **options},
            },
        }  # fmt: skip
        hub.registration.register(Resource.model_validate(resource), by=self.actor("clerk"))
        for action, who in (
            ("submit_registration", "clerk"), ("agree_registration", "chief"),
            ("submit_publication", "clerk"), ("agree_publication", "centre"),
        ):  # fmt: skip
            hub.registration.move(CODE, action, by=self.actor(who))

    def granted(self, table: str, items: Any = ()) -> str:
        """Be granted the documents into the drop; the exchange's id."""
        asked = {
            "resource": CODE, "department": TAX, "basis": "《税收征收管理法》", "scene": "免于提交证照",
            "scope": "办税窗口", "way": "file", "items": ["number", "paper"],
            "until": (date.today() + timedelta(days=300)).isoformat(),  # noqa: DTZ011
            "target": {"endpoint": "tax", "object": table},
        }  # fmt: skip
        with closing(open_hub(self.home)) as hub:
            name = hub.sharing.apply(Application.model_validate(asked), by=self.actor("tax"))
            return f"share-{hub.sharing.decide(name, approved=True, reasons=['依法履职所需'], by=self.actor('chief'))}"

    def fill(self, first: int, last: int, *, version: int = 10_240) -> None:
        """Drop documents of a range of numbers, each of so many bytes."""
        for number in range(first, last + 1):
            (self.given / f"N{number}.pdf").write_bytes(b"%PDF-1.4\n" + os.urandom(version - 9))


def tree(server: OpenSSHServer, folder: Path, *, many: int, rounds: int) -> list[Result]:
    """Documents from drop to drop, through spool, library, message and receipts; beside a copy of the same tree."""
    client = Client(server, folder)
    mine, theirs = [], []
    with watched() as peak:
        for number in range(rounds):
            home = folder / f"home{number}"
            home.mkdir()
            county = TreeCounty(home, server)
            county.build()
            county.fill(1, many)
            theirs.append(_copied(client, county, folder / "copy"))
            mine.append(_exchanged(county, many))
            told(f"{many:,} files, round {number + 1}: {mine[-1]:.1f} s, {BASELINE} {theirs[-1]:.1f} s")
            for place in (county.given, county.received, home):
                shutil.rmtree(place)
    seconds, against = sorted(mine)[rounds // 2], sorted(theirs)[rounds // 2]
    return [
        Result(
            name=f"{many:,} documents of 10 KB by SFTP, drop to drop", seconds=round(seconds, 2), baseline=BASELINE,
            baseline_seconds=round(against, 2), ratio=round(seconds / against, 2),
            rows_per_second=round(many / seconds), peak_mb=peak[0],
        )
    ]  # fmt: skip


def _copied(client: Any, county: TreeCounty, local: Path) -> float:
    there = county.server.new_folder()
    begun = time.perf_counter()
    client.run(f'get -r "{county.given}" "{local}"')
    client.run(f'put -r "{local}" "{there}"')
    seconds = time.perf_counter() - begun
    shutil.rmtree(local)
    shutil.rmtree(there)
    return seconds


def _exchanged(county: TreeCounty, many: int) -> float:
    with closing(open_hub(county.home)) as hub:
        county.granted("papers_*.csv")
        begun = time.perf_counter()
        taken = county.run(hub, SYNC)
        done = hub.messages.work(by=county.actor("integrator"), once=True)
        seconds = time.perf_counter() - begun
    assert (taken.state, taken.counts["written"]) == ("settled", many), taken.reasons
    assert done["delivered"] == 1, done
    [manifest] = county.received.glob("*.manifest.json")
    documents = json.loads(manifest.read_text())["documents"]
    assert len(documents) == many
    last = documents[-1]
    content = (county.received / last["name"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == last["sha256"]
    return seconds
