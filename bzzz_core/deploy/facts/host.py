"""`HostFacts`: what one probe learned of one host. Values only.

Three states: a value, "it is not there" (an empty tuple, `Kind.ABSENT`), and None, "not known".
Unknown is never taken for absent: a plan made on a guess would repeat or skip work. Values that
nothing is planned from stand beside their readers, in the other files of this package. The JSON
form of these classes is the form of the files in `tests/unit/deploy_facts/`.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from bzzz_core.deploy.facts.ai_servers import AiServer
from bzzz_core.deploy.facts.containers import Docker
from bzzz_core.deploy.facts.firewall import Firewall
from bzzz_core.deploy.facts.gpus import Gpu, GpuDriver
from bzzz_core.deploy.facts.hardware import BlockDevice, Cpu, Memory
from bzzz_core.deploy.facts.logins import LoginKeys
from bzzz_core.deploy.facts.model_hosting import ModelHosting
from bzzz_core.deploy.facts.network import Interface, only_private
from bzzz_core.deploy.facts.openings import OwnRules
from bzzz_core.deploy.facts.routes import Proxy, Resolver, Routing
from bzzz_core.deploy.facts.system import System, TimeSource


class Kind(StrEnum):
    """What is at a path."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    OTHER = "other"
    ABSENT = "absent"
    UNKNOWN = "unknown"


class PathFact(msgspec.Struct, frozen=True, omit_defaults=True):
    """One managed path."""

    kind: Kind
    mode: str | None = None
    """Octal digits as `stat` prints them: "640"."""
    owner: str | None = None
    group: str | None = None
    sha256: str | None = None
    """Of the content; never taken of a private key."""


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """A directory that is to hold data or logs, and what is there now."""

    path: str
    state: str
    """absent, empty, filled, ours, link, other; "unknown"."""
    open_above: str = ""
    """A directory above it into which others than root may put things; "": none is."""


class Python(msgspec.Struct, frozen=True, omit_defaults=True):
    """One interpreter found on the host."""

    path: str
    version: tuple[int, int, int]
    implementation: str
    missing: tuple[str, ...] = ()
    """Modules of the standard library that cannot be imported."""

    @property
    def minor(self) -> str:
        """Return the version that decides which wheels fit: "3.11"."""
        return f"{self.version[0]}.{self.version[1]}"


class Disk(msgspec.Struct, frozen=True, omit_defaults=True):
    """Free space where BZZZ puts its files."""

    path: str
    free_bytes: int
    free_inodes: int | None
    """None: a file system that does not count them."""
    mount: str
    noexec: bool = False
    readonly: bool = False


class Listener(msgspec.Struct, frozen=True, omit_defaults=True):
    """A TCP port that something listens on."""

    address: str
    port: int
    process: str | None = None
    unit: str | None = None
    """The systemd unit the process belongs to."""
    uid: int | None = None
    """Its user. Known even where a container hides other users' processes from root."""


class Unit(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of our two systemd units."""

    loaded: bool
    active: str
    """systemd's word: active, inactive, failed, activating ..."""
    enabled: bool
    restarts: int | None = None
    needs_reload: bool = False
    release: str | None = None
    """The release that the running process was started from."""
    inputs: dict[str, str] = {}
    """Path -> SHA-256 of each file that the running process was started with."""


class Certificate(msgspec.Struct, frozen=True, omit_defaults=True):
    """A certificate of a node, as far as renewing it needs."""

    sha256: str
    not_before_s: int
    not_after_s: int
    """Seconds since 1970, UTC."""
    names: tuple[str, ...]
    """DNS names and IP addresses, sorted."""
    matches_key: bool
    """It is for the key that the node has now."""
    root_key_id: str | None = None
    """Key id of the root above its chain."""


class Enrolled(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the node said about itself when its keys were made; see `trust.enrol`."""

    node_id: str
    public_key: str
    """Base64 of 32 bytes."""
    node_csr: str
    route_csr: str
    system_csr: str = ""
    sealing_key: str = ""
    """Base64 of 32 bytes. A node of an older release has neither until it is asked again."""


class EnrolledVoter(msgspec.Struct, frozen=True, omit_defaults=True):
    """A voter as a host's configuration names it: who it is, not only what it is called."""

    name: str
    node_id: str
    public_key: str


class Member(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A node as a host's configuration or its copy of the registry lists it."""

    name: str
    node_id: str
    public_key: str
    """Base64 of 32 bytes."""
    address: str = ""
    fabric_client: int = 4222
    fabric_cluster: int = 6222
    join: int = 8443
    route_pin: str = ""
    voter: bool = False
    state: str = "member"
    """The registry's word: member, left or revoked."""
    leaving: bool = False

    @property
    def belongs(self) -> bool:
        """Return whether it is a member now."""
        return self.state == "member"


class Clock(msgspec.Struct, frozen=True, omit_defaults=True):
    """The host's clock against ours."""

    skew_ms: int
    uncertainty_ms: int
    """Half the round trip."""


class Account(msgspec.Struct, frozen=True, omit_defaults=True):
    """The system user `bzzz`."""

    uid: int
    home: str
    shell: str


class BundleFact(msgspec.Struct, frozen=True, omit_defaults=True):
    """The bundle that the present release of a host came from."""

    version: str
    created_at: str


class HostFacts(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Everything that preflight and plan may look at."""

    uid: int | None = None
    """Whom the probe ran as; anything but 0 leaves most of the rest unknown."""
    sudo: str | None = None
    host_key_sha256: str | None = None
    hostname: str | None = None
    os_id: str | None = None
    os_version: str | None = None
    os_name: str | None = None
    arch: str | None = None
    kernel: str | None = None
    libc: str | None = None
    """"glibc 2.36", "musl", or None."""
    init: str | None = None
    """Name of process 1."""
    systemd: str | None = None
    """running, degraded, starting, offline ..."""
    machine_id: str | None = None
    boot_id: str | None = None
    cgroup: str | None = None
    cpus: int | None = None
    memory_total_bytes: int | None = None
    memory_available_bytes: int | None = None
    clock: Clock | None = None
    pythons: tuple[Python, ...] | None = None
    disks: tuple[Disk, ...] | None = None
    addresses: tuple[str, ...] | None = None
    listeners: tuple[Listener, ...] | None = None
    cpu: Cpu | None = None
    memory: Memory | None = None
    devices: tuple[BlockDevice, ...] | None = None
    interfaces: tuple[Interface, ...] | None = None
    routing: Routing | None = None
    resolver: Resolver | None = None
    proxies: tuple[Proxy, ...] | None = None
    firewall: Firewall | None = None
    own_rules: OwnRules | None = None
    """Rules of that filter that are ours."""
    ephemeral_ports: tuple[int, int] | None = None
    """First and last of those that the kernel hands out for outgoing connections."""
    reserved_ports: tuple[int, ...] | None = None
    """Those that it never hands out."""
    forwarded_ports: tuple[int, ...] | None = None
    """Those that the packet filter sends elsewhere; no listener shows them."""
    login: LoginKeys | None = None
    """The user as whom we log in."""
    ssh_port: int | None = None
    """The port of sshd at which our own connection came in, as the host sees it."""
    ssh_peer: str | None = None
    """The address from which it came, as the host sees it."""
    time_source: TimeSource | None = None
    system: System | None = None
    gpus: tuple[Gpu, ...] | None = None
    """Every card, also those that cannot be used."""
    gpu_drivers: tuple[GpuDriver, ...] | None = None
    """One entry for each vendor that has a card, a driver or a tool here."""
    docker: tuple[Docker, ...] | None = None
    """One entry, or none if it is not installed."""
    podman: str | None = None
    """Its version; "" if it is not installed."""
    ai_servers: tuple[AiServer, ...] | None = None
    model_hosting: ModelHosting | None = None
    account: tuple[Account, ...] | None = None
    """One entry, or none if there is no such user."""
    current: str | None = None
    """The release that `/opt/bzzz/current` points to; "" if there is none."""
    releases: tuple[str, ...] | None = None
    """Newest first."""
    previous: str | None = None
    """The release that ran before the present one; "" if that is not kept."""
    kept: str | None = None
    """The release whose configuration and units are kept for the way back; "" if none."""
    runtimes: tuple[str, ...] | None = None
    """Those of ours that are unpacked, newest first."""
    runtimes_used: tuple[str, ...] | None = None
    """Those that the units start with: the present ones, and those kept for the way back."""
    pending: str | None = None
    """An upgrade that was begun and not finished: the release it was to; "" if none."""
    refused: dict[str, str] | None = None
    """Release -> why it was rolled back here."""
    bundle: BundleFact | None = None
    """What the present release came from; None if from no bundle, or that is not known."""
    damaged: tuple[str, ...] | None = None
    """Files of that release that are not as they were unpacked, at most 100."""
    places: tuple[Place, ...] | None = None
    """The directories for data and logs."""
    paths: dict[str, PathFact] | None = None
    config_text: str | None = None
    """Content of the agent's configuration; "" if there is none."""
    cluster_id: str | None = None
    """From that configuration; "" if there is none."""
    voters: tuple[EnrolledVoter, ...] | None = None
    """The voters by the host's copy of the registry; by that configuration while it has none."""
    genesis: tuple[Member, ...] | None = None
    """The nodes that the configuration lists, as on the day the host was set up."""
    members: tuple[Member, ...] | None = None
    """The nodes in the host's copy of the registry, former ones too; else as `genesis`."""
    registry_version: int | None = None
    """Of that copy; 0 while the cluster's first leader has not written one."""
    enrolled: tuple[Enrolled, ...] | None = None
    """One entry, or none if the node has no keys yet."""
    certificates: dict[str, Certificate | None] | None = None
    """By path; None as value: there is none."""
    units: dict[str, Unit] | None = None

    def path(self, path: str) -> PathFact:
        """Return what is at a managed path, perhaps unknown."""
        unknown = PathFact(Kind.UNKNOWN)
        return unknown if self.paths is None else self.paths.get(path, unknown)

    @property
    def behind_nat(self) -> bool | None:
        """Return whether only translation leads to the world: no address is public."""
        return None if self.addresses is None else only_private(self.addresses)
