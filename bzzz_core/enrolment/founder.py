"""Making a cluster of one on this machine: authorities, keys, certificates, configuration.

What setup does for many hosts over SSH, for one host without it. The roots go to the operator's
directory, encrypted; the node gets issuers that work for a year. From then on others join by token.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.secrets import Secret, resolve
from bzzz_core.config.sections import ClusterConfig, NodeEntry
from bzzz_core.enrolment.home import Home
from bzzz_core.enrolment.joiner import Newcomer
from bzzz_core.enrolment.undo import undone_on_failure
from bzzz_core.trust import private_files
from bzzz_core.trust.ca import Authority
from bzzz_core.trust.certificate import requested_key_sha256
from bzzz_core.trust.certify import Applicant, Issuers, certify
from bzzz_core.trust.enrol import init_node, install
from bzzz_core.trust.names import Purpose

ROOT_DAYS: Final = 3_650
_PASSPHRASE_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Founding:
    """How a new cluster is to be."""

    cluster_name: str
    leaf_s: int
    ca_directory: Path
    passphrase: str | None = None
    """Reference to the passphrase of the roots; None: one is made and kept beside them, 0600."""


def found(founder: Newcomer, founding: Founding, *, home: Home) -> AgentConfig:
    """Write everything that a cluster of one needs to run, or nothing.

    Raises:
        ConfigError: A node lives here already, or a value cannot be.
        TrustError: There are authorities in the directory already, others use it, or the passphrase
            is too short.
    """
    home.refuse_if_taken()
    # Before anything is written: what fails below is taken back, and that is no place for others.
    private = [home.secrets.path, founding.ca_directory]
    for directory in private:
        private_files.refuse_shared(directory)
    around = [home.config.parent, home.data, home.logs]
    with undone_on_failure(private, around=around, unless=home.config):
        return _found(founder, founding, home)


def passphrase_of(ca_directory: Path, reference: str | None) -> Secret:
    """Return the roots' passphrase: the one referred to, or the one kept beside them.

    Raises:
        SecretError: It cannot be read.
    """
    return resolve(reference or f"file:{ca_directory / 'passphrase'}")


def _found(founder: Newcomer, founding: Founding, home: Home) -> AgentConfig:
    home.prepare()
    enrolment = init_node(home.secrets.path)
    me = NodeEntry(
        id=enrolment.node_id,
        name=founder.name,
        public_key=base64.b64encode(enrolment.public_key).decode(),
        address=founder.address,
        fabric_client=founder.ports.fabric_client,
        fabric_cluster=founder.ports.fabric_cluster,
        join=founder.ports.join,
        route_pin=requested_key_sha256(enrolment.route_csr),
        voter=True,
    )
    cluster = ClusterConfig(id=secrets.token_hex(16), name=founding.cluster_name, nodes=(me,))
    config = home.agent_config(
        name=founder.name,
        address=founder.address,
        ports=founder.ports,
        cluster=cluster,
        leaf_s=founding.leaf_s,
    )
    applicant = Applicant(
        node_id=enrolment.node_id,
        addresses=[founder.address],
        voter=True,
        node_csr=enrolment.node_csr,
        route_csr=enrolment.route_csr,
        system_csr=enrolment.system_csr,
        sealing_key=enrolment.sealing_key,
    )
    issuers = _authorities(founding)
    install(home.secrets.path, certify(applicant, issuers=issuers, lifetime_s=founding.leaf_s))
    home.settle(config)
    return config


def _authorities(founding: Founding) -> Issuers:
    directory = founding.ca_directory
    private_files.private_directory(directory)
    path = directory / "passphrase"
    if founding.passphrase is None and not path.exists():
        private_files.create(path, secrets.token_urlsafe(_PASSPHRASE_BYTES).encode() + b"\n")
    passphrase = passphrase_of(directory, founding.passphrase)
    roots = []
    for purpose in (Purpose.NODE, Purpose.FABRIC):
        root = Authority.create(
            purpose,
            common_name=f"{founding.cluster_name[:40]} {purpose}",
            days=ROOT_DAYS,
            passphrase=passphrase,
        )
        root.save(directory)
        roots.append(root)
    return Issuers.below(*roots)
