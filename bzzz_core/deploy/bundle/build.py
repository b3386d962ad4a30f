"""Makes a bundle: a release for each Python and machine type, runtimes, bill, signature.

Apart from the two times in its manifest, the same inputs give the same bytes.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import bzzz_core
from bzzz_core.deploy import release
from bzzz_core.deploy.bundle import archive, runtime
from bzzz_core.deploy.bundle.manifest import FORMAT, Manifest, Runtime, Tree, instant, sign
from bzzz_core.deploy.bundle.sbom import bill
from bzzz_core.trust.keys import IdentityKey

PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
SBOM: Final = "sbom.cdx.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a bundle shall hold."""

    pythons: Sequence[str] = PYTHONS
    arches: Sequence[str] = release.ARCHES
    runtimes: Sequence[tuple[str, str]] = ()
    """File or address, and its SHA-256."""
    created_s: int
    expires_s: int
    min_from: str
    """Oldest version that this one may take the place of."""


async def build(
    wanted: Wanted, key: IdentityKey, target: Path, *, cache: Path | None = None
) -> Manifest:
    """Write a bundle and return its manifest.

    Raises:
        ReleaseError: A wheel is missing, or a runtime is not the one that is meant.
    """
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=target.parent) as scratch:
        trees = [
            await release.build(python=python, arch=arch, cache=cache)
            for arch in wanted.arches
            for python in wanted.pythons
        ]
        runtimes = [
            await asyncio.to_thread(
                runtime.build, source, sha256, Path(scratch) / f"runtime-{number}.tar.gz"
            )
            for number, (source, sha256) in enumerate(wanted.runtimes)
        ]
        return await asyncio.to_thread(assemble, wanted, key, target, trees, runtimes)


def assemble(
    wanted: Wanted,
    key: IdentityKey,
    target: Path,
    trees: Sequence[release.Release],
    runtimes: Sequence[runtime.BuiltRuntime],
) -> Manifest:
    """Write a bundle of what was built."""
    sources: dict[str, Path | bytes] = {SBOM: bill(release.agent_lock(), bzzz_core.__version__)}
    sources |= {_tree_name(tree): tree.archive for tree in trees}
    sources |= {f"runtimes/{one.name}.tar.gz": one.archive for one in runtimes}
    parts = {name: archive.part_of(name, source) for name, source in sources.items()}
    manifest = Manifest(
        format=FORMAT,
        version=trees[0].ref.version.partition("+")[0],
        created_at=instant(wanted.created_s),
        expires_at=instant(wanted.expires_s),
        min_from=wanted.min_from,
        key_id=key.node_id,
        trees=tuple(
            Tree(
                version=tree.ref.version,
                python=tree.python,
                arch=tree.arch,
                archive=parts[_tree_name(tree)],
                manifest_sha256=tree.ref.manifest_sha256,
                sums_sha256=release.sums_sha256(tree.archive),
            )
            for tree in trees
        ),
        runtimes=tuple(
            Runtime(
                name=one.name,
                version=one.version,
                arch=one.arch,
                archive=parts[f"runtimes/{one.name}.tar.gz"],
                source_sha256=one.source_sha256,
                glibc=one.glibc,
            )
            for one in runtimes
        ),
        sbom=parts[SBOM],
    )
    archive.write(target, sign(manifest, key), sources)
    return manifest


def _tree_name(tree: release.Release) -> str:
    return f"releases/{tree.python}-{tree.arch}.tar.gz"
