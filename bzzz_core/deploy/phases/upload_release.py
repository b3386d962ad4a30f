"""Sends the release and unpacks it beside the others. Nothing uses it yet.

The archive's checksum is compared before it is unpacked, and the sums of all files afterwards. A
release appears under its name only when it is complete; one that is replaced, because files of it
were changed, stays in its place until then.
"""

from __future__ import annotations

from typing import Final

from bzzz_core.deploy import layout
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.job import Job
from bzzz_core.deploy.remote import Progress, RemoteHost
from bzzz_core.deploy.work import Work

TITLE: Final = "Upload the release"
UNPACK_S_MAX: Final = 180
LEFT_CLEAN: Final = """
part=$target.part
old=${target%/*}/.${target##*/}.old
# Cut off right between the two renames of an earlier run: what it was about to replace is back.
if [ -e "$old" ] && [ ! -e "$target" ]; then mv -T -- "$old" "$target"; fi
rm -rf -- "$part" "$old"
mkdir -m 0755 -- "$part"
# Whatever goes wrong: no half of it stays, and a full disk is named, with what is free there.
leave() {
  status=$?
  [ "$status" = 0 ] && return
  free=$(df -Pk "${target%/*}" | tail -n 1)
  inodes=$(df -Pi "${target%/*}" | tail -n 1)
  rm -rf -- "$part"
  rm -f -- "$archive"
  if [ -e "$old" ] && [ ! -e "$target" ]; then mv -T -- "$old" "$target"; fi
  set -- $free
  if [ "${4:-0}" -lt 100000 ]; then echo "no space left on $6: $4 kB were free" >&2; fi
  set -- $inodes
  case ${4:-} in 0) echo "no inode left on $6" >&2 ;; esac
  exit "$status"
}
trap leave EXIT
# On a full disk tar has a line for each of some thousand files; a few say as much.
unpack() {
  said=$(tar -xzf "$archive" -C "$part" --no-same-owner 2>&1) && return
  printf '%s\n' "$said" | head -n 2 >&2
  exit 65
}
"""
"""Before unpacking `$archive` as `$target`."""
TAKE_PLACE: Final = """
sync -f "$part"
if [ -e "$target" ]; then mv -T -- "$target" "$old"; fi
mv -T -- "$part" "$target"
rm -rf -- "$old"
rm -f -- "$archive"
"""
"""After it was unpacked and looked at."""
_UNPACK: Final = (
    """
set -eu
umask 022
archive=$1 sum=$2 target=$3 python=$4
# Started again after a reboot that came between the last two lines: it is done.
[ -e "$archive" ] || [ ! -f "$target/manifest.json" ] || exit 0
printf '%s  %s\\n' "$sum" "$archive" | sha256sum -c --status \\
  || { echo "the archive was damaged on the way" >&2; exit 65; }
install -d -m 0755 -o root -g root "${target%/*/*}" "${target%/*}"
"""
    + LEFT_CLEAN
    + """
unpack
(cd "$part/site" && sha256sum -c --quiet --strict ../SHA256SUMS >&2)
# A file that this Python cannot compile is not imported by it either.
"$python" -I -m compileall -q --invalidation-mode unchecked-hash "$part/site" >/dev/null 2>&1 || :
"""
    + TAKE_PLACE
)
_VERIFY: Final = """
printf '%s  %s\\n' "$1" "$2/manifest.json" | sha256sum -c --status
"""


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return the upload, unless the host has this release."""
    release = goal.release
    if not due(goal.facts, release.version):
        return ()
    there = release.version in (goal.facts.releases or ())
    megabytes = release.size_bytes / 1_000_000
    return (
        Change(
            phase="upload_release",
            action="replace" if there else "create",
            target=layout.release_path(release.version),
            before="changed on the host" if there else "absent",
            after=release.version,
            sentence=f"upload release {release.version} ({megabytes:.1f} MB) and unpack it"
            + (": files of it were changed on the host" if there else ""),
        ),
    )


def due(facts: HostFacts, version: str) -> bool:
    """Return whether a host needs a release sent: it is missing, or was changed there."""
    there = version in (facts.releases or ())
    return not there or bool(facts.damaged and facts.current == version)


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Send, compare, unpack, compare, compile, and put it under its name."""
    del changes
    release = work.releases[host.name]
    async with work.uploads:
        archive = await host.upload(release.archive, telling(host.name, work))
    work.say(host.name, "unpacking")
    job = Job(
        step="upload_release",
        what="unpack the release",
        script=_UNPACK,
        arguments=(
            *(archive, release.ref.archive_sha256),
            *(layout.release_path(release.ref.version), goal.python.path),
        ),
        timeout_s=UNPACK_S_MAX,
    )
    await host.run_unit(job)


def telling(name: str, work: Work) -> Progress:
    """Return what tells of an upload's progress, a tenth at a time."""
    shown = -1

    def progress(sent: int, total: int) -> None:
        nonlocal shown
        tenth = 10 * sent // max(total, 1)
        if tenth != shown:
            shown = tenth
            work.say(name, f"sent {sent / 1_000_000:.1f} of {total / 1_000_000:.1f} MB")

    return progress


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Compare the manifest on the host with ours."""
    del work
    release = goal.release
    path = layout.release_path(release.version)
    await host.run(_VERIFY, release.manifest_sha256, path, what="compare the release's manifest")
