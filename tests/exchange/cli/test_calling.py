from __future__ import annotations

from typing import Annotated

import pytest
import typer
from typer.main import get_command

from exchange.cli.answers import Answer
from exchange.cli.calling import Call, Given, command, group
from exchange.cli.program import Program
from exchange.errors import Denied
from tests.exchange.cli.county import HUB, PEOPLE, POLICE, County


def test_shared_options_before_and_after_the_command(county: County) -> None:
    after = ["--home", str(county.home), "--as", "auditor", "--json"]
    assert county.run("status", *after, by=None).document == county.ask("status")
    refused = county.run("audit", "verify", "--as", "tax", by="auditor")
    assert refused.status == 3
    assert "税务经办" in refused.err


def test_a_name_where_names_prove_nothing(county: County) -> None:
    file = county.home / "shutong.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("demo = true", "demo = false"), encoding="utf-8")
    try:
        outcome = county.run("status", by="auditor")
    finally:
        file.write_text(text, encoding="utf-8")
    assert outcome.status == 3
    assert "不能用 --as 指定操作人" in outcome.err


def test_nobody_without_a_name_reads_anything(county: County) -> None:
    for words in (["status"], ["search"], ["department", "list"], ["demand", "list"], ["export"]):
        outcome = county.run(*words, by=None)
        assert outcome.status == 3, words
        assert "没有登记为人员" in outcome.err


def test_a_call_opens_the_hub_when_it_is_needed_and_closes_it(county: County) -> None:
    with Call(Given(home=county.home, as_name="police")) as call:
        assert "hub" not in vars(call)
        assert (call.by.name, call.by.department) == (PEOPLE["police"][0], POLICE)
        assert call.called(POLICE) == "公安"
        assert call.called(HUB) == "某市行政审批局"
        assert call.called("unknown") == "unknown"
        assert call.called(None) == ""
    assert call.hub.audit.seal() == 0
    call.hub.close()


def made() -> Program:
    app = typer.Typer(cls=Program, rich_markup_mode=None)
    rooms = group("rooms", "Rooms.", panel="Rooms", into=app)

    @command(rooms, "count", help="Count.", example="x rooms count 3")
    def count(call: Call, number: int, *, twice: Annotated[bool, typer.Option("--twice")] = False) -> Answer | int:
        if number < 0:
            raise Denied("not below nothing")
        return Answer({"number": number * (2 if twice else 1), "json": call.given.as_json}, [])

    @command(rooms, "status", help="Status.", example="x rooms status 3")
    def status(call: Call, number: int) -> int:
        return number

    program = get_command(app)
    assert isinstance(program, Program)
    return program


@pytest.mark.parametrize(
    ("words", "code", "out"),
    [
        (["count", "3", "--twice", "--json"], 0, '{\n  "number": 6,\n  "json": true\n}\n'),
        (["count", "3"], 0, ""),
        (["count", "--", "-1"], 3, ""),
        (["status", "7"], 7, ""),
    ],
)
def test_a_worker_becomes_a_command(words: list[str], code: int, out: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        made().main(["rooms", *words])
    assert ended.value.code == code
    assert capfd.readouterr().out == out
