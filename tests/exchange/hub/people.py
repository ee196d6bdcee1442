"""People of the town with accounts, signed in."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from exchange.db.tables import EventRow
from exchange.hub import Hub
from exchange.hub.sessions import SignedIn
from exchange.identity import Actor
from exchange.settings import Role
from tests.exchange.engine.town import POLICE, Town

HERE = "192.0.2.7"
OWN = "Correct-horse-7-battery"


@dataclass
class People:
    """The three administrators and whoever else is let in; each knows the password ``OWN``."""

    hub: Hub

    def __post_init__(self) -> None:
        self.given = {
            each.login: each.password.get_secret_value() for each in self.hub.accounts.first() if each.password
        }
        self._actors: dict[str, Actor] = {}

    def actor(self, login: str) -> Actor:
        """One of the first."""
        if login not in self._actors:
            self._actors[login] = self.settle(login, self.given[login])
        return self._actors[login]

    @property
    def system(self) -> Actor:
        return self.actor("sysadmin")

    @property
    def security(self) -> Actor:
        return self.actor("secadmin")

    @property
    def audit(self) -> Actor:
        return self.actor("auditadmin")

    def settle(self, login: str, given: str) -> Actor:
        """Sign in with a one-time password, change it, and say who that is."""
        made = self.enter(login, given)
        if made.must_change:
            made = self.hub.signing.change_password(made.secret, given, OWN, address=HERE)
        present = self.hub.signing.present(made.secret)
        assert present is not None
        self.hub.signing.sign_out(made.secret)
        return present.actor

    def enter(self, login: str, password: str = OWN, *, address: str = HERE) -> SignedIn:
        """Sign in."""
        return self.hub.signing.sign_in(login, password, address=address)

    def join(self, login: str, *roles: Role, name: str = "", department: str = POLICE) -> Actor:
        """A new person with these roles."""
        made = self.hub.accounts.create(login, name or f"人员{login}", department, by=self.system)
        if roles:
            self.hub.accounts.assign(login, roles, by=self.security, reason="任命")
        assert made.password is not None
        return self.settle(login, made.password.get_secret_value())


def logged(town: Town, *types: str) -> list[EventRow]:
    """Events of these types, oldest first."""
    return list(town.all(sa.select(EventRow).where(EventRow.type.in_(types)).order_by(EventRow.id)))
