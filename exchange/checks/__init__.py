"""Normalising, checking and digesting of record batches: what is true of the rows before they move.

A batch as its source gave it is typed by its items (:mod:`~exchange.checks.normalise`), held to their rules
(:mod:`~exchange.checks.rules`), and parted into accepted and refused rows
(:mod:`~exchange.checks.examination`). :mod:`~exchange.checks.digest` says in one number which rows they were.
"""

from __future__ import annotations

from exchange.checks.check_digits import (
    credit_code_check,
    identity_number_check,
    licence_check,
    project_code_check,
)
from exchange.checks.digest import Digest, Leaf, bounds, key_hashes, leaf, sort_by_key
from exchange.checks.examination import Examined, examine
from exchange.checks.findings import KEPT, RULES, Finding, Rule
from exchange.checks.normalise import Normalised, normalise
from exchange.checks.rules import Checked, check, reference_states

__all__ = [
    "KEPT",
    "RULES",
    "Checked",
    "Digest",
    "Examined",
    "Finding",
    "Leaf",
    "Normalised",
    "Rule",
    "bounds",
    "check",
    "credit_code_check",
    "examine",
    "identity_number_check",
    "key_hashes",
    "leaf",
    "licence_check",
    "normalise",
    "project_code_check",
    "reference_states",
    "sort_by_key",
]
