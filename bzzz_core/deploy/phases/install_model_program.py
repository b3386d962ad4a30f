"""Brings the program of a model server to a host, beside whatever serves there.

Nothing uses it yet: the next phase starts it, and keeps the old one if the new one does not answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bzzz_core.config.profile_places import home
from bzzz_core.config.sections.model_servers import MODELS_PATH
from bzzz_core.deploy import layout, made, model_archive, model_servers
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.job import Job
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work

TITLE: Final = "Install the model server"
_NAME: Final = "install_model_program"
_UNPACK_S_MAX: Final = 900
_ACCOUNT: Final = """
set -eu
getent group "$1" >/dev/null || groupadd --system "$1"
getent passwd "$1" >/dev/null || useradd --system --gid "$1" --home-dir "$2" --no-create-home \\
  --shell /usr/sbin/nologin --comment "BZZZ model server" "$1"
for group in video render; do
  if getent group "$group" >/dev/null; then usermod -a -G "$group" "$1"; fi
done
for place in "$2" "$3"; do
  [ ! -L "$place" ] || { echo "$place is a symbolic link" >&2; exit 66; }
  [ -d "$place" ] || install -d -m 0755 -o "$1" -g "$1" -- "$place"
done
"""
_UNPACK: Final = """
set -eu
umask 022
archive=$1 sum=$2 base=$3 release=$4 program=$5 entry=$6 version=$7 user=$8 need=$9
# Started again after a reboot that came between the last two lines: it is done.
[ -e "$archive" ] || [ ! -f "$base/$release/version" ] || exit 0
printf '%s  %s\\n' "$sum" "$archive" | sha256sum -c --status \\
  || { echo "the archive was damaged on the way" >&2; exit 65; }
install -d -m 0755 -o root -g root -- "${base%/*}" "$base"
free=$(df -Pk "$base" | tail -n 1 | awk '{print $4}')
[ "$free" -gt "$((need / 1024))" ] || {
  echo "no space in $base: $((free / 1024)) MiB free, $((need / 1048576)) MiB needed" >&2
  exit 28
}
part=$base/$release.part
trap 'rm -rf -- "$part"' EXIT
rm -rf -- "$part"
mkdir -m 0755 -- "$part"
tar -xzf "$archive" -C "$part" --no-same-owner --no-same-permissions
mkdir -p -m 0755 -- "$part/run"
[ -f "$part/$entry" ] && [ ! -L "$part/$entry" ] || { echo "$entry is no file" >&2; exit 65; }
chmod 0755 "$part/$entry"
[ "$entry" = "run/$program" ] || ln -sfn "../$entry" "$part/run/$program"
said=$(cd / && runuser -u "$user" -- env HOME=/nonexistent timeout 30 "$part/run/$program" \\
  --version 2>&1 </dev/null) || { echo "it does not run here: $said" >&2; exit 69; }
case $said in
  *"$version"*) ;;
  *) echo "it is not version $version: $said" >&2; exit 70 ;;
esac
printf '%s\\n' "$version" >"$part/version"
sync -f "$part"
rm -rf -- "${base:?}/$release"
mv -T -- "$part" "$base/$release"
rm -f -- "$archive"
"""
_VERIFY: Final = '[ "$(cat "$1/version")" = "$2" ] && [ -x "$1/run/$3" ]'
_REMOVE: Final = """
set -eu
case $1 in
  /opt/bzzz/model-servers/*) rm -rf -- "$1"; rmdir -- "${1%/*}" 2>/dev/null || : ;;
  user) if getent passwd "$2" >/dev/null; then userdel "$2"; fi
    if getent group "$2" >/dev/null; then groupdel "$2"; fi ;;
  *) exit 64 ;;
esac
"""


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return account and program, if a server of the host needs them and they are missing."""
    hosting = goal.facts.model_hosting
    programs = {
        one.program
        for one in model_servers.instances(goal.spec, goal.host.name, goal.facts)
        if one.program
    }
    if hosting is None or not programs:
        return ()
    return tuple(_changes(goal, own_unit=_own_unit(goal)))


def _own_unit(goal: Goal) -> bool:
    found = model_servers.instances(goal.spec, goal.host.name, goal.facts)
    return any(one.unit_text for one in found)


def _changes(goal: Goal, *, own_unit: bool) -> Iterator[Change]:
    hosting, servers = goal.facts.model_hosting, goal.spec.ai.servers
    assert hosting is not None, "looked at above"
    if not hosting.account:
        yield Change(
            phase=_NAME,
            action="create",
            target=layout.MODELS_USER,
            before="absent",
            after="system user",
            sentence=f"create the system user {layout.MODELS_USER}"
            + (f" and {MODELS_PATH}" if own_unit else ""),
        )
    release = model_servers.release_name(servers)
    program = hosting.program(servers.program)
    if release and release not in program.kept:
        yield Change(
            phase=_NAME,
            action="create",
            target=f"{layout.MODEL_SERVERS}/{servers.program}/{release}",
            before=program.current or "absent",
            after=servers.sha256 or "",
            sentence=f"upload {servers.program} {servers.version} and unpack it",
        )


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Make the account, send the archive, unpack it and try it as that account."""
    servers = goal.spec.ai.servers
    for change in changes:
        if change.target == layout.MODELS_USER:
            await made.note(host, _made_user())
            await host.run(
                _ACCOUNT,
                *(layout.MODELS_USER, MODELS_PATH, servers.models_path or f"{MODELS_PATH}/models"),
                what=f"create the user {layout.MODELS_USER}",
            )
            continue
        async with work.program:
            archive = await model_archive.provide(
                servers, home() / "downloads", _progress(work, host.name, "fetched here")
            )
        async with work.uploads:
            uploaded = await host.upload(archive.path, _progress(work, host.name, "sent"))
        work.say(host.name, "unpacking")
        base, release = change.target.rsplit("/", 1)
        await made.note(host, made.Made(_NAME, base))
        job = Job(
            step="model-program",
            what=f"unpack {servers.program}",
            script=_UNPACK,
            arguments=(
                *(uploaded, archive.sha256, base, release, servers.program, archive.entry),
                *(servers.version or "", layout.MODELS_USER, str(archive.unpacked_bytes)),
            ),
            timeout_s=_UNPACK_S_MAX,
        )
        await host.run_unit(job)


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Look whether the program is there whole."""
    del work
    servers = goal.spec.ai.servers
    release = model_servers.release_name(servers)
    if release:
        path = f"{layout.MODEL_SERVERS}/{servers.program}/{release}"
        arguments = (path, servers.version or "", servers.program)
        await host.run(_VERIFY, *arguments, what=f"look at {servers.program}")


async def remove(host: RemoteHost, entry: made.Made) -> None:
    """Remove programs, or the account. Models stay: they are the operator's."""
    await host.run(_REMOVE, entry.target, *entry.words, what=f"remove {entry.target}")


def _made_user() -> made.Made:
    return made.Made(_NAME, "user", (layout.MODELS_USER,))


def _progress(work: Work, host: str, verb: str) -> model_archive.Progress:
    shown = -1

    def progress(done: int, total: int) -> None:
        nonlocal shown
        tenth = 10 * done // max(total, 1)
        if tenth != shown:
            shown = tenth
            work.say(host, f"{verb} {done / 1_000_000:.1f} of {total / 1_000_000:.1f} MB")

    return progress
