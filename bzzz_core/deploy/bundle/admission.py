"""The node's own judgement of a release from a bundle, before it may become the present one.

Run on the node, as its own user: by the present release's program where that can do it, else by the
program of the release in question, which then vouches for itself (ADR 0037 says what that is
worth). It believes the node's own file of trusted keys, the node's own clock, and what lies on the
disk.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from pathlib import Path
from typing import Final

import msgspec

import bzzz_core
from bzzz_core.deploy.bundle import trusted
from bzzz_core.deploy.bundle.manifest import (
    MANIFEST_BYTES_MAX,
    Envelope,
    Manifest,
    admit,
    decode,
    refuse_downgrade,
)
from bzzz_core.errors import BundleRefused

ENVELOPE_BYTES_MAX: Final = 2 * MANIFEST_BYTES_MAX


def judge(
    encoded: bytes,
    *,
    release: Path,
    keys: Path,
    present: Path,
    now_s: int,
    arch: str,
    allow_downgrade: bool,
) -> Manifest:
    """Return the manifest, if this node may run that release.

    Args:
        encoded: The envelope.
        release: Directory of the release in question; its name is its version.
        keys: File of the release keys that this node trusts.
        present: Directory of the present release; it need not exist.
        now_s: Seconds since 1970.
        arch: This machine's type.
        allow_downgrade: The operator asked for an older one.

    Raises:
        BundleRefused: It may not; with the reason.
        TrustError: The keys' file is damaged or in others' hands.
    """
    manifest = admit(_envelope(encoded), trusted.load(keys), now_s=now_s)
    tree = next((tree for tree in manifest.trees if tree.version == release.name), None)
    if tree is None:
        raise BundleRefused(f"the bundle's manifest names no release {release.name}")
    if tree.arch != arch:
        raise BundleRefused(f"release {tree.version} is for {tree.arch}, and this is {arch}")
    for name, expected in (
        ("manifest.json", tree.manifest_sha256),
        ("SHA256SUMS", tree.sums_sha256),
    ):
        if _sha256(release / name) != expected:
            raise BundleRefused(f"{release / name} is not what the bundle's manifest says")
    before = _present(present / "bundle.json")
    refuse_downgrade(
        manifest,
        installed=_installed(present),
        present=None if before is None else (before.version, before.created_at),
        allowed=allow_downgrade,
    )
    return manifest


def judge_here(encoded: bytes, *, release: Path, keys: Path, now_s: int, allowed: bool) -> Manifest:
    """Return the manifest, if this very machine may run that release; see `judge`."""
    return judge(
        encoded,
        release=release,
        keys=keys,
        present=release.parent.parent / "current",
        now_s=now_s,
        arch=platform.machine(),
        allow_downgrade=allowed,
    )


def said_by() -> str:
    """Return which program judged, for the record."""
    major, minor = sys.version_info[:2]
    return f"bzzz-agent {bzzz_core.__version__} on Python {major}.{minor}"


def _envelope(encoded: bytes) -> Envelope:
    try:
        return msgspec.json.decode(encoded, type=Envelope)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise BundleRefused("the bundle's manifest cannot be read") from exc


def _present(path: Path) -> Manifest | None:
    try:
        return decode(_envelope(path.read_bytes()[:ENVELOPE_BYTES_MAX]))
    except (OSError, BundleRefused):
        return None  # it came from no bundle, or from one of a form that we do not know


def _installed(present: Path) -> str:
    """Return the version of the present release; "" if there is none."""
    name = present.resolve().name if present.exists() else ""
    return name.partition("+")[0]


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
