"""Where everything lies on a host. One place, so that no path is spelled twice.

The scripts in `facts` name the same paths; `tests/unit/test_deploy_facts.py` holds them together.
"""

from __future__ import annotations

from typing import Final

USER: Final = "bzzz"
ROOT: Final = "/opt/bzzz"
BEFORE: Final = f"{ROOT}/before"
"""What was on the host before BZZZ: that stays when it is uninstalled."""
KEPT_LOGS: Final = ".bzzz-logs"
"""In a log directory that an uninstall kept: it is still ours, and a later one may take it."""
RELEASES: Final = f"{ROOT}/releases"
CURRENT: Final = f"{ROOT}/current"
PREVIOUS: Final = f"{ROOT}/previous"
"""The release that ran before the present one, to go back to."""
RUNTIMES: Final = f"{ROOT}/runtimes"
INSTALL: Final = f"{ROOT}/install"
"""Root's own: what an upgrade in progress needs to go back, and which releases failed here."""
CONFIG: Final = "/etc/bzzz"
AGENT_CONFIG: Final = f"{CONFIG}/agent.yaml"
ENROLMENT: Final = f"{CONFIG}/node.json"
"""What the node said when its keys were made; public."""
SECRETS: Final = f"{CONFIG}/secrets"
IDENTITY_KEY: Final = f"{SECRETS}/identity.key"
NODE_KEY: Final = f"{SECRETS}/node.key"
NODE_CERTIFICATE: Final = f"{SECRETS}/node.pem"
NODE_CA: Final = f"{SECRETS}/node-ca.pem"
ROUTE_KEY: Final = f"{SECRETS}/route.key"
ROUTE_CERTIFICATE: Final = f"{SECRETS}/route.pem"
FABRIC_CA: Final = f"{SECRETS}/fabric-ca.pem"
SYSTEM_KEY: Final = f"{SECRETS}/system.key"
SYSTEM_CERTIFICATE: Final = f"{SECRETS}/system.pem"
NODE_ISSUER: Final = f"{SECRETS}/node-issuer.pem"
FABRIC_ISSUER: Final = f"{SECRETS}/fabric-issuer.pem"
API_TOKEN: Final = f"{SECRETS}/api-token"
UNITS: Final = "/etc/systemd/system"
FABRIC: Final = "bzzz-fabric"
AGENT: Final = "bzzz-agent"
FABRIC_UNIT: Final = f"{UNITS}/{FABRIC}.service"
AGENT_UNIT: Final = f"{UNITS}/{AGENT}.service"
FABRIC_LIMITS: Final = f"{UNITS}/{FABRIC}.service.d/50-bzzz-limits.conf"
AGENT_LIMITS: Final = f"{UNITS}/{AGENT}.service.d/50-bzzz-limits.conf"
MADE: Final = f"{CONFIG}/made"
"""What setup made outside of our own directories; root's alone."""
FIREWALL_RULES: Final = f"{CONFIG}/firewall"
"""Rules of our own that a start of the host loads anew."""
FIREWALL_UNIT: Final = f"{UNITS}/bzzz-firewall.service"
SSHD_DROPIN: Final = "/etc/ssh/sshd_config.d/00-bzzz.conf"
"""Its name comes first, for sshd takes the first value that it reads."""
SSHD_UNPROVED: Final = f"{CONFIG}/sshd-unproved"
"""What that file was before a change that nobody has proved yet; root's alone, as `MADE`."""
RELEASE_KEYS: Final = f"{CONFIG}/release-keys"
"""Whose bundles the node takes."""
MODEL_SERVERS: Final = f"{ROOT}/model-servers"
"""Programs that serve models, by name and checksum."""
MODELS_USER: Final = "bzzz-models"
COMMAND: Final = "/usr/local/bin/bzzz-agent"
MARK: Final = "Written by bzzz-tui setup"
"""In the first lines of every file of ours in a directory of the system. Uninstalling removes those
with `bzzz` in their names and these words in them, and no others."""


def release_path(version: str) -> str:
    """Return the directory of one release."""
    return f"{RELEASES}/{version}"


def site_path(version: str) -> str:
    """Return where a release's Python packages are."""
    return f"{RELEASES}/{version}/site"


def runtime_python(name: str) -> str:
    """Return the interpreter of one runtime."""
    return f"{RUNTIMES}/{name}/bin/python3"


def envelope_path(version: str) -> str:
    """Return where the signed manifest of the bundle is that a release came from."""
    return f"{RELEASES}/{version}/bundle.json"
