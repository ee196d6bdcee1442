"""A department that takes rows by its own SOAP service: grant, checks, quarantine and receipt as in the other ways."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from adapters import Structure, StructureColumn
from catalog import EndpointSpec
from exchange.engine.structures import Look, judged
from exchange.errors import Failed, Held, Red
from exchange.plan import End
from exchange.service import serve
from tests.adapters.webservice.receiver import Receiver, fault
from tests.exchange.engine.town import COLUMNS, TAX, Town, grant, person, publish, resource, wrong

OPTIONS = {
    "message": "messageId", "accepted": "accepted", "duplicate": "duplicate", "refused": "refused", "operation": "op",
    "rows": 2,
}  # fmt: skip


@dataclass
class Served:
    """The town, and the tax office's service."""

    town: Town
    receiver: Receiver
    exchange: str

    def share(self, **options: Any) -> Any:
        return self.town.run(self.exchange, **options)

    @property
    def names(self) -> list[str]:
        return sorted(row["name"] or "" for row in self.receiver.rows.values())


@pytest.fixture
def served(town: Town) -> Iterator[Served]:
    receiver = Receiver(dict.fromkeys(COLUMNS, "xs:string"), key="id_no")
    with serve(receiver) as server:
        receiver.address = server.url
        with town.hub() as hub:
            options = {"url": f"{server.url}?wsdl", "attempts": 1, "failures": 1000}
            spec = EndpointSpec(name="taxws", department=TAX, kind="webservice", options=options)
            hub.registration.put_endpoint(spec, by=town.actor("integrator"))
            publish(town, hub, resource(share_ways=["database", "webservice"]))
            columns = {name: name for name in COLUMNS}
            target = {"endpoint": "taxws", "object": "Push", "columns": columns, "options": OPTIONS}
            exchange = f"share-{grant(town, hub, way='webservice', target=target)}"
            assert hub.sharing.check(exchange) == []
        yield Served(town, receiver, exchange)


def test_rows_are_pushed_with_a_receipt(served: Served) -> None:
    town = served.town
    town.report(*(person(number) for number in range(1, 6)), wrong(8))
    town.run("sync-101001001-0001")
    done = served.share()
    assert done.state == "settled"
    assert done.plan.way == "webservice"
    assert done.plan.guarantee == "at least once"
    assert any("至少送达一次" in remark for remark in done.plan.remarks)
    assert done.counts["written"] == 4
    assert served.names == ["测**"] * 4
    [receipt] = town.receipts(served.exchange)
    assert receipt.run == done.id
    assert {message.partition("-")[0] for message, _ in served.receiver.messages} == {done.plan.digest()}
    assert not list((town.home / "spool").rglob("stage-*"))
    # Only what has changed goes the next time, and what is gone is taken away.
    served.receiver.messages.clear()
    town.report(person(2, version=2))
    town.remove(4)
    town.run("sync-101001001-0001")
    again = served.share()
    assert again.counts["written"] >= 1
    assert sum(size for _, size in served.receiver.messages) == again.counts["written"]
    assert town.faults() == []


def test_a_delivery_that_stood_still_goes_on(served: Served) -> None:
    town = served.town
    town.report(*(person(number) for number in range(1, 6)))
    town.run("sync-101001001-0001")

    def upset(receiver: Receiver, _: str) -> Any:
        return ("503 Service Unavailable", b"") if len(receiver.messages) == 2 else None

    served.receiver.upset = upset
    with pytest.raises(Failed) as caught:
        served.share()
    assert caught.value.retry
    assert town.receipts(served.exchange) == []
    done = served.share()
    assert done.counts["written"] == len(served.receiver.rows) == 4
    ids = [message for message, _ in served.receiver.messages]
    assert ids[1] == ids[2]
    assert len(set(ids)) == len(ids) - 1
    assert len(town.receipts(served.exchange)) == 1


def test_what_the_service_refuses_is_in_quarantine_and_in_the_books(served: Served) -> None:
    town = served.town
    town.report(*(person(number) for number in range(1, 6)))
    town.run("sync-101001001-0001")
    served.receiver.refuse = lambda row: f"已有 {row['id_no']}" if row["id_no"] == person(2)["id_no"] else None
    done = served.share()
    assert {name: done.counts[name] for name in ("written", "refused")} == {"written": 3, "refused": 1}
    [row] = town.quarantined(served.exchange)
    assert (row.rule, row.reason) == ("target", "对方拒收：已有 …")


def test_a_service_that_says_no_at_once_has_got_nothing(served: Served) -> None:
    town = served.town
    town.report(*(person(number) for number in range(1, 6)))
    town.run("sync-101001001-0001")
    served.receiver.upset = lambda *_: fault("Client")
    with pytest.raises(Red):
        served.share()
    served.receiver.upset = None
    assert served.share().counts["written"] == 4


def test_a_contract_that_has_changed_holds_the_exchange(served: Served) -> None:
    town = served.town
    town.report(person(1))
    town.run("sync-101001001-0001")
    served.share()
    elements = dict(served.receiver.elements)
    served.receiver.elements = {**elements, "more": '<xs:element name="more" type="xs:string" minOccurs="0"/>'}
    assert served.share().state == "settled"
    served.receiver.elements = {**elements, "more": '<xs:element name="more" type="xs:string"/>'}
    with pytest.raises(Held) as held:
        served.share()
    assert "more" in str(held.value.reasons)
    served.receiver.elements = {name: kind for name, kind in elements.items() if name != "born"}
    with pytest.raises(Held) as held:
        served.share()
    assert "born" in str(held.value.reasons)
    served.receiver.elements = elements
    assert served.share().state == "settled"


def test_what_a_changed_argument_means_to_who_reads(served: Served) -> None:
    town = served.town
    town.report(person(1))
    plan = town.run("sync-101001001-0001").plan
    options = {"cursor": "page", "arguments": {"zone": "1"}, "window": {"from": "since"}}
    end = End(endpoint="taxws", object="get", columns={"id_no": "no"}, options=options)
    plan = plan.model_copy(update={"source": end})

    def columns(**nullable: bool) -> Structure:
        found = (
            StructureColumn(name=name.replace("arg_", "→ "), family="文本", declared="string", nullable=each)
            for name, each in nullable.items()
        )
        return Structure(name="get", columns=tuple(found))

    def holds(**after: bool) -> list[tuple[str, str]]:
        before = columns(no=True, arg_page=True, arg_zone=True, arg_since=True, arg_other=True)
        changes = judged(plan, Look("source", end, columns(**after)), before)
        return [(change.difference.kind, change.difference.column) for change in changes if change.holds]

    same = {"no": True, "arg_page": True, "arg_zone": True, "arg_since": True, "arg_other": True}
    assert holds(**same, arg_more=True) == []
    assert holds(**same, arg_more=False) == [("added", "→ more")]
    assert holds(**same | {"arg_other": False}) == [("not null", "→ other")]
    assert holds(**same | {"arg_page": False}) == []
    for gone in ("arg_page", "arg_zone", "arg_since"):
        rest = {name: each for name, each in same.items() if name != gone}
        assert holds(**rest) == [("dropped", gone.replace("arg_", "→ "))]
    assert holds(**{name: each for name, each in same.items() if name != "arg_other"}) == []


def test_a_service_that_moves_on_its_host_is_not_written_before_somebody_answers_for_it(served: Served) -> None:
    town = served.town
    town.report(person(1))
    town.run("sync-101001001-0001")
    assert served.share().state == "settled"
    served.receiver.address += "test/instance"
    town.report(person(2))
    town.run("sync-101001001-0001")
    with pytest.raises(Held) as caught:
        served.share()
    assert any("服务的地址：/ → /test/instance" in each for each in caught.value.reasons)
    assert len(served.receiver.messages) == 1
    plan = town.run("sync-101001001-0001").plan
    end = End(endpoint="taxws", object="get", columns={"id_no": "no"})
    was, now = (
        Structure(name="get", columns=(StructureColumn(name="⇒ 地址", family="文本", declared=path),))
        for path in ("/a", "/b")
    )
    [change] = judged(plan.model_copy(update={"source": end}), Look("source", end, now), was)
    assert change.holds
    assert "别处" in change.why
