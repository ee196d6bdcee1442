"""Licences and their files through a whole run: from the provider's drop by the library into recipients' drops."""

from __future__ import annotations

import hashlib
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from exchange.db.tables import HandoverRow, HoldingRow
from exchange.errors import Invalid
from tests.exchange.engine.licences import SYNC, Licences, build, pdf
from tests.exchange.engine.town import Town, counts, grant
from tests.exchange.engine.witness import STEPS
from tests.exchange.engine.worker import Workers
from tests.support.openssh import OpenSSHServer


@pytest.fixture
def licences(town: Town, tmp_path: Path) -> Licences:
    return build(town, tmp_path)


def _check(licences: Licences) -> None:
    wanted = licences.expected()
    for root, files in ((licences.out, True), (licences.plain, False)):
        found = licences.delivered(root)
        assert {number: content for number, (_, content) in found.items()} == {
            number: content if files else None for number, content in wanted.items()
        }


def test_a_licence_and_its_file_travel_together(licences: Licences) -> None:
    town = licences.town
    licences.drop(
        (licences.row("1", "甲.pdf"), pdf("甲")),
        (licences.row("2", "sub/乙.pdf"), pdf("乙")),
        (licences.row("3", ""), None),
        (licences.row("4", "丁.pdf", level="C"), pdf("丁")),
    )
    first = town.run(SYNC)
    assert first.counts == counts(read=4, refused=1, written=3)
    [row] = town.quarantined(SYNC)
    assert (row.rule, "须核对原件" in row.reason) == ("original", True)
    for share in licences.shares:
        assert town.run(share).counts == counts(read=3, written=3)
    _check(licences)
    # What was taken has been put away, what was refused lies where its provider finds it.
    assert sorted(str(path.relative_to(licences.root)) for path in licences.root.rglob("*") if path.is_file()) == [
        "licence_001.csv.refused.csv", "taken/licence_001.csv", "taken/licence_001.csv.manifest.json",
        "taken/licence_001.csv.receipt.json",
        "taken/sub/乙.pdf", "taken/甲.pdf", "丁.pdf",
    ]  # fmt: skip
    told = town.all(sa.select(HandoverRow).order_by(HandoverRow.id))
    assert [(each.exchange, each.name, each.size, each.state) for each in told] == [
        (licences.shares[0], "甲.pdf", len(pdf("甲")), "delivered"),
        (licences.shares[0], "乙.pdf", len(pdf("乙")), "delivered"),
    ]
    assert len(town.all(sa.select(HoldingRow.document))) == 2
    assert town.faults() == []
    # Nothing new: nothing comes.
    licences.run_all()
    _check(licences)
    assert len(town.all(sa.select(HandoverRow.id))) == 2


def test_whoever_has_seen_the_original_lets_the_licence_in(licences: Licences) -> None:
    """The row is put right in quarantine, and its file, which the provider still has in his drop, goes with it."""
    town = licences.town
    licences.drop((licences.row("1", "甲.pdf"), pdf("甲")), (licences.row("4", "丁.pdf", level="C"), pdf("丁")))
    town.run(SYNC)
    [row] = town.quarantined(SYNC)
    with town.hub() as hub:
        hub.mending.repair(row.id, {"trust_level": "B"}, reason="已核对原件", by=town.actor("police"))
    assert town.run(SYNC, replay=True).counts == counts(read=1, written=1)
    licences.told["4"] = (licences.row("4", "丁.pdf", level="B"), pdf("丁"))
    for share in licences.shares:
        town.run(share)
    _check(licences)


def test_a_delivery_is_a_drop_that_can_be_read_again(licences: Licences, tmp_path: Path) -> None:
    """What came into a recipient's drop, he offers in turn: columns, folder and manifest are as they must be."""
    from adapters.base import Binding, Selection
    from adapters.registry import open_endpoint
    from exchange.engine.documents import open_documents
    from exchange.secrets import Keyring
    from exchange.settings import load_settings

    licences.drop((licences.row("1", "甲.pdf"), pdf("甲")), (licences.row("2", "甲2.PDF"), pdf("乙")))
    licences.run_all()
    settings = load_settings(licences.town.home)
    endpoint = open_endpoint("files", {"root": str(licences.out)})
    endpoint.documents = open_documents(settings, Keyring(settings))
    names = ("number", "holder", "trust_level", "file", "ver")
    binding = Binding(
        object="lic_*.csv", columns={name: name for name in names}, key=("number",), capture="batches",
        documents=("file",), options={"operation": "_operation"},
    )  # fmt: skip
    [batch] = endpoint.source(binding).batches(Selection())
    assert [text.split(":", 3)[3] for text in batch.column("file").to_pylist()] == ["甲.pdf", "甲2.PDF"]


def test_names_that_would_meet_or_mean_something_else(licences: Licences) -> None:
    long = "证" * 83 + ".pdf"
    names = ["a/同名.pdf", "b/同名.pdf", "Aux.pdf", "q'uo\"te.pdf", "CASE.pdf", "case.PDF", long]
    licences.drop(*((licences.row(str(place), name), pdf(name)) for place, name in enumerate(names)))
    licences.run_all()
    _check(licences)
    delivered = [path.name for path in licences.out.glob("lic_*/*")]
    assert len({name.casefold() for name in delivered}) == len(names)
    assert sorted(delivered) == sorted(licences.town.all(sa.select(HandoverRow.name)))
    assert {"同名.pdf", "同名-2.pdf", "_Aux.pdf", "q'uo_te.pdf"} <= set(delivered)
    assert max(len(name.encode()) for name in delivered) <= 255


def test_a_document_that_the_hub_has_lost_refuses_its_row_alone(licences: Licences) -> None:
    town = licences.town
    licences.drop((licences.row("1", "甲.pdf"), pdf("甲")), (licences.row("2", "乙.pdf"), pdf("乙")))
    town.run(SYNC)
    with town.hub() as hub:
        name = hub.engine.documents.name(hashlib.sha256(pdf("甲")).hexdigest())
    (town.home / "spool/documents" / name[:2] / name).unlink()
    assert town.run(licences.shares[0]).counts == counts(read=2, refused=1, written=1)
    assert list(licences.delivered(licences.out)) == ["2"]
    [row] = town.quarantined(licences.shares[0])
    assert row.rule == "document"
    assert [each.name for each in town.all(sa.select(HandoverRow))] == ["乙.pdf"]


def test_a_refused_row_whose_document_has_expired_is_not_let_in(licences: Licences) -> None:
    """Only its provider can give the file again: a row in the library without its file, everybody would refuse."""
    town = licences.town
    licences.drop((licences.row("1", "甲.pdf"), pdf("甲")), (licences.row("4", "丁.pdf", level="C"), pdf("丁")))
    town.run(SYNC)
    with town.hub() as hub:
        name = hub.engine.documents.name(hashlib.sha256(pdf("丁")).hexdigest())
        [row] = town.quarantined(SYNC)
        hub.mending.repair(row.id, {"trust_level": "B"}, reason="已核对原件", by=town.actor("police"))
    (town.home / "spool/documents" / name[:2] / name).unlink()
    assert town.run(SYNC, replay=True).counts == counts(read=1, refused=1)
    [_, again] = town.quarantined(SYNC)
    assert (again.rule, "已不在" in again.reason) == ("document", True)
    # Given again, it comes in the one way.
    licences.drop((licences.row("4", "丁.pdf", level="B"), pdf("丁")))
    assert town.run(SYNC).counts == counts(read=1, written=1)
    for share in licences.shares:
        town.run(share)
    _check(licences)


def test_files_do_not_go_where_there_is_no_place_for_them(licences: Licences) -> None:
    town = licences.town
    with town.hub() as hub, pytest.raises(Invalid) as caught:
        columns = ["number", "holder", "trust_level", "file", "ver"]
        target = {"endpoint": "tax", "object": "licence", "columns": {name: name for name in columns}}
        name = grant(
            town, hub, resource="102001001/0001", way="file", items=columns, filter=None, masks={}, target=target,
            scope="全部",
        )  # fmt: skip
        hub.oversight.run(f"share-{name}", by=town.actor("integrator"))
    assert any("不能接收附件 证照文件（file）" in str(each) for each in caught.value.problems)


@pytest.mark.long
def test_whoever_dies_at_whatever_step_nothing_is_lost_and_nothing_comes_twice(
    licences: Licences, workers: Workers
) -> None:
    town = licences.town
    deaths = 0
    for number, step in enumerate(STEPS):
        licences.drop(
            (licences.row(f"{number}a", f"文件{number}.pdf"), pdf(f"{number}")),
            (licences.row("0", "总.pdf", version=number + 2), pdf(f"总{number}")),
            (licences.row(f"{number}b", ""), None),
        )
        for exchange in (SYNC, *licences.shares):
            status = workers.run(town.home, exchange, step, 1)
            assert status in (0, -signal.SIGKILL), workers.said
            deaths += status != 0
            with closing(sqlite3.connect(town.home / "hub.db", timeout=20)) as connection, connection:
                connection.execute("UPDATE lease SET expires = 0 WHERE exchange = ?", (exchange,))
            assert workers.run(town.home, exchange) == 0, workers.said
        _check(licences)
        lines = [number for path in licences.out.glob("lic_*.csv") for number in path.read_text().splitlines()[1:]]
        assert len(lines) == len(set(lines)) == 3 * (number + 1)
        assert not list((town.home / "spool/documents/parts").glob("*.held")) or step != STEPS[-1]
    assert deaths == 3 * len(STEPS)
    assert set(town.owed()) == {"answers"}, "recipients take their time"
    assert town.faults() == []
    assert len(town.all(sa.select(HandoverRow.id))) == 2 * len(STEPS)


def test_from_one_sftp_server_to_another_drop_of_it(town: Town, tmp_path: Path, openssh_server: OpenSSHServer) -> None:
    key = town.home / "drop.key"
    key.touch(mode=0o600)
    key.write_text(openssh_server.key.read_text())
    options = {
        name: openssh_server.options(openssh_server.new_folder(), key="file:drop.key") for name in ("inbox", "out")
    }
    licences = build(town, tmp_path, options)
    many = 70
    rows = [(licences.row(str(each), f"p/文件{each}.pdf"), pdf(f"内容{each}" * each)) for each in range(many)]
    rows += [(licences.row("大", "大.pdf"), pdf("大" * 500_000)), (licences.row("缺", "缺.pdf"), None)]
    licences.drop(*rows)
    for path in [licences.root, *licences.root.rglob("*")]:
        import os

        owner = openssh_server.root.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
    licences.told.pop("缺")
    licences.run_all()
    _check(licences)
    assert len(list((licences.root / "taken" / "p").iterdir())) == many
    [row] = town.quarantined(SYNC)
    assert (row.rule, "不在交换目录中" in row.reason) == ("document", True)
    assert town.faults() == []


def test_a_resource_is_not_delivered_into_the_directory_that_it_is_collected_from(town: Town, tmp_path: Path) -> None:
    """It would be taken up again, and what is its recipient's would be put away."""
    licences = build(town, tmp_path, {"out": {"root": str(tmp_path / "inbox")}})
    licences.drop((licences.row("1", "甲.pdf"), pdf("1")))
    town.run(SYNC)
    with pytest.raises(Invalid) as caught:
        town.run(licences.shares[0])
    assert "另设目录" in caught.value.problems[0].remedy
    assert town.run(licences.shares[1]).counts == counts(read=1, written=1)
