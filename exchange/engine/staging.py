"""From the source through the checks into a stage (读取与暂存): the same for a whole run and for one part of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from adapters import Delivery, Endpoint, Selection, Sink, Source
from catalog import Catalog
from exchange.checks import Digest
from exchange.db import HubDatabase
from exchange.engine.manifest import Header, ManifestWriter
from exchange.engine.opening import translated
from exchange.engine.passage import Passage
from exchange.engine.pipeline import Behind, ahead
from exchange.engine.references import References
from exchange.errors import Red
from exchange.plan import Plan
from exchange.secrets import Keyring

Observer = Callable[[str, dict[str, Any]], None]
"""Called at every step with its name and figures: for progress, and for tests that kill the process there."""


class Staging:
    """Opens the passages of plans, and takes what a source hands over through them."""

    def __init__(self, database: HubDatabase, catalog: Catalog, keyring: Keyring) -> None:
        self._database = database
        self._catalog = catalog
        self._keyring = keyring

    def passage(self, plan: Plan, *, sink: Sink | None, target: Endpoint) -> Passage:
        """The passage of a plan's rows.

        Args:
            plan: The plan carried out.
            sink: Asked what it holds; None: nothing was ever delivered to this target.
            target: Its endpoint, which rows collected into the library may refer to.
        """
        return Passage(
            plan,
            zone=self._zone(plan.source.endpoint),
            mask_key=self._keyring.derive("grant", plan.grant),
            hash_key=self._keyring.derive("quarantine", plan.resource),
            today=datetime.now(ZoneInfo("Asia/Shanghai")).date(),
            sink=sink,
            references=self._references(plan, target),
        )

    def carry(
        self,
        source: Source,
        selection: Selection,
        passage: Passage,
        held: Delivery,
        manifest: ManifestWriter,
        header: Header,
        digest: Digest,
        *,
        check: Callable[[], None],
        observe: Observer,
    ) -> None:
        """Stage everything selected, note it in the manifest and count it in the header.

        Args:
            source: Where the rows come from.
            selection: Which.
            passage: What they go through.
            held: Where they are staged.
            manifest: What is noted of them.
            header: What counts them.
            digest: What hashes those staged.
            check: Called with every batch; raises where it is no longer ours to go on.
            observe: Told about every batch.
        """
        with ahead(source.batches(selection)) as batches, closing(Behind(held.stage)) as staging:
            for batch in batches:
                check()
                passed = passage.through(batch)
                if passed.staged.num_rows:
                    staging.put(passed.staged)
                    manifest.leaf(digest.add(passed.staged))
                manifest.rows(passed.rows)
                manifest.refused(passed.refused, passed.contents)
                manifest.kept(passed.kept)
                manifest.documents(passed.documents)
                header.read += batch.num_rows
                header.filtered += passed.filtered
                header.refused += passed.refused_rows
                header.staged += passed.staged.num_rows
                for rule in (*passed.refused.column("rule").to_pylist(), *passed.kept.column("rule").to_pylist()):
                    header.report[rule] = header.report.get(rule, 0) + 1
                observe("3.read", {"read": header.read, "refused": header.refused, "staged": header.staged})
            staging.finish()

    def _references(self, plan: Plan, target: Endpoint) -> References | None:
        """What rows collected into the library may refer to there; None where none of them refers to anything."""
        if plan.kind != "synchronisation" or not any(item.reference for item in plan.items):
            return None
        with translated(f"基础库 {plan.target.endpoint}"):
            return References(target, plan.items)

    def _zone(self, endpoint: str) -> str:
        with self._database.reading() as session:
            return self._catalog.endpoint(session, endpoint).zone


def demand_balance(exchange: str, header: Header) -> None:
    """Every row read went somewhere.

    Raises:
        Red: It did not.
    """
    if header.read != header.filtered + header.refused + header.staged:
        raise Red(f"交换 {exchange} 账不平：读取 {header.read} 行，去向合计不等", remedy="保全现场并报告缺陷")
