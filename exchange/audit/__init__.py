"""The log (审计日志): typed events, sealed into a chain that shows whatever is done to it afterwards.

An event is written, tagged with a key kept outside the database, in the transaction of its cause. A
sealer numbers and chains what is committed within a second. The heads of the chain are copied into a
file and into receipts and ledgers, so that a log cut short or rebuilt shows too. Nothing reads the
log to decide anything.
"""

from __future__ import annotations

from exchange.audit.chain import Stored
from exchange.audit.events import Event
from exchange.audit.log import AuditLog, Written
from exchange.audit.sealer import Sealer
from exchange.audit.search import Page
from exchange.audit.verification import Fault, Verification

__all__ = ["AuditLog", "Event", "Fault", "Page", "Sealer", "Stored", "Verification", "Written"]
