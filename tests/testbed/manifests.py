"""Everything that is on a host, one line each: what two of them differ in is what was changed."""

from __future__ import annotations

from tests.testbed.operators import Operator

_LIST = r"""
set -f
skipped() {
  for path in /proc /sys /dev /run /tmp /var/tmp/systemd-private-*; do
    printf -- "-path %s -o " "$path"
  done
  echo "-false"
}
set -- $(skipped)
find / -xdev \( "$@" \) -prune -o \
  \( -type f -printf 'file %m %u:%g %p\n' \) -o \( -type l -printf 'link %l %p\n' \) -o \
  \( -type d -printf 'directory %m %u:%g %p\n' \) | sort
find / -xdev \( "$@" \) -prune -o -type f -print0 | sort -z | xargs -0 sha256sum
getent passwd
getent group
systemctl list-unit-files --no-pager --no-legend | grep -v ' transient '
"""
LOGS = ("/var/log/",)
BACKUPS = ("/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-")
"""The copies that `useradd` and `userdel` themselves keep of the file before their last change."""


def manifest(operator: Operator, host: str) -> frozenset[str]:
    """Return the lines of a host: kinds, modes, owners, links, contents, accounts, units."""
    return frozenset(operator.on(host, _LIST).splitlines())


def differences(before: frozenset[str], after: frozenset[str]) -> list[str]:
    """Return what was added and what is missing, logs and account tools' backups aside."""
    lines = [f"+ {line}" for line in after - before] + [f"- {line}" for line in before - after]
    return sorted(
        line
        for line in lines
        if not any(place in line for place in LOGS) and not line.endswith(BACKUPS)
    )
