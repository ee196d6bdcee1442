"""References between classes (引用): is the service item a case names registered in the base library?

A row whose reference is not known is kept, with a state: the item may be reported later, and dropping
the case would lose it.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from adapters import Binding, Endpoint, Misconfigured, Selection
from schemas import Item, record_class


class References:
    """Answers whether values are registered, from what the base library holds now.

    Args:
        library: The base library.
        items: Items of the rows to come; those with a ``reference`` are looked up in the item of the same
            name of the class they name.
    """

    def __init__(self, library: Endpoint, items: Sequence[Item]) -> None:
        self._known: dict[str, pa.Array] = {}
        for item in items:
            if item.reference is not None:
                self._known[item.name] = _registered(library, item)

    def known(self, item: str, values: pa.Array) -> pa.BooleanArray:
        """For each value of an item, whether it is registered."""
        return pc.is_in(values, value_set=self._known[item])


def _registered(library: Endpoint, item: Item) -> pa.Array:
    """All values the class named holds in the item of that name; none where nothing was collected yet."""
    values: list[pa.Array] = [pa.array([], pa.string())]
    for table in record_class(item.reference or "").tables:
        if item.name not in {each.name for each in table.items} or table.parent is not None:
            continue
        columns = {name: name for name in dict.fromkeys((*table.key, item.name))}
        binding = Binding(object=table.name, columns=columns, key=table.key)
        try:
            with library.source(binding) as source:
                values += [
                    pc.unique(batch.column(item.name).cast(pa.string())) for batch in source.batches(Selection())
                ]
        except Misconfigured:
            # Nobody has published this class yet, so the library has no table for it.
            continue
    return pc.unique(pa.concat_arrays(values))
