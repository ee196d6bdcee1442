"""Endpoints as the integrator meets them: test, inspect, prepare, and whether an exchange fits them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters import Acknowledgement, Endpoint, FoundObject, Probe, Refreshing
from catalog import Catalog
from catalog.errors import CatalogError
from exchange.db.tables import ExchangeRow, RunRow
from exchange.engine.mailbox import Mailroom
from exchange.engine.opening import binding, open_registered, translated
from exchange.engine.passage import delivered_schema
from exchange.engine.subject import Places
from exchange.errors import HubError, Problem
from exchange.plan import End, Plan
from exchange.secrets import Keyring
from exchange.settings import Settings
from schemas import Item, arrow_schema


class Endpoints:
    """Opens registered endpoints for everything but a run."""

    def __init__(self, settings: Settings, catalog: Catalog, keyring: Keyring, mailroom: Mailroom) -> None:
        self._settings = settings
        self._catalog = catalog
        self._keyring = keyring
        self._mailroom = mailroom

    def open(self, session: Session, name: str) -> Endpoint:
        """Open a registered endpoint with its secrets."""
        spec = self._catalog.endpoint(session, name)
        home, keyring = self._settings.home, self._keyring
        opened = open_registered(spec.kind, spec.options, spec.zone, home=home, name=name, keyring=keyring)
        return self._mailroom.opened(opened, name)

    def test(self, session: Session, name: str) -> list[Probe]:
        """Try what a run will need of it (连通测试)."""
        with translated(f"端点 {name}"):
            return self.open(session, name).test()

    def reaching(self, session: Session, name: str) -> Callable[[], None]:
        """What tells whether it can be reached, again and again and without this session; raises the hub's errors."""
        opened = self.open(session, name)

        def reach() -> None:
            with translated(f"端点 {name}"):
                opened.inspect()

        return reach

    def test_offer(
        self, session: Session, end: End, *, key: Sequence[str], version: str | None, items: Sequence[Item]
    ) -> Probe:
        """Whether a resource can be read as it is offered, and what is worth knowing about that."""
        name = f"{end.object}（{end.capture}）"
        try:
            problems = [each.message for each in self.check_source(session, end, key=key, version=version, items=items)]
            if problems:
                return Probe(name, passed=False, detail="；".join(problems), remedy="改正资源的挂接，或请提供方改表")
            with translated(f"端点 {end.endpoint}"):
                advice = self.open(session, end.endpoint).advise(binding(end, tuple(key), version))
        except HubError as error:
            return Probe(name, passed=False, detail=error.message, remedy=error.remedy)
        return Probe(name, passed=True, detail="与挂接相符", remedy="；".join(advice))

    def inspect(self, session: Session, name: str, object: str | None = None) -> list[FoundObject]:
        """What lies there (探查)."""
        with translated(f"端点 {name}"):
            return self.open(session, name).inspect(object)

    def dataset(self, session: Session, end: End) -> tuple[str, str]:
        """Which data set an end of an exchange is to a catalogue of lineage (血缘): namespace and name.

        No secret is opened for it, and nobody is asked.
        """
        return Places(session, self._settings, self._catalog).dataset(end.model_dump())

    def prepare(self, session: Session, end: End, plan: Plan) -> str:
        """The script the recipient's administrator runs before the first delivery (建表脚本)."""
        with translated(f"端点 {end.endpoint}"):
            endpoint = self.open(session, end.endpoint)
            return endpoint.prepare(binding(end, plan.key, plan.version), delivered_schema(plan))

    def install(
        self, session: Session, end: End, *, key: Sequence[str], version: str | None, schema: pa.Schema
    ) -> list[Problem]:
        """Carry the preparation out, at an endpoint that belongs to the hub itself.

        Returns:
            What lies there and cannot be made to fit without a loss; then nothing was changed.
        """
        with translated(f"端点 {end.endpoint}"):
            found = self.open(session, end.endpoint).install(binding(end, tuple(key), version), schema)
        return [Problem(where=f"端点 {end.endpoint} › {end.object}", message=text) for text in found]

    def check_source(
        self, session: Session, end: End, *, key: Sequence[str], version: str | None, items: Sequence[Item]
    ) -> list[Problem]:
        """Everything about a resource's offer that does not fit what lies at its endpoint."""
        with translated(f"端点 {end.endpoint}"):
            endpoint = self.open(session, end.endpoint)
            found = endpoint.check(binding(end, tuple(key), version, items), arrow_schema(items), sink=False)
        return [Problem(where=f"端点 {end.endpoint} › {end.object}", message=text) for text in found]

    def check_target(self, session: Session, plan: Plan) -> list[Problem]:
        """Everything about the delivery that does not fit the target."""
        schema = delivered_schema(plan)
        return self.check_sink(session, plan.target, key=plan.key, version=plan.version, schema=schema)

    def check_sink(
        self, session: Session, end: End, *, key: Sequence[str], version: str | None, schema: pa.Schema
    ) -> list[Problem]:
        """Everything about rows of a schema that does not fit where they are to go."""
        with translated(f"端点 {end.endpoint}"):
            found = self.open(session, end.endpoint).check(binding(end, tuple(key), version), schema, sink=True)
        return [Problem(where=f"端点 {end.endpoint} › {end.object}", message=text) for text in found]

    def refreshing(self, session: Session, plan: Plan) -> Refreshing | None:
        """How the target of a plan would be refreshed now, and why so; None: it is merged into."""
        if plan.refresh is None:
            return None
        with translated(f"端点 {plan.target.endpoint}"):
            return self.open(session, plan.target.endpoint).refreshing(binding(plan.target, plan.key, plan.version))

    def settled(self, session: Session, run: RunRow) -> Acknowledgement | None:
        """What the target's ledger says now of a run's delivery (台账); None: it knows nothing of it.

        Raises:
            ValidationError: The run's plan is none.
            HubError: The target cannot be asked.
        """
        plan = Plan(**run.plan)
        with translated(f"端点 {plan.target.endpoint}"):
            endpoint = self.open(session, plan.target.endpoint)
            with endpoint.sink(binding(plan.target, plan.key, plan.version)) as sink:
                return sink.settled(run.delivery)

    def ledger_heads(self, session: Session) -> tuple[list[tuple[str, str]], list[str]]:
        """The head of the log that each exchange's last delivery left in its target's ledger (台账).

        Returns:
            Heads with where they lie, and in words which ledgers could not be read.
        """
        heads: list[tuple[str, str]] = []
        unheard: list[str] = []
        last = select(RunRow).join(ExchangeRow, ExchangeRow.last_delivery == RunRow.delivery).order_by(RunRow.exchange)
        for run in session.scalars(last):
            place = f"交换 {run.exchange} 的目标端台账"
            try:
                kept = self.settled(session, run)
            except ValidationError:
                unheard.append(f"{place}无法读取，其中的链头未比对：批次的方案被改动")
                continue
            except (HubError, CatalogError) as error:
                unheard.append(f"{place}无法读取，其中的链头未比对：{error.message}")
                continue
            if kept is None:
                unheard.append(f"{place}中没有最近一次交付的记录，无从比对链头")
            else:
                heads.append((place, kept.head))
        return heads, unheard
