"""How a field of the schema is written down, once, for every reader of it.

A field carries what the wizard shows (label, help without jargon, unit), what `bzzz-agent config`
prints, and whether a running agent can take a new value. pydantic keeps default and constraint.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


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
            "environment": list(aliases),
        },
        **constraint,
    )
