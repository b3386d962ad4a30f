"""3 Security."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, Self

from pydantic import model_validator

from bzzz_core.config.secret_reference import SecretRef
from bzzz_core.config.sections.login_answers import LoginAnswers
from bzzz_core.config.sections.patterns import HTTPS_URL, JUMP, LOGIN
from bzzz_core.config.setting import Section, setting
from bzzz_core.model import ApiRole

ADMIN_TOKEN: Final = "admin"  # noqa: S105  the name of the token, not the token
"""What the token of `security.api_token` is called, as the others have names."""


class SshAnswers(Section):
    """How setup logs in to the hosts."""

    user: str = setting(
        "root", pattern=LOGIN, label="Login", help="User to log in as on each host."
    )
    port: int = setting(22, ge=1, le=65_535, label="SSH port", help="Port of the hosts' sshd.")
    key: str | None = setting(
        None, label="Private key", help="File of the private key to log in with; empty: SSH agent."
    )
    password: SecretRef | None = setting(
        None, label="Password", help="Reference to the login password, if no key is used."
    )
    sudo_password: SecretRef | None = setting(
        None,
        label="sudo password",
        help="Reference to the sudo password; empty: sudo asks for none.",
    )
    jump: str | None = setting(
        None,
        pattern=JUMP,
        label="Jump hosts",
        help="[user@]host[:port] to go through, several with commas; empty: your SSH "
        "configuration's, or none.",
    )
    config: str | None = setting(
        "~/.ssh/config",
        label="SSH configuration",
        help="What it says of a host (HostName, User, Port, IdentityFile, ProxyJump, ProxyCommand) "
        "counts where the answers say nothing.",
    )
    known_hosts: str | None = setting(
        None, label="Known hosts", help="File with the hosts' keys; empty: BZZZ's own, then yours."
    )
    accept_new_host_keys: bool = setting(
        default=False,
        label="Trust on first use",
        help="Record the key of a host never seen before; a changed key is always refused.",
    )
    install_key: Literal["none", "generate", "file"] = setting(
        "none",
        label="Install a key",
        help="Give the login a key on every host: one made for this cluster, or that of a file.",
    )
    install_key_file: str | None = setting(
        None,
        label="Key to install",
        help="File of the private key whose public half (beside it, .pub) the hosts shall take.",
    )
    key_passphrase: SecretRef | None = setting(
        None,
        label="Key passphrase",
        help="Reference to the passphrase of the installed key; one that is made is locked by it.",
    )
    harden: bool = setting(
        default=False,
        label="Harden sshd",
        help="Let the hosts' sshd take keys alone, no passwords; only after two proven logins.",
    )

    @model_validator(mode="after")
    def _key_is_named(self) -> Self:
        if self.install_key == "file" and not self.install_key_file:
            raise ValueError("install_key is file, so install_key_file has to name one")
        return self


class PublicTlsAnswers(Section):
    """What the API shows to the world."""

    source: Literal["cluster", "uploaded", "acme"] = setting(
        "cluster",
        label="API certificate",
        help="cluster: from the authority made here; uploaded: from files of yours; acme: from "
        "Let's Encrypt or another ACME server.",
    )
    ca_file: str | None = setting(
        None, label="CA file", help="PEM file with your authority's chain, for uploaded."
    )
    certificate_file: str | None = setting(
        None, label="Certificate file", help="PEM file with the certificate, for uploaded."
    )
    key: SecretRef | None = setting(
        None, label="Certificate key", help="Reference to its private key, for uploaded."
    )
    acme_directory: str = setting(
        "https://acme-v02.api.letsencrypt.org/directory",
        pattern=HTTPS_URL,
        label="ACME server",
        help="URL of the ACME directory, for acme.",
    )
    acme_email: str | None = setting(
        None,
        pattern=r"^[^@\s]+@[^@\s]+$",
        label="ACME e-mail",
        help="Where the ACME server may warn you, for acme.",
    )
    root_rotation: Literal["by-command", "scheduled"] = setting(
        "by-command",
        label="Root rotation",
        help="by-command: `bzzz-agent cluster rotate` when you say so; scheduled: at half of "
        "their life. Nodes' certificates renew themselves in any case.",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.source == "uploaded" and not (self.certificate_file and self.key):
            raise ValueError("uploaded needs certificate_file and key")
        if self.source == "acme" and not self.acme_email:
            raise ValueError("acme needs acme_email")
        return self


class TlsAnswers(Section):
    """The cluster's two certificate authorities."""

    root_days: int = setting(
        3_650,
        ge=1,
        le=7_300,
        unit="days",
        label="Root lifetime",
        help="How long the roots are valid.",
    )
    leaf_days: int = setting(
        30,
        ge=1,
        le=397,
        unit="days",
        label="Certificate lifetime",
        help="How long a node's certificate is valid; run setup again to renew it.",
    )
    passphrase: SecretRef | None = setting(
        None,
        label="CA passphrase",
        help="Reference to the passphrase of the authorities' keys; empty: one is made, kept 0600.",
    )
    public: PublicTlsAnswers = setting(
        PublicTlsAnswers(),
        active=False,
        label="Public certificate",
        help="What the API shows to callers that do not know the cluster's own authority.",
    )


class SecurityAnswers(Section):
    """3 Security: logins and trust."""

    ssh: SshAnswers = setting(SshAnswers(), label="SSH", help="How setup logs in.")
    tls: TlsAnswers = setting(TlsAnswers(), label="TLS", help="How nodes prove who they are.")
    login: LoginAnswers = setting(
        LoginAnswers(), label="Authentication", help="How people and programs prove who they are."
    )


class ApiToken(Section):
    """One further token of the API."""

    name: str = setting(
        pattern="^[a-z0-9][a-z0-9._-]{0,31}$",
        label="Name",
        help="Who or what has it; the audit names its holder so.",
    )
    role: ApiRole = setting(
        "viewer",
        label="API role",
        help="viewer sees the cluster, operator steers it, admin decides who belongs to it.",
    )
    token: SecretRef = setting(label="Token", help="Reference to the token itself.")


class SecurityConfig(Section):
    """Where this node's keys and certificates are, all below one directory."""

    directory: str = setting(
        "/etc/bzzz/secrets",
        label="Secrets directory",
        help="Holds identity.key, node.{key,pem}, node-ca.pem, and for voters route.{key,pem}, "
        "system.{key,pem}, fabric-ca.pem and the sealed issuers; mode 0700.",
    )
    leaf_s: int = setting(
        2_592_000,
        ge=60,
        le=34_300_800,
        unit="s",
        label="Certificate lifetime",
        help="How long a certificate is valid that this node signs while it leads; nodes renew "
        "theirs after two thirds of it.",
    )
    api_token: SecretRef = setting(
        "file:/etc/bzzz/secrets/api-token",
        label="API token",
        help="Reference to the token that callers of the API present.",
    )
    api_tokens: tuple[ApiToken, ...] = setting(
        (),
        max_length=64,
        reloadable=True,
        label="More API tokens",
        help="Further tokens that this node's API takes, each with a name and a role (viewer, "
        "operator or admin).",
    )
    api_requests_per_s: int = setting(
        50,
        ge=1,
        le=10_000,
        unit="requests/s",
        reloadable=True,
        label="API rate",
        help="How often one token may ask in the long run; four seconds' worth may come at once. "
        "A monitor asks about once a second.",
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [ADMIN_TOKEN, *(token.name for token in self.api_tokens)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"API tokens need names of their own: {', '.join(twice)} ({ADMIN_TOKEN} is that of"
                " api_token)"
            )
        return self

    def references(self) -> Iterator[tuple[str, str]]:
        """Yield the references within `api_tokens`, which are no leaves, with where each stands."""
        for token in self.api_tokens:
            yield f"security.api_tokens ({token.name})", token.token
