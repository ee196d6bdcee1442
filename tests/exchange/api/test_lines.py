"""Resources as lists have them."""

from __future__ import annotations

from exchange.api.lines import line_of, whole
from tests.exchange.engine.town import CODE, Town


def test_a_line_and_the_whole_agree(town: Town) -> None:
    with town.hub() as hub:
        entry = hub.directory.resource(CODE, by=town.actor("police"))
    line, entire = line_of(entry), whole(entry)
    assert line.model_dump().items() <= entire.model_dump().items()
    assert (line.code, line.provider_name, line.share_type) == (CODE, "公安局", 2)
    assert "withdraw" in entire.actions
