"""4 AI Integration."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from bzzz_core.config.secret_reference import SecretRef
from bzzz_core.config.setting import Section, setting


class AiEndpoint(Section):
    """4 AI Integration: one endpoint for now."""

    provider: Literal["none", "ollama", "openai"] = setting(
        "none", label="Provider", help="Which service answers the agents' questions."
    )
    base_url: str | None = setting(
        None, pattern=r"^https?://", label="URL", help="Where the service is, without the path."
    )
    model: str | None = setting(None, label="Model", help="Name of the model to ask by default.")
    api_key: SecretRef | None = setting(
        None, label="API key", help="Reference to the key, if the service wants one."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.provider == "ollama" and not self.base_url:
            raise ValueError("provider ollama needs base_url, such as http://127.0.0.1:11434")
        if self.provider == "openai" and not self.api_key:
            raise ValueError("provider openai needs api_key, such as env:OPENAI_API_KEY")
        return self


class AiConfig(Section):
    """4 AI Integration."""

    endpoint: AiEndpoint = setting(AiEndpoint(), label="Endpoint", help="The first AI endpoint.")
