from __future__ import annotations

import pyarrow as pa
import pytest

from adapters.webservice.desk import Caller
from exchange.service.offers import handed_over, version_of
from schemas import Item, arrow_schema
from tests.exchange.engine.town import COLUMNS, POLICE, TAX, grant, person
from tests.exchange.service.callers import CALLER, CODE, PUSHED, PUSHER, Callers, all_rows, application_of


def test_what_is_read_and_what_is_pushed(callers: Callers) -> None:
    with callers.desk() as desk:
        [read] = desk.offers(CALLER)
        [write] = desk.offers(PUSHER)
        assert (read.resource, read.direction, read.key, read.lookup) == (CODE, "read", ("id_no",), True)
        assert (write.resource, write.direction, write.lookup) == (PUSHED, "write", False)
        assert [item.name for item in read.items] == [item.name for item in write.items] == list(COLUMNS)
        assert desk.offer(CALLER, CODE, "read") == read
        assert desk.contract(CODE, read.version, "read") == read
        assert desk.contract(PUSHED, write.version, "write") == write
        assert desk.contract(CODE, read.version, "write") is None
        assert desk.contract(CODE, read.version + 1, "read") is None
        assert desk.contract("109009009/0009", read.version, "read") is None
        assert read.version != write.version  # the name is masked there


def test_the_items_are_as_the_rows_are(callers: Callers) -> None:
    callers.collected(*(person(number) for number in range(9)))
    with callers.desk() as desk:
        offer = desk.offer(CALLER, CODE, "read")
        page = desk.query(CALLER, CODE, None, 5)
        for batch in page.batches:
            assert batch.schema.names == [*(item.name for item in offer.items), "_operation"]
            assert batch.schema.types[:-1] == arrow_schema(offer.items).types


def test_a_version_is_the_same_after_a_restart(callers: Callers) -> None:
    versions = set()
    for _ in range(2):
        with callers.desk() as desk:
            versions.add(desk.offer(CALLER, CODE, "read").version)
    assert len(versions) == 1


def test_a_later_grant_takes_the_place_of_one_that_is_over(callers: Callers) -> None:
    callers.collected(*(person(number) for number in range(9)))
    with callers.desk() as desk:
        before = desk.offer(CALLER, CODE, "read")
        cursor = desk.query(CALLER, CODE, None, 2).following()
        callers.change("revoke")
        with callers.town.hub() as hub:
            items = [name for name in COLUMNS if name != "born"]
            masks = {name: mask for name, mask in application_of()["masks"].items() if name != "born"}
            grant(callers.town, hub, **application_of(items=items, masks=masks))
        after = desk.offer(CALLER, CODE, "read")
        assert after.version != before.version
        assert desk.contract(CODE, before.version, "read") == before
        assert cursor is not None
        assert all("born" not in row for row in all_rows(desk))


def test_nobody_has_what_others_have(callers: Callers) -> None:
    with callers.desk() as desk:
        assert desk.offers(Caller("C9", "11321200TE00000104")) == []
        assert {offer.direction for offer in desk.offers(Caller("C9", POLICE))} == {"write"}
        assert {offer.direction for offer in desk.offers(Caller("C9", TAX))} == {"read"}


@pytest.mark.parametrize(
    ("mask", "type", "length"),
    [
        (None, "C", 18),
        ({"mask": "clear", "justification": "依法"}, "C", 18),
        ({"mask": "hmac"}, "M", None),
        ({"mask": "null"}, "M", None),
    ],
)
def test_an_item_after_its_mask(mask: dict[str, str] | None, type: str, length: int | None) -> None:
    item = Item(name="id_no", label="号码", type="C", length=18, mandatory=True, check="identity_number")
    after = handed_over(item, mask)
    assert (after.type, after.length) == (type, length)
    assert (after.check is None) is (type == "M")


def test_a_masked_number_is_a_text_only_where_the_mask_makes_it_one() -> None:
    item = Item(name="born", label="出生日期", type="D")
    assert handed_over(item, {"mask": "period", "unit": "year"}).type == "D"
    assert handed_over(item, {"mask": "hmac"}).type == "M"
    assert version_of((item,), ("born",)) != version_of((item,), ())
    assert arrow_schema((handed_over(item, {"mask": "hmac"}),)).types == [pa.string()]
