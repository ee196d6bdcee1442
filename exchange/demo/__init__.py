"""A city in miniature (演示城市): seven departments, six classes, three ways, one hub, in under a minute.

Everything in it goes through the same doors as in a real city: registrations by clerks, approvals by
other people, applications answered with reasons, exchanges run by the engine. Only the departments'
own machines are played: tables, folders (:mod:`exchange.demo.fronts`), services (:mod:`exchange.demo.services`) and
programmes that call the hub (:mod:`exchange.demo.programmes`).
"""

from __future__ import annotations

from exchange.demo.show import run

__all__ = ["run"]
