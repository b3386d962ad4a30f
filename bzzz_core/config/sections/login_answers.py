"""3 Security: how people and programs prove to the API who they are.

Tokens act. Local users, LDAP and OIDC are asked for, checked and kept until the API knows them.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from bzzz_core.config.secret_reference import SecretRef
from bzzz_core.config.sections.patterns import HTTPS_URL
from bzzz_core.config.setting import Section, setting


class LdapAnswers(Section):
    """Users of a directory."""

    url: str | None = setting(
        None,
        pattern=r"^ldaps?://[^@\s]+$",
        label="LDAP server",
        help="URL of the directory, such as ldaps://ldap.example.org.",
    )
    base_dn: str | None = setting(
        None, label="LDAP base", help="Where users are found, such as ou=people,dc=example,dc=org."
    )
    bind_dn: str | None = setting(
        None, label="LDAP login", help="Who looks them up; empty: anonymously."
    )
    bind_password: SecretRef | None = setting(
        None, label="LDAP password", help="Reference to that login's password."
    )


class OidcAnswers(Section):
    """Users of an identity provider."""

    issuer: str | None = setting(
        None, pattern=HTTPS_URL, label="OIDC issuer", help="URL of the identity provider."
    )
    client_id: str | None = setting(
        None, label="OIDC client", help="What the provider calls this cluster."
    )
    client_secret: SecretRef | None = setting(
        None, label="OIDC secret", help="Reference to the client's secret."
    )


class LoginAnswers(Section):
    """Ways to log in besides tokens, which always work."""

    method: Literal["token", "local", "ldap", "oidc"] = setting(
        "token",
        active=False,
        label="Login besides",
        help="token: tokens only, which act now; local: users with passwords; ldap, oidc: users "
        "of a directory or an identity provider, besides tokens.",
    )
    ldap: LdapAnswers = setting(
        LdapAnswers(), active=False, label="LDAP", help="Users of a directory."
    )
    oidc: OidcAnswers = setting(
        OidcAnswers(), active=False, label="OIDC", help="Users of an identity provider."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.method == "ldap" and not (self.ldap.url and self.ldap.base_dn):
            raise ValueError("login by ldap needs ldap.url and ldap.base_dn")
        if self.method == "oidc" and not (self.oidc.issuer and self.oidc.client_id):
            raise ValueError("login by oidc needs oidc.issuer and oidc.client_id")
        return self
