"""Secrets (密钥与口令): opened from references, and the keys and encrypted files of the hub.

Only the engine, the log and the SOAP door open secrets, just before use. Nothing here shows one
when printed, logged or raised.
"""

from __future__ import annotations

from exchange.secrets.frames import Frames
from exchange.secrets.keyring import Keyring, create_keys, with_password
from exchange.secrets.references import (
    CONNECTION,
    HOW_TO_WRITE,
    OpenConnection,
    is_reference,
    open_connections_by,
    open_secret,
)
from exchange.secrets.sealing import seal, unseal
from exchange.secrets.spool import Spool
from exchange.secrets.vault import Vault, VaultWriter

__all__ = [
    "CONNECTION",
    "HOW_TO_WRITE",
    "Frames",
    "Keyring",
    "OpenConnection",
    "Spool",
    "Vault",
    "VaultWriter",
    "create_keys",
    "is_reference",
    "open_connections_by",
    "open_secret",
    "seal",
    "unseal",
    "with_password",
]
