"""A hub between two departments on one PostgreSQL server, as the benchmarks need it.

The public security bureau offers its table of people directly; the tax office is granted most rows and most
columns of it, with names masked. Both see only their own databases, as in a real city.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

from catalog import Department, EndpointSpec, Resource
from exchange.authorisation import Application
from exchange.engine import RunResult
from exchange.hub import Hub, create_home, open_hub
from exchange.identity import Actor, current_actor
from exchange.settings import ActorEntry, Role, load_settings, write_default

HUB, POLICE, TAX = "11321200TE00000104", "11321200TE00000291", "11321200TE0000037U"
CODE = "101001001/0001"
HERE, AWAY = "321202", "321283"

ITEMS: tuple[dict[str, Any], ...] = (
    {"name": "person_id", "label": "人员编号", "type": "I", "mandatory": True},
    {"name": "id_no", "label": "公民身份号码", "type": "C", "length": 18, "mandatory": True,
     "check": "identity_number", "grade": "personal"},
    {"name": "employer", "label": "统一社会信用代码", "type": "C", "length": 18, "check": "credit_code"},
    {"name": "name", "label": "姓名", "type": "C", "length": 60, "mandatory": True, "grade": "personal"},
    {"name": "gender", "label": "性别", "type": "C", "length": 1},
    {"name": "born", "label": "出生日期", "type": "D", "grade": "personal"},
    {"name": "nation", "label": "民族", "type": "C", "length": 2},
    {"name": "district", "label": "所在区", "type": "C", "length": 6, "mandatory": True},
    {"name": "address", "label": "地址", "type": "C", "length": 200, "grade": "personal"},
    {"name": "base", "label": "缴费基数", "type": "N", "length": 12, "scale": 2},
    {"name": "updated", "label": "更新时间", "type": "T"},
    {"name": "ver", "label": "数据版本", "type": "I", "mandatory": True},
)  # fmt: skip
GRANTED = ("person_id", "id_no", "employer", "name", "gender", "born", "district", "address", "base", "ver")
"""Ten of the twelve columns go over."""

_TABLE = """
CREATE TABLE people (
    person_id bigint PRIMARY KEY, id_no varchar(18) NOT NULL, employer varchar(18), name varchar(60) NOT NULL,
    gender varchar(1), born date, nation varchar(2), district varchar(6) NOT NULL, address varchar(200),
    base numeric(12, 2), updated timestamptz, ver bigint NOT NULL)
"""
# Check digits are reckoned where the rows are made; one row in a hundred gets a wrong one, one is elsewhere.
_WEIGHTS = "ARRAY[7,9,10,5,8,4,2,1,6,3,7,9,10,5,8,4,2]"
_FILL = f"""
INSERT INTO people
SELECT i,
       body || substr('10X98765432',
                      ((SELECT sum(substr(body, p, 1)::int * ({_WEIGHTS})[p]) FROM generate_series(1, 17) p)
                       + CASE WHEN i % 100 = 7 THEN 1 ELSE 0 END)::int % 11 + 1, 1),
       (ARRAY[{{employers}}])[i % {{many}} + 1],
       (ARRAY['张','王','李','𠮷','欧阳','赵'])[i % 6 + 1] || chr(19968 + (i * 7919 % 3000)::int)
       || CASE WHEN i % 3 = 0 THEN '' ELSE chr(19968 + (i * 104729 % 3000)::int) END,
       (1 + i % 2)::text, born, '01', CASE WHEN i % 100 = 50 THEN '{AWAY}' ELSE '{HERE}' END,
       '江苏省泰州市海陵区青年路' || i || '号', (i % 1000000) / 100.0,
       timestamptz '2026-01-01 00:00:00+08' + i % 20000000 * interval '1 second', {{version}}
FROM (SELECT i, born, '321202' || to_char(born, 'YYYYMMDD') || lpad((i / 20000 % 1000)::text, 3, '0') AS body
      FROM (SELECT i, date '1950-01-01' + (i % 20000)::int AS born
            FROM generate_series({{first}}::bigint, {{last}}::bigint) i) dated) numbered
"""


def employers(many: int = 97) -> list[str]:
    """Made-up unified social credit codes with right check characters."""
    from stdnum.cn import uscc

    found = []
    for number in range(many):
        body = f"91321202MA{number:07d}"
        found.append(body + uscc.calc_check_digit(body))
    return found


def _actor(name: str, department: str, *roles: Role) -> ActorEntry:
    return ActorEntry(name=name, department=department, roles=frozenset(roles))


ACTORS = {
    "integrator": _actor("集成员", HUB, Role.INTEGRATOR, Role.SYSTEM),
    "centre": _actor("中心审核员", HUB, Role.REVIEWER),
    "clerk": _actor("公安经办", POLICE, Role.CLERK),
    "chief": _actor("公安审核", POLICE, Role.REVIEWER),
    "tax": _actor("税务经办", TAX, Role.CLERK),
}


@dataclass
class County:
    """The two departments and the hub.

    Attributes:
        home: Where the hub lives.
        source: Address of the bureau's database.
        target: Address of the tax office's.
    """

    home: Path
    source: str
    target: str
    object = "people"

    def actor(self, name: str) -> Actor:
        """One of the people, by user name."""
        return current_actor(load_settings(self.home), name)

    def fill(self, first: int, last: int, *, version: int = 1) -> None:
        """Report people of a range of numbers."""
        codes = employers()
        text = _FILL.format(
            employers=", ".join(f"'{code}'" for code in codes), many=len(codes), first=first, last=last, version=version
        )
        with connect(self.source) as connection:
            connection.execute("SET timezone = 'Asia/Shanghai'")
            connection.execute(text)
        with connect(self.source) as connection:
            connection.execute("VACUUM ANALYZE people")

    def empty(self) -> None:
        """Begin anew with no people."""
        with connect(self.source) as connection:
            connection.execute("TRUNCATE people")

    def build(self, *, capture: str = "snapshot", options: dict[str, Any] | None = None) -> None:
        """Register everything; nothing has moved."""
        write_default(self.home, hub_department=HUB, actors=ACTORS, demo=True)
        named = Department(code=HUB, name="行政审批局", division="321200")
        create_home(self.home, named, by=self.actor("integrator")).close()
        self._prepare()
        with closing(open_hub(self.home)) as hub:
            for code, name in ((POLICE, "公安局"), (TAX, "税务局")):
                department = Department(code=code, name=name, division="321200")
                hub.registration.put_department(department, by=self.actor("integrator"))
            for name, code, url in (("police", POLICE, self.source), ("tax", TAX, self.target)):
                hub.registration.put_endpoint(self._endpoint(name, code, url), by=self.actor("integrator"))
            self._publish(hub, capture, options or {})

    def _prepare(self) -> None:
        with connect(self.source) as connection:
            connection.execute(_TABLE)

    def _endpoint(self, name: str, department: str, url: str) -> EndpointSpec:
        return EndpointSpec(name=name, department=department, kind="database", options=self._options(name, url))

    def _options(self, name: str, url: str) -> dict[str, Any]:
        parsed = sa.make_url(url)
        secret = self.home / f"{name}.password"
        secret.write_text(parsed.password or "")
        secret.chmod(0o600)
        known = {"host": parsed.host, "port": parsed.port, "database": parsed.database, "user": parsed.username}
        return {"product": "postgresql", **known, "password": f"file:{secret}"}

    def _publish(self, hub: Hub, capture: str, options: dict[str, Any]) -> None:
        offer = {"endpoint": "police", "object": self.object, "capture": capture, "options": options}
        offer |= {"served": "provider"}
        offer["columns"] = {item["name"]: item["name"] for item in ITEMS}
        resource = {
            "classes": ["101001001"], "name": "人口基本信息", "code": CODE, "provider_code": POLICE,
            "abstract": "姓名、公民身份号码、所在区、出生日期", "formats": ["数据库/PostgreSQL"], "items": ITEMS,
            "share_type": 2, "share_condition": "依法履职需要", "share_ways": ["database", "webservice"],
            "update_cycle": "daily",
            "key": ["person_id"], "version_item": "ver", "offer": offer,
        }  # fmt: skip
        hub.registration.register(Resource.model_validate(resource), by=self.actor("clerk"))
        for action, who in (
            ("submit_registration", "clerk"), ("agree_registration", "chief"),
            ("submit_publication", "clerk"), ("agree_publication", "centre"),
        ):  # fmt: skip
            hub.registration.move(CODE, action, by=self.actor(who))

    def granted(self, table: str, items: Sequence[str] = GRANTED) -> str:
        """Be granted the resource into a table of this name, which is made; the exchange's id."""
        clear = {"mask": "clear", "justification": "按公民身份号码办理涉税事项"}
        asked = {
            "resource": CODE, "department": TAX, "basis": "《税收征收管理法》", "scene": "个人所得税核验",
            "scope": "本区纳税人", "way": "database", "items": list(items),
            "filter": {"item": "district", "is": HERE},
            "masks": {"id_no": clear, "name": {"mask": "name"}, "born": clear, "address": clear},
            "until": (date.today() + timedelta(days=300)).isoformat(),  # noqa: DTZ011
            "target": self._target(table, items),
        }  # fmt: skip
        with closing(open_hub(self.home)) as hub:
            name = hub.sharing.apply(Application.model_validate(asked), by=self.actor("tax"))
            grant = hub.sharing.decide(name, approved=True, reasons=["依法履职所需"], by=self.actor("chief"))
            exchange = f"share-{grant}"
            script = hub.sharing.prepare(exchange)
        if script:
            with connect(self.target) as connection:
                connection.execute(script)
        return exchange

    def _target(self, table: str, items: Sequence[str]) -> dict[str, Any]:
        return {"endpoint": "tax", "object": table, "columns": {name: name for name in items}}

    def run(self, hub: Hub, exchange: str) -> RunResult:
        """Run an exchange with a hub that is open."""
        return hub.oversight.run(exchange, by=self.actor("integrator"))


def connect(url: str) -> psycopg.Connection[Any]:
    """A connection of its own, each statement committed."""
    parsed = sa.make_url(url)
    return psycopg.connect(
        host=parsed.host, port=parsed.port, user=parsed.username, password=parsed.password, dbname=parsed.database,
        autocommit=True,
    )  # fmt: skip
