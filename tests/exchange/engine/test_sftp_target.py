"""A grant whose rows go to a drop on the recipient's SFTP server, through the whole of a run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from catalog import EndpointSpec
from exchange.errors import Failed
from exchange.hub import Hub
from tests.exchange.engine.town import SYNC, TAX, Town, grant, person, publish, resource
from tests.support.openssh import OpenSSHServer

OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPAUpVUjTIyaw5q8nJEYCg+vUzDh3v3T3HQDgHXJqSO"


def _register(town: Town, hub: Hub, server: OpenSSHServer, root: Path, **changes: Any) -> None:
    options = server.options(root, key="file:drop.key", **changes)
    spec = EndpointSpec(name="drop", department=TAX, kind="files", options=options)
    hub.registration.put_endpoint(spec, by=town.actor("integrator"))


@pytest.fixture
def drop(town: Town, openssh_server: OpenSSHServer) -> Path:
    """The recipient's directory; the key to it lies in the hub's home as a file that only the hub reads."""
    root = openssh_server.new_folder()
    key = town.home / "drop.key"
    key.touch(mode=0o600)
    key.write_text(openssh_server.key.read_text())
    with town.hub() as hub:
        _register(town, hub, openssh_server, root)
        publish(town, hub, resource(share_ways=["database", "file"]))
        town.grant = grant(town, hub, way="file", target={"endpoint": "drop", "object": "people_*.csv"})
    return root


def test_granted_rows_arrive_as_a_file_and_a_receipt(town: Town, drop: Path) -> None:
    town.report(*(person(number) for number in range(5)))
    town.run(SYNC)
    result = town.run(town.share)
    [file] = drop.glob("people_*.csv")
    assert file.read_text().count("\n") == 1 + len(town.granted())
    about = json.loads((drop / f"{file.name}.manifest.json").read_text())
    assert about["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert len(town.receipts(town.share)) == 1
    # The resource was published a second time for its ways.
    assert about["schema_version"] == result.plan.resource_version == 2
    assert result.counts["written"] == about["rows"] == len(town.granted())
    assert town.faults() == []


def test_a_changed_host_key_stops_the_run_and_the_log_tells_both(
    town: Town, drop: Path, openssh_server: OpenSSHServer
) -> None:
    town.report(person(1))
    town.run(SYNC)
    with town.hub() as hub:
        _register(town, hub, openssh_server, drop, host_key=OTHER)
    with pytest.raises(Failed, match="主机密钥变了") as caught:
        town.run(town.share)
    assert not caught.value.retry
    assert str(caught.value).count("SHA256:") == 2
    assert list(drop.glob("people_*")) == []
    assert town.receipts(town.share) == []
