"""The work of `same_work` by the engine's own pieces, as a program: answers, archive, a home.

It is what setup's phases do to a host, with the same guards: the probe for facts, an upload beside
others' names, sums compared before and after unpacking, files placed whole or not at all.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from pathlib import Path
from typing import Final

from bzzz_core.config.sources import load_answers
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.fleet import Fleet, probe_all
from bzzz_core.deploy.place import Placed, place
from bzzz_core.deploy.remote import RemoteHost

TARGET: Final = "/opt/bench"
UNIT: Final = "bzzz-bench.service"
UNIT_PATH: Final = f"/etc/systemd/system/{UNIT}"
UNIT_TEXT: Final = """\
[Unit]
Description=What a benchmark starts
[Service]
ExecStart=/bin/sleep infinity
[Install]
WantedBy=multi-user.target
"""
_UNPACK: Final = """
set -eu
umask 022
printf '%s  %s\\n' "$2" "$1" | sha256sum -c --status
rm -rf -- "$3.part" "$3"
mkdir -m 0755 -- "$3.part"
tar -xzf "$1" -C "$3.part" --no-same-owner
(cd "$3.part/site" && sha256sum -c --quiet --strict ../SHA256SUMS >&2)
sync -f "$3.part"
mv -T -- "$3.part" "$3"
rm -f -- "$1"
"""
_START: Final = """
set -eu
systemctl daemon-reload
systemctl enable --quiet "$1"
systemctl start "$1"
"""


async def main(answers: Path, archive: Path, home: Path) -> None:
    """Do the work on all hosts of the answers at once."""
    spec = load_answers(answers)
    digest = hashlib.sha256(await asyncio.to_thread(archive.read_bytes)).hexdigest()
    fleet = Fleet(spec, home / "known_hosts")

    async def work(host: RemoteHost) -> None:
        staged = await host.upload(archive, lambda _sent, _total: None)
        await host.run(_UNPACK, staged, digest, TARGET, what="unpack", timeout_s=180)
        await place(host, Placed(path=UNIT_PATH, mode="644"), UNIT_TEXT.encode())
        await host.run(_START, UNIT, what="start")

    def done(_host: object, facts: HostFacts | None, failure: str) -> None:
        if facts is None:
            raise SystemExit(failure)

    try:
        await probe_all(fleet, spec, done=done)
        await asyncio.gather(*(work(host) for host in fleet.hosts.values()))
    finally:
        await fleet.close()


if __name__ == "__main__":
    asyncio.run(main(*map(Path, sys.argv[1:4])))
