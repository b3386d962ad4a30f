"""The text of the two systemd units.

`WorkingDirectory` is `current/site`, which systemd resolves when it starts the service: the process
keeps the release it was started from, also when `current` is switched later. Python puts that
directory first on its path (`-m`), so the packages of the release are found there and nowhere else
(`-s`, no user packages).

`ExecStartPre` writes down that directory and the SHA-256 of every file the service is started with.
A later run reads that and knows exactly whether a restart is due, even if an earlier run died
between writing a file and restarting.

The agent tells the watchdog that it lives while its event loop runs and it has not given up on
itself (`health.watchdog`); otherwise systemd ends it with SIGABRT, of which the journal then has
where every thread stood. An end may take what the plan of the shutdown allows, and a moment more.

A node that left or was revoked ends with status 7 and is not started again (`docs/commands.md`).

Hardening: each line was run on Debian 12 with the agent and the broker. Left out on purpose:
ProtectProc and ProcSubset hide the processes that monitoring counts, PrivateUsers hides groups that
later features need, PrivateDevices would hide graphics cards and is used only where there are none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from bzzz_core.config.sections import Paths
from bzzz_core.deploy import layout
from bzzz_core.deploy.goal import Goal
from bzzz_core.health.checks.process import OWN_BYTES_MAX
from bzzz_core.shutdown.plan import ORDER, budget_ms

WATCHDOG_S: Final = 60
"""Longer than an end takes, and than a busy machine keeps an agent waiting; short for a hung one,
which others have long replaced where it led."""
STOP_S: Final = {layout.AGENT: -(-budget_ms(ORDER) // 1_000) + 3, layout.FABRIC: 20}
"""How long each may take to end; the broker has 10 s, and so has its companion, if there is one."""
FABRIC_BYTES_MAX: Final = 1 << 30
FABRIC_HEAP: Final = "768MiB"
"""`GOMEMLIMIT` of the broker: from here on it collects garbage rather than grow into its limit."""
FABRIC_FILES_MAX: Final = 65_536
TASKS_MAX: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class OnHost:
    """What a unit's text depends on."""

    python: str
    """Path of the interpreter."""
    paths: Paths
    private_devices: bool
    """Whether devices are hidden; only where there is no graphics card."""

    @classmethod
    def of(cls, goal: Goal) -> Self:
        """Return what is known of a host that was looked at."""
        return cls(
            python=goal.python.path,
            paths=goal.spec.resources.paths,
            private_devices=goal.facts.gpus == (),
        )


def inputs_of(unit: str) -> tuple[str, ...]:
    """Return the files whose change asks for a restart of a unit.

    Certificates are none of them: nodes renew theirs while they run, and take new ones by reload.
    """
    if unit == layout.FABRIC:
        return (layout.AGENT_CONFIG,)
    return (layout.AGENT_CONFIG, layout.API_TOKEN)


def limits_of(unit: str) -> str:
    """Return the drop-in with a unit's limits, which is an input too, if it is there."""
    return layout.FABRIC_LIMITS if unit == layout.FABRIC else layout.AGENT_LIMITS


def unit_text(unit: str, goal: Goal) -> str:
    """Return the unit's file."""
    return text_on(unit, OnHost.of(goal))


def text_on(unit: str, host: OnHost) -> str:
    """Return the unit's file for a host of which only this is known."""
    return _fabric(host) if unit == layout.FABRIC else _agent(host)


def _fabric(host: OnHost) -> str:
    return f"""\
# Written by bzzz-tui setup; changes are overwritten. Use a drop-in instead.
[Unit]
Description=BZZZ message fabric of this node
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
{_command(layout.FABRIC, "fabric run", host)}
MemoryMax={FABRIC_BYTES_MAX >> 30}G
Environment=GOMEMLIMIT={FABRIC_HEAP}
LimitNOFILE={FABRIC_FILES_MAX}
MemoryDenyWriteExecute=yes
{_hardening(host)}
[Install]
WantedBy=multi-user.target
"""


def _agent(host: OnHost) -> str:
    return f"""\
# Written by bzzz-tui setup; changes are overwritten. Use a drop-in instead.
[Unit]
Description=BZZZ agent of this node
After={layout.FABRIC}.service network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
{_command(layout.AGENT, "run", host)}
WatchdogSec={WATCHDOG_S}
MemoryMax={OWN_BYTES_MAX >> 20}M
MemoryDenyWriteExecute=yes
{_hardening(host)}
[Install]
WantedBy=multi-user.target
"""


def _command(unit: str, words: str, host: OnHost) -> str:
    inputs = " ".join(inputs_of(unit))
    return f"""\
User={layout.USER}
Group={layout.USER}
WorkingDirectory={layout.CURRENT}/site
RuntimeDirectory={unit}
RuntimeDirectoryMode=0755
UMask=0027
SyslogIdentifier={unit}
ExecStartPre=/bin/sh -c '{{ pwd -P; sha256sum {inputs} || exit;\
 sha256sum {limits_of(unit)} 2>/dev/null || :; }} >/run/{unit}/inputs'
ExecStart={host.python} -s -m bzzz_core.cli {words} --config {layout.AGENT_CONFIG}
Restart=on-failure
RestartPreventExitStatus=7
RestartSec=1
TimeoutStartSec=infinity
TimeoutStopSec={STOP_S[unit]}
KillMode=mixed
TasksMax={TASKS_MAX}"""


def _hardening(host: OnHost) -> str:
    paths = host.paths
    private_devices = "PrivateDevices=yes\n" if host.private_devices else ""
    return f"""\
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={paths.data} {paths.logs} {layout.SECRETS}
ProtectHome=yes
PrivateTmp=yes
PrivateMounts=yes
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
