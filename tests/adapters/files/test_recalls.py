"""Notices that something is called back, and what is answered to them."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from adapters.base import OPERATION, PUT, Claim, Endpoint, Manifest, Recall, RecallAnswer, RecalledDocument
from adapters.errors import Malformed, Unavailable
from adapters.files.recalls import answer_name, notice_name
from adapters.files.transports.local import LocalDirectory
from adapters.registry import open_endpoint
from tests.adapters.files.conftest import binding
from tests.support.openssh import OpenSSHServer

SCHEMA = pa.schema([pa.field("number", pa.string()), pa.field("holder", pa.string()), pa.field(OPERATION, pa.int8())])
AT = datetime(2026, 11, 22, 2, tzinfo=UTC)
UNTIL = datetime(2026, 11, 27, 16, tzinfo=UTC)
SECRET = "320102198001011234"


def recall(place: str, **changes: Any) -> Recall:
    given = {
        "id": "20261122-0a1b2c", "key": "plan-run", "place": place, "subject": "电子证照", "reason": "误发",
        "by": "行政审批局", "delivered": AT, "at": AT, "until": UNTIL,
    }  # fmt: skip
    return Recall(**(given | changes))


def deliver(endpoint: Endpoint) -> str:
    claim = Claim(key="plan-run", exchange="E1", epoch=1)
    delivery = endpoint.sink(binding()).begin(claim, SCHEMA)
    delivery.stage(pa.record_batch([["1"], ["甲"], pa.array([PUT], pa.int8())], schema=SCHEMA))
    return delivery.commit(Manifest(claim=claim, rows=1, digest="d" * 64)).place


def told(root: Path) -> dict[str, Any]:
    [path] = [path for path in root.glob("RECALL-*.json") if "answer" not in path.name]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@pytest.fixture(params=["local", "sftp"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Endpoint]:
    if request.param == "local":
        return tmp_path, open_endpoint("files", {"root": str(tmp_path)})
    server: OpenSSHServer = request.getfixturevalue("openssh_server")
    root = server.new_folder()
    return root, open_endpoint("files", server.options(root))


def test_a_notice_and_its_answer(place: tuple[Path, Endpoint]) -> None:
    root, endpoint = place
    sink, file = endpoint.sink(binding()), deliver(endpoint)
    manifest = json.loads((root / f"{file}.manifest.json").read_text())
    for _ in range(2):
        assert sink.recall(recall(file)) == "RECALL-20261122-0a1b2c.json"
    notice = told(root)
    assert notice["files"] == [
        {"name": file, "key": "plan-run", "delivered_at": AT.isoformat(), "rows": 1, "sha256": manifest["sha256"]}
    ]
    assert (notice["whole"], notice["documents"], notice["reason"], notice["by"]) == (True, [], "误发", "行政审批局")
    for word in ("行政审批局", "电子证照", file, "plan-run", "误发", "2026-11-28 00:00", "destroyed"):
        assert word in notice["text"]
    assert sink.recalled("20261122-0a1b2c") is None
    answer = root / notice["answer"]["file"]
    answer.write_text(json.dumps({"state": "partly", "reason": "已用于办件", "by": "李四"}, ensure_ascii=False))
    assert sink.recalled("20261122-0a1b2c") == RecallAnswer(state="partly", reason="已用于办件", by="李四")
    assert sink.recalled("another") is None


def test_documents_by_name_and_digest(tmp_path: Path) -> None:
    endpoint = open_endpoint("files", {"root": str(tmp_path)})
    sink, file = endpoint.sink(binding()), deliver(endpoint)
    documents = [{"name": name, "size": 7, "sha256": name[0] * 64} for name in ("a.pdf", "b.pdf")]
    path = tmp_path / f"{file}.manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "documents": documents}))
    sink.recall(recall(file))
    assert told(tmp_path)["documents"] == documents
    called = (RecalledDocument("b.pdf"), RecalledDocument("c.pdf"))
    sink.recall(recall(file, documents=called))
    notice = told(tmp_path)
    assert (notice["whole"], notice["documents"]) == (False, [documents[1], {"name": "c.pdf"}])
    assert "所附的 b.pdf、c.pdf" in notice["text"]
    path.write_text(json.dumps({"documents": [{**documents[0], "name": "licence_1/a.pdf"}]}))
    sink.recall(recall(file, documents=(RecalledDocument("a.pdf"),)))
    assert told(tmp_path)["documents"] == [{**documents[0], "name": "licence_1/a.pdf"}]
    path.write_text('{"documents": [{"name": 1}]}')
    sink.recall(recall(file, documents=called))
    assert told(tmp_path)["documents"] == [{"name": "b.pdf"}, {"name": "c.pdf"}]


def test_a_lost_or_damaged_ledger_keeps_no_recall_away(tmp_path: Path) -> None:
    endpoint = open_endpoint("files", {"root": str(tmp_path)})
    file = deliver(endpoint)
    [entry] = (tmp_path / ".shutong").glob("delivery-*")
    for content in ("{", None):
        if content is None:
            entry.unlink()
        else:
            entry.write_text(content)
        (tmp_path / "RECALL-20261122-0a1b2c.json").unlink(missing_ok=True)
        endpoint.sink(binding()).recall(recall(file))
        assert told(tmp_path)["files"] == [{"name": file, "key": "plan-run", "delivered_at": AT.isoformat()}]


def test_what_is_answered_is_not_asked_again(tmp_path: Path) -> None:
    endpoint = open_endpoint("files", {"root": str(tmp_path)})
    (tmp_path / answer_name("20261122-0a1b2c")).write_text('{"state": "destroyed"}')
    endpoint.sink(binding()).recall(recall(deliver(endpoint)))
    assert not (tmp_path / notice_name("20261122-0a1b2c")).exists()


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", '{"state": "gone"}', '{"state": "kept", "x": 1}', '{"state": "kept", "reason": 1}',
        '{"state": "kept", "recall": "another"}', '{"state": "' + SECRET + '"}', " " * (65 << 10),
        '{"state": "kept", "by": "' + "长" * 201 + '"}',
    ],
)  # fmt: skip
def test_nonsense_is_told_without_being_repeated(tmp_path: Path, text: str) -> None:
    sink = open_endpoint("files", {"root": str(tmp_path)}).sink(binding())
    (tmp_path / answer_name("1")).write_text(text)
    with pytest.raises(Malformed) as found:
        sink.recalled("1")
    assert "RECALL-1.answer.json" in found.value.message
    assert SECRET not in found.value.message


def test_a_full_disk_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = open_endpoint("files", {"root": str(tmp_path)})
    file, begin = deliver(endpoint), LocalDirectory.begin

    def full(self: LocalDirectory, name: str, content: bytes) -> None:
        if "RECALL" in name:
            begin(self, name, content[:10])
            raise Unavailable("磁盘已满")
        begin(self, name, content)

    monkeypatch.setattr(LocalDirectory, "begin", full)
    with pytest.raises(Unavailable):
        endpoint.sink(binding()).recall(recall(file))
    assert list(tmp_path.glob("RECALL*")) == []
    monkeypatch.undo()
    endpoint.sink(binding()).recall(recall(file))
    assert told(tmp_path)["recall"] == "20261122-0a1b2c"
    assert list(tmp_path.glob(".RECALL*")) == []


def _die(root: str, file: str, allowed: int, ended: Any) -> None:
    """Put a notice, and die before the change of that number."""
    made = [0]

    def counted(method: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            made[0] += 1
            if made[0] > allowed:
                os.kill(os.getpid(), signal.SIGKILL)
            return method(*arguments, **named)

        return call

    for name in ("open", "rename", "replace", "fsync", "write"):
        setattr(os, name, counted(getattr(os, name)))
    open_endpoint("files", {"root": root}).sink(binding()).recall(recall(file))
    ended.set()


def test_death_at_every_change(tmp_path: Path) -> None:
    """Whatever was left, there is one notice under its one name, and it is whole."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.adapters.files.test_recalls", "adapters.files.endpoint"])
    endpoint = open_endpoint("files", {"root": str(tmp_path)})
    file, deaths = deliver(endpoint), 0
    notice = tmp_path / notice_name("20261122-0a1b2c")
    for allowed in range(100):
        notice.unlink(missing_ok=True)
        ended = context.Event()
        child = context.Process(target=_die, args=(str(tmp_path), file, allowed, ended))
        child.start()
        child.join(60)
        assert child.exitcode == (0 if ended.is_set() else -signal.SIGKILL)
        if notice.exists():
            assert json.loads(notice.read_text())["recall"] == "20261122-0a1b2c"
        if ended.is_set():
            break
        deaths += 1
        endpoint.sink(binding()).recall(recall(file))
        assert told(tmp_path)["files"][0]["rows"] == 1
        assert list(tmp_path.glob(".RECALL*")) == []
    assert ended.is_set()
    assert deaths >= 5
