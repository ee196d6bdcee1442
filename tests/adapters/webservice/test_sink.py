from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from adapters.base import DELETE, OPERATION, PUT, Acknowledgement, Binding, Claim, Endpoint, Manifest, RefusedRow
from adapters.errors import AdapterError, Malformed, Refused, StageLost, Unavailable, Unbalanced
from adapters.registry import open_endpoint
from adapters.spool import Spool
from adapters.webservice.errors import Faulted
from exchange.engine.spool import HubSpool
from exchange.secrets import Keyring, create_keys
from exchange.service import serve
from exchange.settings import Settings
from tests.adapters.webservice.receiver import Receiver, fault, reply
from tests.exchange.settings.test_model import HUB

SCHEMA = pa.schema([("number", pa.int64()), ("remark", pa.string()), (OPERATION, pa.int8())])
ANSWERS = {"message": "messageId", "accepted": "accepted", "duplicate": "duplicate", "refused": "refused"}
CLAIM = Claim(key="plan-run", exchange="e", epoch=1)


@dataclass
class Town:
    """A receiver, the hub's spool, and how rows are delivered."""

    receiver: Receiver
    endpoint: Endpoint
    options: dict[str, Any] = field(default_factory=lambda: {**ANSWERS, "operation": "op", "rows": 2})

    @property
    def binding(self) -> Binding:
        columns = {"number": "number", "remark": "remark"}
        return Binding(object="Push", columns=columns, key=("number",), options=self.options)

    def stage(self, rows: int = 5, deleted: tuple[int, ...] = (), claim: Claim = CLAIM) -> None:
        batch = pa.RecordBatch.from_pylist(
            [
                {"number": number, "remark": f"r{number}", OPERATION: DELETE if number in deleted else PUT}
                for number in range(1, rows + 1)
            ],
            schema=SCHEMA,
        )
        self.endpoint.sink(self.binding).begin(claim, SCHEMA).stage(batch)

    def commit(self, rows: int = 5, **more: Any) -> Acknowledgement:
        """By a worker that has never been here."""
        manifest = Manifest(**({"claim": CLAIM, "digest": "d", "rows": rows, "head": "h"} | more))
        with self.endpoint.sink(self.binding) as sink:
            return sink.resume(CLAIM, SCHEMA).commit(manifest)

    def settled(self) -> Acknowledgement | None:
        return self.endpoint.sink(self.binding).settled(CLAIM.key)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    settings = Settings(home=tmp_path / "home", hub_department=HUB)
    create_keys(settings)
    return HubSpool(settings.home, Keyring(settings), "receiver")


@pytest.fixture
def town(spool: Spool) -> Iterator[Town]:
    receiver = Receiver({"number": "xs:int", "remark": "xs:string"})
    with serve(receiver) as server:
        receiver.address = server.url
        endpoint = open_endpoint("webservice", {"url": f"{server.url}?wsdl", "attempts": 1, "failures": 1000})
        endpoint.spool = spool
        yield Town(receiver, endpoint)


def _nth(number: int, answer: Any) -> Any:
    """Upset that strikes at the message of a number and then no more."""

    def upset(receiver: Receiver, _: str) -> Any:
        if len(receiver.messages) == number:
            return answer(receiver) if callable(answer) else answer
        return None

    return upset


def test_messages_carry_the_key_and_a_number(town: Town) -> None:
    town.stage()
    answer = town.commit()
    assert (answer.written, answer.refused, answer.head, answer.place) == (5, (), "h", "Push")
    ids, sizes = zip(*town.receiver.messages, strict=True)
    assert sizes == (2, 2, 1)
    assert all(each.startswith("plan-run-") for each in ids)
    assert [each.rpartition("-")[2] for each in ids] == ["000000", "000001", "000002"]
    assert [row["remark"] for row in town.receiver.rows.values()] == ["r1", "r2", "r3", "r4", "r5"]
    assert town.receiver.headers[0]["HTTP_SOAPACTION"] == '"urn:Push"'


def test_nothing_of_a_closed_delivery_is_kept_but_its_answer(town: Town, spool: Spool) -> None:
    town.stage()
    assert len(spool.names("stage-")) == 2
    answer = town.commit()
    assert spool.names("stage-") == ()
    assert town.commit() == town.settled() == answer
    assert len(town.receiver.messages) == 3


@pytest.mark.parametrize("lost", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_message_without_an_answer_goes_again_under_its_id(town: Town, number: int, lost: str) -> None:
    busy = "503 Service Unavailable", b""

    def after(receiver: Receiver) -> Any:
        # It was carried out, and the answer was lost.
        body = receiver.bodies[-1]
        receiver.messages.pop()
        receiver.upset = None
        receiver._called(body)
        receiver.bodies.pop()
        receiver.upset = lambda *_: None
        return busy

    town.stage()
    town.receiver.upset = _nth(number, after if lost == "after" else busy)
    with pytest.raises(Unavailable):
        town.commit()
    assert town.settled() is None
    answer = town.commit()
    assert (answer.written, answer.refused) == (5, ())
    ids = [each for each, _ in town.receiver.messages]
    assert len(ids) == 4
    assert ids[number - 1] == ids[number]
    assert len(set(ids)) == 3
    assert len(town.receiver.rows) == 5


def test_a_worker_that_dies_between_answer_and_note_sends_again(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    from adapters.webservice.outbox import Outbox

    class Died(BaseException):
        pass

    put = Outbox.put

    def dying(self: Outbox, entry: Any) -> None:
        if entry.sent == 2:
            raise Died
        put(self, entry)

    town.stage()
    with monkeypatch.context() as context, pytest.raises(Died):
        context.setattr(Outbox, "put", dying)
        town.commit()
    answer = town.commit()
    assert answer.written == 5
    assert [size for _, size in town.receiver.messages] == [2, 2, 2, 1]
    assert len(town.receiver.rows) == 5


def test_a_first_message_that_is_refused_delivers_nothing(town: Town) -> None:
    town.stage()
    town.receiver.upset = _nth(1, fault("Client", "110101199003070000"))
    with pytest.raises(Faulted) as caught:
        town.commit()
    assert "110101" not in caught.value.message
    assert not caught.value.retry
    assert town.commit().written == 5


def test_a_later_message_that_is_refused_is_in_the_answer(town: Town) -> None:
    town.stage()
    town.receiver.upset = _nth(2, fault("Client"))
    answer = town.commit()
    assert answer.written == 3
    assert [(row.row, row.rule) for row in answer.refused] == [(2, "refused"), (3, "refused")]
    assert [row["number"] for row in town.receiver.rows.values()] == ["1", "2", "5"]


@pytest.mark.parametrize(
    ("answer", "first"),
    [
        (("401 Unauthorized", b""), Refused),
        (("404 Not Found", b""), AdapterError),
        (("200 OK", b"<html/>"), Unavailable),
        (("200 OK", reply("PushResponse", "<accepted>many</accepted>")), Unavailable),
    ],
    ids=["401", "404", "page", "no count"],
)
def test_half_of_a_delivery_waits_for_a_person(town: Town, answer: Any, first: type[AdapterError]) -> None:
    town.stage()
    town.receiver.upset = _nth(2, answer)
    with pytest.raises(Unavailable, match="已送达 1 批"):
        town.commit()
    assert town.commit().written == 5
    # At the first message only what may have arrived is waited for.
    other = replace(CLAIM, key="other")
    town.stage(claim=other)
    town.receiver.messages.clear()
    town.receiver.upset = _nth(1, answer)
    with pytest.raises(first), town.endpoint.sink(town.binding) as sink:
        sink.resume(other, SCHEMA).commit(Manifest(claim=other, digest="d", rows=5))


@pytest.mark.parametrize(
    "content",
    [
        "<accepted>1</accepted><duplicate>false</duplicate>",
        "<accepted>0</accepted><duplicate>false</duplicate>",
        "<accepted>3</accepted><duplicate>false</duplicate>",
        "<accepted>2</accepted><refused><row>1</row><reason/></refused>",
        "<accepted>1</accepted><refused><row>3</row><reason/></refused>",
        "<accepted>1</accepted><refused><row>0</row><reason/></refused>",
        "<accepted>0</accepted><refused><row>1</row><reason/></refused><refused><row>1</row><reason/></refused>",
    ],
)
def test_an_answer_that_does_not_add_up_stops_the_delivery(town: Town, content: str) -> None:
    town.stage()
    town.receiver.upset = _nth(1, ("200 OK", reply("PushResponse", content)))
    with pytest.raises(Unbalanced):
        town.commit()
    assert town.settled() is None
    assert len(town.receiver.messages) == 1


def test_refused_rows_are_read_back_by_their_numbers(town: Town) -> None:
    town.stage()
    town.receiver.refuse = lambda row: (
        f"号码 {row['remark']} 320102199001011234 重复" if row["number"] in "24" else None
    )
    answer = town.commit()
    assert answer.written == 3
    assert answer.refused == (
        RefusedRow(1, "target", "对方拒收：号码 … … 重复"),
        RefusedRow(3, "target", "对方拒收：号码 … … 重复"),
    )


def test_deletions_by_an_element(town: Town) -> None:
    town.stage()
    town.commit()
    claim = replace(CLAIM, key="second")
    town.stage(deleted=(2, 4), claim=claim)
    with town.endpoint.sink(town.binding) as sink:
        manifest = Manifest(claim=claim, digest="d", rows=5, previous=CLAIM.key)
        answer = sink.resume(claim, SCHEMA).commit(manifest)
    assert (answer.written, answer.deleted) == (5, 2)
    assert sorted(town.receiver.rows) == ["1", "3", "5"]


def test_deletions_by_another_operation(town: Town) -> None:
    town.options = {**ANSWERS, "deletion": "Remove"}
    town.receiver.rows = {"2": {"number": "2"}, "9": {"number": "9"}}
    town.stage(deleted=(2, 3))
    answer = town.commit()
    assert (answer.written, answer.deleted) == (5, 2)
    assert [size for _, size in town.receiver.messages] == [1, 2, 2]
    assert sorted(town.receiver.rows) == ["1", "4", "5", "9"]


def test_deletions_that_nobody_takes_are_refused_rows(town: Town) -> None:
    town.options = dict(ANSWERS)
    town.stage(deleted=(2,))
    answer = town.commit()
    assert (answer.written, answer.refused) == (4, (RefusedRow(1, "deletion", "目标服务没有登记删除的方式"),))


def test_a_big_push_without_a_length(town: Town) -> None:
    town.options |= {"chunked": True, "rows": 10_000, "arguments": {"area": "330281 <&>"}}
    town.stage(3000)
    assert town.commit(3000).written == 3000
    assert town.receiver.headers[0]["HTTP_TRANSFER_ENCODING"] == "chunked"
    assert b"330281 &lt;&amp;&gt;" in town.receiver.bodies[0]
    assert len(town.receiver.rows) == 3000


def test_a_stage_that_is_gone_is_staged_again_under_other_ids(town: Town, spool: Spool) -> None:
    town.stage()
    town.receiver.upset = _nth(2, ("503 Service Unavailable", b""))
    with pytest.raises(Unavailable):
        town.commit()
    for name in spool.names("stage-"):
        spool.remove(name)
    with pytest.raises(StageLost):
        town.commit()
    town.stage()
    assert town.commit().written == 5
    ids = [each for each, _ in town.receiver.messages]
    assert set(ids[:2]).isdisjoint(ids[2:])


def test_what_lies_in_the_spool_is_encrypted(town: Town, tmp_path: Path) -> None:
    town.stage()
    files = [path for path in (tmp_path / "home" / "spool").rglob("*") if path.is_file()]
    assert files
    # Two letters may stand in anything encrypted by chance; a name of six does not.
    assert not any(b"remark" in path.read_bytes() for path in files)


def test_a_spool_that_was_tampered_with_is_malformed(town: Town, spool: Spool) -> None:
    town.stage()
    [name] = [name for name in spool.names("stage-") if name.endswith("stage")]
    spool.write(name, b"{}")
    with pytest.raises(Malformed, match="已损坏"):
        town.commit()


def test_an_id_that_is_too_long_is_replaced_by_one_that_is_as_good(town: Town) -> None:
    town.options |= {"message_length": 32}
    claim = replace(CLAIM, key="k" * 90)
    town.stage(claim=claim)
    with town.endpoint.sink(town.binding) as sink:
        sink.resume(claim, SCHEMA).commit(Manifest(claim=claim, digest="d", rows=5))
    ids = [each for each, _ in town.receiver.messages]
    assert [len(each) for each in ids] == [32, 32, 32]
    assert len(set(ids)) == 3


def test_check_tells_what_the_contract_demands(town: Town) -> None:
    assert town.endpoint.check(town.binding, SCHEMA, sink=True) == []
    town.options = {**ANSWERS, "operation": "what", "arguments": {"zone": "1"}}
    assert town.endpoint.check(town.binding, SCHEMA, sink=True) == [
        "操作 Push 的行里没有元素 what",
        "操作 Push 没有参数 zone",
    ]
    town.options = {"accepted": "accepted"}
    assert town.endpoint.check(town.binding, SCHEMA, sink=True) == ["操作 Push 要有参数 messageId，没有登记"]
    town.receiver.elements = {**town.receiver.elements, "x": '<xs:element name="x" type="xs:string"/>'}
    town.options = dict(ANSWERS)
    assert town.endpoint.check(town.binding, SCHEMA, sink=True) == ["操作 Push 的行要有元素 x，没有挂接"]


@pytest.mark.parametrize("answered", ["the first one's answer", "nothing taken"])
def test_a_service_that_mixes_messages_up_is_not_believed(town: Town, answered: str) -> None:
    """Its column of ids is shorter than an id: the second message is the first one's repetition to it."""

    def upset(receiver: Receiver, message: str) -> tuple[str, bytes] | None:
        if len(receiver.messages) == 1:
            return None
        taken = 2 if answered == "the first one's answer" else 0
        return "200 OK", reply("PushResponse", f"<accepted>{taken}</accepted><duplicate>true</duplicate>")

    town.stage(rows=4)
    town.receiver.upset = upset
    for _ in range(2):  # nor when it is tried again
        with pytest.raises(Unbalanced, match="第 2 批") as caught:
            town.commit(rows=4)
        assert "message_length" in caught.value.remedy
    assert town.settled() is None
    assert len(town.receiver.rows) == 2
