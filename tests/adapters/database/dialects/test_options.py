from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from adapters.database.dialects import DatabaseOptions
from adapters.errors import Misconfigured
from adapters.options import read_options

SERVER = {"product": "postgresql", "host": "db", "database": "front", "user": "hub", "password": "s3cret"}


def test_a_file_and_a_server() -> None:
    assert DatabaseOptions.model_validate({"product": "sqlite", "path": "front.db"}).place == "数据库文件 front.db"
    server = DatabaseOptions.model_validate(SERVER | {"schema": "s", "tls": "verify", "tls_ca": "ca.pem"})
    assert server.place == "数据库 front（db）"
    assert server.schema_name == "s"
    assert server.password == SecretStr("s3cret")
    assert "s3cret" not in repr(server) + str(server)


WRONG: list[tuple[dict[str, Any], list[str]]] = [
    ({"product": "oracle"}, ["product"]),
    ({}, ["product"]),
    ({"product": "sqlite"}, ["path"]),
    ({"product": "sqlite", "path": "x", "host": "h", "schema": "s"}, ["host", "schema"]),
    ({"product": "mariadb"}, ["host", "database", "user"]),
    (SERVER | {"product": "mariadb", "schema": "s"}, ["schema"]),
    (SERVER | {"path": "x"}, ["path"]),
    (SERVER | {"port": 0}, ["port"]),
    (SERVER | {"tls": "maybe"}, ["tls"]),
    (SERVER | {"tls_ca": "ca.pem"}, ["tls_ca"]),
    (SERVER | {"databse": "x"}, ["databse", "database"]),
    (SERVER | {"password": 5}, ["password"]),
]


@pytest.mark.parametrize(("options", "words"), WRONG)
def test_everything_wrong_is_told_without_a_value(options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(Misconfigured) as caught:
        read_options(DatabaseOptions, options, "x")
    assert all(word in caught.value.message for word in words)
    assert "s3cret" not in caught.value.message
