"""What a run leaves on the operator's side: one directory, so that two runs never meet.

    id_ed25519, id_ed25519.pub   the login key of user `operator` on every host
    known_hosts                  the hosts' own keys, read from the hosts and not from the network
    answers.yaml                 an answers file for `bzzz-tui setup`
    hosts.json                   the hosts, for programs
    cut/<host>                   exists while the host is partitioned; holds `all` or `keep-ssh`

`down` removes exactly these.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.testbed.docker_daemon import TestbedError

USER = "operator"


@dataclass(frozen=True, slots=True)
class Host:
    """One host of a run."""

    name: str
    address: str
    container: str
    gateway: str
    """The operator's own address on the hosts' network."""
    address6: str
    """The same host by IPv6."""


@dataclass(frozen=True, slots=True)
class State:
    """The state directory of one run."""

    directory: Path

    @property
    def run_id(self) -> str:
        """Return the label of everything that belongs to this run."""
        return hashlib.sha256(str(self.directory.resolve()).encode()).hexdigest()[:8]

    @property
    def key(self) -> Path:
        """Return the private key's file."""
        return self.directory / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """Return the file with the hosts' keys."""
        return self.directory / "known_hosts"

    @property
    def answers(self) -> Path:
        """Return the answers file for setup."""
        return self.directory / "answers.yaml"

    def hosts(self) -> list[Host]:
        """Return the hosts of the run, in order; empty when there is no run."""
        try:
            return [Host(**item) for item in json.loads(self._hosts_file.read_text())]
        except FileNotFoundError:
            return []

    def host(self, name: str) -> Host:
        """Return one host by its name, or by its number alone.

        Raises:
            TestbedError: There is no such host.
        """
        hosts = self.hosts()
        for host in hosts:
            if name in {host.name, host.name.rsplit("-", 1)[-1], host.address}:
                return host
        names = ", ".join(host.name for host in hosts) or "none; run: scripts/testbed up 3"
        raise TestbedError(f"no host {name!r}; there are: {names}")

    def make_key(self) -> str:
        """Make the login key where it is missing and return the public half."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if not self.key.exists():
            make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", USER, "-f", str(self.key)]
            try:
                subprocess.run(make, check=True, stdin=subprocess.DEVNULL)
            except FileNotFoundError as exc:
                raise TestbedError("no ssh-keygen; run: scripts/bootstrap --testbed") from exc
        return self.key.with_suffix(".pub").read_text()

    def write(self, hosts: list[Host], host_keys: list[str], cluster: str) -> None:
        """Write the files that describe a run which is up."""
        lines = [
            f"{host.address},{host.address6} {key}"
            for host, key in zip(hosts, host_keys, strict=True)
        ]
        self.known_hosts.write_text("\n".join(lines) + "\n")
        self.answers.write_text(self._answers_text(hosts, cluster))
        self._hosts_file.write_text(json.dumps([asdict(host) for host in hosts], indent=2) + "\n")

    def cut(self, host: Host) -> str | None:
        """Return how the host is cut off: `all`, `keep-ssh`, or None."""
        mark = self.directory / "cut" / host.name
        return mark.read_text() if mark.exists() else None

    def mark_cut(self, host: Host, how: str | None) -> None:
        """Remember that the host is cut off, so that a reboot does not heal it."""
        mark = self.directory / "cut" / host.name
        if how is None:
            mark.unlink(missing_ok=True)
        else:
            mark.parent.mkdir(exist_ok=True)
            mark.write_text(how)

    def ssh_command(self, host: Host, *command: str) -> list[str]:
        """Return the command line that logs in to a host as its operator."""
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": "5",
            "IdentitiesOnly": "yes",
            "LogLevel": "ERROR",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": f'"{self.known_hosts}"',
        }
        flat = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return ["ssh", "-F", "none", "-i", str(self.key), *flat, f"{USER}@{host.address}", *command]

    def remove(self) -> None:
        """Remove what a run wrote, and the directory when nothing else is in it."""
        shutil.rmtree(self.directory / "cut", ignore_errors=True)
        public = self.key.with_suffix(".pub")
        for file in (self.key, public, self.known_hosts, self.answers, self._hosts_file):
            file.unlink(missing_ok=True)
        if self.directory.is_dir() and not any(self.directory.iterdir()):
            self.directory.rmdir()

    @property
    def _hosts_file(self) -> Path:
        return self.directory / "hosts.json"

    def _answers_text(self, hosts: list[Host], cluster: str) -> str:
        # A JSON string is a YAML scalar too, whatever is in the path.
        lines = ["# Written by scripts/testbed; for: bzzz-tui setup --answers FILE", "version: 1"]
        lines += ["hosts:"]
        for host in hosts:
            lines += [f"  - name: {host.name}", f"    address: {host.address}"]
        lines += ["security:", "  ssh:", f"    user: {USER}"]
        lines += [f"    key: {json.dumps(str(self.key.resolve()))}"]
        lines += [f"    known_hosts: {json.dumps(str(self.known_hosts.resolve()))}"]
        lines += ["cluster:", f"  name: {cluster}"]
        return "\n".join(lines) + "\n"
