"""The image of a testbed host: a small Debian with systemd and sshd, made by debootstrap.

No registry of images is needed. Packages come from wherever this machine's own apt gets them, read
at run time by asking apt, which understands every format of its files. The finished tree is kept as
a tar file, named by a hash of the recipe, so that it is built once per recipe and machine.
Hosts never see a package mirror again: they must be installable without internet.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.testbed.docker_daemon import Docker, TestbedError, cache_directory

BUILD_S_MAX = 1_200
PACKAGES = (
    "ca-certificates",
    "dbus",
    "firewalld",
    "fish",
    "iproute2",
    "iptables",
    "iputils-ping",
    "libpam-systemd",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "sudo",
    "systemd",
    "systemd-sysv",
    "ufw",
    "zsh",
)
CUSTOMISE = r"""
set -eu
rm -f etc/ssh/ssh_host_*  # every host makes its own key at its first start
rm -rf var/cache/apt/* var/lib/apt/lists/* usr/share/doc/* usr/share/man/* usr/share/locale/*
: > etc/machine-id
: > etc/apt/sources.list
chroot . useradd --create-home --gid users --shell /bin/bash operator
printf 'operator ALL=(ALL) NOPASSWD:ALL\n' > etc/sudoers.d/operator
chmod 0440 etc/sudoers.d/operator
printf '%s\n' 'PermitRootLogin no' 'PasswordAuthentication no' 'UseDNS no' \
  'HostKey /etc/ssh/ssh_host_ed25519_key' > etc/ssh/sshd_config.d/testbed.conf
mkdir -p etc/systemd/system/ssh.service.d
printf '%s\n' '[Service]' 'ExecStartPre=' \
  'ExecStartPre=/bin/sh -c "test -s /etc/ssh/ssh_host_ed25519_key ||\
 ssh-keygen -q -t ed25519 -N \"\" -C testbed -f /etc/ssh/ssh_host_ed25519_key"' \
  'ExecStartPre=/usr/sbin/sshd -t' > etc/systemd/system/ssh.service.d/testbed.conf
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
  firewalld.service fstrim.timer getty.target console-getty.service systemd-udevd.service \
  systemd-networkd.service \
  systemd-resolved.service systemd-timesyncd.service dev-hugepages.mount
do ln -sf /dev/null etc/systemd/system/$unit; done
cat > sbin/testbed-init <<'INIT'
#!/bin/sh
# The container's own cgroups are mounted read-only; systemd as PID 1 has to write there.
for mount in $(sed -n 's|^[^ ]* \(/sys/fs/cgroup[^ ]*\) .*|\1|p' /proc/mounts); do
  mount -o remount,bind,rw "$mount"
done
exec /sbin/init
INIT
chmod 0755 sbin/testbed-init
"""


def ensure(docker: Docker, suite: str) -> str:
    """Return the tag of the image, building and importing it where needed.

    Raises:
        TestbedError: Not root, no debootstrap, or no mirror in this machine's apt configuration.
    """
    tag = f"bzzz-testbed:{suite}-{_mark(suite)}"
    with _alone():
        if docker.run("image", "inspect", tag, check=False).returncode:
            docker.run("import", str(_archive(suite)), tag)
    return tag


def prepare(suite: str) -> Path:
    """Return the archive that the image is imported from, building it where needed.

    Raises:
        TestbedError: As of `ensure`.
    """
    with _alone():
        return _archive(suite)


def apt_mirror(listing: str, suite: str) -> str:
    """Choose the archive for `suite` from what `apt-get update --print-uris` prints.

    The archive that already serves the suite is best; another release of the same distribution
    lives in the same archive, so any that serves a plain suite of Debian will do.

    Raises:
        TestbedError: apt knows no archive that could hold the suite.
    """
    places = re.findall(r"^'(\S+?)/dists/(\S+?)/InRelease'", listing, re.MULTILINE)
    plain = re.compile(r"(buster|bullseye|bookworm|trixie|forky|sid|(old)*stable|testing)$")
    exact: list[str] = [base for base, served in places if served == suite]
    related: list[str] = [base for base, served in places if plain.match(served)]
    if not (exact or related):
        raise TestbedError("this machine's apt names no Debian archive; check /etc/apt/sources*")
    return (exact or related)[0]


def _mark(suite: str) -> str:
    """Return what tells one recipe from another."""
    recipe = "\n".join((suite, platform.machine(), *PACKAGES, CUSTOMISE))
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def _archive(suite: str) -> Path:
    tar = cache_directory() / "testbed" / f"{suite}-{_mark(suite)}.tar"
    if not tar.exists():
        _build(suite, tar)
    return tar


def _build(suite: str, tar: Path) -> None:
    if os.geteuid() != 0:
        raise TestbedError("the image is built once and by root only; run this once with sudo")
    if shutil.which("debootstrap") is None:
        raise TestbedError("debootstrap is not installed; run: scripts/bootstrap --testbed")
    tar.parent.mkdir(parents=True, exist_ok=True)
    log = tar.with_suffix(".log")
    listing = _run(["apt-get", "update", "--print-uris"], log)
    proxy = _run(["apt-config", "shell", "proxy", "Acquire::http::Proxy"], log)
    with tempfile.TemporaryDirectory(prefix="bzzz-image-") as directory:
        root = Path(directory) / "root"
        bootstrap = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
        setting = re.match(r"proxy='(.+)'", proxy)
        environment = {"http_proxy": setting[1]} if setting else {}
        mirror = apt_mirror(listing, suite)
        _run([*bootstrap, suite, str(root), mirror], log, environment=environment)
        _run(["sh", "-c", CUSTOMISE], log, directory=root)
        part = tar.with_suffix(".part")
        _run(["tar", "--numeric-owner", "-C", str(root), "-cf", str(part), "."], log)
        for old in tar.parent.glob(f"{suite}-*.tar"):
            old.unlink()
        part.rename(tar)


def _run(
    command: list[str],
    log: Path,
    *,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    with log.open("ab") as errors:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=directory,
            timeout=BUILD_S_MAX,
            env={**os.environ, "LC_ALL": "C", **(environment or {})},
        )
        errors.write(done.stdout)
    if done.returncode:
        tail = b"\n".join(log.read_bytes().splitlines()[-5:]).decode(errors="replace")
        raise TestbedError(f"{command[0]} failed; see {log}\n{tail}")
    return done.stdout.decode(errors="replace")


@contextmanager
def _alone() -> Iterator[None]:
    """Let one process at a time look for, build and import the image."""
    lock = cache_directory() / "testbed" / "lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
