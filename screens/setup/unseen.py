"""How the steps stand, those too that were not opened since the program started."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from bzzz_tui.widgets.step_rail import StepState
from screens.setup.context import Context
from screens.setup.detect import look_state
from screens.setup.step import StepView
from screens.setup.steps import STEPS, StepSpec, home_of

_DETECT: Final = 1
_AI: Final = 4
_DEPLOY: Final = 6


def states_of(views: Mapping[int, StepView], context: Context, *, reached: int) -> list[StepState]:
    """Return how each step stands; what depends on a changed answer wants another look.

    Args:
        views: Those that were opened, by number.
        context: What the wizard knows.
        reached: The furthest step that was reached.
    """
    wrong = {problem.key for problem in context.draft.problems()}
    states = [
        views[spec.number].state()
        if spec.number in views
        else unseen_state(spec, wrong, context, reached=reached)
        for spec in STEPS
    ]
    for number in context.recheck:
        if states[number - 1] in {StepState.OK, StepState.WARN}:
            states[number - 1] = StepState.RECHECK
    return states


def unseen_state(
    spec: StepSpec, wrong: Collection[str], context: Context, *, reached: int
) -> StepState:
    """Return how a step stands by its answers and by what was seen; what nobody saw is open.

    Args:
        spec: The step.
        wrong: Keys of the answers that are wrong.
        context: What the wizard knows.
        reached: The furthest step that was reached.
    """
    if spec.number >= min(_DEPLOY, reached):
        return StepState.OPEN
    homes = (home_of(key) for key in wrong)
    if any(home is not None and home[0] is spec for home in homes):
        return StepState.BAD
    if spec.number == _DETECT:
        return look_state(context) or StepState.OPEN
    if spec.number == _AI and any(not report.works for report in context.ai.values()):
        return StepState.WARN
    return StepState.OK
