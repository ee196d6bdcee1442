"""What the service processes of the city serve, asked by zeep alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import zeep

from exchange.demo import receiving
from exchange.demo.city import HOUSING
from exchange.demo.fronts import Service
from exchange.demo.processes import ServiceProcess
from tests.exchange.demo.eyes import alive, group

PASSWORD = "p-secret"


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[ServiceProcess]:
    receiving.establish(tmp_path / "housing", HOUSING, PASSWORD)
    process = ServiceProcess("住建局的服务", "receiver", tmp_path / "housing", tmp_path / "log")
    yield process
    process.stop()


def client(address: str, password: str) -> zeep.Client:
    session = requests.Session()
    session.auth = (receiving.USER, password)
    return zeep.Client(f"{address}/soap/w/service_item/1?wsdl", transport=zeep.Transport(session=session))


def test_rows_that_are_reported_later_are_read_too(tmp_path: Path) -> None:
    service = Service(tmp_path / "things.db", ["no", "name"])
    process = ServiceProcess("发展改革委的服务", "projects", tmp_path / "things.db", tmp_path / "log")
    try:
        asked = zeep.Client(f"{process.address()}?wsdl").service
        service.report([{"no": "1", "name": "𠮷"}])
        page = asked.Query(limit=10)
        assert [(row.no, row.name) for row in page.rows.Row] == [("1", "𠮷")]
        service.report([{"no": "2", "name": None}])
        page = asked.Query(cursor=page.nextCursor, limit=10)
        assert [(row.no, row.name) for row in page.rows.Row] == [("2", None)]
    finally:
        process.stop()


def test_rows_are_pushed_into_the_receiver_and_it_goes_with_its_workers(
    receiver: ServiceProcess, tmp_path: Path
) -> None:
    address = receiver.address()
    asked = client(address, PASSWORD).service
    rows = [{"task_guid": "g1", "task_name": "𠮷"}, {"task_guid": "g2"}]
    first = asked.Push(messageId="d-1", rows={"row": rows})
    assert (first.state, first.accepted, first.repeated) == ("delivered", 2, False)
    again = asked.Push(messageId="d-1", rows={"row": rows})
    assert (again.accepted, again.repeated) == (2, True)
    taken_out = asked.Push(messageId="d-2", rows={"row": [{"task_guid": "g2", "_operation": "delete"}]})
    assert taken_out.accepted == 1
    assert asked.Status(messageId="d-2").state == "delivered"
    assert receiving.held(tmp_path / "housing") == 1
    assert receiving.tally(tmp_path / "housing", "d") == receiving.Tally(2, 2, 1)
    with pytest.raises(zeep.exceptions.Fault) as raised:
        client(address, "wrong").service.Push(messageId="d-3", rows={"row": rows})
    assert raised.value.code.endswith("Client.Unauthenticated")
    family = group(receiver.pid)
    assert len(family) >= 2
    receiver.stop()
    assert not any(map(alive, family))
