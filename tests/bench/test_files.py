"""The benchmark's parts run; how fast they are, only a benchmark can say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import dropped, files, tree
from tests.support.openssh import OpenSSHServer
from tests.support.servers import PostgreSQLServer


def test_one_file_comes_and_goes_beside_openssh(
    openssh_server: OpenSSHServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "ROUNDS", 1)
    found = files.sftp(openssh_server, tmp_path, megabytes=3)
    assert [each.name for each in found] == [
        "SFTP get, one file of 3 MB, digest included",
        "SFTP put, one file of 3 MB, digest included",
    ]
    assert all(each.ratio and each.baseline_seconds and each.peak_mb for each in found)


def test_parts_are_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "ROUNDS", 1)
    monkeypatch.setenv(files.SIZE_VARIABLE, "1")
    assert len(files.results(["sftp"])) == 2


def test_many_documents_go_from_drop_to_drop_beside_a_copy(openssh_server: OpenSSHServer, tmp_path: Path) -> None:
    [found] = tree.tree(openssh_server, tmp_path, many=30, rounds=1)
    assert found.name == "30 documents of 10 KB by SFTP, drop to drop"
    assert found.ratio


def test_a_file_of_rows_goes_to_a_database_beside_its_own_reading(
    postgresql_server: PostgreSQLServer, tmp_path: Path
) -> None:
    [found] = dropped.table(postgresql_server, tmp_path, rows=2000, rounds=1)
    assert found.name == "CSV in GB 18030, 2,000 × 12, to PostgreSQL"
    assert found.ratio
