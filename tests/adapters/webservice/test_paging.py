from __future__ import annotations

import pytest

from adapters.errors import Malformed
from tests.adapters.webservice.conftest import Place, reply
from tests.adapters.webservice.test_source import _rows, _source


def test_an_endless_service_is_stopped(place: Place) -> None:
    place.archive.answers = [reply("<t:no>1</t:no>", following=f"p{number}") for number in range(9)]
    with _source(place, pages=3) as source, pytest.raises(Malformed, match="3 页仍未结束"):
        _rows(source)
    assert len(place.archive.asked) == 3
