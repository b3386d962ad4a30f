"""The views of the eight steps, in their order."""

from __future__ import annotations

from typing import Final

from screens.setup.ai import AiStep
from screens.setup.cluster import ClusterStep
from screens.setup.detect import DetectStep
from screens.setup.network import NetworkStep
from screens.setup.resources import ResourcesStep
from screens.setup.security import SecurityStep
from screens.setup.services import ServicesStep
from screens.setup.step import StepView
from screens.setup.validate import ValidateStep

VIEWS: Final[tuple[type[StepView], ...]] = (
    DetectStep,
    NetworkStep,
    SecurityStep,
    AiStep,
    ResourcesStep,
    ServicesStep,
    ClusterStep,
    ValidateStep,
)
