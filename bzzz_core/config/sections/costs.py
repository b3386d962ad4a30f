"""What calls of paid models may cost. Part of 4 AI Integration, on a page of its own.

Whole US cents, because a person types them; the ledger counts in millionths of a dollar. Nothing
keeps these limits yet: no agent asks a paid model.
"""

from __future__ import annotations

from typing import Any, Final, Literal, Self

from pydantic import model_validator

from bzzz_core.config.sections.patterns import NAME
from bzzz_core.config.setting import Section, setting

CENTS: Final = "US cents"
CENTS_MAX: Final = 1_000_000_000
"""Ten million dollars: more is a slip of the finger."""


def _limit(default: Any = ..., *, label: str, help: str, active: bool = True) -> Any:  # noqa: A002  as `setting`
    """Declare an amount of money."""
    return setting(default, ge=0, le=CENTS_MAX, unit=CENTS, label=label, help=help, active=active)


class Allocation(Section):
    """A part of the budget that belongs to somebody."""

    kind: Literal["project", "user"] = setting(
        "project", label="For", help="Whether this is a project's part or a user's."
    )
    name: str = setting(pattern=NAME, label="Name", help="Name of the project or user.")
    daily_cents: int = _limit(label="A day", help="What it may spend in a day.")
    monthly_cents: int = _limit(label="A month", help="What it may spend in a month.")


class CostsAnswers(Section):
    """Limits of spending. A call that would pass one is not made."""

    request_cents: int = _limit(
        50, label="One call", help="Most that a single call may cost.", active=False
    )
    task_cents: int = _limit(
        500, label="One task", help="Most that all calls of one task may cost.", active=False
    )
    daily_cents: int = _limit(
        2_000,
        label="A day",
        help="Most that the whole cluster may spend in a day; 0 forbids paid calls.",
        active=False,
    )
    monthly_cents: int = _limit(
        20_000,
        label="A month",
        help="Most that the whole cluster may spend in a calendar month.",
        active=False,
    )
    warn_ratio: float = setting(
        0.8,
        gt=0,
        le=1,
        label="Warn at",
        help="Part of a limit at which somebody is told (0.8 is 80 %).",
        active=False,
    )
    time_zone: str = setting(
        "UTC",
        pattern=r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}$",
        label="Time zone",
        help="Where a day and a month begin, such as UTC or Europe/Berlin.",
        active=False,
    )
    history: Literal["call", "hour", "day"] = setting(
        "call", label="History", help="How finely past spending is kept.", active=False
    )
    allocations: tuple[Allocation, ...] = setting(
        (),
        max_length=200,
        label="Shares",
        help="Parts of the budget for projects and users; together no more than the whole.",
        active=False,
    )

    @model_validator(mode="after")
    def _sums_fit(self) -> Self:
        steps = (
            ("request_cents", "task_cents"),
            ("task_cents", "daily_cents"),
            ("daily_cents", "monthly_cents"),
        )
        for small, large in steps:
            few, many = getattr(self, small), getattr(self, large)
            if self.daily_cents and few > many:
                raise ValueError(f"{small} ({few}) is more than {large} ({many})")
        for kind in ("project", "user"):
            for field in ("daily_cents", "monthly_cents"):
                shares = sum(getattr(one, field) for one in self.allocations if one.kind == kind)
                if shares > getattr(self, field):
                    raise ValueError(
                        f"the {kind}s' shares come to {shares}, {field} is {getattr(self, field)}"
                    )
        return self
