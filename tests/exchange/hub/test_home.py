from __future__ import annotations

from pathlib import Path

import pytest

from catalog import Department
from exchange.errors import HubError, Misplaced
from exchange.hub import create_home, open_hub
from exchange.identity import current_actor
from exchange.plan import LIBRARY
from exchange.settings import ActorEntry, Role, load_settings, write_default

HUB = "11321200TE00000104"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    place = tmp_path / "home"
    person = ActorEntry(name="集成员", department=HUB, roles=frozenset({Role.INTEGRATOR}))
    write_default(place, hub_department=HUB, actors={"integrator": person}, demo=True)
    return place


def test_a_home_holds_keys_database_and_the_library(home: Path) -> None:
    by = current_actor(load_settings(home), "integrator")
    create_home(home, Department(code=HUB, name="行政审批局", division="321200"), by=by).close()
    hub = open_hub(home)
    with hub.database.reading() as session:
        library = hub.catalog.endpoint(session, LIBRARY)
    assert library.department == HUB
    assert library.options == {"product": "sqlite", "path": str(home / "library.db")}
    assert [event.type for event in hub.audit.search(by=by).events][::-1][:2] == [
        "DepartmentRegistered",
        "EndpointRegistered",
    ]
    hub.close()
    for path in [home, *home.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_the_library_may_lie_elsewhere_and_its_password_is_a_reference(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHUTONG_LIBRARY_URL", "postgresql://shutong@127.0.0.1:5433/library")
    monkeypatch.setenv("SHUTONG_LIBRARY_PASSWORD", "env:SHUTONG_SECRET_LIBRARY")
    by = current_actor(load_settings(home), "integrator")
    hub = create_home(home, Department(code=HUB, name="行政审批局", division="321200"), by=by)
    with hub.database.reading() as session:
        options = hub.catalog.endpoint(session, LIBRARY).options
    hub.close()
    assert options == {
        "product": "postgresql",
        "host": "127.0.0.1",
        "port": 5433,
        "database": "library",
        "user": "shutong",
        "password": "env:SHUTONG_SECRET_LIBRARY",
    }


def test_where_there_is_no_hub_it_says_so(home: Path, tmp_path: Path) -> None:
    for place in (home, tmp_path / "nowhere"):
        with pytest.raises(HubError) as refused:
            open_hub(place)
        assert "init" in refused.value.remedy


def test_a_database_that_is_gone_is_not_made_anew(home: Path) -> None:
    by = current_actor(load_settings(home), "integrator")
    create_home(home, Department(code=HUB, name="行政审批局", division="321200"), by=by).close()
    (home / "hub.db").unlink()
    with pytest.raises(Misplaced, match=r"hub\.db 不见了"):
        open_hub(home)
    assert not (home / "hub.db").exists()
