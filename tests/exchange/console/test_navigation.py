from __future__ import annotations

from exchange.console.navigation import ENTRIES
from exchange.settings import Role
from tests.exchange.site.people import People
from tests.exchange.site.rules.base import LOGINS


def test_every_entry_is_somebody_s_and_a_page_of_ours() -> None:
    assert all(roles and roles <= set(Role) for _, _, roles in ENTRIES)
    paths = [path for _, path, _ in ENTRIES]
    assert len(set(paths)) == len(paths)
    assert paths[0] == "/"


def test_people_find_what_their_roles_may_use_and_where_they_are(people: People) -> None:
    for login in LOGINS[:4]:
        page = people.browser(login).get("/").text
        own = people.actor(login).roles
        for title, path, roles in ENTRIES:
            assert (f'<a href="{path}"' in page and f">{title}</a>" in page) == (not own.isdisjoint(roles))
        assert page.count('aria-current="page"') == 1
    assert '<a href="/applications" aria-current="page"' in people.browser("tax").get("/grants").text
    assert "aria-current" not in people.browser("police").get("/me").text.split("</nav>")[0]
