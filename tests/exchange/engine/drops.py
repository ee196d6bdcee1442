"""Recipients whose deliveries are files in a directory each, on the town's resource."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from stdnum.cn import uscc

from catalog import Department, EndpointSpec
from exchange.authorisation import Application
from exchange.db.tables import DispatchRow, ReceiptRow
from exchange.engine import Courier
from exchange.hub import Hub
from tests.exchange.engine.town import SYNC, Town, application, identity_number, person, publish, resource


def code_of(number: int) -> str:
    """A made-up department's credit code."""
    first = f"11321200TF0{number:06d}"
    return first + uscc.calc_check_digit(first)


def set_messages(town: Town, **messages: Any) -> None:
    """Settings of ``[messages]``, with little patience unless it is said."""
    given = {"again_seconds": 2.0, "retry_seconds": 0.5, "visible_seconds": 1.0, **messages}
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in given.items())
    file = town.home / "shutong.toml"
    # Before the people, whose tables come last.
    text = re.sub(r"(?ms)^\[messages\]\n.*?\n\n", "", file.read_text())
    file.write_text(text.replace("\n[actors.", f"\n[messages]\n{lines}\n\n[actors.", 1))


class Drops:
    """A town with so many recipients of files.

    Attributes:
        recipients: Their credit codes.
        shares: Their exchanges, in the same order.
        grants: Their grants.
    """

    def __init__(self, town: Town, many: int = 1, **messages: Any) -> None:
        self.town = town
        self.recipients: list[str] = []
        self.shares: list[str] = []
        self.grants: list[str] = []
        self.set(**messages)
        with town.hub() as hub:
            publish(town, hub, resource(share_ways=["database", "file"]))
        for number in range(many):
            self.add(number)

    def set(self, **messages: Any) -> None:
        """Settings of ``[messages]``."""
        set_messages(self.town, **messages)

    def root(self, number: int) -> Path:
        """A recipient's directory."""
        return self.town.home.parent / f"drop{number}"

    def add(self, number: int) -> str:
        """One more recipient, with its grant; its exchange."""
        town, code = self.town, code_of(number)
        self.root(number).mkdir()
        file = town.home / "shutong.toml"
        person = f'name = "经办{number}"\ndepartment = "{code}"\nroles = ["clerk", "integrator"]'
        file.write_text(f"{file.read_text()}\n[actors.clerk{number}]\n{person}\n")
        with town.hub() as opened:
            by = town.actor("integrator")
            opened.registration.put_department(Department(code=code, name=f"部门{number}", division="321200"), by=by)
            spec = EndpointSpec(
                name=f"drop{number}", department=code, kind="files", options={"root": str(self.root(number))}
            )
            opened.registration.put_endpoint(spec, by=by)
            asked = application(
                department=code, way="file", target={"endpoint": f"drop{number}", "object": "people_*.csv"}
            )
            name = opened.sharing.apply(Application.model_validate(asked), by=town.actor(f"clerk{number}"))
            granted = opened.sharing.decide(name, approved=True, reasons=["依法履职"], by=town.actor("chief"))
        assert granted is not None
        self.recipients.append(code)
        self.grants.append(granted)
        self.shares.append(f"share-{granted}")
        return self.shares[-1]

    def collect(self, *numbers: int, version: int = 1) -> str:
        """People reported and collected: from here on deliveries are owed; the run."""
        self.town.report(*(person(number, version=version) for number in numbers))
        return self.town.run(SYNC).id

    # --- what there is -------------------------------------------------------------------------

    def owed(self, *states: str) -> list[DispatchRow]:
        """Rows of the books, those of some states alone, the oldest first."""
        query = sa.select(DispatchRow).order_by(DispatchRow.id)
        return self.town.all(query.where(DispatchRow.state.in_(states)) if states else query)

    def states(self) -> list[str]:
        """States of all rows, the oldest first."""
        return [row.state for row in self.owed()]

    def files(self, number: int) -> list[Path]:
        """Data files that a recipient finds."""
        return sorted(self.root(number).glob("people_*.csv"))

    def rows(self, number: int) -> list[tuple[str, str]]:
        """Identity number and version of every row that a recipient was ever given, file after file."""
        found = []
        for path in self.files(number):
            about = json.loads(path.with_name(f"{path.name}.manifest.json").read_text())
            with path.open(encoding="utf-8-sig") as lines:
                rows = [(row["id_no"], row["ver"]) for row in csv.DictReader(lines)]
            assert len(rows) == about["rows"]
            found += rows
        return found

    def receipts(self, share: str) -> list[ReceiptRow]:
        """Receipts of deliveries of an exchange."""
        return self.town.receipts(share)

    def faults(self) -> list[str]:
        """What is wrong with the log."""
        return self.town.faults()


def once(numbers: Sequence[int], version: int = 1) -> list[tuple[str, str]]:
    """Rows of people who are granted, each once."""
    return sorted((identity_number(n), str(version)) for n in numbers if n % 3)


def courier(hub: Hub, **options: Any) -> Courier:
    """A courier of a hub."""
    return Courier(hub.settings, hub.engine.dispatches, hub.oversight.carry_out, **options)
