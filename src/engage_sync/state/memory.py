"""What connectors must not forget, encrypted: the key is a file beside the database, never in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from engage_sync.errors import Mistake
from engage_sync.state.database import Database

if TYPE_CHECKING:
    from cryptography.fernet import Fernet


class ConnectorMemory:
    """The memory of one connector. What is put is committed at once and outlives a power cut."""

    def __init__(self, database: Database, key_file: Path, connector: str) -> None:
        self._database = database
        self._key_file = key_file
        self._connector = connector

    def get(self, key: str) -> str | None:
        """Give what was put under `key`, or None. Raises Mistake when the key file does not fit."""
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - measured at start-up

        with self._database.reading() as transaction:
            row = transaction.first(
                "SELECT secret FROM engage_memory WHERE connector = ? AND key = ?", self._connector, key
            )
        if row is None or not isinstance(row[0], bytes):
            return None
        try:
            return fernet(self._key_file).decrypt(row[0]).decode()
        except InvalidToken as error:
            raise Mistake(
                f"what {self._connector} keeps in the state database was encrypted with another key than"
                f" {self._key_file}: restore that file,"
                f" or empty the table engage_memory and log in to {self._connector} anew"
            ) from error

    def put(self, key: str, value: str | None) -> None:
        """Keep `value` under `key`; None forgets it."""
        secret = None if value is None else fernet(self._key_file).encrypt(value.encode())
        with self._database.writing(durable=True) as transaction:
            if secret is None:
                transaction.run("DELETE FROM engage_memory WHERE connector = ? AND key = ?", self._connector, key)
            else:
                transaction.run(
                    "INSERT INTO engage_memory (connector, key, secret) VALUES (?, ?, ?)"
                    " ON CONFLICT (connector, key) DO UPDATE SET secret = excluded.secret",
                    self._connector,
                    key,
                    secret,
                )


def fernet(key_file: Path) -> Fernet:
    """Read the key, making it when there is none. Two processes that make it at once end with one key."""
    from cryptography.fernet import Fernet  # noqa: PLC0415 - measured at start-up

    try:
        if not key_file.exists():
            key_file.parent.mkdir(parents=True, exist_ok=True)
            _create(key_file, Fernet.generate_key())
        return Fernet(key_file.read_bytes().strip())
    except OSError as error:
        raise Mistake(f"the key file {key_file} cannot be used: {error.strerror}") from error
    except ValueError as error:
        raise Mistake(f"{key_file} holds no key: restore it from a backup") from error


def _create(key_file: Path, key: bytes) -> None:
    """Write beside the name and link it in: the file is never seen half written, and never replaces another."""
    draft = key_file.with_name(f".{key_file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, key)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(draft, key_file)
    except FileExistsError:
        return
    finally:
        draft.unlink()
