"""How a field of the schema is written down, once, for every reader of it.

A field carries what the wizard shows (label, help without jargon, unit), what `bzzz-agent config`
prints, and whether a running agent can take a new value. pydantic keeps default and constraint.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

NOT_ACTIVE = "saved, not active yet"
"""How a field is marked whose value is kept while nothing acts on it."""


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=False
    )


def setting(
    default: Any = ...,
    *,
    label: str,
    help: str,  # noqa: A002  the word operators know
    unit: str | None = None,
    reloadable: bool = False,
    of_node: bool = False,
    active: bool = True,
    aliases: tuple[str, ...] = (),
    **constraint: Any,
) -> Any:
    """Declare one field.

    Args:
        default: The value when nobody says otherwise; leave it out for a required field.
        label: Two or three words for a form.
        help: One sentence for an operator who has not read the documentation.
        unit: Unit of the value, for display ("ms", "bytes", "days").
        reloadable: A running agent takes a new value without restart.
        of_node: The value is this node's own and can never be set for the whole cluster; it holds
            for everything below the field.
        active: Something acts on the value. If not, the answer is checked and kept, and whoever
            shows the field says so; it holds for everything below the field.
        aliases: Further names of environment variables, besides the one the path gives.
        constraint: What pydantic checks: `ge`, `le`, `pattern`, `min_length` ...
    """
    return Field(
        default,
        title=label,
        description=help,
        json_schema_extra={
            "unit": unit,
            "reloadable": reloadable,
            "of_node": of_node,
            "active": active,
            "environment": list(aliases),
        },
        **constraint,
    )
