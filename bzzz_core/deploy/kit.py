"""The operator's kit: everything with which another machine can go on operating a cluster.

One file under a passphrase (`trust.passphrase_box`), with the operator's directory of one cluster:
authorities (which are encrypted by themselves as well), API token, cluster id, pinned host keys,
profile, keys that setup made, and the answers. Journals and runs stay: they tell what was done,
from where. So do manifests, which are made of the answers, and files half written (`.name`).

Importing never overwrites: a cluster that is known on this machine stays as it is. The directory
appears whole or not at all. Paths in the profile that led into the old directory lead into the new
one; a key of SSH that lay elsewhere has to be brought along by the operator, and is named.
"""

from __future__ import annotations

import re
import secrets
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from bzzz_core.clock import utc_now
from bzzz_core.config.profile import load_profile
from bzzz_core.config.profile_places import cluster_directory, home
from bzzz_core.config.secrets import Secret
from bzzz_core.config.sections import NAME
from bzzz_core.deploy.state import CLUSTER_ID
from bzzz_core.errors import ConfigError, TrustError
from bzzz_core.trust import private_files
from bzzz_core.trust.passphrase_box import SCRYPT_N, close_box, open_box

ANSWERS: Final = "answers.yaml"
PROFILE: Final = "profile.yaml"
BYTES_MAX: Final = 16_000_000
_FILES_MAX: Final = 500
_LEFT_OUT: Final = frozenset({"journal", "logs", "manifests", "runs"})
_PATH: Final = r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*){0,4}$"

_Path = Annotated[str, msgspec.Meta(pattern=_PATH, max_length=300)]


class _Kit(msgspec.Struct, frozen=True):
    """What is in the file, once it is open."""

    format: Literal["bzzz-kit 1"]
    cluster: Annotated[str, msgspec.Meta(pattern=NAME, max_length=63)]
    made_at: Annotated[str, msgspec.Meta(max_length=40)]
    directory: Annotated[str, msgspec.Meta(max_length=4_096)]
    """Where it lay on the machine that made it."""
    files: Annotated[dict[_Path, bytes], msgspec.Meta(max_length=_FILES_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What was written or found."""

    cluster: str
    made_at: str
    files: tuple[str, ...]
    directory: Path
    missing: tuple[str, ...] = ()
    """Files that the profile names and that are not on this machine."""


def export_kit(
    cluster: str,
    target: Path,
    passphrase: Secret,
    *,
    answers: Path | None = None,
    base: Path | None = None,
    scrypt_n: int = SCRYPT_N,
) -> Packed:
    """Write the kit of a cluster to a new file, mode 0600.

    Args:
        cluster: Its name.
        target: The file; it must not be there.
        passphrase: Opens it again; 12 characters at least.
        answers: The answers file to take along; None: the one that an import left, if any.
        base: The operator's directory; None: the user's own.
        scrypt_n: Cost of the passphrase.

    Raises:
        ConfigError: This machine does not know the cluster, or the file is there already.
        TrustError: The passphrase is too short, or a file cannot be read.
    """
    directory = cluster_directory(cluster, base)
    if not (directory / "cluster-id").exists():
        raise ConfigError(f"{directory} holds no cluster that was set up from here")
    files = {
        str(path.relative_to(directory)): private_files.read(path)
        for path in sorted(directory.rglob("*"))
        if _is_taken(path.relative_to(directory)) and path.is_file()
    }
    if answers is not None:
        files[ANSWERS] = _answers_text(answers)
    kit = _Kit("bzzz-kit 1", cluster, utc_now(), str(directory), files)
    box = close_box(msgspec.msgpack.encode(_checked(kit)), passphrase, scrypt_n=scrypt_n)
    try:
        private_files.create(target, box)
    except FileExistsError as exc:
        raise ConfigError(f"{target} is there already; choose another name") from exc
    except OSError as exc:
        raise ConfigError(f"{target} cannot be written: {exc.strerror}") from exc
    return Packed(
        cluster=cluster, made_at=kit.made_at, files=tuple(sorted(files)), directory=directory
    )


def import_kit(source: Path, passphrase: Secret, *, base: Path | None = None) -> Packed:
    """Unpack a kit into this operator's directory.

    Raises:
        ConfigError: The cluster is known here already; nothing was written.
        TrustError: It does not open, or is no kit; nothing was written.
    """
    kit = _opened(source, passphrase)
    directory = cluster_directory(kit.cluster, base)
    if directory.exists() and any(directory.iterdir()):
        raise ConfigError(
            f"{directory} is there already: a kit never overwrites what this machine knows of a"
            " cluster. Move it away first if you are sure"
        )
    (base or home()).mkdir(mode=0o700, parents=True, exist_ok=True)
    private_files.private_directory(directory.parent)
    names = [name for name in kit.files if _is_taken(Path(name))]  # an older kit holds more
    part = directory.with_name(f".{kit.cluster}-{secrets.token_hex(6)}")
    try:
        for name in names:
            path, content = part / name, kit.files[name]
            private_files.private_directory(path.parent)
            moved = _moved(content, kit.directory, directory) if name == PROFILE else content
            private_files.create(path, moved)
        if directory.exists():
            directory.rmdir()
        part.rename(directory)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    private_files.sync_directory(directory.parent)
    return Packed(
        cluster=kit.cluster,
        made_at=kit.made_at,
        files=tuple(sorted(names)),
        directory=directory,
        missing=_missing(directory),
    )


def _is_taken(name: Path) -> bool:
    """Return whether a file of the cluster's directory goes into a kit."""
    return name.parts[0] not in _LEFT_OUT and not any(part.startswith(".") for part in name.parts)


def _opened(source: Path, passphrase: Secret) -> _Kit:
    try:
        with source.open("rb") as file:
            box = file.read(2 * BYTES_MAX + 1)
    except OSError as exc:
        raise ConfigError(f"{source}: {exc.strerror}") from exc
    if len(box) > 2 * BYTES_MAX:
        raise TrustError(f"{source} is too large to be a kit")
    plain = open_box(box, passphrase)
    try:
        kit = msgspec.msgpack.decode(plain, type=_Kit)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise TrustError(f"{source} is no operator's kit, or of a newer release") from exc
    cluster_id = kit.files.get("cluster-id", b"").decode("ascii", "replace").strip()
    if not CLUSTER_ID.fullmatch(cluster_id):
        raise TrustError(f"{source} holds no cluster")
    return kit


def _checked(kit: _Kit) -> _Kit:
    """Return the kit, which an import has to be able to read."""
    if sum(map(len, kit.files.values())) > BYTES_MAX or len(kit.files) > _FILES_MAX:
        raise ConfigError(f"{kit.directory} holds more than a kit takes ({BYTES_MAX} bytes)")
    strange = next((name for name in kit.files if not re.fullmatch(_PATH, name)), None)
    if strange is not None:
        raise ConfigError(f"{kit.directory}/{strange}: move it away, setup made no such file")
    return kit


def _answers_text(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(f"{path} is no file")
        return path.read_bytes()
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc


def _moved(profile: bytes, old: str, new: Path) -> bytes:
    """Return the profile with paths into the new directory instead of the old one."""
    return profile.replace(f"{old}/".encode(), f"{new}/".encode())


def _missing(directory: Path) -> tuple[str, ...]:
    try:
        ssh = load_profile(directory / PROFILE).ssh
    except ConfigError:
        return ()  # A cluster whose setup never came to its end has none.
    named = (ssh.key,) if ssh is not None and ssh.key else ()
    return tuple(path for path in named if not Path(path).exists())
