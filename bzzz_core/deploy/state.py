"""The operator's side of a cluster: authorities, token, cluster id. Created once, never replaced.

All of it lies in `clusters/<name>/` of the operator's directory (see `config/profile.py`):

    cluster-id, api-token       made at the first apply
    ca/                         the two authorities, encrypted
    ca/passphrase               0600, only if no passphrase was referenced in the answers

`known` reads what is there without unlocking anything, for plans; `open_cluster` creates what is
missing and unlocks the authorities, for apply. Losing this directory means losing the cluster's
authorities, so nothing in here ever overwrites a file.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import os
import re
import secrets
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bzzz_core.clock import utc_now
from bzzz_core.config import secrets as secret_references
from bzzz_core.config.profile import ClusterProfile, ProfileHost, SshAccess, save_profile
from bzzz_core.config.profile_places import cluster_directory, profile_path
from bzzz_core.config.schema import ClusterSpec
from bzzz_core.config.secrets import Secret
from bzzz_core.config.sources import dump
from bzzz_core.deploy import joining, layout, profile_hosts
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.goal import AI_KEY, Known, Root
from bzzz_core.deploy.lease import Owner
from bzzz_core.deploy.ssh import own_key
from bzzz_core.errors import ConfigError, PreconditionFailed, SecretError
from bzzz_core.trust import private_files
from bzzz_core.trust.ca import Authority
from bzzz_core.trust.certificate import describe
from bzzz_core.trust.certify import Issuers
from bzzz_core.trust.names import Purpose

CLUSTER_ID: Final = re.compile(r"[0-9a-f]{32}")
_TOKEN_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCluster:
    """An operator's cluster, its authorities unlocked and asked for the issuers of this run."""

    cluster_id: str
    issuers: Issuers | None
    """Made for this run; voters that need issuers get these, and their keys are kept nowhere. None
    where the cluster is another operator's."""
    secrets: dict[str, Secret]
    """Path on the host -> content of the file that belongs there."""


class ClusterState:
    """The directory of one cluster on the operator's machine."""

    def __init__(self, name: str, base: Path | None = None) -> None:
        """Take the cluster's name and the operator's directory; touch nothing."""
        self._name = name
        self._base = base
        self._directory = cluster_directory(name, base)

    @property
    def directory(self) -> Path:
        """Return the directory itself."""
        return self._directory

    @property
    def known_hosts(self) -> Path:
        """Return the file with the hosts' pinned keys."""
        return self._directory / "known_hosts"

    @property
    def journal(self) -> Path:
        """Return the directory of the runs' journals."""
        return self._directory / "journal"

    def ssh_key(self, spec: ClusterSpec) -> Path | None:
        """Return the private key that setup installs on the hosts; None: it installs none."""
        ssh = spec.security.ssh
        if ssh.install_key == "file" and ssh.install_key_file:
            return Path(ssh.install_key_file).expanduser()
        return self._directory / "ssh" / "id_ed25519" if ssh.install_key == "generate" else None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other setups of this cluster out, on this machine, until the block ends.

        Raises:
            PreconditionFailed: Another one is at work; nothing was changed on any host.
        """
        private_files.private_directory(self._directory)
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as exc:
                raise PreconditionFailed(
                    f"another setup is working on cluster {self._name}; wait until it has ended"
                ) from exc
            yield
        finally:
            os.close(descriptor)

    @property
    def busy(self) -> bool:
        """Return whether another setup of this cluster is at work on this machine."""
        try:
            with self.locked():
                return False
        except PreconditionFailed:
            return True

    def owner(self, run_id: str) -> Owner:
        """Return who we are, for the hosts' leases; the caller holds the lock.

        The origin tells this directory from any other: while the lock is held here, whoever wrote
        the same origin on a host is dead.
        """
        place = self._directory.resolve()
        there = place.stat()
        here = f"{socket.gethostname()}|{place}|{there.st_dev}|{there.st_ino}"
        return Owner(
            who=getpass.getuser(),
            host=socket.gethostname(),
            pid=os.getpid(),
            run=run_id,
            origin=hashlib.sha256(here.encode()).hexdigest()[:32],
            heartbeat=utc_now(),
        )

    def secrets(self, spec: ClusterSpec) -> Sequence[Secret]:
        """Return every secret that a run may handle, for redaction.

        One that cannot be read is left out: nothing can quote it, and who needs it will complain.
        """
        ssh, tls, endpoint = spec.security.ssh, spec.security.tls, spec.ai.endpoint
        references = [
            ssh.password,
            ssh.sudo_password,
            ssh.key_passphrase,
            tls.passphrase,
            endpoint.api_key,
            *(further.api_key for further in spec.ai.endpoints),
        ]
        made = (self._directory / "api-token", self._directory / "ca" / "passphrase")
        references.extend(f"file:{path}" for path in made)
        found = []
        for reference in references:
            if reference is not None:
                with suppress(SecretError):
                    found.append(secret_references.resolve(reference))
        with suppress(SecretError):
            found.extend(joining.token_lines(spec))
        return found

    def known(self, spec: ClusterSpec) -> Known:
        """Return what is known of the cluster, without creating or unlocking anything.

        Raises:
            ConfigError: A file is damaged, or a secret that the answers refer to is missing.
            TrustError: A certificate of an authority is damaged or open to others.
        """
        cluster_id, node_ca = self.cluster_id(), self._root(Purpose.NODE)
        if spec.cluster.mode == "join" and (cluster_id is None or node_ca is None):
            told = joining.cluster_of(spec, self.cluster_id())
            cluster_id, node_ca = told.cluster_id, _root_of(told.root_pem)
        profile = profile_path(self._name, self._base)
        return Known(
            cluster_id=cluster_id,
            node_ca=node_ca,
            signs=spec.cluster.mode == "create",
            fabric_ca=self._root(Purpose.FABRIC),
            secrets={path: _sha256(value) for path, value in self._host_secrets(spec).items()},
            ssh_key=self._ssh_line(spec),
            profile_sha256=hashlib.sha256(profile.read_bytes()).hexdigest()
            if profile.exists()
            else None,
            hosts=tuple(host.name for host in self.profile_hosts()),
        )

    def profile_hosts(self) -> tuple[ProfileHost, ...]:
        """Return the hosts that setup installed last; none if there is no profile to read."""
        return profile_hosts.known(profile_path(self._name, self._base))

    def open_cluster(self, spec: ClusterSpec) -> OpenCluster:
        """Create what is missing and unlock the authorities.

        Raises:
            ConfigError: A file is damaged, or a secret that the answers refer to is missing.
            TrustError: The passphrase is wrong or too short, or an authority is damaged.
        """
        private_files.private_directory(self._directory)
        if spec.cluster.mode == "join":
            self._note_cluster(spec)
        if self.cluster_id() is None:
            self._create("cluster-id", secrets.token_hex(16))
        if not (self._directory / "api-token").exists():
            self._create("api-token", secrets.token_urlsafe(_TOKEN_BYTES))
        if spec.security.ssh.install_key == "generate" and self._ssh_line(spec) is None:
            self._make_ssh_key(spec)
        cluster_id = self.cluster_id()
        assert cluster_id is not None, "it was made above"
        return OpenCluster(
            cluster_id=cluster_id,
            issuers=None if spec.cluster.mode == "join" else self._issuers(spec),
            secrets=self._host_secrets(spec),
        )

    def _issuers(self, spec: ClusterSpec) -> Issuers:
        passphrase = self._passphrase(spec)
        return Issuers.below(
            self._authority(Purpose.NODE, spec, passphrase),
            self._authority(Purpose.FABRIC, spec, passphrase),
        )

    def _note_cluster(self, spec: ClusterSpec) -> None:
        """Keep which cluster was joined: the tokens are good for nothing afterwards."""
        root = self._directory / "ca" / f"{Purpose.NODE}-ca.pem"
        if self.cluster_id() is not None and root.exists():
            return
        told = joining.cluster_of(spec, self.cluster_id())
        private_files.private_directory(root.parent)
        if not root.exists():
            private_files.create(root, told.root_pem.encode("ascii"))
        if self.cluster_id() is None:
            self._create("cluster-id", told.cluster_id)

    def changes(self, spec: ClusterSpec, known: Known) -> tuple[Change, ...]:
        """Return what `open_cluster` and `write_profile` would do on this machine."""
        changes = []
        for what, present in (
            ("cluster id", self.cluster_id() is not None),
            ("node authority", self._root(Purpose.NODE) is not None),
            ("fabric authority", known.fabric_ca is not None or not known.signs),
            ("API token", layout.API_TOKEN in (known.secrets or {})),
        ):
            if not present:
                changes.append(_creation(what, str(self._directory), secret=what != "cluster id"))
        if spec.security.ssh.install_key == "generate" and known.ssh_key is None:
            changes.append(_creation("SSH key", str(self.ssh_key(spec)), secret=True))
        text = self._profile_text(spec, known)
        if text is None or hashlib.sha256(text.encode()).hexdigest() != known.profile_sha256:
            changes.append(_creation("cluster profile", str(profile_path(self._name, self._base))))
        return tuple(changes)

    def write_profile(self, spec: ClusterSpec) -> Path:
        """Write the profile by which the monitor finds the cluster, and return its path."""
        profile = self._profile(spec, self.known(spec))
        assert profile is not None, "the cluster was created before"
        path = profile_path(self._name, self._base)
        if not path.exists() or path.read_text(encoding="utf-8") != dump(profile):
            save_profile(path, profile)
        return path

    def forget(self, names: frozenset[str]) -> None:
        """Take hosts out of the cluster's profile; a profile without hosts is removed.

        Authorities, token and cluster id stay: they are what the cluster can be made anew with.
        """
        profile_hosts.forget(profile_path(self._name, self._base), names)

    def _profile_text(self, spec: ClusterSpec, known: Known) -> str | None:
        profile = self._profile(spec, known)
        return None if profile is None else dump(profile)

    def _profile(self, spec: ClusterSpec, known: Known) -> ClusterProfile | None:
        if known.cluster_id is None or known.node_ca is None:
            return None
        ssh = spec.security.ssh
        key = ssh.key
        if key is None and ssh.key_passphrase is None:
            key = str(self.ssh_key(spec) or "") or None
        return ClusterProfile(
            name=self._name,
            cluster_id=known.cluster_id,
            ca_sha256=known.node_ca.sha256,
            api_token=f"file:{self._directory / 'api-token'}",
            ssh=SshAccess(
                user=ssh.user,
                port=ssh.port,
                key=str(Path(key).expanduser().absolute()) if key else None,
                password=ssh.password,
                known_hosts=str(self.known_hosts),
                jump=ssh.jump,
                config=ssh.config,
            ),
            hosts=profile_hosts.of_answers(spec, self.profile_hosts()),
        )

    def _ssh_line(self, spec: ClusterSpec) -> str | None:
        path = self.ssh_key(spec)
        if path is None or (spec.security.ssh.install_key == "generate" and not path.exists()):
            return None
        return own_key.public_line(path)

    def _make_ssh_key(self, spec: ClusterSpec) -> None:
        path, reference = self.ssh_key(spec), spec.security.ssh.key_passphrase
        assert path is not None, "it is to be made"
        own_key.create(
            path,
            comment=f"bzzz-setup@{self._name}",
            passphrase=secret_references.resolve(reference) if reference else None,
        )

    def _host_secrets(self, spec: ClusterSpec) -> dict[str, Secret]:
        found = {}
        token = self._directory / "api-token"
        if token.exists():
            found[layout.API_TOKEN] = secret_references.resolve(f"file:{token}")
        if spec.ai.endpoint.api_key is not None:
            found[AI_KEY] = secret_references.resolve(spec.ai.endpoint.api_key)
        return found

    def cluster_id(self) -> str | None:
        """Return the cluster's id; None: it was not set up from here.

        Raises:
            ConfigError: The file is damaged.
        """
        path = self._directory / "cluster-id"
        try:
            text = path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            raise ConfigError(f"{path} cannot be read") from exc
        if not CLUSTER_ID.fullmatch(text):
            raise ConfigError(f"{path} holds no cluster id (32 hexadecimal digits)")
        return text

    def _root(self, purpose: Purpose) -> Root | None:
        path = self._directory / "ca" / f"{purpose}-ca.pem"
        if not path.exists():
            return None
        pem = private_files.read(path).decode("ascii", errors="replace")
        return _root_of(pem)

    def _authority(self, purpose: Purpose, spec: ClusterSpec, passphrase: Secret) -> Authority:
        directory = self._directory / "ca"
        if not (directory / f"{purpose}-ca.pem").exists():
            Authority.create(
                purpose,
                common_name=f"{self._name} {purpose}",
                days=spec.security.tls.root_days,
                passphrase=passphrase,
            ).save(directory)
        return Authority.load(directory, purpose, passphrase)

    def _passphrase(self, spec: ClusterSpec) -> Secret:
        if spec.security.tls.passphrase is not None:
            return secret_references.resolve(spec.security.tls.passphrase)
        path = self._directory / "ca" / "passphrase"
        private_files.private_directory(path.parent)
        if not path.exists():
            private_files.create(path, secrets.token_urlsafe(_TOKEN_BYTES).encode() + b"\n")
        return secret_references.resolve(f"file:{path}")

    def _create(self, name: str, text: str) -> None:
        private_files.create(self._directory / name, text.encode("ascii") + b"\n")


def _root_of(pem: str) -> Root:
    said = describe(pem)
    return Root(pem=pem, sha256=said.sha256, key_id=said.key_id)


def secret_content(value: Secret) -> bytes:
    """Return the bytes of a secret's file on a host."""
    return value.reveal().encode() + b"\n"


def _sha256(value: Secret) -> str:
    return hashlib.sha256(secret_content(value)).hexdigest()


def _creation(what: str, target: str, *, secret: bool = False) -> Change:
    return Change(
        phase="operator",
        action="create",
        target=target,
        before="",
        after=what,
        secret=secret,
        sentence=f"on this machine: write the {what} in {target}",
    )
