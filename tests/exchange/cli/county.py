"""A county of two departments and a hub, set up and used through the command line alone."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml
from typer.testing import CliRunner

from catalog import Department
from exchange.checks import identity_number_check
from exchange.cli.root import app
from exchange.hub import create_home
from exchange.identity import current_actor
from exchange.settings import ActorEntry, load_settings, write_default

HUB = "11321200TE00000104"
POLICE = "11321200TE00000291"
TAX = "11321200TE0000037U"
CODE = "101001001/0001"
SYNC = "sync-101001001-0001"
NAMES = ("id_no", "name", "district", "ver")
PEOPLE = {
    "integrator": ("集成员", HUB, {"integrator", "system"}),
    "auditor": ("审计员", HUB, {"audit"}),
    "centre": ("中心审核员", HUB, {"reviewer"}),
    "police": ("公安经办", POLICE, {"clerk"}),
    "chief": ("公安审核", POLICE, {"reviewer"}),
    "tax": ("税务经办", TAX, {"clerk"}),
}
RESOURCE = {
    "name": "人口基本信息",
    "code": CODE,
    "provider_code": POLICE,
    "abstract": "姓名、公民身份号码、所在区",
    "formats": ["数据库/SQLite"],
    "items": [
        {"name": "id_no", "label": "公民身份号码", "type": "C", "length": 18, "mandatory": True,
         "check": "identity_number", "grade": "personal"},
        {"name": "name", "label": "姓名", "type": "C", "length": 64, "mandatory": True, "grade": "personal"},
        {"name": "district", "label": "所在区", "type": "C", "length": 6},
        {"name": "ver", "label": "数据版本", "type": "I", "mandatory": True},
    ],
    "share_type": "有条件",
    "share_condition": "依法履职需要，限本区数据",
    "share_ways": ["数据库"],
    "update_cycle": "每日",
    "key": ["id_no"],
    "version_item": "ver",
    "offer": {"endpoint": "police", "object": "people"},
}  # fmt: skip


def application(**changes: Any) -> dict[str, Any]:
    """The tax office's application."""
    clear = {"mask": "clear", "justification": "按公民身份号码办理涉税事项"}
    return {
        "resource": CODE,
        "department": TAX,
        "basis": "《税收征收管理法》",
        "scene": "个人所得税核验",
        "scope": "本区纳税人",
        "way": "database",
        "items": list(NAMES),
        "filter": {"item": "district", "is": "321202"},
        "masks": {"id_no": clear, "name": {"mask": "name"}},
        "until": (date.today() + timedelta(days=300)).isoformat(),  # noqa: DTZ011
        "target": {"endpoint": "tax", "object": "person"},
        **changes,
    }


def person(number: int) -> dict[str, Any]:
    """A made-up person, born in the 1800s as in the standard's own sample."""
    first = f"321202{date(1850, 1, 1) + timedelta(days=number):%Y%m%d}{number % 1000:03d}"
    return {
        "id_no": first + identity_number_check(first),
        "name": f"测试{number}",
        "district": "321202" if number % 3 else "321283",
        "ver": 1,
    }


@dataclass(frozen=True)
class Outcome:
    """How a call of the program ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as the JSON document it must be."""
        return json.loads(self.out)


@dataclass
class County:
    """The county: its home, and its people at their terminals."""

    home: Path

    def run(self, *words: str, by: str | None = "integrator", **environment: str) -> Outcome:
        """Call the program as one of the people, in this process."""
        who = [] if by is None else ["--as", by]
        result = CliRunner().invoke(app, ["--home", str(self.home), *who, *words], env=environment)
        return Outcome(result.exit_code, result.stdout, result.stderr)

    def ask(self, *words: str, by: str = "integrator") -> Any:
        """Call the program for a document; it must succeed."""
        outcome = self.run(*words, "--json", by=by)
        assert outcome.status == 0, outcome
        assert outcome.err == ""
        return outcome.document

    def file(self, name: str, content: Any) -> str:
        """A file somebody hands in."""
        path = self.home.parent / name
        # Through JSON, as no part may be the same object twice: that would be written as an anchor.
        text = content if isinstance(content, str) else yaml.safe_dump(json.loads(json.dumps(content)))
        path.write_text(text, encoding="utf-8")
        return str(path)

    def database(self, name: str) -> sa.Engine:
        """A department's database."""
        return sa.create_engine(f"sqlite:///{self.home.parent / name}.db", poolclass=sa.NullPool)

    def copied(self, folder: Path) -> County:
        """The same county elsewhere; its departments' databases stay where they are."""
        shutil.copytree(self.home, folder / "home")
        return County(folder / "home")

    @property
    def share(self) -> str:
        """Id of the sharing exchange."""
        return next(each["id"] for each in self.ask("status")["exchanges"] if each["kind"] == "sharing")

    @property
    def grant(self) -> str:
        """Id of the grant behind it."""
        return self.share.removeprefix("share-")


def founded(folder: Path) -> County:
    """A hub with its people, departments and endpoints."""
    home = folder / "home"
    people = {user: ActorEntry(name=name, department=code, roles=roles) for user, (name, code, roles) in PEOPLE.items()}
    write_default(home, hub_department=HUB, actors=people, demo=True)
    by = current_actor(load_settings(home), "integrator")
    create_home(home, Department(code=HUB, name="某市行政审批局", division="321200"), by=by).close()
    county = County(home)
    with county.database("police").begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE people (id_no VARCHAR(18) PRIMARY KEY, name VARCHAR(64), district VARCHAR(6), ver BIGINT)"
        )
    described = {
        "departments": [
            {"code": POLICE, "name": "某市公安局", "short_name": "公安", "division": "321200"},
            {"code": TAX, "name": "某市税务局", "short_name": "税务", "division": "321200"},
        ],
        "endpoints": [
            {
                "name": name,
                "department": code,
                "kind": "database",
                "options": {"product": "sqlite", "path": str(folder / f"{name}.db")},
            }
            for name, code in (("police", POLICE), ("tax", TAX))
        ],
    }
    assert county.ask("apply", county.file("county.yaml", described))["changed"] == 4
    return county


def published(county: County) -> County:
    """The police's resource goes all the way into the directory."""
    county.ask("resource", "register", county.file("people.yaml", RESOURCE), by="police")
    for verb, by in (("submit", "police"), ("agree", "chief"), ("submit", "police"), ("agree", "centre")):
        county.ask("resource", verb, CODE, by=by)
    return county


def granted(county: County) -> County:
    """The tax office asks and is answered, and its database is prepared."""
    file = county.file("application.yaml", application())
    made = county.ask("application", "submit", file, by="tax")["applications"][0]
    county.ask("application", "decide", made["id"], "--approve", "--reason", "依法履职所需", by="chief")
    script = county.ask("endpoint", "prepare", county.share, "--sql", by="tax")["script"]
    with county.database("tax").begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE person (id_no VARCHAR(18) PRIMARY KEY, name VARCHAR(64), district VARCHAR(6), ver BIGINT)"
        )
        for statement in filter(str.strip, script.split(";\n")):
            connection.exec_driver_sql(statement.strip().rstrip(";"))
    return county


def exchanged(county: County, count: int = 30) -> County:
    """People are reported, one of them wrongly, and what is due is run."""
    table = sa.table("people", *map(sa.column, NAMES))
    with county.database("police").begin() as connection:
        connection.execute(sa.insert(table), [person(number) for number in range(count)])
        connection.execute(sa.insert(table), [{**person(count), "name": None}])
    county.ask("run", "--due")
    return county
