"""A support bundle: what somebody needs to understand a setup that went wrong, without its secrets.

A tar archive of texts: versions, answers, plan, facts, journals and hosts' logs. Three nets keep
secrets out. What is collected is a list of names, and no file of a secret is on it. Every secret
that this operator's machine knows is replaced wherever it stands, also base64- or URL-encoded and
inside a longer encoded text. And private keys, logins in URLs and tokens are replaced by their
look, whoever they belong to.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import tarfile
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.config.secrets import Secret, resolve
from bzzz_core.errors import ConfigError, SecretError

FILE_BYTES_MAX: Final = 2_000_000
"""Of one file; of a longer one its end, which tells what happened last."""
FILES_MAX: Final = 400
STARS: Final = "***"
SHORTEST: Final = 6
"""A shorter secret is not replaced: it would cut words apart and tell by that what it is."""
_COLLECTED: Final = (
    "journal/*.ndjson",
    "journal/*.log",
    "journal/*/*.log",
    "runs/*/engine.log",
    "validation.txt",
)
_SHAPES: Final = (
    re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END[^-]*-----|\Z)", re.DOTALL),
    re.compile(r"(?<=://)[^/\s:@]{1,200}:[^/\s@]{1,200}(?=@)"),
    re.compile(r"\bsk-[A-Za-z0-9_-]{16,}\b"),
    re.compile(r"\bbzzz-join-\d+\.[A-Za-z0-9_=-]+"),
    re.compile(r"(?i)(?<=authorization: )(?:bearer|basic) \S+"),
)


class Scrubber:
    """Takes secrets out of texts."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        """Take the secrets that must not appear."""
        forms = {form for secret in secrets for form in forms_of(secret.reveal())}
        self._forms = sorted(forms, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return the text with stars for every secret."""
        for form in self._forms:
            text = text.replace(form, STARS)
        for shape in _SHAPES:
            text = shape.sub(STARS, text)
        return text


def forms_of(value: str) -> set[str]:
    """Return the forms in which a secret can stand in a text; none if it is too short.

    In base64 three bytes become four characters, so a secret within a longer text looks in one of
    three ways; characters at its edges, which depend on its neighbours too, are left out.
    """
    if len(value) < SHORTEST:
        return set()
    raw = value.encode()
    found = {value, urllib.parse.quote(value, safe=""), urllib.parse.quote_plus(value)}
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + raw).decode("ascii")
        first = 0 if shift == 0 else shift + 1
        usable = (len(raw) + shift) // 3 * 4
        inner = whole[first:usable]
        if len(inner) >= SHORTEST:
            found |= {inner, inner.translate(str.maketrans("+/", "-_"))}
    return found


def secrets_of(spec: ClusterSpec | None, cluster: Path, *, texts: object = None) -> list[Secret]:
    """Return the secrets that answers refer to and that setup made for a cluster.

    One that cannot be read is left out: nothing here can quote it.

    Args:
        spec: The answers, if they are complete.
        cluster: The operator's directory of the cluster.
        texts: Answers that are not complete, as texts within lists and dictionaries of any shape.
    """
    references = [f"file:{cluster / 'api-token'}", f"file:{cluster / 'ca' / 'passphrase'}"]
    references += [] if spec is None else list(_references(spec.model_dump()))
    references += list(_references(texts))
    found = []
    for reference in dict.fromkeys(references):
        try:
            found.append(resolve(reference))
        except (SecretError, ConfigError, ValueError):
            continue
    return found


def _references(data: object) -> Iterator[str]:
    if isinstance(data, dict):
        for value in data.values():
            yield from _references(value)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from _references(value)
    elif isinstance(data, str) and data.startswith(("env:", "file:", "keyring:", "vault:")):
        yield data
    elif isinstance(data, str) and data.startswith("["):
        # Lists of entries are kept as one text.
        with contextlib.suppress(ValueError, RecursionError):
            yield from _references(json.loads(data))


def write(target: Path, texts: Mapping[str, str], *, cluster: Path, scrub: Scrubber) -> int:
    """Write a bundle and return how many files are in it.

    Args:
        target: The archive, `.tar.gz`; 0600, and it must not exist.
        texts: Name in the archive -> text that the caller knows: versions, answers, plan, facts.
        cluster: The operator's directory of the cluster; its journals and logs are added.
        scrub: Takes secrets out.

    Raises:
        ConfigError: It cannot be written.
    """
    entries = [*texts.items(), *_collected(cluster)][:FILES_MAX]
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(target, flags, 0o600)
        with (
            os.fdopen(descriptor, "wb") as file,
            tarfile.open(fileobj=file, mode="w:gz") as archive,
        ):
            for name, text in entries:
                data = scrub(text).encode("utf-8", errors="replace")
                info = tarfile.TarInfo(f"bzzz-support/{scrub(name)}")
                info.size, info.mode = len(data), 0o600
                archive.addfile(info, io.BytesIO(data))
    except FileExistsError:
        raise ConfigError(f"{target} exists already; name another file") from None
    except OSError as exc:
        raise ConfigError(f"{target}: {exc.strerror}") from exc
    return len(entries)


def _collected(cluster: Path) -> Iterator[tuple[str, str]]:
    """Yield the journals and logs of a cluster, the newest first, each with its name."""
    found = {path for pattern in _COLLECTED for path in cluster.glob(pattern)}
    for path in sorted(found, key=lambda one: one.name, reverse=True):
        if path.is_symlink():
            continue  # It could lead to a file that nobody means to hand out.
        try:
            with path.open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - FILE_BYTES_MAX))
                data = file.read(FILE_BYTES_MAX)
        except OSError:
            continue
        yield path.relative_to(cluster).as_posix(), data.decode("utf-8", errors="replace")
