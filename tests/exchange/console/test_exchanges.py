"""Exchanges on pages: listed, shown, tried without moving anything, set, paused, compared with their recipient."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from exchange.console.exchanges import LABELS, key_words
from exchange.db.tables import EventRow, RunRow
from exchange.settings import Role
from tests.exchange.console.stories import EVIL, field_of, harmless, officer, text_of
from tests.exchange.engine.town import CODE, POLICE, SYNC, TAX, Town, person, wrong
from tests.exchange.site.people import People

HERE = f"/exchanges/{SYNC}"


def test_each_sees_those_that_concern_him(people: People, town: Town) -> None:
    assert {each in people.browser("integrator").get("/exchanges").text for each in (SYNC, town.share)} == {True}
    of_tax = people.browser("tax").get("/exchanges").text
    assert town.share in of_tax
    assert SYNC not in of_tax
    assert SYNC not in people.browser("tax").get("/exchanges", text="sync").text


def test_filters_find_and_pages_follow(people: People, town: Town) -> None:
    browser = people.browser("integrator")
    assert SYNC not in browser.get("/exchanges", text="share").text
    assert town.share not in browser.get("/exchanges", state="paused").text
    assert SYNC not in browser.get("/exchanges", department=TAX).text
    assert SYNC in browser.get("/exchanges", text=CODE, department=POLICE, state="active").text
    assert SYNC not in browser.get("/exchanges", after=SYNC).text
    harmless(browser.get("/exchanges", text=EVIL, state=EVIL, department=EVIL, after=EVIL))


def test_one_shows_what_it_is_made_of(people: People, town: Town) -> None:
    town.report(person(1))
    town.run_both()
    shown = text_of(people.browser("integrator").get(HERE))
    for words in ("人口基本信息", "inf_person", "按状态列读取", "公民身份号码", "个人信息", "已办结", "jiangsu"):
        assert words in shown, words
    share = text_of(people.browser("tax").get(f"/exchanges/{town.share}"))
    assert "姓名只留首字" in share
    assert "立即执行" not in share
    assert person(1)["name"] not in share


def test_its_runs_lead_to_their_pages(people: People, town: Town) -> None:
    town.report(person(1))
    town.run(SYNC)
    page = people.browser("police").get(f"/exchanges/{SYNC}")
    assert f'href="/runs/{town.runs(SYNC)[0].id}"' in page.text


def test_others_are_refused_and_it_is_logged(people: People, town: Town) -> None:
    foreign = officer(people, "taxman", TAX, Role.INTEGRATOR)
    for path in (HERE, f"{HERE}/plan", f"{HERE}/script", f"{HERE}/settings"):
        assert foreign.get(path).status_code == 403, path
    for path in ("pause", "resume", "settings", "reconcile"):
        assert foreign.post(f"{HERE}/{path}", reason="x").status_code == 403, path
    with people.hub.database.reading() as session:
        refused = sa.select(sa.func.count()).where(EventRow.type == "AccessDenied", EventRow.actor == "新taxman")
        assert session.scalar(refused) == 8
    assert foreign.get(f"/exchanges/{town.share}").status_code == 200
    assert foreign.get("/exchanges/sync-none").status_code == 404


def test_a_trial_moves_nothing(people: People, town: Town) -> None:
    town.report(person(1))
    trial = people.browser("integrator").get(f"/exchanges/{town.share}/plan")
    assert "可以执行" in trial.text
    assert "恰好一次" in trial.text
    assert "name（姓名只留首字）" in trial.text
    assert town.all(sa.select(RunRow.id)) == []
    town.execute("tax", "DROP TABLE person")
    misfit = people.browser("integrator").get(f"/exchanges/{town.share}/plan")
    assert "现在执行不了" in misfit.text
    assert "与目标端不符" in misfit.text
    script = people.browser("tax").get(f"/exchanges/{town.share}/script")
    assert "CREATE TABLE" in script.text


def test_its_settings_are_kept_and_shown(people: People) -> None:
    browser = people.browser("integrator")
    assert browser.get(f"{HERE}/settings").status_code == 200
    given = {"schedule": "30 2 * * *", "priority": "7", "rows": "9", "share": "10%", "parts": "4"}
    assert browser.post(f"{HERE}/settings", **given).status_code == 303
    assert people.hub.configuration.own_of(SYNC, by=people.actor("integrator")) == {
        "schedule": "30 2 * * *", "priority": 7, "parts": 4, "tolerance": {"rows": 9, "share": 0.1},
    }  # fmt: skip
    form = browser.get(f"{HERE}/settings")
    assert [field_of(form, name) for name in ("schedule", "priority", "rows", "share")] == [
        "30 2 * * *", "7", "9", "0.1",
    ]  # fmt: skip
    shown = text_of(browser.get(HERE))
    assert "30 2 * * *" in shown
    assert "9 行，10%" in shown
    assert browser.post(f"{HERE}/settings").status_code == 303
    assert people.hub.configuration.own_of(SYNC, by=people.actor("integrator")) == {}


def test_what_somebody_else_has_set_meanwhile_is_not_lost(people: People) -> None:
    first, second = people.browser("integrator"), people.browser("integrator")
    seen = field_of(first.get(f"{HERE}/settings"), "begun")
    assert first.post(f"{HERE}/settings", schedule="30 2 * * *", begun=seen).status_code == 303
    late = second.post(f"{HERE}/settings", timeout_minutes="60", begun=seen)
    assert late.status_code == 409
    assert field_of(late, "timeout_minutes") == "60", "what was typed stays"
    assert people.hub.configuration.own_of(SYNC, by=people.actor("integrator")) == {"schedule": "30 2 * * *"}
    assert second.post(f"{HERE}/settings", schedule="30 2 * * *", timeout_minutes="60", begun=field_of(late, "begun"))
    assert second.post(f"{HERE}/settings", begun="no document").status_code == 409


def test_everything_wrong_with_settings_is_beside_its_field(people: People) -> None:
    browser = people.browser("integrator")
    given = {"schedule": "@daily", "priority": "1000", "share": "1.5", "all_of": "101001001/0009", "refresh": ""}
    answer = browser.post(f"{HERE}/settings", **given)
    assert answer.status_code == 422
    assert '<a href="#f-schedule">执行时间</a>' in answer.text
    for name in ("schedule", "priority", "share"):
        assert f'id="p-{name}"' in answer.text, name
    assert field_of(answer, "schedule") == "@daily"
    waits = browser.post(f"{HERE}/settings", all_of="101001001/0009")
    assert 'id="p-all_of"' in waits.text
    harmless(browser.post(f"{HERE}/settings", schedule=EVIL, all_of=EVIL, may_fall=EVIL))
    assert people.hub.configuration.own_of(SYNC, by=people.actor("integrator")) == {}


def test_a_recipient_sets_its_own_and_no_other(people: People, town: Town) -> None:
    taxman = officer(people, "taxman", TAX, Role.INTEGRATOR)
    assert taxman.post(f"/exchanges/{town.share}/settings", priority="3").status_code == 303
    provider = officer(people, "constable", POLICE, Role.INTEGRATOR)
    assert provider.post(f"/exchanges/{town.share}/settings", priority="9").status_code == 403
    assert people.hub.configuration.own_of(town.share, by=people.actor("tax")) == {"priority": 3}


def test_it_rests_for_a_reason_and_wakes(people: People) -> None:
    browser = people.browser("integrator")
    assert browser.post(f"{HERE}/pause", reason=" ").status_code == 422
    assert browser.post(f"{HERE}/pause", reason="核查", until="2000-01-01T00:00").status_code == 422
    assert browser.post(f"{HERE}/pause", reason="核查").status_code == 303
    assert "核查" in browser.get("/exchanges", state="paused").text
    assert browser.post(f"{HERE}/resume", reason="完毕").status_code == 303
    assert SYNC not in browser.get("/exchanges", state="paused").text


def test_both_ends_are_compared_and_keys_are_shown_on_demand_alone(people: People, town: Town) -> None:
    town.report(*map(person, range(1, 5)))
    town.run_both()
    path = f"/exchanges/{town.share}/reconcile"
    browser = people.browser("auditor")
    assert "两端一致" in browser.post(path).text
    town.execute("tax", "DELETE FROM person")
    hashed = browser.post(path)
    assert "两端不一致" in hashed.text
    assert "对方缺少" in hashed.text
    lost = person(1)["id_no"]
    assert lost not in hashed.text
    assert lost in browser.post(path, keys="1").text
    # Not one of the two parties: the keys are not for the hub's integrator.
    assert people.browser("integrator").post(path, keys="1").status_code == 403


def test_a_key_in_words() -> None:
    assert key_words("0" * 64) == "0" * 16
    assert key_words({"a": "1", "b": None}) == "a=1，b=None"
    assert key_words(None) == ""


def test_every_setting_has_a_label() -> None:
    from exchange.hub.rhythm import RHYTHM

    assert set(RHYTHM) < set(LABELS)


def test_a_preview_shows_what_is_delivered_and_never_what_is_masked(
    people: People, town: Town, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    town.report(person(1, name="欧阳绝密"), wrong(2))
    collected = people.browser("integrator").get(f"{HERE}/preview")
    assert "公民身份号码有误" in text_of(collected)
    town.run(SYNC)
    of_tax = officer(people, "taxes", TAX, Role.INTEGRATOR)
    share = f"/exchanges/{town.share}"
    assert f"{share}/preview" in of_tax.get(share).text
    page = of_tax.get(f"{share}/preview")
    assert page.status_code == 200
    assert person(1)["id_no"] in text_of(page)
    assert page.headers["cache-control"] == "no-store"
    call = people.stranger().client.get(
        f"/api/v1{share}/preview", headers={"Authorization": f"Bearer {people.token('taxes')}"}
    )
    assert call.json()["rows"][0]["values"][0] == person(1)["id_no"]
    said = caplog.text + "".join(capfd.readouterr())
    for each in (collected.text, page.text, call.text, said):
        assert "欧阳绝密" not in each
    assert wrong(2)["id_no"] not in collected.text + said
    assert person(1)["id_no"] not in said
    assert of_tax.get(f"{HERE}/preview").status_code == 403
    assert people.browser("auditor").get("/log", type="AccessDenied").text.count("预览交换") >= 1


def test_a_preview_of_a_source_that_is_gone_says_so(people: People, town: Town) -> None:
    town.report(person(1))
    with town.away("police"):
        page = people.browser("integrator").get(f"{HERE}/preview")
    assert page.status_code == 422
    assert "police" in text_of(page)
    assert "脱敏预览" in text_of(page)
