"""Short secrets that the hub must know in clear (封存): sealed in its database, under a key that is not there."""

from __future__ import annotations

import base64
import os
from contextlib import suppress

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from exchange.errors import Tampered

_NONCE = 12


def seal(secret: str, key: bytes) -> str:
    """The secret as it may stand in the database.

    Args:
        secret: What is to be hidden.
        key: 32 bytes, bound to what the secret belongs to: see :meth:`exchange.secrets.Keyring.derive`.
    """
    nonce = os.urandom(_NONCE)
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, secret.encode(), None)).decode()


def unseal(sealed: str, key: bytes) -> SecretStr:
    """The secret again.

    Raises:
        Tampered: It is not as it was sealed, or was sealed under another key.
    """
    with suppress(InvalidTag, ValueError):  # a cause would carry the sealed text along
        content = base64.b64decode(sealed, validate=True)
        return SecretStr(AESGCM(key).decrypt(content[:_NONCE], content[_NONCE:], None).decode())
    raise Tampered("封存的口令不是写入时的样子，或主密钥不对", remedy="核对主密钥；否则吊销这个凭据，重新签发")
