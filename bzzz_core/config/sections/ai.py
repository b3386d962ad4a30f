"""4 AI Integration: who answers the agents' questions.

The first endpoint is the one that agents use now; it is called `main` wherever endpoints are named.
What setup alone needs, or what no agent reads yet, is in `AiAnswers` and never reaches a node's
file: an answer there must not restart an agent that would not notice it.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, Literal, Self

from pydantic import model_validator

from bzzz_core.config.secret_reference import SecretRef
from bzzz_core.config.sections.costs import CostsAnswers
from bzzz_core.config.sections.model_servers import ModelServersAnswers
from bzzz_core.config.sections.patterns import NAME, URL
from bzzz_core.config.setting import Section, setting

MAIN: Final = "main"
"""The name of the first endpoint."""
LOCAL_PROVIDERS: Final = frozenset({"ollama", "parallama"})
"""They speak Ollama's API and want no key."""
ENDPOINTS_MAX: Final = 32


class AiEndpoint(Section):
    """4 AI Integration: the endpoint that agents use."""

    provider: Literal["none", "ollama", "parallama", "openai"] = setting(
        "none", label="Provider", help="Which service answers the agents' questions."
    )
    base_url: str | None = setting(
        None, pattern=URL, label="URL", help="Where the service is, without the path."
    )
    model: str | None = setting(None, label="Model", help="Name of the model to ask by default.")
    api_key: SecretRef | None = setting(
        None, label="API key", help="Reference to the key, if the service wants one."
    )
    organisation: str | None = setting(
        None,
        pattern=r"^[\x21-\x7e]{1,200}$",
        label="Organisation",
        help="Id of the organisation that pays, if the key belongs to several (org-...).",
    )
    project: str | None = setting(
        None,
        pattern=r"^[\x21-\x7e]{1,200}$",
        label="Project",
        help="Id of the project that the calls are booked on (proj_...).",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        complain_of(self.provider, self.base_url, self.api_key)
        return self


def complain_of(provider: str, base_url: str | None, api_key: str | None) -> None:
    """Raise `ValueError` if an endpoint lacks what its provider needs."""
    if provider in LOCAL_PROVIDERS and not base_url:
        raise ValueError(f"provider {provider} needs base_url, such as http://127.0.0.1:11434")
    if provider == "openai" and not api_key:
        raise ValueError("provider openai needs api_key, such as env:OPENAI_API_KEY")


class AiConfig(Section):
    """4 AI Integration, as an agent reads it."""

    endpoint: AiEndpoint = setting(AiEndpoint(), label="Endpoint", help="The first AI endpoint.")


class FurtherEndpoint(Section):
    """One more service that can be asked."""

    name: str = setting(
        pattern=NAME, label="Name", help="What you call it; `main` is the first endpoint."
    )
    provider: Literal["openai", "ollama", "parallama"] = setting(
        "openai",
        label="Provider",
        help="Which protocol it speaks; openai is also what most others imitate.",
    )
    base_url: str | None = setting(
        None, pattern=URL, label="URL", help="Where the service is, without the path."
    )
    model: str | None = setting(None, label="Model", help="Name of the model to ask there.")
    api_key: SecretRef | None = setting(
        None, label="API key", help="Reference to the key, if the service wants one."
    )
    organisation: str | None = setting(
        None,
        pattern=r"^[\x21-\x7e]{1,200}$",
        label="Organisation",
        help="Id of the organisation that pays, if the key belongs to several.",
    )
    project: str | None = setting(
        None,
        pattern=r"^[\x21-\x7e]{1,200}$",
        label="Project",
        help="Id of the project that the calls are booked on.",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.name == MAIN:
            raise ValueError(f"{MAIN} is the name of the first endpoint; choose another")
        complain_of(self.provider, self.base_url, self.api_key)
        return self

    def as_endpoint(self) -> AiEndpoint:
        """Return it in the form in which the first one stands."""
        return AiEndpoint(**self.model_dump(exclude={"name"}))


class TaskModel(Section):
    """Which model is asked for one kind of task."""

    task: str = setting(
        pattern=NAME, label="Task", help="Kind of task, such as coding, review or summary."
    )
    model: str = setting(min_length=1, label="Model", help="Name of the model.")
    endpoint: str = setting(
        MAIN, pattern=NAME, label="Endpoint", help="Name of the endpoint that has it."
    )


class AskingAnswers(Section):
    """How models are asked."""

    default_model: str = setting(
        "gpt-5",
        min_length=1,
        label="Default model",
        help="Model of a paid service where an endpoint names none; checked against its list.",
    )
    tasks: tuple[TaskModel, ...] = setting(
        (), max_length=100, label="Model by task", help="Tasks that want another model.",
        active=False,
    )  # fmt: skip
    temperature: float = setting(
        0.2,
        ge=0,
        le=2,
        label="Temperature",
        help="How freely a model words its answer; low values repeat better.",
        active=False,
    )
    tokens_max: int = setting(
        4_096,
        ge=1,
        le=1_000_000,
        unit="tokens",
        label="Answer limit",
        help="Longest answer of one call; an answer that is cut counts as failed.",
        active=False,
    )
    timeout_s: int = setting(
        120,
        ge=1,
        le=3_600,
        unit="s",
        label="Answer time",
        help="How long one call may take before the next endpoint is asked.",
        active=False,
    )
    fallback: tuple[str, ...] = setting(
        (),
        max_length=ENDPOINTS_MAX,
        label="Fallback",
        help="Names of endpoints to ask in this order when the one before fails.",
        active=False,
    )


class AiAnswers(AiConfig):
    """4 AI Integration, as setup asks for it."""

    endpoints: tuple[FurtherEndpoint, ...] = setting(
        (),
        max_length=ENDPOINTS_MAX,
        label="More endpoints",
        help="Other services; setup checks them, agents use the first endpoint only.",
        active=False,
    )
    asking: AskingAnswers = setting(
        AskingAnswers(), label="Asking", help="Which model is asked for what, and how."
    )
    servers: ModelServersAnswers = setting(
        ModelServersAnswers(), label="Model servers", help="Models on the hosts themselves."
    )
    costs: CostsAnswers = setting(
        CostsAnswers(), label="Costs", help="How much money calls may cost."
    )

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        names = [endpoint.name for endpoint in self.endpoints]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise ValueError(f"two endpoints are called {twice[0]}")
        known = {MAIN, *names}
        wanted = [*self.asking.fallback, *(task.endpoint for task in self.asking.tasks)]
        missing = next((name for name in wanted if name not in known), None)
        if missing is not None:
            raise ValueError(
                f"no endpoint is called {missing}; there are {', '.join(sorted(known))}"
            )
        return self

    def for_node(self) -> AiConfig:
        """Return what a node's file holds of it."""
        return AiConfig(endpoint=self.effective(MAIN))

    def effective(self, name: str) -> AiEndpoint:
        """Return an endpoint by its name, with the model that is asked if it names none."""
        endpoint = self.endpoint
        if name != MAIN:
            endpoint = next(one for one in self.endpoints if one.name == name).as_endpoint()
        # Whoever imitates the paid service has models of its own.
        if (endpoint.provider, endpoint.base_url, endpoint.model) == ("openai", None, None):
            return endpoint.model_copy(update={"model": self.asking.default_model})
        return endpoint

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all endpoints that are set."""
        first = () if self.endpoint.provider == "none" else (MAIN,)
        return (*first, *(endpoint.name for endpoint in self.endpoints))
