from __future__ import annotations

import pytest

from adapters import DELETE, OPERATION, PUT
from tests.exchange.engine.test_passage import HERE, passage, people, plan


@pytest.mark.parametrize(("kind", "operations"), [("sharing", [PUT]), ("synchronisation", [PUT, DELETE])])
def test_who_was_deleted_before_does_not_concern_a_new_recipient(kind: str, operations: list[int]) -> None:
    about = plan(filter=None, kind=kind)
    about = about.model_copy(update={"source": about.source.model_copy(update={"capture": "journal"})})
    rows = people((1, "张三", 1, HERE), (2, "", 2, None), operations=[PUT, DELETE])
    passed = passage(about).through(rows)
    assert passed.staged.column(OPERATION).to_pylist() == operations
    assert passed.filtered == 2 - len(operations)
