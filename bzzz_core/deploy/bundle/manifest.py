"""What a bundle says about itself, signed: parts by SHA-256, for whom, from when until when.

`admit` is the one place where a bundle is believed. Operator and node call the same function, each
with its own trusted keys and its own clock. The signature is looked at before anything that it
covers: an unsigned document is not even parsed. Form: `docs/formats/bundle.md`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from bzzz_core.errors import BundleRefused, SignatureInvalid
from bzzz_core.trust.keys import IdentityKey, node_id_of, verify

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
MANIFEST_BYTES_MAX: Final = 1_000_000
_CONTEXT: Final = b"bzzz bundle 1"
_PART_NAME: Final = re.compile(r"[a-z0-9][A-Za-z0-9._+-]*(/[A-Za-z0-9][A-Za-z0-9._+-]*)?")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_VERSION: Final = re.compile(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?:[+-].*)?")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One file in the bundle."""

    name: str
    size_bytes: int
    sha256: str


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """A release: the packages of a node for one Python minor version and machine type."""

    version: str
    python: str
    arch: str
    archive: Part
    manifest_sha256: str
    """Of the `manifest.json` inside the archive."""
    sums_sha256: str
    """Of the `SHA256SUMS` inside the archive."""


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """A Python of our own, for hosts that have none that fits."""

    name: str
    """Of its directory below `/opt/bzzz/runtimes`."""
    version: str
    arch: str
    archive: Part
    source_sha256: str
    """Of the archive as its makers publish it; ours is the same files in a fixed order."""
    glibc: str = ""
    """The oldest GNU C library that it runs on; "": not known, as in bundles of older makers."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """All that is signed."""

    format: int
    version: str
    created_at: str
    expires_at: str
    min_from: str
    """Hosts that run an older version than this are not upgraded by this bundle."""
    key_id: str
    trees: tuple[Tree, ...]
    runtimes: tuple[Runtime, ...] = ()
    sbom: Part | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return every file of the bundle, in its order."""
        sbom = (self.sbom,) if self.sbom else ()
        return (*sbom, *(t.archive for t in self.trees), *(r.archive for r in self.runtimes))

    @property
    def age(self) -> tuple[tuple[int, ...], int]:
        """Return what older and newer bundles are told apart by: version, then time of making."""
        return age_of(self.version, self.created_at)


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest as it travels: the exact bytes that were signed, and the signature."""

    manifest: str
    key_id: str
    signature: str
    """Base64 of 64 bytes."""


class _Signature(msgspec.Struct, frozen=True, kw_only=True):
    key_id: str
    signature: str


def sign(manifest: Manifest, key: IdentityKey) -> Envelope:
    """Return the manifest signed."""
    assert manifest.key_id == key.node_id, "the manifest names the key that signs it"
    encoded = msgspec.json.format(msgspec.json.encode(manifest)) + b"\n"
    signature = base64.b64encode(key.sign(_CONTEXT, encoded)).decode("ascii")
    return Envelope(manifest=encoded.decode(), key_id=manifest.key_id, signature=signature)


def signature_file(envelope: Envelope) -> bytes:
    """Return the content of `manifest.sig`."""
    said = _Signature(key_id=envelope.key_id, signature=envelope.signature)
    return msgspec.json.format(msgspec.json.encode(said)) + b"\n"


def envelope_of(manifest: bytes, signature: bytes) -> Envelope:
    """Return the envelope of the two files in a bundle.

    Raises:
        BundleRefused: They are malformed.
    """
    try:
        said = msgspec.json.decode(signature, type=_Signature)
        return Envelope(
            manifest=manifest.decode("utf-8"), key_id=said.key_id, signature=said.signature
        )
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise BundleRefused("the bundle's signature cannot be read") from exc


def admit(envelope: Envelope, keys: Mapping[str, bytes], *, now_s: int) -> Manifest:
    """Return the manifest, if one of the trusted keys signed it and it has not expired.

    Args:
        envelope: As it came.
        keys: Key id -> public key, of those who may release.
        now_s: Seconds since 1970.

    Raises:
        BundleRefused: It is foreign, changed, malformed or expired.
    """
    public = keys.get(envelope.key_id)
    if public is None:
        raise BundleRefused(
            f"the bundle is signed by key {envelope.key_id[:40]}, which is not trusted here"
            f" ({len(keys)} release keys are)"
        )
    try:
        signature = base64.b64decode(envelope.signature, validate=True)
        verify(public, _CONTEXT, envelope.manifest.encode(), signature)
    except (binascii.Error, SignatureInvalid, ValueError) as exc:
        raise BundleRefused(
            "the bundle's manifest was changed after it was signed; get the bundle again"
        ) from exc
    manifest = decode(envelope)
    if manifest.key_id != envelope.key_id or node_id_of(public) != envelope.key_id:
        raise BundleRefused("the bundle names another key than the one that signed it")
    if now_s >= _seconds(manifest.expires_at):
        raise BundleRefused(
            f"the bundle expired at {manifest.expires_at}; build or get a newer one"
        )
    return manifest


def decode(envelope: Envelope) -> Manifest:
    """Return what a manifest says, whoever signed it: to look at, never to act on.

    Raises:
        BundleRefused: It is malformed, or of a later format.
    """
    try:
        manifest = msgspec.json.decode(envelope.manifest, type=Manifest)
        version_key(manifest.version), version_key(manifest.min_from)
        _seconds(manifest.created_at), _seconds(manifest.expires_at)
    except (msgspec.DecodeError, RecursionError, ValueError) as exc:
        raise BundleRefused(f"the bundle's manifest cannot be read: {exc}") from exc
    if manifest.format != FORMAT:
        raise BundleRefused(f"the bundle is of format {manifest.format}; this is for {FORMAT}")
    names = [part.name for part in manifest.parts]
    strange = [name for name in names if not _PART_NAME.fullmatch(name)]
    directories = [t.version for t in manifest.trees] + [r.name for r in manifest.runtimes]
    strange += [name for name in directories if not _NAME.fullmatch(name)]
    if strange or len(set(names)) != len(names):
        raise BundleRefused(f"the bundle's manifest names impossible parts: {strange or names}")
    return manifest


def refuse_downgrade(
    manifest: Manifest, *, installed: str, present: tuple[str, str] | None, allowed: bool
) -> None:
    """Return if a host that runs a release may be given this bundle.

    Args:
        manifest: The bundle's.
        installed: Version that the host runs; "" if none.
        present: Version and time of making of the bundle it came from; None if it came from none.
        allowed: The operator asked for an older one.

    Raises:
        BundleRefused: It is older than what is there, or too far ahead of it.
    """
    if not installed:
        return
    if version_key(installed) < version_key(manifest.min_from):
        raise BundleRefused(
            f"the bundle upgrades from {manifest.min_from} or later, and {installed} is installed;"
            f" go through {manifest.min_from} first"
        )
    older = version_key(manifest.version) < version_key(installed)
    if not allowed and (older or (present is not None and manifest.age < age_of(*present))):
        there = f"{present[0]} of {present[1]}" if present else installed
        raise BundleRefused(
            f"the bundle ({manifest.version} of {manifest.created_at}) is older than what is"
            f" installed ({there}); if you want that, say --allow-downgrade"
        )


def age_of(version: str, created_at: str) -> tuple[tuple[int, ...], int]:
    """Return what older and newer bundles are told apart by: version, then time of making.

    Raises:
        ValueError: One of them is malformed.
    """
    return version_key(version), _seconds(created_at)


def version_key(version: str) -> tuple[int, ...]:
    """Return a version's numbers; what stands behind a plus or a hyphen does not count.

    Raises:
        ValueError: It has not three numbers.
    """
    found = _VERSION.fullmatch(version)
    if found is None:
        raise ValueError(f"{version[:40]!r} is no version such as 0.1.0")
    return tuple(int(number) for number in found.groups())


def instant(at_s: int) -> str:
    """Return seconds since 1970 as RFC 3339."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(at: str) -> int:
    found = datetime.fromisoformat(at)
    if found.tzinfo is None:
        raise ValueError(f"{at[:40]!r} has no time zone")
    return int(found.timestamp())
