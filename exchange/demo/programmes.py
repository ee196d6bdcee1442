"""Departments' programmes that call the hub (部门程序), and whether what went by SOAP is what the receipts say."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, select

from exchange.db.tables import ReceiptRow, RunRow
from exchange.demo import caller, pusher, receiving
from exchange.demo.processes import environment
from exchange.engine import RunResult
from exchange.errors import Failed
from exchange.hub import Hub
from exchange.identity import Actor
from exchange.plan import Plan

SECONDS = 120
"""How long a programme may take."""


@dataclass(frozen=True)
class Fetched:
    """What the insurance office's programme was given (读取结果), and what it says the receipt for it is."""

    pages: int
    put: int
    gone: int
    receipt: str
    counts: dict[str, int]


@dataclass(frozen=True)
class Sent:
    """What the housing office's programme pushed (推送结果), and what the hub's answer said."""

    rows: int
    accepted: int
    refused: int
    receipt: str


class Programmes:
    """The programmes of two offices, each run as a process of its own whenever it is its turn.

    Args:
        hub: The hub, for what its books say.
        fronts: Folder of the departments' machines.
        logs: Folder of what the services have to say.

    Attributes:
        door: Where the hub's door is.
        fetched: What the insurance office's programme was given, by run.
        pushed: What the housing office's programme sent, by run.
    """

    def __init__(self, hub: Hub, fronts: Path, logs: Path) -> None:
        self.door = ""
        self.fetched: dict[str, Fetched] = {}
        self.pushed: dict[str, Sent] = {}
        self._hub = hub
        self._fronts = fronts
        self._logs = logs

    def let_in(self, department: str, user: str, purpose: str, *, by: Actor) -> None:
        """Give a department's programme something to sign in with, kept in a file of the department's."""
        issued = self._hub.access.issue(department, "token", by=by, purpose=purpose)
        token = self._token(user)
        token.touch(mode=0o600)
        token.write_text(issued.secret.get_secret_value() if issued.secret else "", encoding="ascii")

    def fetch(self, user: str, resource: str) -> RunResult:
        """The insurance office's programme fetches what is new to it; the run that its call has led to.

        Raises:
            Failed: It was not answered; says why.
        """
        told = self._call("医保局的程序", caller.__file__, resource, user, f"{user}-caller.db")
        run = told.pop("delivery")
        self.fetched[run] = Fetched(**told)
        return self._result(RunRow.id == run)

    def push(self, user: str, resource: str) -> RunResult:
        """The housing office's programme pushes what is new; the run that its message has led to.

        Raises:
            Failed: It was not answered; says why.
        """
        told = self._call("住建局的程序", pusher.__file__, resource, user, f"{user}-permits.db")
        result = self._result(ReceiptRow.id == told["receipt"])
        self.pushed[result.id] = Sent(told["rows"], told["accepted"], len(told["refused"]), told["receipt"])
        return result

    def booked(self, run: str) -> RunResult:
        """A run that another process carried out, as its books have it."""
        return self._result(RunRow.id == run)

    def _call(self, name: str, programme: str, resource: str, user: str, database: str) -> dict[str, Any]:
        remedy = f"平台服务接口的记录在 {self._logs}"
        words = [programme, self.door, resource, str(self._token(user)), str(self._fronts / database)]
        try:
            ended = subprocess.run(  # noqa: S603 - a file of ours
                [sys.executable, "-P", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                timeout=SECONDS, env=environment(), start_new_session=True,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{name}在 {SECONDS} 秒内没有得到答复", remedy=remedy) from error
        if ended.returncode:
            why = ended.stderr.strip().splitlines()[-1:] or [f"退出状态 {ended.returncode}"]
            raise Failed(f"{name}没有得到答复：{why[0]}", remedy=remedy)
        told: dict[str, Any] = json.loads(ended.stdout)
        return told

    def _token(self, user: str) -> Path:
        return self._fronts / f"{user}.token"

    def _result(self, which: ColumnElement[bool]) -> RunResult:
        """A run that another process carried out, as its books have it."""
        query = select(RunRow, ReceiptRow.id).join(ReceiptRow, ReceiptRow.run == RunRow.id).where(which)
        with self._hub.database.reading() as session:
            found = session.execute(query).one_or_none()
            if found is None:
                raise Failed("程序得到了答复，而平台没有它的回执", remedy="用 shutong status 查看")
            run, receipt = found
            return RunResult(
                id=run.id,
                plan=Plan.model_validate(run.plan),
                state=run.state,
                counts=dict(run.counts or {}),
                seconds=((run.ended_at or run.started_at) - run.started_at).total_seconds(),
                receipt=receipt,
            )

    # --- what the receipts say -----------------------------------------------------------------

    def discrepancies(self, runs: Sequence[RunResult], receiver: str, folder: Path) -> list[str]:
        """Where what departments sent or hold by SOAP is not what the receipts say, in words.

        Args:
            runs: What was carried out.
            receiver: The exchange that pushes to the housing office's service.
            folder: Where that service keeps what it was sent.
        """
        found = []
        for run in runs:
            counts, receipt = run.counts, run.receipt
            came = (counts["written"] - counts["deleted"], counts["deleted"])
            if run.plan.exchange == receiver:
                got = self.brought(run, folder)
                if (got.put, got.gone) != came:
                    found.append(f"住建局的服务收到 {got.put} 行、删除 {got.gone} 行，与回执 {receipt} 不符")
            elif (read := self.fetched.get(run.id)) is not None:
                if ((read.put, read.gone), read.receipt, read.counts) != (came, receipt, counts):
                    found.append(f"医保局的程序读到 {read.put} 行、删除 {read.gone} 行，与回执 {receipt} 不符")
            elif (sent := self.pushed.get(run.id)) is not None:
                said = (counts["read"], counts["read"] - counts["refused"], counts["refused"], receipt)
                if (sent.rows, sent.accepted, sent.refused, sent.receipt) != said:
                    found.append(f"住建局的程序推送 {sent.rows} 行，应答与回执 {receipt} 不符")
        return found

    def brought(self, run: RunResult, folder: Path) -> receiving.Tally:
        """What the messages of a run brought to the service of a folder."""
        return receiving.tally(folder, self.delivery(run))

    def delivery(self, run: RunResult) -> str:
        """The delivery key of a run, which the department finds with what it got."""
        with self._hub.database.reading() as session:
            return session.get_one(RunRow, run.id).delivery
