"""The hub's own keys (平台密钥): a master key the others are derived from, and the key of the log."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretBytes
from sqlalchemy import URL, make_url

from exchange.errors import Invalid
from exchange.secrets.references import KEY_MARK, open_secret, read_reference
from exchange.settings import Settings, make_home

_BYTES = 32


class Keyring:
    """Opens the hub's keys when first asked for, and never shows them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: dict[str, SecretBytes] = {}

    def __repr__(self) -> str:
        return "Keyring(***)"

    def __reduce__(self) -> tuple[type[Keyring], tuple[Settings]]:
        # What is pickled or copied carries the references, never an opened key.
        return Keyring, (self._settings,)

    def derive(self, purpose: str, context: str = "") -> bytes:
        """A key of 32 bytes for one purpose, the same at every call (HKDF-SHA256 of the master key).

        Args:
            purpose: What it is for (``quarantine``, ``grant``).
            context: What it is bound to, such as a grant's id.

        Raises:
            Invalid: The master key is missing, readable by others or not a key.
        """
        info = b"".join(len(part).to_bytes(4) + part for part in (b"shutong 1", purpose.encode(), context.encode()))
        master = self._key(self._settings.master_key, "主密钥")
        return HKDF(algorithm=SHA256(), length=_BYTES, salt=None, info=info).derive(master)

    def audit_key(self) -> bytes:
        """The key of the log's chain.

        Raises:
            Invalid: It is missing, readable by others or not a key.
        """
        return self._key(self._settings.audit_key, "审计密钥")

    def _key(self, reference: str, title: str) -> bytes:
        if reference not in self._opened:
            self._opened[reference] = _parse(read_key(reference, self._settings.home, title), reference, title)
        return self._opened[reference].get_secret_value()


def read_key(reference: str, home: Path, title: str) -> str:
    """Read the text of a key, saying which one it is if that fails.

    Raises:
        Invalid: It cannot be read.
    """
    try:
        return read_reference(reference, home).get_secret_value()
    except Invalid as error:
        remedy = f"{error.remedy}；新装的平台先运行 shutong init，已有数据的平台须从备份恢复密钥"
        raise Invalid(f"{title}：{error.message}", remedy=remedy) from error


def _parse(text: str, reference: str, title: str) -> SecretBytes:
    digits = text.removeprefix(KEY_MARK).strip()
    if not text.startswith(KEY_MARK) or len(digits) != 2 * _BYTES or set(digits) - set("0123456789abcdef"):
        raise Invalid(
            f"{title} {reference} 不是数通的密钥",
            remedy=f"应为 {KEY_MARK} 加 {2 * _BYTES} 位十六进制小写数字，用 shutong init 生成",
        )
    return SecretBytes(bytes.fromhex(digits))


def create_keys(settings: Settings) -> tuple[Path, ...]:
    """Make the key files that are missing; existing ones are left as they are.

    Each file appears whole, readable by its owner alone, or not at all.

    Returns:
        The files made.

    Raises:
        Invalid: A key is to come from the environment and is not there, or is not a key.
    """
    made = []
    for reference, title in ((settings.master_key, "主密钥"), (settings.audit_key, "审计密钥")):
        kind, _, rest = reference.partition(":")
        path = settings.home / Path(rest).expanduser()
        if kind == "file" and not path.exists():
            make_home(settings.home)
            if _create(path):
                made.append(path)
        _parse(read_key(reference, settings.home, title), reference, title)
    return tuple(made)


def _create(path: Path) -> bool:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{KEY_MARK}{secrets.token_hex(_BYTES)}\n")
            file.flush()
            os.fsync(file.fileno())
        # A link, unlike a rename, never takes the place of a key another process has just made.
        os.link(beside, path)
    except FileExistsError:
        return False
    finally:
        beside.unlink()
    sync_folder(path.parent)
    return True


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def with_password(url: str, reference: str | None, home: Path) -> URL:
    """A database address with its password, which it hides when printed.

    Raises:
        Invalid: The password cannot be opened.
    """
    address = make_url(url)
    return address if reference is None else address.set(password=open_secret(reference, home).get_secret_value())
