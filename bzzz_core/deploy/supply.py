"""Where releases come from: built here as they are needed, or taken from a bundle.

A `Supply` is the pure half: for which Pythons and machine types there is a release, and which
runtimes come with them. Preflight and plan look at it; only `Source` opens files or calls pip.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import msgspec

from bzzz_core.deploy import release
from bzzz_core.deploy.bundle import archive, trusted
from bzzz_core.deploy.bundle.manifest import Envelope, Manifest, Part, Tree, admit
from bzzz_core.deploy.goal import BundleRef, ReleaseRef, RuntimeRef, Supply
from bzzz_core.deploy.release import Release
from bzzz_core.errors import BundleRefused

_CACHED_MAX: Final = 16


class Source(Protocol):
    """Gives releases."""

    @property
    def supply(self) -> Supply:
        """Return what there is."""
        ...

    @property
    def manifest(self) -> Manifest | None:
        """Return the bundle's manifest; None if releases are built here."""
        ...

    async def get(self, python: str, arch: str, runtime: RuntimeRef | None) -> Release:
        """Return the release for a Python minor version and machine type.

        Raises:
            ReleaseError: It cannot be built.
            BundleRefused: The bundle holds none, or is damaged.
        """
        ...


class Building:
    """Builds each release with pip, when it is asked for."""

    supply: Supply = Supply()
    manifest: Manifest | None = None

    async def get(self, python: str, arch: str, runtime: RuntimeRef | None) -> Release:
        """Return a release, from the cache if it was built before."""
        assert runtime is None, "there are none without a bundle"
        return await release.build(python=python, arch=arch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundled:
    """Takes releases out of a bundle that was checked."""

    path: Path
    envelope: Envelope
    manifest: Manifest
    cache: Path
    keys: bytes = b""
    supply: Supply = field(init=False)

    def __post_init__(self) -> None:
        """Derive the supply."""
        object.__setattr__(self, "supply", supply_of(self.manifest))

    async def get(self, python: str, arch: str, runtime: RuntimeRef | None) -> Release:
        """Return a release out of the bundle."""
        return await asyncio.to_thread(self._get, python, arch, runtime)

    def _get(self, python: str, arch: str, runtime: RuntimeRef | None) -> Release:
        tree = next((t for t in self.manifest.trees if (t.python, t.arch) == (python, arch)), None)
        if tree is None:
            raise BundleRefused(f"{self.path} holds no release for Python {python} on {arch}")
        part = next((r.archive for r in self.manifest.runtimes if _is(r.name, runtime)), None)
        encoded = envelope_bytes(self.envelope)
        return Release(
            ref=reference(tree, self.manifest, encoded, self.keys, runtime),
            archive=self._extracted(tree.archive),
            python=python,
            arch=arch,
            runtime=None if part is None else self._extracted(part),
            envelope=encoded,
            keys=self.keys,
        )

    def _extracted(self, part: Part) -> Path:
        """Return a part as a file. It is read again each time: the cache is nobody's word."""
        self.cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = self.cache / part.sha256
        if not target.exists() or archive.part_of(part.name, target) != part:
            archive.extract(self.path, part, target)
        kept = sorted(self.cache.iterdir(), key=lambda p: p.stat().st_mtime_ns, reverse=True)
        for old in kept[_CACHED_MAX:]:
            if old != target:
                old.unlink(missing_ok=True)
        return target


def open_bundle(path: Path, *, base: Path | None, now_s: int, cache: Path | None = None) -> Bundled:
    """Return a bundle that is whole, in force, and signed by whom this operator trusts.

    Args:
        path: The bundle.
        base: The operator's directory; None: the user's own.
        now_s: Seconds since 1970.
        cache: Where parts are laid out; None: beside built releases.

    Raises:
        BundleRefused: It is not.
        TrustError: The file of trusted keys is damaged or in others' hands.
    """
    path = path.expanduser()
    trusted_path = trusted.trusted_file(base)
    keys = trusted.load(trusted_path)
    if not keys:
        raise BundleRefused(
            f"no release key is trusted here; put its line into {trusted_path}"
            " (`bzzz-agent bundle key --trust` does so for a key of your own)"
        )
    envelope, manifest = archive.check(path, keys, now_s=now_s)
    return Bundled(
        path=path,
        envelope=envelope,
        manifest=manifest,
        cache=cache or release.cache_directory().parent / "bundles",
        keys="".join(f"{trusted.key_line(key, '')}\n" for key in keys.values()).encode(),
    )


def offered(named: str | None, *, base: Path | None, now_s: int) -> Supply:
    """Return what a run with this bundle could give to hosts, from its signed manifest alone.

    Raises:
        BundleRefused: It is foreign, expired or no bundle.
        TrustError: The file of trusted keys is damaged or in others' hands.
    """
    if named is None:
        return Building.supply
    keys = trusted.load(trusted.trusted_file(base))
    envelope = archive.read_envelope(Path(named).expanduser())
    return supply_of(admit(envelope, keys, now_s=now_s))


def supply_of(manifest: Manifest) -> Supply:
    """Return what a bundle has."""
    minors: dict[str, frozenset[str]] = {}
    for tree in manifest.trees:
        minors[tree.arch] = minors.get(tree.arch, frozenset()) | {tree.python}
    runtimes: dict[str, RuntimeRef] = {}
    for one in manifest.runtimes:
        numbers = [int(word) for word in one.version.split(".")]
        if f"{numbers[0]}.{numbers[1]}" in minors.get(one.arch, ()):
            runtimes[one.arch] = RuntimeRef(
                name=one.name,
                version=(numbers[0], numbers[1], numbers[2]),
                size_bytes=one.archive.size_bytes,
                archive_sha256=one.archive.sha256,
                glibc=one.glibc,
            )
    return Supply(minors=minors, runtimes=runtimes)


def reference(
    tree: Tree, manifest: Manifest, encoded: bytes, keys: bytes, runtime: RuntimeRef | None
) -> ReleaseRef:
    """Return a release of a bundle as a plan sees it."""
    return ReleaseRef(
        version=tree.version,
        size_bytes=tree.archive.size_bytes,
        archive_sha256=tree.archive.sha256,
        manifest_sha256=tree.manifest_sha256,
        runtime=runtime,
        bundle=BundleRef(
            envelope_sha256=hashlib.sha256(encoded).hexdigest(),
            version=manifest.version,
            created_at=manifest.created_at,
            key_id=manifest.key_id,
            keys_sha256=hashlib.sha256(keys).hexdigest(),
        ),
    )


def envelope_bytes(envelope: Envelope) -> bytes:
    """Return an envelope as it lies on a node."""
    return msgspec.json.format(msgspec.json.encode(envelope)) + b"\n"


def _is(name: str, runtime: RuntimeRef | None) -> bool:
    return runtime is not None and runtime.name == name
