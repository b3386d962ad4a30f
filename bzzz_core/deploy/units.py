"""The text of the two systemd units.

`WorkingDirectory` is `current/site`, which systemd resolves when it starts the service: the process
keeps the release it was started from, also when `current` is switched later. Python puts that
directory first on its path (`-m`), so the packages of the release are found there and nowhere else
(`-s`, no user packages).

`ExecStartPre` writes down that directory and the SHA-256 of every file the service is started with.
A later run reads that and knows exactly whether a restart is due, even if an earlier run died
between writing a file and restarting.

Hardening: each line was run on Debian 12 with the agent and the broker. Left out on purpose:
ProtectProc and ProcSubset hide the processes that monitoring counts, PrivateUsers hides groups that
later features need, PrivateDevices would hide graphics cards and is used only where there are none.
"""

from __future__ import annotations

from bzzz_core.deploy import layout
from bzzz_core.deploy.goal import Goal

_COMMON_INPUTS = (layout.AGENT_CONFIG, layout.NODE_CERTIFICATE, layout.NODE_CA)
_VOTER_INPUTS = (layout.ROUTE_CERTIFICATE, layout.FABRIC_CA)


def inputs_of(unit: str) -> tuple[str, ...]:
    """Return the files whose change asks for a restart of a unit."""
    if unit == layout.FABRIC:
        return (*_COMMON_INPUTS, *_VOTER_INPUTS)
    return (*_COMMON_INPUTS, layout.API_TOKEN)


def unit_text(unit: str, goal: Goal) -> str:
    """Return the unit's file."""
    return _fabric(goal) if unit == layout.FABRIC else _agent(goal)


def _fabric(goal: Goal) -> str:
    return f"""\
# Written by bzzz-tui setup; changes are overwritten. Use a drop-in instead.
[Unit]
Description=BZZZ message fabric of this node
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
{_command(layout.FABRIC, "fabric run", goal)}
MemoryMax=1G
Environment=GOMEMLIMIT=768MiB
LimitNOFILE=65536
{_hardening(goal)}
[Install]
WantedBy=multi-user.target
"""


def _agent(goal: Goal) -> str:
    after = f"{layout.FABRIC}.service " if goal.voter else ""
    return f"""\
# Written by bzzz-tui setup; changes are overwritten. Use a drop-in instead.
[Unit]
Description=BZZZ agent of this node
After={after}network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
{_command(layout.AGENT, "run", goal)}
MemoryMax=512M
MemoryDenyWriteExecute=yes
{_hardening(goal)}
[Install]
WantedBy=multi-user.target
"""


def _command(unit: str, words: str, goal: Goal) -> str:
    inputs = " ".join(inputs_of(unit))
    return f"""\
User={layout.USER}
Group={layout.USER}
WorkingDirectory={layout.CURRENT}/site
RuntimeDirectory={unit}
RuntimeDirectoryMode=0755
UMask=0027
SyslogIdentifier={unit}
ExecStartPre=/bin/sh -c '{{ pwd -P; sha256sum {inputs}; }} >/run/{unit}/inputs'
ExecStart={goal.python.path} -s -m bzzz_core.cli {words} --config {layout.AGENT_CONFIG}
Restart=on-failure
RestartSec=1
TimeoutStartSec=infinity
TimeoutStopSec=20
KillMode=mixed
TasksMax=512"""


def _hardening(goal: Goal) -> str:
    paths = goal.spec.resources.paths
    private_devices = "PrivateDevices=yes\n" if goal.facts.gpus == () else ""
    return f"""\
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={paths.data} {paths.logs}
ProtectHome=yes
PrivateTmp=yes
{private_devices}ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
RestrictNamespaces=yes
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
CapabilityBoundingSet=
RemoveIPC=yes
"""
