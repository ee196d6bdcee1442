"""The insurance office's programme fetches what the hub offers, whoever answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import requests
import zeep

from adapters.base import DELETE, OPERATION, PUT
from adapters.webservice.desk import Offer
from exchange.demo import caller
from exchange.demo.caller import fetch
from schemas import Item
from tests.adapters.webservice.memory_desk import TOKEN, MemoryDesk
from tests.exchange.demo.eyes import query
from tests.exchange.service.test_soap import Served, serving

CODE = "102001001/0001"
ITEMS = (
    Item(name="certificate_sno", label="代码", type="C", length=18),
    Item(name="corp_name", label="名称", type="M"),
)
OFFER = Offer(resource=CODE, version=7, name="法人", direction="read", items=ITEMS, key=("certificate_sno",))
ROWS = [("a", "甲", PUT), ("b", "乙 𠮷", PUT), ("c", None, PUT), ("a", None, DELETE), ("b", "丙", PUT)]


def open_desk(_: Path) -> MemoryDesk:
    """A desk with companies, one of which is gone later on."""
    columns = list(zip(*ROWS, strict=True))
    kinds = [pa.string(), pa.string(), pa.int8()]
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    table = pa.table(arrays, [*(item.name for item in ITEMS), OPERATION])
    return MemoryDesk(tables={CODE: table}, published=[OFFER])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    desk = f"{__name__}:open_desk"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.exchange.service.test_soap.DESK", desk)
        with serving(tmp_path_factory.mktemp("home"), workers=1) as found:
            yield found


def test_pages_are_kept_in_order_and_the_receipt_is_asked_for(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caller, "ROWS_ON_A_PAGE", 2)
    for _ in range(2):
        told = fetch(served.address, CODE, TOKEN, tmp_path / "own.db")
        assert told == {
            "delivery": "D-4", "pages": 3, "put": 4, "gone": 1, "receipt": "D-4", "counts": {"written": 4},
        }  # fmt: skip
        found = query(tmp_path / "own.db", "SELECT * FROM corporation ORDER BY certificate_sno")
        assert found == [
            {"certificate_sno": "b", "corp_name": "丙"},
            {"certificate_sno": "c", "corp_name": None},
        ]


def test_what_is_not_to_be_had_is_an_error(served: Served, tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="not among"):
        fetch(served.address, "other/1", TOKEN, tmp_path / "own.db")
    with pytest.raises(zeep.exceptions.Fault, match="凭据"):
        fetch(served.address, CODE, "wrong", tmp_path / "own.db")
    with pytest.raises(requests.ConnectionError):
        fetch("http://127.0.0.1:9", CODE, TOKEN, tmp_path / "own.db")


def test_it_is_called_like_any_programme_and_needs_nothing_of_ours(served: Served, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    copy = tmp_path / "theirs.py"
    copy.write_bytes(Path(caller.__file__).read_bytes())
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def called(address: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-P", str(copy), address, CODE, str(tmp_path / "token"), str(tmp_path / "own.db")]
        return subprocess.run(words, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)

    assert json.loads(called(served.address).stdout)["put"] == 4
    ended = called("http://127.0.0.1:9")
    assert ended.returncode == 1
    assert ended.stderr.startswith("ConnectionError: ")
    assert "Traceback" not in ended.stderr
