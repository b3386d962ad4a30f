"""8 Testing & Validation: what is checked after setup, and before a new configuration is taken."""

from __future__ import annotations

from bzzz_core.config.setting import Section, setting


class ValidationAnswers(Section):
    """8 Testing & Validation."""

    elect_ms_max: int = setting(
        30_000,
        ge=1_000,
        le=600_000,
        unit="ms",
        label="Election limit",
        help="How long the first election may take before validation calls it failed.",
    )


class ValidationConfig(Section):
    """How a running agent notices and checks a new configuration."""

    watch_ms: int = setting(
        1_000,
        ge=100,
        le=3_600_000,
        unit="ms",
        reloadable=True,
        label="Watch",
        help="How often the agent looks whether its configuration changed; lower notices sooner.",
    )
    check_secrets: bool = setting(
        default=True,
        reloadable=True,
        label="Check secrets",
        help="Refuse a new configuration that refers to a secret which cannot be read.",
    )
