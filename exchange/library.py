"""The base library (基础库): one table a class, filled by synchronisation, shared from under grants.

It is an endpoint like any other, with a database of its own. A row belongs to the provider that
reported it: the key is (provider, business key), so that two providers never overwrite each other.
"""

from __future__ import annotations

import pyarrow as pa

from catalog import Resource
from catalog.codes import file_name
from exchange.plan import LIBRARY, End
from schemas import Item, arrow_schema, record_class

PROVIDER = "shutong_provider"
"""Column with the provider's credit code."""


def library_table(resource: Resource) -> str:
    """Name of the table a resource is kept in: that of its class, or one of its own."""
    return resource.table or "r_" + file_name(resource.code).replace("-", "_")


def library_items(resource: Resource) -> tuple[Item, ...]:
    """Items of the library's table: all of the class, since several providers share it."""
    if resource.record_class is None or resource.table is None:
        return resource.items
    table = next(t for t in record_class(resource.record_class).tables if t.name == resource.table)
    own = {item.name for item in table.items}
    return (*table.items, *(item for item in resource.items if item.name not in own))


def library_schema(resource: Resource) -> pa.Schema:
    """Columns of the library's table: only the key may not be empty, providers differ in the rest."""
    fields = arrow_schema(library_items(resource))
    return pa.schema([field.with_nullable(field.name not in resource.key) for field in fields])


def library_end(resource: Resource, *, names: tuple[str, ...] | None = None) -> End:
    """The library's end of an exchange: target of a synchronisation, source of a sharing.

    Args:
        resource: The resource kept there.
        names: Items bound; None: those of the resource.
    """
    names = names or tuple(item.name for item in resource.items)
    return End(
        endpoint=LIBRARY,
        object=library_table(resource),
        columns={name: name for name in names},
        capture="journal",
        fixed={PROVIDER: resource.provider_code},
        options={"journal": True},
    )


def offer_end(resource: Resource) -> End:
    """The provider's end of a synchronisation, as the resource is offered."""
    offer = resource.offer
    if offer is None:
        raise ValueError(f"资源 {resource.code} 没有挂接")
    return End(
        endpoint=offer.endpoint,
        object=offer.object,
        columns=dict(offer.columns),
        capture=offer.capture,
        profile=offer.profile,
        options=dict(offer.options),
    )


def served_end(resource: Resource) -> End:
    """The end that grants on a resource are served from (共享来源): the library, or the provider's own table."""
    direct = resource.offer is not None and resource.offer.served == "provider"
    return offer_end(resource) if direct else library_end(resource)
