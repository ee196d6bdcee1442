"""A town that has been lived in for a while: something behind every page of its console.

Departments with resources in every state, people who applied and were answered, runs that ended well and badly, refused
rows, a table that changed, files taken, refused and waiting, what is owed, and figures of a month.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from catalog import Department, EndpointSpec, Resource
from exchange.authorisation import Application
from exchange.db.tables import TallyRow
from exchange.engine import Tally
from exchange.errors import HubError
from exchange.hub import Hub
from exchange.service import serve
from exchange.words import BEIJING
from tests.adapters.webservice.conftest import Archive
from tests.exchange.engine.drops import code_of
from tests.exchange.engine.test_files import Desk
from tests.exchange.engine.test_structures import redefined
from tests.exchange.engine.town import (
    COLUMNS,
    HUB,
    ITEMS,
    POLICE,
    SYNC,
    TAX,
    Town,
    application,
    person,
    publish,
    resource,
    wrong,
)

VEHICLES, PERMITS = "101001001/0002", "101001001/0003"
VEHICLE_SYNC, PERMIT_SYNC = "sync-101001001-0002", "sync-101001001-0003"
OTHERS = {"civil": ("民政局", "低保资格核验"), "social": ("人力资源和社会保障局", "养老待遇资格认证")}
"""Two more recipients, by the login of their clerk."""
WRITTEN = {
    "101001001/0004": ("户籍地址信息", "公民身份号码和户籍地址", ("submit_registration",)),
    "101001001/0005": ("出入境证件信息", "证件号码、签发日期、有效期", ("submit_registration", "return_registration")),
    "101001001/0006": (
        "身份证补领信息",
        "补领日期和原因",
        ("submit_registration", "agree_registration", "submit_publication"),
    ),
    "101001001/0007": ("无犯罪记录证明信息", "证明编号、开具日期", ()),
}
"""Resources on their way, and how far they have come."""
PARTS = {"agree": "chief", "return": "chief", "submit": "police"}
_KNOWN: dict[Path, Mapping[str, str]] = {}


def lived(town: Town) -> Mapping[str, str]:
    """Let a town be lived in, once; what its pages are about, by the places of their addresses."""
    if town.home not in _KNOWN:
        _KNOWN[town.home] = _live(town)
    return _KNOWN[town.home]


def _live(town: Town) -> Mapping[str, str]:
    _settle(town)
    _collect(town)
    desk = _publish(town)
    with town.hub() as hub:
        for code, (name, abstract, moves) in WRITTEN.items():
            written = resource(code=code, name=name, abstract=abstract, offer=None)
            hub.registration.register(Resource.model_validate(written), by=town.actor("police"))
            for move in moves:
                opinion = "请写明证件种类所用的代码表" if move.startswith("return") else ""
                who = town.actor(PARTS[move.partition("_")[0]])
                hub.registration.move(code, move, opinion=opinion, by=who)
        revised = resource(
            abstract="姓名、公民身份号码、所在区、出生日期、数据版本", update_cycle="realtime",
            items=[*ITEMS[:4], {**ITEMS[4], "label": "版本"}],
        )  # fmt: skip
        hub.registration.register(Resource.model_validate(revised), by=town.actor("police"))
        asked = _ask(town, hub)
        hub.accounts.create("archivist", "档案员", TAX, by=town.actor("integrator"))
        hub.accounts.create("importer", "数据导入程序", TAX, by=town.actor("integrator"), programme=True)
        hub.tokens.issue(by=town.actor("integrator"), purpose="夜间导入涉税数据", login="importer")
        hub.accounts.disable("archivist", reason="已调离", by=town.actor("integrator"))
        hub.access.issue(TAX, "token", by=town.actor("integrator"), purpose="税务征管系统取用交付")
        credential = hub.access.issue(
            POLICE, "password", name="police-front", purpose="前置机推送", by=town.actor("integrator")
        )
        hub.access.revoke(credential.id, reason="更换前置机", by=town.actor("integrator"))
        hub.oversight.verify(by=town.actor("auditor"))
        files = {row.state: str(row.id) for row in hub.files.found(by=town.actor("police"))}
        owed = hub.messages.listed(by=town.actor("integrator"))[0].id
        granted = hub.directory.grant(town.grant, by=town.actor("auditor")).application or ""
        _remember(hub)
    rows = {row.state: str(row.id) for row in town.quarantined(SYNC) if row.item == "id_no"}
    desk.put("permits_later.csv", person(400))
    run = next(each for each in town.runs(SYNC) if each.counts.get("refused"))
    return {
        "grant": town.grant, "granted": granted, "application": asked, "share": town.share, "run": run.id,
        "row": rows["open"], "repaired": rows["repaired"], "file": files["taken"], "refused_file": files["refused"],
        "message": str(owed),
    }  # fmt: skip


def _settle(town: Town) -> None:
    """Two more departments with a clerk each."""
    people = "".join(
        f'\n[actors.{login}]\nname = "{name[:2]}经办"\ndepartment = "{code_of(number)}"\nroles = ["clerk"]\n'
        for number, (login, (name, _scene)) in enumerate(OTHERS.items())
    )
    settings = town.home / "shutong.toml"
    settings.write_text(settings.read_text() + people)
    with town.hub() as hub:
        for number, (name, _scene) in enumerate(OTHERS.values()):
            department = Department(code=code_of(number), name=name, division="321200")
            hub.registration.put_department(department, by=town.actor("integrator"))


def _collect(town: Town) -> None:
    """Runs of the first resource: refused rows, of which one is sent again, one given up, and one mended."""
    nameless = {**person(305), "name": None}
    town.report(*map(person, range(1, 25)), *map(wrong, range(300, 304)), nameless)
    town.run_both()
    first, second, third, *_rest = town.quarantined(SYNC)
    with town.hub() as hub:
        by = town.actor("police")
        for row, number in ((first, 300), (third, 302)):
            hub.mending.repair(row.id, {"id_no": person(number)["id_no"]}, reason="已核对户籍档案", by=by)
            if row is first:
                hub.oversight.run(SYNC, replay=True, by=town.actor("integrator"))
        hub.mending.drop(second.id, reason="重复登记", by=by)
    town.report(*map(person, range(25, 40)))
    town.run_both()


def _publish(town: Town) -> Desk:
    """Two more resources: of a table that changed since, and of files, delivered as files."""
    types = ("VARCHAR(18) PRIMARY KEY", "VARCHAR(64)", "VARCHAR(6)", "DATE", "BIGINT")
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(COLUMNS, types, strict=True))
    town.execute("police", f"CREATE TABLE inf_vehicle ({columns})")
    town.execute("police", f"INSERT INTO inf_vehicle SELECT {', '.join(COLUMNS)} FROM inf_person")
    desk = Desk(town, town.home.parent / f"{town.home.name}-desk")
    drop = town.home.parent / f"{town.home.name}-drop"
    for folder in (desk.root, drop):
        folder.mkdir()
    with town.hub() as hub:
        by = town.actor("integrator")
        for name, department, root in (("desk", POLICE, desk.root), ("tax-drop", TAX, drop)):
            spec = EndpointSpec(name=name, department=department, kind="files", options={"root": str(root)})
            hub.registration.put_endpoint(spec, by=by)
        hub.registration.put_endpoint(EndpointSpec(name="social-box", department=code_of(1), kind="mailbox"), by=by)
        publish(town, hub, _vehicles())
        publish(town, hub, _permits())
    desk.put("permits_1.csv", *map(person, range(1, 9)))
    desk.put("permits_2.csv", person(9), broken=True)
    with town.hub() as hub:
        for login, code, changes in (
            ("tax", PERMITS, {"way": "file", "target": {"endpoint": "tax-drop", "object": "permits_*.csv"}}),
            ("civil", VEHICLES, {"target": None}),
        ):
            asked = application(resource=code, department=town.actor(login).department, **changes)
            name = hub.sharing.apply(Application.model_validate(asked), by=town.actor(login))
            hub.sharing.decide(name, approved=True, reasons=["依法履职所需"], by=town.actor("chief"))
    town.run(PERMIT_SYNC)
    town.run(VEHICLE_SYNC)
    redefined("police", "inf_vehicle", "name VARCHAR(64)", "name VARCHAR(20)")(town)
    with pytest.raises(HubError, match="结构"):
        town.run(VEHICLE_SYNC)
    return desk


def _vehicles() -> dict[str, Any]:
    return resource(
        code=VEHICLES, name="机动车登记信息", abstract="机动车所有人、号牌号码和登记日期", update_cycle="weekly",
        offer={
            "endpoint": "police", "object": "inf_vehicle", "columns": {name: name for name in COLUMNS},
            "capture": "snapshot",
        },
    )  # fmt: skip


def _permits() -> dict[str, Any]:
    return resource(
        code=PERMITS, name="居住证签发信息", abstract="居住证持有人、签发日期和有效期", share_ways=["file", "database"],
        offer={
            "endpoint": "desk", "object": "permits_*.csv", "columns": {name: name for name in COLUMNS},
            "capture": "batches", "options": {"after": "leave"},
        },
    )  # fmt: skip


def _ask(town: Town, hub: Hub) -> str:
    """Applications that were refused and withdrawn, and one that waits: its name."""
    names = []
    for login, (_name, scene) in OTHERS.items():
        asked = application(department=town.actor(login).department, scene=scene, scope="全市申请人", target=None)
        names.append(hub.sharing.apply(Application.model_validate(asked), by=town.actor(login)))
    hub.sharing.decide(names[0], approved=False, reasons=["请说明为何需要出生日期的原值"], by=town.actor("chief"))
    hub.sharing.withdraw(names[1], reason="材料有误", by=town.actor("social"))
    asked = application(scene="社会保险费征缴核对", scope="本区参保人员", target=None)
    return hub.sharing.apply(Application.model_validate(asked), by=town.actor("tax"))


def _remember(hub: Hub) -> None:
    """Figures of the month before: the books have nothing else of days that are past."""
    today = datetime.now(BEIJING).date()
    with hub.database.transaction() as session:
        lives = session.execute(sa.select(TallyRow.exchange, TallyRow.way).distinct()).all()
        for place, (exchange, way) in enumerate(lives):
            for ago in range(1, 30):
                busy = (ago * 7 + place * 5) % 11
                if not busy:
                    continue
                read = busy * 4_200 // (place + 1)
                refused = busy * (place + 2) if ago % 4 == 0 else 0
                tally = Tally(
                    runs=24, delivered=24 - (ago % 9 == 0), failed=int(ago % 9 == 0), read=read, refused=refused,
                    written=read - refused, milliseconds=24 * 900 * busy, slowest=2_400 * busy,
                )  # fmt: skip
                session.add(TallyRow(exchange=exchange, day=today - timedelta(days=ago), way=way, **asdict(tally)))


@contextmanager
def archive(town: Town) -> Iterator[str]:
    """A department's SOAP service that runs, and the name of the endpoint it is."""
    served = Archive()
    with serve(served) as server:
        served.address = f"{server.url}archive"
        options = {"url": f"{server.url}archive?wsdl"}
        spec = EndpointSpec(name="archive", department=HUB, kind="webservice", options=options)
        with town.hub() as hub:
            hub.registration.put_endpoint(spec, by=town.actor("integrator"))
        yield spec.name
