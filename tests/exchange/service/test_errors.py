from __future__ import annotations

import pytest

from adapters.errors import AdapterError, Refused, Unavailable
from exchange.errors import Busy, Denied, Failed, Held, HubError, Invalid, Misplaced, Red, Tampered
from exchange.service.errors import answered

SECRET = "端点 police-front 192.0.2.9"


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (Denied(SECRET, [SECRET], remedy=SECRET), Refused),
        (Busy(SECRET), Unavailable),
        (Held(SECRET, [SECRET]), Unavailable),
        (Misplaced(SECRET), Unavailable),
        (Failed(SECRET, retry=True), Unavailable),
        (Invalid(SECRET), Unavailable),
        (Red(SECRET), Unavailable),
        (Tampered(SECRET), Unavailable),
    ],
)
def test_a_caller_hears_what_to_do_and_not_what_lies_behind(error: HubError, answer: type[AdapterError]) -> None:
    with pytest.raises(answer) as caught, answered("101001001/0001"):
        raise error
    assert SECRET not in caught.value.message + caught.value.remedy
    assert caught.value.remedy
