"""Households (户) with their members in a child table: a second resource of the town, for tests of child rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from exchange.engine import RunResult
from tests.exchange.engine.town import (
    Town,
    grant,
    identity_number,
    prepare,
    publish,
    resource,
)

CODE = "101001001/0002"
SYNC = "sync-101001001-0002"
MEMBERS = {
    "name": "members", "label": "家庭成员", "type": "M", "grade": "personal",
    "rows": [
        {"name": "relation", "label": "与户主关系", "type": "C", "length": 4, "mandatory": True},
        {"name": "id_no", "label": "公民身份号码", "type": "C", "length": 18, "check": "identity_number",
         "grade": "personal"},
        {"name": "born", "label": "出生日期", "type": "D"},
        {"name": "share", "label": "份额", "type": "N", "length": 12, "scale": 4},
        {"name": "seen", "label": "登记时间", "type": "T"},
        {"name": "local", "label": "本地户籍", "type": "L"},
    ],
}  # fmt: skip
ITEMS = (
    {"name": "hid", "label": "户编号", "type": "C", "length": 20, "mandatory": True},
    {"name": "head", "label": "户主", "type": "C", "length": 64, "grade": "personal"},
    MEMBERS,
    {"name": "ver", "label": "数据版本", "type": "I", "mandatory": True},
)
FRONT = {
    "members": {
        "table": "inf_member",
        "key": {"hid": "HID"},
        "columns": {name: name.upper() for name in ("relation", "id_no", "born", "share", "seen", "local")},
    }
}
AT_TAX = {
    "members": {
        "table": "household_member",
        "key": {"hid": "hid"},
        "columns": {name: name for name in ("relation", "id_no", "born", "share", "seen", "local")},
    }
}


def member(number: int, relation: str = "子𠮷", **changes: Any) -> dict[str, Any]:
    """A made-up member of a household, as the police's table holds him."""
    person = {
        "RELATION": relation,
        "ID_NO": identity_number(number),
        "BORN": datetime(1990, 1, number % 28 + 1).date(),  # noqa: DTZ001
        "SHARE": "0.2500",
        "SEEN": datetime(2024, 1, 1, 8, 0, number % 60),  # noqa: DTZ001
        "LOCAL": bool(number % 2),
    }
    return person | changes


def as_delivered(each: Mapping[str, Any]) -> dict[str, str | None]:
    """The same member in the canonical form."""

    def text(name: str, value: Any) -> str | None:
        if value is None:
            return None
        if name == "SEEN":
            utc = value.replace(tzinfo=ZoneInfo("Asia/Shanghai")).astimezone(ZoneInfo("UTC"))
            return f"{utc:%Y-%m-%d %H:%M:%S.%f}Z"
        return {True: "true", False: "false"}[value] if name == "LOCAL" else str(value)

    return {name.lower(): text(name, value) for name, value in each.items()}


def canonical(members: Sequence[Mapping[str, Any]]) -> str:
    """The members of a household as one text."""
    objects = [
        json.dumps(as_delivered(each), ensure_ascii=False, sort_keys=True, separators=(",", ":")) for each in members
    ]
    return f"[{','.join(sorted(objects, key=str.encode))}]"


@dataclass
class Households:
    """The second resource of a town."""

    town: Town
    served: str = "library"
    reported: dict[str, tuple[str, list[dict[str, Any]], int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        metadata = sa.MetaData()
        kinds = {
            "RELATION": sa.String(4), "ID_NO": sa.String(18), "BORN": sa.Date(), "SHARE": sa.Numeric(12, 4),
            "SEEN": sa.DateTime(), "LOCAL": sa.Boolean(),
        }  # fmt: skip
        exact = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
        self.front = sa.Table(
            "inf_household",
            metadata,
            sa.Column("hid", sa.String(20), primary_key=True),
            sa.Column("head", sa.String(64)),
            sa.Column("ver", sa.BigInteger),
            sa.Column("sync_sign", sa.String(1)),
            sa.Column("sync_date", sa.DateTime),
            sa.Column("update_date", sa.DateTime),
            sa.Column("sync_error_desc", sa.String(1000)),
            **exact,
        )
        self.members = sa.Table(
            "inf_member",
            metadata,
            sa.Column("HID", sa.String(20), sa.ForeignKey("inf_household.hid"), index=True),
            *(sa.Column(name, kind) for name, kind in kinds.items()),
            **exact,
        )

    def set_up(self) -> None:
        """Tables, resource, grant, and the recipient's tables."""
        town = self.town
        with town.databases["police"].begin() as connection:
            self.front.metadata.create_all(connection)
        offer: dict[str, Any] = {
            "endpoint": "police",
            "object": "inf_household",
            "columns": {name: name for name in ("hid", "head", "ver")},
            "capture": "outbox",
            "profile": "jiangsu",
            "options": {"children": FRONT},
        }
        if self.served == "provider":
            del offer["profile"]
            offer |= {"capture": "snapshot", "served": "provider"}
        items = [*ITEMS]
        written = resource(code=CODE, name="家庭户信息", items=items, key=["hid"], version_item="ver", offer=offer)
        clear = {"mask": "clear", "justification": "按户核定专项附加扣除"}
        target = {"endpoint": "tax", "object": "household", "options": {"children": AT_TAX}}
        asked = {
            "resource": CODE, "items": ["hid", "head", "members", "ver"], "filter": None,
            "masks": {"head": clear, "members": clear}, "target": target,
        }  # fmt: skip
        with town.hub() as hub:
            publish(town, hub, written)
            town.grant = grant(town, hub, **asked)
            prepare(town, hub)

    def report(self, hid: str, *members: dict[str, Any], version: int = 1, head: str = "王五") -> None:
        """Write a household and all its members, marked unread."""
        front, inner = self.front, self.members
        now = datetime.now(ZoneInfo("Asia/Shanghai")).replace(tzinfo=None)
        with self.town.databases["police"].begin() as connection:
            connection.execute(sa.delete(inner).where(hid == inner.c.HID))
            connection.execute(sa.delete(front).where(front.c.hid == hid))
            row = {"hid": hid, "head": head, "ver": version, "sync_sign": "0", "update_date": now}
            connection.execute(sa.insert(front), row)
            if members:
                connection.execute(sa.insert(inner), [{"HID": hid, **each} for each in members])
        self.reported[hid] = (head, list(members), version)

    def expected(self) -> dict[str, tuple[str, str, int]]:
        """What every place should hold of all that was reported."""
        return {hid: (head, canonical(members), version) for hid, (head, members, version) in self.reported.items()}

    def library(self) -> dict[str, tuple[str, str, int]]:
        """What the library holds."""
        rows = self.town.query("library", "SELECT hid, head, members, ver FROM r_101001001_0002")
        return {hid: (head, members, version) for hid, head, members, version in rows}

    def tax(self) -> dict[str, tuple[str, str, int]]:
        """What the recipient's two tables hold, members in canonical form."""
        with self.town.databases["tax"].connect() as connection:
            parents = connection.execute(sa.text("SELECT hid, head, ver FROM household")).all()
            table = sa.Table("household_member", sa.MetaData(), autoload_with=connection)
            children = [dict(row._mapping) for row in connection.execute(sa.select(table))]
        assert len({row[0] for row in parents}) == len(parents), "a household twice"
        assert {each["hid"] for each in children} <= {row[0] for row in parents}, "a member without a household"
        return {
            hid: (head, _from_tax([each for each in children if each["hid"] == hid]), version)
            for hid, head, version in parents
        }

    def run_both(self) -> tuple[RunResult, RunResult]:
        """Collect, then share."""
        return self.town.run(SYNC), self.town.run(self.town.share)


def _from_tax(rows: Sequence[Mapping[str, Any]]) -> str:
    members = []
    for row in rows:
        seen = row["seen"]
        if isinstance(seen, str):
            seen = datetime.fromisoformat(seen)
        if seen is not None and seen.tzinfo is not None:
            seen = seen.astimezone(ZoneInfo("Asia/Shanghai")).replace(tzinfo=None)
        local = None if row["local"] is None else bool(int(row["local"]))
        born = None if row["born"] is None else str(row["born"])[:10]
        share = None if row["share"] is None else f"{row['share']}"
        members.append({
            "RELATION": row["relation"], "ID_NO": row["id_no"], "BORN": born, "SHARE": share, "SEEN": seen,
            "LOCAL": local,
        })  # fmt: skip
    return canonical(members)
