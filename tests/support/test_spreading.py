from __future__ import annotations

import pytest

from tests.conftest import ROOT
from tests.support.spreading import TOGETHER, unit


def test_a_file_is_a_unit_and_so_are_files_that_share_something() -> None:
    assert unit("tests/test_house.py::test_it[::]") == "tests/test_house.py"
    units = {unit(f"{file}::test_it[a-b::c]") for file in TOGETHER}
    assert units == set(TOGETHER.values())
    assert len(units) < len(TOGETHER)


@pytest.mark.parametrize("file", TOGETHER)
def test_what_is_kept_together_exists(file: str) -> None:
    assert ROOT.joinpath(file).is_file()
