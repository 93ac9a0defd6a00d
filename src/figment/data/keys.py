"""The data room: what locks the key of a sealed file away: a passphrase, a key file, or somebody's public key.

A `Lock` closes over a file's own random key and says in a few lines of JSON how to get it back.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from figment.core.errors import DataError, MissingExtra

KEY_BYTES = 32
FEWEST_RSA_BITS = 2048

# RFC 9106, section 4, the second recommended choice: 64 MiB, for machines of every size.
_ARGON = {"iterations": 3, "lanes": 4, "memory_kib": 1 << 16}
_MOST_ARGON = {"iterations": 64, "lanes": 64, "memory_kib": 1 << 21}  # a stranger's file must not ask for more

_WRONG = "is locked with another key or passphrase, or was changed; give the one that it was sealed with"


class Lock(Protocol):
    """close: what a header must say of a key, 32 bytes. open: the key again; DataError where it is another lock's."""

    def close(self, key: bytes) -> dict[str, Any]: ...

    def open(self, header: dict[str, Any], path: Path) -> bytes: ...


@dataclass(frozen=True)
class Passphrase:
    """A text that a person knows; Argon2id (RFC 9106) makes guessing it expensive."""

    text: str

    def close(self, key: bytes) -> dict[str, Any]:
        salt = os.urandom(16)
        return {"kind": "passphrase", "salt": salt.hex(), **_ARGON, "key": _wrap(self._derive(salt, _ARGON), key)}

    def open(self, header: dict[str, Any], path: Path) -> bytes:
        _require_kind(header, "passphrase", path)
        try:
            costs = {name: int(header[name]) for name in _ARGON}
            salt = bytes.fromhex(header["salt"])
            if any(not 1 <= cost <= _MOST_ARGON[name] for name, cost in costs.items()):
                raise ValueError
            derived = self._derive(salt, costs)
        except (KeyError, TypeError, ValueError, OverflowError):
            raise DataError(f"{path}: {_WRONG}") from None
        return _unwrap(derived, header, path)

    def _derive(self, salt: bytes, costs: dict[str, int]) -> bytes:
        _require_cryptography()
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

        argon = Argon2id(
            salt=salt,
            length=KEY_BYTES,
            iterations=costs["iterations"],
            lanes=costs["lanes"],
            memory_cost=costs["memory_kib"],
        )
        return argon.derive(self.text.encode())


@dataclass(frozen=True)
class KeyFile:
    """A file of 32 random bytes."""

    path: Path

    def close(self, key: bytes) -> dict[str, Any]:
        """Makes the file, for its owner alone, where there is none."""
        if not self.path.exists():
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(KEY_BYTES))
        return {"kind": "key file", "key": _wrap(self._read(), key)}

    def open(self, header: dict[str, Any], path: Path) -> bytes:
        _require_kind(header, "key file", path)
        return _unwrap(self._read(), header, path)

    def _read(self) -> bytes:
        content = _read(self.path)
        if len(content) != KEY_BYTES:
            raise DataError(f"{self.path}: has {len(content)} bytes, and a key has {KEY_BYTES}; give the key file")
        return content


@dataclass(frozen=True)
class PublicKey:
    """The RSA key of whoever is to open the file, as PEM: the public half closes, the private half opens."""

    path: Path

    def close(self, key: bytes) -> dict[str, Any]:
        _require_cryptography()
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        try:
            public = load_pem_public_key(_read(self.path))
        except ValueError:
            public = None
        if not isinstance(public, RSAPublicKey) or public.key_size < FEWEST_RSA_BITS:
            raise DataError(f"{self.path}: is no public RSA key of {FEWEST_RSA_BITS} bits; give --to a PUBLIC.pem")
        return {"kind": "public key", "key": public.encrypt(key, _oaep()).hex()}

    def open(self, header: dict[str, Any], path: Path) -> bytes:
        _require_cryptography()
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        _require_kind(header, "public key", path)
        try:
            private = load_pem_private_key(_read(self.path), None)
        except (TypeError, ValueError):
            private = None
        if not isinstance(private, RSAPrivateKey):
            raise DataError(f"{self.path}: is no private RSA key without a passphrase; give --key PRIVATE.pem")
        try:
            key = private.decrypt(bytes.fromhex(header["key"]), _oaep())
        except (KeyError, TypeError, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise DataError(f"{path}: {_WRONG}")
        return key


def is_pem(path: Path) -> bool:
    """Whether a file is a key as PEM, and not one of figment's own."""
    return _read(path).lstrip().startswith(b"-----BEGIN")


def _oaep() -> Any:
    """OAEP with SHA-256 (RFC 8017, section 7.1)."""
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
    from cryptography.hazmat.primitives.hashes import SHA256

    return OAEP(mgf=MGF1(SHA256()), algorithm=SHA256(), label=None)


def _wrap(outer: bytes, key: bytes) -> str:
    """The key under another, by AES key wrap (RFC 3394), which needs no nonce and notices a wrong key."""
    _require_cryptography()
    from cryptography.hazmat.primitives.keywrap import aes_key_wrap

    return aes_key_wrap(outer, key).hex()


def _unwrap(outer: bytes, header: dict[str, Any], path: Path) -> bytes:
    _require_cryptography()
    from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

    try:
        key = aes_key_unwrap(outer, bytes.fromhex(header["key"]))
    except (InvalidUnwrap, KeyError, TypeError, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise DataError(f"{path}: {_WRONG}")
    return key


def _require_kind(header: dict[str, Any], kind: str, path: Path) -> None:
    if header.get("kind") != kind:
        ways = {
            "passphrase": "leave out --key and type its passphrase",
            "key file": "give --key the key file",
            "public key": "give --key PRIVATE.pem",
        }
        there = header.get("kind")
        raise DataError(f"{path}: was sealed with a {there}: {ways.get(str(there), 'update figment')}")


def _require_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtra("sealing", "privacy") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give a key file") from None
