from __future__ import annotations

from datetime import UTC, datetime

from exchange.scheduling.assets import call, minute, resource


def test_a_resource_is_one_asset_whoever_names_it() -> None:
    asset = resource("101001001/0001")
    assert (asset.name, asset.uri) == ("resource/101001001/0001", "shutong://resource/101001001%2F0001")
    assert asset == resource("101001001/0001")
    assert asset != resource("101001001/0002")


def test_two_codes_never_share_an_address() -> None:
    assert resource("a/b").uri != resource("a%2Fb").uri


def test_an_exchange_is_called_by_its_own_asset() -> None:
    assert (call("share-G1").name, call("share-G1").uri) == ("exchange/share-G1", "shutong://exchange/share-G1")


def test_a_key_is_a_minute_of_beijing() -> None:
    assert minute(datetime(2026, 11, 22, 16, 21, 59, tzinfo=UTC)) == "2026-11-23T00:21"
