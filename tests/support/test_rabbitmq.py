from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.rabbitmq import RabbitMQServer


def listening(pids: set[int]) -> set[str]:
    """Addresses that processes listen on."""
    sockets = set()
    for pid in pids:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            target = str(entry.readlink())
            if target.startswith("socket:["):
                sockets.add(target.removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table in ("tcp", "tcp6"):
        with Path(f"/proc/{next(iter(pids))}/net/{table}").open() as lines:
            for line in list(lines)[1:]:
                words = line.split()
                if words[3] == "0A" and words[9] in sockets:
                    found.add(words[1].partition(":")[0])
    return found


def test_it_listens_on_the_loopback_address_alone_and_keeps_what_it_holds(rabbitmq_server: RabbitMQServer) -> None:
    assert rabbitmq_server._epmd is not None
    pids = {rabbitmq_server.pid, rabbitmq_server._epmd.pid}
    assert listening(pids) <= {"0100007F", "00000000000000000000000001000000"}
    connection = rabbitmq_server.connect()
    connection.channel().queue_declare("kept", durable=True, auto_delete=False)
    connection.close()
    rabbitmq_server.delete_queues("kept")


def test_it_ends_with_its_epmd() -> None:
    server = RabbitMQServer()
    server.start()
    assert server._epmd is not None
    pids = [server.pid, server._epmd.pid]
    assert Path(f"/proc/{server.pid}/comm").read_text() == "beam.smp\n"
    server.stop()
    assert not server.folder.exists()
    for pid in pids:
        assert subprocess.run(["kill", "-0", str(pid)], capture_output=True, check=False).returncode != 0
