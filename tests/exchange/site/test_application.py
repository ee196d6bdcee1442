from __future__ import annotations

from tests.exchange.site.people import People


def test_a_stranger_is_asked_to_sign_in_and_then_shown_what_he_wanted(people: People) -> None:
    browser = people.stranger()
    answer = browser.get("/me", x="1")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=%2Fme%3Fx%3D1"
    assert "登录" in browser.get("/sign-in").text


def test_who_sent_a_form_when_his_session_was_over_comes_back_to_its_page(people: People) -> None:
    client = people.stranger().client
    for referer, place in (
        ("http://testserver/endpoints/new?kind=database", "/sign-in?next=%2Fendpoints%2Fnew%3Fkind%3Ddatabase"),
        ("http://else/endpoints/new", "/sign-in"),
        ("http://testserver@else/me", "/sign-in"),
        ("//[", "/sign-in"),
    ):
        answer = client.post("/endpoints", data={"name": "x"}, headers={"Referer": referer}, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, place)


def test_somebody_signs_in_changes_the_password_and_looks_around(people: People) -> None:
    browser = people.browser("sysadmin")
    page = browser.get("/")
    assert page.status_code == 200
    assert "系统管理员" in page.text
    assert browser.get("/nowhere").status_code == 404
    assert browser.post("/sign-out").status_code == 303
    assert browser.get("/").headers["location"] == "/sign-in"


def test_machines_are_told_how_it_is(people: People) -> None:
    browser = people.stranger()
    assert browser.get("/healthz").json() == {"status": "ok"}
    ready = browser.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ok")
    assert set(ready.json()["parts"]) == {"database", "library", "home", "keys", "messages"}
    assert browser.get("/openapi.json").json()["openapi"].startswith("3.1")
    figures = browser.get("/metrics").text
    assert 'shutong_calls_total{method="GET",route="/readyz",status="200"} 1.0' in figures
    assert 'shutong_exchanges{kind="sharing",state="active"} 1.0' in figures


def test_a_failure_is_told_to_people_as_a_page_and_to_programmes_as_a_problem(people: People) -> None:
    browser = people.stranger()
    page, document = browser.get("/nowhere"), browser.get("/api/v1/nowhere")
    assert page.status_code == document.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    assert document.headers["content-type"] == "application/problem+json"
    assert document.json()["correlation"] == document.headers["x-correlation-id"]


def test_a_defect_of_ours_has_the_headers_of_every_answer(people: People) -> None:
    @people.app.get("/defect")
    def defect() -> None:
        raise KeyError("s3cret")

    answer = people.stranger().get("/defect")
    assert answer.status_code == 500
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["x-correlation-id"] in answer.text
    assert "s3cret" not in answer.text
    assert (
        'shutong_calls_total{method="GET",route="/defect",status="500"} 1.0' in people.stranger().get("/metrics").text
    )


def test_what_is_not_ours_is_not_given_out(people: People) -> None:
    browser = people.stranger()
    for path in (
        "/static/../views.py", "/static/%2e%2e/views.py", "/static/..%2Fviews.py", "/static/..%252Fviews.py",
        "/static/..\\views.py", "/static//etc/passwd", "/static/%00", "/static/", "/static",
    ):  # fmt: skip
        assert browser.client.get(path, follow_redirects=False).status_code in (404, 405), path
    assert browser.get("/static/console.css").status_code == 200
