"""Whether the chosen releases may go to the hosts: what preflight cannot know before they are.

Pure, as preflight is: room for the release at hand, releases that failed on a host before, and
bundles that are older than what runs there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from bzzz_core.deploy.bundle.manifest import Manifest, refuse_downgrade
from bzzz_core.deploy.events import Finding
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.goal import ReleaseRef
from bzzz_core.deploy.phases import upload_release
from bzzz_core.deploy.wishes import Wishes
from bzzz_core.errors import BundleRefused

TIMES: Final = 3
"""Packed, unpacked and compiled; measured: 20 MB become 74 MB, and the upload lies beside them."""
SPARE_BYTES: Final = 500_000_000
PLACES: Final = ("/opt", "/var/tmp")  # noqa: S108  on the host, in a directory of our own


def check_releases(
    facts: Mapping[str, HostFacts],
    releases: Mapping[str, ReleaseRef],
    manifest: Manifest | None,
    wishes: Wishes,
) -> tuple[Finding, ...]:
    """Return every reason why a host may not be given its release.

    Args:
        facts: By host.
        releases: By host.
        manifest: Of the bundle; None if releases are built here.
        wishes: What the operator asked for despite everything.
    """
    found: list[Finding] = []
    for name, release in releases.items():
        found += _refused(name, facts[name], release, wishes)
        found += _room(name, facts[name], release)
        if manifest is not None and facts[name].current != release.version:
            found += _downgrade(name, facts[name], manifest, wishes)
    return tuple(found)


def needed_bytes(release: ReleaseRef) -> int:
    """Return how much must be free for a release to be sent and unpacked."""
    runtime = release.runtime.size_bytes if release.runtime else 0
    return TIMES * (release.size_bytes + runtime) + SPARE_BYTES


def _refused(name: str, facts: HostFacts, release: ReleaseRef, wishes: Wishes) -> Iterator[Finding]:
    reason = (facts.refused or {}).get(release.version)
    if reason is None or release.version in wishes.forced or facts.current == release.version:
        return
    yield Finding(
        "error",
        "release",
        name,
        f"release {release.version} failed on this host and was rolled back: {reason}",
        f"use another release; to try it again: --force-release {release.version}",
    )


def _room(name: str, facts: HostFacts, release: ReleaseRef) -> Iterator[Finding]:
    if not upload_release.due(facts, release.version):
        return
    need = needed_bytes(release)
    for disk in facts.disks or ():
        if disk.path in PLACES and disk.free_bytes < need:
            yield Finding(
                "error",
                "disk",
                name,
                f"no space for the release on {disk.path} (on {disk.mount}): need"
                f" {need / 1e6:.0f} MB, {disk.free_bytes / 1e6:.0f} MB are free",
                "free some space there",
            )


def _downgrade(
    name: str, facts: HostFacts, manifest: Manifest, wishes: Wishes
) -> Iterator[Finding]:
    installed = (facts.current or "").partition("+")[0]
    before = facts.bundle
    try:
        refuse_downgrade(
            manifest,
            installed=installed,
            present=None if before is None else (before.version, before.created_at),
            allowed=wishes.allow_downgrade,
        )
    except BundleRefused as exc:
        yield Finding("error", "bundle", name, str(exc), "")
