"""Sends the release and unpacks it beside the others. Nothing uses it yet.

The archive's checksum is compared before it is unpacked, and the sums of all files afterwards. A
release appears under its name only when it is complete.
"""

from __future__ import annotations

from typing import Final

from bzzz_core.deploy import layout
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work

TITLE: Final = "Upload the release"
_UNPACK_S_MAX: Final = 180
_UNPACK: Final = """
set -eu
umask 022
archive=$1 sum=$2 release=$3 python=$4
# Started again after a reboot that came between the last two lines: it is done.
[ -e "$archive" ] || [ ! -f "$release/manifest.json" ] || exit 0
printf '%s  %s\\n' "$sum" "$archive" | sha256sum -c --status \\
  || { echo "the archive was damaged on the way" >&2; exit 65; }
install -d -m 0755 -o root -g root "${release%/*/*}" "${release%/*}"
part=$release.part
rm -rf -- "$part" "$release"
mkdir -m 0755 -- "$part"
tar -xzf "$archive" -C "$part" --no-same-owner
(cd "$part/site" && sha256sum -c --quiet --strict ../SHA256SUMS >&2)
# A file that this Python cannot compile is not imported by it either.
"$python" -I -m compileall -q --invalidation-mode unchecked-hash "$part/site" >/dev/null 2>&1 || :
sync -f "$part"
mv -T -- "$part" "$release"
rm -f -- "$archive"
"""
_VERIFY: Final = """
printf '%s  %s\\n' "$1" "$2/manifest.json" | sha256sum -c --status
"""


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return the upload, unless the host has this release."""
    release = goal.release
    if release.version in (goal.facts.releases or ()):
        return ()
    megabytes = release.size_bytes / 1_000_000
    return (
        Change(
            phase="upload_release",
            action="create",
            target=layout.release_path(release.version),
            before="absent",
            after=release.version,
            sentence=f"upload release {release.version} ({megabytes:.1f} MB) and unpack it",
        ),
    )


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Send, compare, unpack, compare, compile, and put it under its name."""
    del changes
    release = work.releases[host.name]
    shown = -1

    def progress(sent: int, total: int) -> None:
        nonlocal shown
        tenth = 10 * sent // max(total, 1)
        if tenth != shown:
            shown = tenth
            work.say(host.name, f"sent {sent / 1_000_000:.1f} of {total / 1_000_000:.1f} MB")

    async with work.uploads:
        archive = await host.upload(release.archive, progress)
    work.say(host.name, "unpacking")
    await host.run_unit(
        "upload_release",
        _UNPACK,
        *(archive, release.ref.archive_sha256),
        *(layout.release_path(release.ref.version), goal.python.path),
        what="unpack the release",
        timeout_s=_UNPACK_S_MAX,
    )


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Compare the manifest on the host with ours."""
    del work
    release = goal.release
    path = layout.release_path(release.version)
    await host.run(_VERIFY, release.manifest_sha256, path, what="compare the release's manifest")
