"""Where data came from and where it went, as OpenLineage wants to be told (数据血缘).

Data sets are named by the rules of OpenLineage, so that what the hub moves is joined to what others tell of the same
tables and files. Told are names, types, counts and the ids of grant and receipt; of a record nothing, of a filter
which items it looks at and not for which values, and no secret.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exchange.errors import HubError, Unknown
from exchange.scheduling.connections import open_hub

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from exchange.engine import RunResult
    from exchange.hub import Hub
    from exchange.plan import End
    from schemas import Item

_logger = logging.getLogger(__name__)

FACET = "shutong_exchange"
"""Name of what is told of a run besides (交换批次)."""


@dataclass(frozen=True)
class DataSet:
    """A table, file pattern or operation at one end of an exchange (数据集).

    Attributes:
        namespace: Where it is, by OpenLineage's rules.
        name: What it is called there.
        columns: Item to what it is called there.
    """

    namespace: str
    name: str
    columns: Mapping[str, str]


@dataclass(frozen=True)
class Lineage:
    """What is told of an exchange, or of a run of it (血缘).

    Attributes:
        source: Read from.
        target: Delivered to.
        items: All items that are read.
        masked: Those that are handed over masked.
        filtered_by: Those that decide which rows are handed over.
        about: What the run is: ids, parties, grant.
        counts: The books of the run; empty while there are none.
    """

    source: DataSet
    target: DataSet
    items: tuple[Item, ...]
    masked: frozenset[str]
    filtered_by: tuple[str, ...]
    about: Mapping[str, Any]
    counts: Mapping[str, int] = field(default_factory=dict)


def before(hub: Hub, exchange: str) -> Lineage:
    """What an exchange moves, as far as registration and grant say.

    Raises:
        Unknown: There is no such exchange.
    """
    from exchange.db.tables import ExchangeRow, GrantRow
    from exchange.plan import End

    with hub.told(), hub.database.reading() as session:
        row = session.get(ExchangeRow, exchange)
        if row is None:
            raise Unknown(f"没有交换 {exchange}", remedy="用 shutong status 查看已有的交换")
        grant = session.get_one(GrantRow, row.grant)
        resource = hub.catalog.resource(session, row.resource, version=grant.resource_version).resource
        source, target = End(**row.source), End(**row.target)
        places = hub.endpoints.dataset(session, source), hub.endpoints.dataset(session, target)
    about = {
        "exchange": row.id,
        "kind": row.kind,
        "resource": row.resource,
        "resourceVersion": grant.resource_version,
        "grant": grant.id,
        "grantVersion": grant.version,
        "provider": row.provider,
        "recipient": row.recipient,
    }
    return _lineage(places, source, target, resource.items, grant.body, about)


def after(hub: Hub, result: RunResult) -> Lineage:
    """What a run moved."""
    plan = result.plan
    with hub.told(), hub.database.reading() as session:
        places = hub.endpoints.dataset(session, plan.source), hub.endpoints.dataset(session, plan.target)
    about = {
        "exchange": plan.exchange,
        "kind": plan.kind,
        "resource": plan.resource,
        "resourceVersion": plan.resource_version,
        "grant": plan.grant,
        "grantVersion": plan.grant_version,
        "provider": plan.provider,
        "recipient": plan.recipient,
        "run": result.id,
        "state": str(result.state),
        "way": plan.way,
        "plan": plan.digest(),
        "guarantee": plan.guarantee,
        "receipt": result.receipt,
        "counts": dict(result.counts),
        "files": dict(result.files),
    }
    body = {"items": plan.deliver, "filter": plan.filter, "masks": plan.masks}
    return _lineage(places, plan.source, plan.target, plan.items, body, about, result.counts)


def _lineage(
    places: tuple[tuple[str, str], tuple[str, str]],
    source: End,
    target: End,
    items: Sequence[Item],
    grant: Mapping[str, Any],
    about: Mapping[str, Any],
    counts: Mapping[str, int] | None = None,
) -> Lineage:
    from exchange.authorisation.expression import items_used, parse

    granted, expression = list(grant["items"]), grant.get("filter")
    filtered_by = items_used(parse(expression)) if expression else ()
    read = [item for item in items if item.name in {*granted, *filtered_by}]
    return Lineage(
        source=DataSet(*places[0], {item.name: source.columns.get(item.name, item.name) for item in read}),
        target=DataSet(*places[1], {name: target.columns.get(name, name) for name in granted}),
        items=tuple(read),
        masked=frozenset(name for name, mask in (grant.get("masks") or {}).items() if mask["mask"] != "clear"),
        filtered_by=filtered_by,
        about=about,
        counts=counts or {},
    )


def told(lineage: Lineage) -> OperatorLineage[Any, Any]:
    """Inputs, outputs and facets for OpenLineage; its libraries are loaded only now."""
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import InputDataset, OutputDataset
    from openlineage.client.facet_v2 import (
        InputDatasetFacet,
        OutputDatasetFacet,
        RunFacet,
        input_statistics_input_dataset,
        output_statistics_output_dataset,
    )

    source, target, counts = lineage.source, lineage.target, lineage.counts
    read: dict[str, InputDatasetFacet] = {}
    written: dict[str, OutputDatasetFacet] = {}
    if counts:
        read["inputStatistics"] = input_statistics_input_dataset.InputStatisticsInputDatasetFacet(counts["read"])
        written["outputStatistics"] = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
            counts["written"]
        )
    return OperatorLineage(
        inputs=[
            InputDataset(
                namespace=source.namespace,
                name=source.name,
                facets={"schema": _schema(lineage.items, source)},
                inputFacets=read,
            )
        ],
        outputs=[
            OutputDataset(
                namespace=target.namespace,
                name=target.name,
                facets={"schema": _schema(lineage.items, target), "columnLineage": _columns(lineage)},
                outputFacets=written,
            )
        ],
        run_facets={FACET: RunFacet().with_additional_properties(**lineage.about)},
    )


def _schema(items: Sequence[Item], place: DataSet) -> Any:
    from openlineage.client.facet_v2 import schema_dataset

    from schemas import arrow_type

    return schema_dataset.SchemaDatasetFacet(
        fields=[
            schema_dataset.SchemaDatasetFacetFields(
                name=place.columns[item.name], type=str(arrow_type(item)), description=item.label
            )
            for item in items
            if item.name in place.columns
        ]
    )


def _columns(lineage: Lineage) -> Any:
    """Which column came from which, whether it was masked, and which columns decided over rows."""
    from openlineage.client.facet_v2 import column_lineage_dataset as facet

    source = lineage.source

    def read(item: str, transformation: Any) -> Any:
        return facet.InputField(source.namespace, source.name, source.columns[item], [transformation])

    return facet.ColumnLineageDatasetFacet(
        fields={
            column: facet.Fields(
                inputFields=[
                    read(item, facet.Transformation("DIRECT", _subtype(item, lineage), masking=item in lineage.masked))
                ]
            )
            for item, column in lineage.target.columns.items()
            if item in source.columns
        },
        dataset=[
            read(item, facet.Transformation("INDIRECT", "FILTER", masking=False))
            for item in lineage.filtered_by
            if item in source.columns
        ],
    )


def _subtype(item: str, lineage: Lineage) -> str:
    return "TRANSFORMATION" if item in lineage.masked else "IDENTITY"


class Traceable:
    """An operator that tells OpenLineage what its exchange moves (可追溯); to be mixed into it.

    Attributes:
        exchange: Id of the exchange.
        home: The hub's home; None: what ``SHUTONG_HOME`` names.
        lineage: What its run moved, kept by :meth:`trace`.
    """

    exchange: str
    home: str | None = None
    lineage: Lineage | None = None

    def trace(self, hub: Hub, result: RunResult) -> None:
        """Keep what a run moved, to be told of; that this cannot be found out is no reason to call the run failed."""
        try:
            self.lineage = after(hub, result)
        except HubError as error:
            _logger.warning("cannot tell where the data of run %s went: %s", result.id, error)

    def get_openlineage_facets_on_start(self) -> OperatorLineage[Any, Any]:
        """What the exchange moves."""
        with closing(open_hub(Path(self.home) if self.home else None)) as hub:
            return told(before(hub, self.exchange))

    def get_openlineage_facets_on_complete(self, _task_instance: Any) -> OperatorLineage[Any, Any]:
        """What the run moved; where it moved nothing, since it was not to run, what the exchange would."""
        return self.get_openlineage_facets_on_start() if self.lineage is None else told(self.lineage)

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """The same, without figures."""
        return self.get_openlineage_facets_on_complete(task_instance)
