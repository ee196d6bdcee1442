"""What a form must ask of an endpoint, as its kind's own options say."""

from __future__ import annotations

import pytest

from exchange.engine import OptionField, endpoint_kinds, option_fields
from exchange.errors import Unknown


def fields(kind: str) -> dict[str, OptionField]:
    return {each.name: each for each in option_fields(kind)}


def test_the_kinds_that_departments_register() -> None:
    assert endpoint_kinds() == ("database", "webservice", "files", "mailbox")
    assert option_fields("mailbox") == ()
    with pytest.raises(Unknown):
        option_fields("pigeon")


def test_each_option_says_what_is_written_there() -> None:
    database, files = fields("database"), fields("files")
    assert database["product"].required
    assert database["tls"].choices == ("prefer", "require", "verify", "disable")
    assert database["tls"].default == "prefer"
    assert [database[name].shape for name in ("password", "port", "path", "host")] == [
        "secret", "whole", "path", "text",
    ]  # fmt: skip
    assert {name for name, field in files.items() if field.shape == "secret"} == {"key", "passphrase", "password"}
    # As it is registered, not as the code has to call it.
    assert "schema" in database
    assert "schema_name" not in database


@pytest.mark.parametrize(
    ("kind", "name", "text", "value"),
    [
        ("database", "port", "5432", 5432),
        ("database", "port", "many", "many"),
        ("files", "connect", "1.5", 1.5),
        ("database", "host", "5432", "5432"),
    ],
)
def test_a_text_is_read_as_its_option_wants(kind: str, name: str, text: str, value: object) -> None:
    assert fields(kind)[name].read(text) == value
