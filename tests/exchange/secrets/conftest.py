"""A home with keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchange.secrets import create_keys
from exchange.settings import Settings
from tests.exchange.settings.test_model import HUB


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path / "home", hub_department=HUB)
    create_keys(settings)
    return settings
