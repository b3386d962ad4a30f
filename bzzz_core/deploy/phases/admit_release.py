"""Lets the node itself judge a release that came in a bundle, before anything of it may run.

The node believes its own file of release keys and its own clock. A node without such a file is
given the operator's; after that, a key is added only by a bundle that the node admits. The present
release's program judges; where there is none, or it cannot, the one in question does (ADR 0037).
"""

from __future__ import annotations

from typing import Final

from bzzz_core.deploy import layout
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.facts.host import Kind, PathFact
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.place import Placed, place
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work

TITLE: Final = "Let the node judge the release"
_KEYS: Final = Placed(path=layout.RELEASE_KEYS, mode="640", group=layout.USER)
_JUDGE: Final = """
set -eu
envelope=$1 release=$2 python=$3
shift 3
# First what lies there, against the release's own list; then that list, against the bundle.
(cd "$release/site" && sha256sum -c --quiet --strict ../SHA256SUMS >&2) \
  || { echo "$release was changed since it was unpacked" >&2; exit 65; }
as_node() { runuser -u bzzz -- env LC_ALL=C "$@"; }
cd /
if [ -e /opt/bzzz/current ] && as_node /usr/local/bin/bzzz-agent bundle --help >/dev/null 2>&1
then
  as_node /usr/local/bin/bzzz-agent bundle admit --release "$release" "$@" <"$envelope"
else
  cd "$release/site"
  as_node "$python" -s -m bzzz_core.cli bundle admit --release "$release" "$@" <"$envelope"
fi
rm -f -- "$envelope"
"""


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return the judgement, if a release from a bundle is to be switched to; and new keys."""
    release, bundle = goal.release, goal.release.bundle
    if bundle is None or goal.facts.current == release.version:
        return ()
    changes = [
        Change(
            phase="admit_release",
            action="create",
            target=layout.envelope_path(release.version),
            before="absent",
            after=bundle.envelope_sha256,
            sentence=f"let the node judge the bundle {bundle.version} of {bundle.created_at},"
            f" signed by {bundle.key_id}",
        )
    ]
    fact = goal.facts.path(layout.RELEASE_KEYS)
    if fact != PathFact(Kind.FILE, _KEYS.mode, _KEYS.owner, _KEYS.group, bundle.keys_sha256):
        absent = fact.kind is Kind.ABSENT
        when = "which has none yet" if absent else "once it has admitted the bundle"
        keys = Change(
            phase="admit_release",
            action="create" if absent else "update",
            target=layout.RELEASE_KEYS,
            before=fact.sha256 or fact.kind.value,
            after=bundle.keys_sha256,
            sentence=f"tell the node, {when}, which release keys you trust",
        )
        changes.insert(0 if absent else 1, keys)
    return tuple(changes)


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Do the changes in their order: keys, judgement, keys."""
    release = work.releases[host.name]
    for change in changes:
        if change.target == layout.RELEASE_KEYS:
            await place(host, _KEYS, release.keys)
            continue
        envelope = await host.stage(release.envelope)
        await host.run(
            _JUDGE,
            *(envelope, layout.release_path(goal.release.version), goal.python.path),
            *("--keys", layout.RELEASE_KEYS),
            *(("--allow-downgrade",) if work.allow_downgrade else ()),
            what="let the node judge the release",
        )
        await place(host, Placed(path=change.target, mode="644"), release.envelope)


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Compare what the node keeps of the judgement."""
    del work
    bundle = goal.release.bundle
    assert bundle is not None, "there were changes"
    await host.run(
        'printf "%s  %s\\n" "$1" "$2" | sha256sum -c --status',
        *(bundle.envelope_sha256, layout.envelope_path(goal.release.version)),
        what="compare the bundle's manifest",
    )
