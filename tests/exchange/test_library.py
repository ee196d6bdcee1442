"""The base library's end of an exchange: whose rows, in which table, under which key."""

from __future__ import annotations

from typing import Any

import pytest

from catalog import Resource
from exchange.library import LIBRARY, PROVIDER, library_end, library_items, library_schema, library_table, offer_end
from schemas import record_class
from tests.exchange.engine.town import COLUMNS, POLICE
from tests.exchange.engine.town import resource as written


def resource(**changes: Any) -> Resource:
    return Resource.model_validate(written(**changes))


def of_class(**changes: Any) -> Resource:
    table = record_class("natural_person").tables[0]
    own = {"name": "note_own", "label": "本地备注", "type": "C", "length": 20}
    items = [item.model_dump(mode="json") for item in table.items[:4]]
    return resource(
        record_class="natural_person", table=table.name, items=[*items, own], key=list(table.key), **changes
    )


def test_a_resource_of_a_class_is_kept_in_the_table_of_the_class() -> None:
    assert library_table(of_class()) == record_class("natural_person").tables[0].name


def test_any_other_has_a_table_of_its_own_without_the_slash() -> None:
    assert library_table(resource()) == "r_101001001_0001"
    assert library_table(resource(code="101001001/0002")) != library_table(resource(code="101001001/0001"))


def test_the_table_of_a_class_holds_all_its_items_and_the_resources_own() -> None:
    table = record_class("natural_person").tables[0]
    assert [item.name for item in library_items(of_class())] == [*(item.name for item in table.items), "note_own"]
    assert library_items(resource()) == resource().items


def test_only_the_key_may_not_be_empty_since_providers_differ_in_the_rest() -> None:
    schema = library_schema(resource())
    assert [field.name for field in schema if not field.nullable] == ["id_no"]
    assert schema.names == list(COLUMNS)


def test_rows_are_the_providers_and_the_journal_says_what_changed() -> None:
    end = library_end(resource())
    assert (end.endpoint, end.object, end.capture) == (LIBRARY, "r_101001001_0001", "journal")
    assert end.fixed == {PROVIDER: POLICE}
    assert end.columns == {name: name for name in COLUMNS}
    assert library_end(resource(), names=("id_no",)).columns == {"id_no": "id_no"}


def test_the_providers_end_is_its_offer() -> None:
    end = offer_end(resource())
    assert (end.endpoint, end.object, end.capture, end.profile) == ("police", "inf_person", "outbox", "jiangsu")


def test_what_is_not_offered_has_no_end() -> None:
    with pytest.raises(ValueError, match="没有挂接"):
        offer_end(resource(offer=None))
