"""What a registration form holds (登记表单): from a resource to fields, and from fields to what is registered.

Fields are text as somebody typed it; reading it, and everything wrong with it, is the directory's. A problem it finds
is put beside the field it is about.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from catalog import Form as Sheet
from catalog import Problem as Fault
from catalog import Resource
from catalog.model import Offer
from catalog.reading import ITEM_TITLES, read_resource
from exchange.console.views import Form
from exchange.errors import Problem
from exchange.messages import _
from schemas import Item, SchemaError
from schemas.plain_yaml import read_plain_yaml

PLAIN = (
    "name", "code", "provider_unit", "abstract", "share_type", "share_condition", "legal_basis", "share_ways_note",
    "open_condition", "update_cycle",
)  # fmt: skip
"""Fields of one text."""
SEVERAL = ("classes", "formats", "related")
"""Fields of several texts in one line."""
OFFER = ("endpoint", "object", "capture", "profile", "served")
OF_ITEM = (
    "label", "name", "type", "length", "scale", "mandatory", "grade", "share_type", "code_list", "reference", "check",
    "document",
)  # fmt: skip
BLANK = {"type": "C", "grade": "none"}
"""What a row says that nobody has written in."""
ADDED = 3
"""Rows that are added at once."""
MOST = 500
"""Items a form shows; a larger resource is registered from a spreadsheet or a file."""
_ROW = re.compile(r"item-(\d{1,4})-")
_ITEM = re.compile(r"信息项 (\d+)")
_TITLES = {known.title or name: name for name, known in Resource.model_fields.items()}
_OFFER_TITLES = {known.title or name: name for name, known in Offer.model_fields.items()}
_ITEM_FIELDS = {title: name for name, title in ITEM_TITLES.items()}


@dataclass
class Written:
    """A form as it is filled in.

    Attributes:
        fields: Its fields of one value.
        ways: Sharing ways that are ticked.
        items: Its rows; each with the fields of an item, whether it belongs to the key, and its column.
        version: Number of the row of the version item.
        order: Names of the key in the order they were registered in.
    """

    fields: dict[str, str] = field(default_factory=dict)
    ways: Sequence[str] = ()
    items: list[dict[str, str]] = field(default_factory=list)
    version: int | None = None
    order: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        return self.fields.get(name, "")

    def add_rows(self, count: int = ADDED) -> None:
        """Room for more items."""
        self.items += [dict(BLANK) for _ in range(min(count, MOST - len(self.items)))]

    def remove_row(self, number: int) -> None:
        """Take an item out."""
        if 0 <= number < len(self.items):
            del self.items[number]
            if self.version is not None:
                self.version = None if self.version == number else self.version - (self.version > number)


def of_form(form: Form) -> Written:
    """What was sent, without rows nobody wrote in."""
    names = (*PLAIN, *SEVERAL, "of", "open_to_public", "options", *(f"offer-{name}" for name in OFFER))
    written = Written({name: form[name] for name in names}, form.all("share_ways"), order=form["order"].split())
    numbers = sorted({int(found[1]) for name in form.names() if (found := _ROW.match(name))})[:MOST]
    for number in numbers:
        row = {name: form[f"item-{number}-{name}"] for name in (*OF_ITEM, "key", "column", "rows")}
        if any(row[name] for name in ("label", "name", "length", "column")):
            if form["version_item"] == str(number):
                written.version = len(written.items)
            written.items.append(row)
    return written


def of_resource(resource: Resource) -> Written:
    """A resource as a form shows it."""
    plain = {name: _text(getattr(resource, name)) for name in PLAIN}
    several = {name: "；".join(getattr(resource, name)) for name in SEVERAL}
    fields = plain | several | {"open_to_public": "是" if resource.open_to_public else ""}
    if resource.record_class is not None:
        fields["of"] = f"{resource.record_class}/{resource.table or ''}"
    columns: dict[str, str] = {}
    if resource.offer is not None:
        fields |= {f"offer-{name}": _text(getattr(resource.offer, name)) for name in OFFER}
        fields["options"] = options_text(resource.offer.options)
        columns = dict(resource.offer.columns)
    rows = [_row(item, columns.get(item.name, ""), keyed=item.name in resource.key) for item in resource.items]
    names = [item.name for item in resource.items]
    version = names.index(resource.version_item) if resource.version_item in names else None
    return Written(fields, list(resource.share_ways), rows, version, list(resource.key))


def of_items(items: Iterable[Item], key: Sequence[str], version: str | None) -> tuple[list[dict[str, str]], int | None]:
    """Rows of the items of a class's table, and which is the version item."""
    known = list(items)
    rows = [_row(item, keyed=item.name in key) for item in known]
    return rows, next((number for number, item in enumerate(known) if item.name == version), None)


def of_sheet(sheet: Sheet) -> Written:
    """What could be read of an uploaded form, as it was written there."""
    given = dict(sheet.given)
    draft = read_resource(sheet)
    if not draft.unread and given:
        return of_resource(draft.resource)
    offer = given.get("offer") if isinstance(given.get("offer"), dict) else {}
    fields = {name: _text(given.get(name)) for name in PLAIN}
    fields |= {name: "；".join(map(str, given.get(name, ()))) for name in SEVERAL}
    fields["open_to_public"] = "是" if given.get("open_to_public") == "是" else ""
    if given.get("record_class"):
        fields["of"] = f"{given['record_class']}/{given.get('table', '')}"
    fields |= {f"offer-{name}": _text((offer or {}).get(name)) for name in OFFER}
    # Terms that could be read stand as the form offers them; what could not stays as it was typed.
    for name in ("share_type", "update_cycle"):
        if name not in draft.unread and given.get(name):
            fields[name] = str(getattr(draft.resource, name))
    ways = list(draft.resource.share_ways) if "share_ways" not in draft.unread else []
    read = {number - 1: item for number, item in draft.numbered}
    key, columns = given.get("key", ()), (offer or {}).get("columns", {})
    rows = []
    for number, item in enumerate(given.get("items", ())):
        typed = {"label": item} if isinstance(item, str) else {name: str(value) for name, value in item.items()}
        called = typed.get("name") or typed.get("label", "")
        known = read.get(number)
        row = _row(known) if known is not None else BLANK | typed
        rows.append(row | {"key": "是" if called in key else "", "column": str(columns.get(called, ""))})
    named = [row.get("name") or row.get("label", "") for row in rows]
    version = named.index(given["version_item"]) if given.get("version_item") in named else None
    return Written(fields, ways, rows, version)


def given_of(written: Written, provider: str) -> Sheet:
    """What a form says, as it is registered.

    Args:
        written: The form.
        provider: Credit code of the department that registers: nobody writes another's into a form.
    """
    faults: list[Fault] = []
    given: dict[str, Any] = {name: written[name] for name in PLAIN if written[name]}
    given |= {name: several(written[name]) for name in SEVERAL if written[name]}
    given["provider_code"] = provider
    given["share_ways"] = written.ways
    given["open_to_public"] = written["open_to_public"] == "是"
    of_class, _slash, table = written["of"].partition("/")
    given |= {name: value for name, value in (("record_class", of_class), ("table", table)) if value}
    items = [_item(row) for row in written.items]
    called = [str(item.get("name") or item.get("label") or "") for item in items]
    key = [name for name, row in zip(called, written.items, strict=True) if row.get("key")]
    given["key"] = sorted(key, key=lambda name: written.order.index(name) if name in written.order else len(key))
    if written.version is not None:
        given["version_item"] = called[written.version]
    given["items"] = items
    offer: dict[str, Any] = {name: written[f"offer-{name}"] for name in OFFER if written[f"offer-{name}"]}
    if "endpoint" in offer or "object" in offer:
        columns = {name: row["column"] for name, row in zip(called, written.items, strict=True) if row.get("column")}
        offer |= {"columns": columns} if columns else {}
        if written["options"]:
            try:
                offer["options"] = read_plain_yaml(written["options"].encode(), name=_("选项")).data
            except SchemaError as error:
                faults += [Fault(f"资源挂接 › 选项 › {text}", _("写法有误")) for text in error.problems]
        given["offer"] = offer
    return Sheet({name: value for name, value in given.items() if value not in ("", [], {})}, tuple(faults))


def several(text: str) -> list[str]:
    """The texts of a field that holds several."""
    return [part.strip() for part in re.split(r"[;；\n]", text) if part.strip()]


def beside(problems: Iterable[Problem], here: str) -> dict[str, str]:
    """What is said beside each field.

    Args:
        problems: What the directory found.
        here: Where the registration is, as their places begin.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for problem in problems:
        found[place(problem.where, here)].append(problem.message + (f"（{problem.remedy}）" if problem.remedy else ""))
    return {name: _("；").join(dict.fromkeys(texts)) for name, texts in found.items() if name}


def place(where: str, here: str) -> str:
    """The field a problem is about, by the path the directory gives; empty: none of them."""
    parts = where.removeprefix(here).removeprefix(" › ").split(" › ")
    if (row := _ITEM.match(parts[0])) is not None:
        name = _ITEM_FIELDS.get(parts[1], "label") if len(parts) > 1 else "label"
        return f"item-{int(row[1]) - 1}-{name}"
    if parts[0] == "资源挂接":
        name = _OFFER_TITLES.get(parts[1], "endpoint") if len(parts) > 1 else "endpoint"
        return {"options": "options", "columns": "items"}.get(name, f"offer-{name}")
    name = _TITLES.get(parts[0], "")
    return {"record_class": "of", "table": "of", "key": "items", "version_item": "items"}.get(name, name)


def digest(problems: Iterable[Problem]) -> str:
    """What somebody has seen who goes on in spite of warnings."""
    return hashlib.sha256("\n".join(map(str, problems)).encode()).hexdigest()[:32]


def options_text(options: dict[str, Any]) -> str:
    """Options of an offer, as somebody would write them."""
    return yaml.safe_dump(options, allow_unicode=True, sort_keys=False) if options else ""


def _item(row: dict[str, str]) -> dict[str, Any]:
    item: dict[str, Any] = {name: row[name] for name in OF_ITEM if row.get(name)}
    if row.get("rows"):
        try:
            item["rows"] = json.loads(row["rows"])
        except (ValueError, RecursionError):
            item["rows"] = row["rows"]  # which is told to be no list
    return item


def _row(item: Item, column: str = "", *, keyed: bool = False) -> dict[str, str]:
    row = {name: _text(getattr(item, name)) for name in OF_ITEM}
    rows = json.dumps([each.model_dump(mode="json") for each in item.rows], ensure_ascii=False) if item.rows else ""
    return row | {"key": "是" if keyed else "", "column": column, "rows": rows}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "是" if value else ""
    return "" if value is None else str(value)
