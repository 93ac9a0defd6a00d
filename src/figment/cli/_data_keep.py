"""The ways to keep a dataset elsewhere: exported for other programs, or sealed into one encrypted file."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from figment.cli._console import Console
from figment.cli._parse import parse
from figment.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from figment.data.keys import Lock
    from figment.data.store import Store

PASSPHRASE = "FIGMENT_PASSPHRASE"  # the variable that programs without a terminal give it in


def _word(name: str) -> Any:
    return tyro.conf.arg(metavar=name)


@dataclass(frozen=True)
class Export:
    dataset: Annotated[Path, tyro.conf.Positional, _word("DATASET")]
    """Dataset to write out."""
    to: Literal["folder", "webdataset", "parquet"]
    """Form: folders of PNG files with a table, tar shards, or Parquet files."""
    out: Path
    """New folder to write."""


def export(argv: Sequence[str], console: Console) -> dict[str, Any]:
    """Write a dataset out for other programs, losslessly; figment reads every form again."""
    args = parse(Export, argv, verb="data export", about=export.__doc__ or "")
    from figment.data.exporting import export as write
    from figment.data.store import Store

    number = write(Store(args.dataset), args.to, args.out)
    console.say(f"{args.out}: {number} pictures")
    return {"out": str(args.out), "pictures": number}


@dataclass(frozen=True)
class Seal:
    folder: Annotated[Path, tyro.conf.Positional, _word("FOLDER")]
    """Dataset, run, or another folder, to seal."""
    out: Path
    """New file to write."""
    key: Path | None = None
    """File with the key; made where there is none. Without it and --to, a passphrase is asked for."""
    to: Path | None = None
    """Public RSA key, as PEM, of whoever is to open the file."""


def seal(argv: Sequence[str], console: Console) -> dict[str, Any]:
    """Encrypt a dataset or a run into one file, with a passphrase, a key file, or for somebody's public key."""
    args = parse(Seal, argv, verb="data seal", about=seal.__doc__ or "")
    from figment.data.keys import KeyFile, PublicKey
    from figment.data.sealing import seal as write

    if not args.folder.is_dir():
        raise DataError(f"{args.folder}: no such folder; give the dataset to seal")
    if args.key and args.to:
        raise ConfigError("--key and --to: a file is sealed in one way; leave one out")
    if args.key and args.key.resolve().is_relative_to(args.folder.resolve()):
        raise ConfigError(f"--key {args.key}: would be sealed in with the data; give a file elsewhere")
    lock = PublicKey(args.to) if args.to else KeyFile(args.key) if args.key else _passphrase(twice=True)
    number = write(args.folder, args.out, lock)
    console.say(f"{args.out}: {number} files sealed; open it with: figment data open {args.out} --out FOLDER")
    return {"out": str(args.out), "files": number}


@dataclass(frozen=True)
class Open:
    file: Annotated[Path, tyro.conf.Positional, _word("FILE")]
    """Sealed file."""
    out: Path
    """New folder to write."""
    key: Path | None = None
    """File with the key, or the private RSA key as PEM; without it, the passphrase is asked for."""


def unseal(argv: Sequence[str], console: Console) -> dict[str, Any]:
    """Decrypt a sealed file into a folder; one that was changed or cut off is refused whole."""
    args = parse(Open, argv, verb="data open", about=unseal.__doc__ or "")
    from figment.data.sealing import open_sealed

    if not args.file.is_file():
        raise DataError(f"{args.file}: no such file; give one that 'figment data seal' has made")
    number = open_sealed(args.file, args.out, _lock(args.key))
    console.say(f"{args.out}: {number} files opened")
    return {"out": str(args.out), "files": number}


def store_at(path: Path, key: Path | None) -> Store:
    """The dataset in a folder, or in a sealed file, which is opened in memory.

    key: as for `figment data open`. Raises ConfigError for a key to what is not sealed.
    """
    from figment.data.sealed_store import SealedStore
    from figment.data.sealing import is_sealed
    from figment.data.store import Store

    if is_sealed(path):
        return SealedStore(path, _lock(key))
    if key:
        raise ConfigError(f"--key {key}: {path} is not sealed; leave it out")
    return Store(path)


def _lock(key: Path | None) -> Lock:
    """What opens a sealed file: a key file, a private RSA key, or the passphrase where neither is given."""
    from figment.data.keys import KeyFile, PublicKey, is_pem

    if key is None:
        return _passphrase(twice=False)
    return PublicKey(key) if is_pem(key) else KeyFile(key)


def _passphrase(*, twice: bool) -> Lock:
    """From the environment, else asked for in a terminal, else the first line of standard input."""
    from figment.data.keys import Passphrase

    if PASSPHRASE in os.environ:
        text = os.environ[PASSPHRASE]
    elif not sys.stdin.isatty():
        text = sys.stdin.readline().rstrip("\r\n")
    else:
        text = getpass.getpass("Passphrase: ")
        if twice and getpass.getpass("Once more: ") != text:
            raise ConfigError("the two passphrases differ; give the command again")
    if not text:
        raise ConfigError("no passphrase was given; type one, or give --key FILE")
    return Passphrase(text)
