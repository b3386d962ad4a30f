"""Models on the hosts themselves: which program serves them, how it is set, and which models where.

Part of 4 AI Integration. Only setup reads it. Everything that is left empty is left to the server,
and a host's own installation is never replaced: what setup sets goes into a drop-in of its unit.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, Literal, Self

from pydantic import model_validator

from bzzz_core.config.sections.patterns import DIRECTORY, NAME
from bzzz_core.config.setting import Section, setting

PORT: Final = 11_434
"""Where Ollama listens if nobody says otherwise."""
MODELS_PATH: Final = "/var/lib/bzzz-models"
"""Home of a server that setup installs; its models lie below."""
DEVICE = r"^[A-Za-z0-9:._-]{1,100}$"
MODEL = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,150}(:[A-Za-z0-9][A-Za-z0-9._-]{0,80})?$"
_DURATION = r"^(-1|[0-9]{1,6}(s|m|h)?)$"


class ServerSettings(Section):
    """What a model server is told; empty or `default`: it decides itself."""

    parallel: int | None = setting(
        None,
        ge=1,
        le=1_024,
        label="At a time",
        help="How many questions one model answers at a time; each needs memory.",
    )
    context_tokens: int | None = setting(
        None,
        ge=512,
        le=10_000_000,
        unit="tokens",
        label="Context",
        help="How much text a model sees at a time; servers cut silently what is longer.",
    )
    kv_cache: Literal["default", "f16", "q8_0", "q4_0"] = setting(
        "default",
        label="Context memory",
        help="How exactly the text is held: q8_0 needs half of f16's memory, q4_0 a quarter.",
    )
    flash_attention: Literal["default", "enabled", "disabled"] = setting(
        "default",
        label="Flash attention",
        help="A faster way to compute on most cards; needed for q8_0 and q4_0.",
    )
    keep_alive: str | None = setting(
        None,
        pattern=_DURATION,
        label="Keep loaded",
        help="How long a model stays in memory after its last question (5m; -1: for ever).",
    )
    loaded_max: int | None = setting(
        None, ge=1, le=1_000, label="Loaded models", help="Most models in memory at a time."
    )

    @model_validator(mode="after")
    def _cache_fits(self) -> Self:
        if self.kv_cache in {"q8_0", "q4_0"} and self.flash_attention == "disabled":
            raise ValueError(f"kv_cache {self.kv_cache} needs flash_attention")
        return self


class ServerInstance(ServerSettings):
    """One more server on a host, usually one for each card."""

    name: str = setting(pattern=NAME, label="Name", help="What you call it; part of its unit.")
    host: str = setting(pattern=NAME, label="Host", help="Name of the host that it runs on.")
    port: int = setting(ge=1_024, le=65_535, label="Port", help="Where it listens on that host.")
    gpus: tuple[str, ...] = setting(
        (), label="Cards", help="Ids of the cards it may use (GPU-... or MIG-...); empty: all."
    )


class WantedModel(Section):
    """A model that hosts should have."""

    name: str = setting(
        pattern=MODEL, label="Model", help="Its name and tag, such as qwen3-coder:30b."
    )
    size_bytes: int | None = setting(
        None,
        ge=1,
        unit="bytes",
        label="Size",
        help="Its size, if you know it; otherwise what hosts say, or an estimate by its name.",
    )
    hosts: tuple[str, ...] = setting(
        (), label="Hosts", help="Names of the hosts that hold it; empty: setup chooses."
    )
    copies: int = setting(
        1, ge=1, le=1_000, label="Copies", help="On how many hosts, if setup chooses."
    )
    gpus: tuple[str, ...] = setting(
        (), label="Cards", help="Ids of the cards it may use; empty: any."
    )


class ModelServersAnswers(ServerSettings):
    """Model servers on the hosts, and their models."""

    program: Literal["as-found", "ollama", "parallama"] = setting(
        "as-found",
        label="Program",
        help="as-found uses what hosts have; otherwise it is installed where it is missing.",
    )
    source: str | None = setting(
        None,
        pattern=r"^(https?://[^@\s]+$|/|~/)",
        label="Archive",
        help="URL or path of the program's archive (.tgz, .tar.gz, .tar.zst) or of the program.",
    )
    sha256: str | None = setting(
        None,
        pattern=r"^[0-9a-f]{64}$",
        label="Checksum",
        help="SHA-256 of that file; nothing else is installed.",
    )
    version: str | None = setting(
        None,
        pattern=r"^[0-9]+(\.[0-9]+){0,3}([.+-][A-Za-z0-9.+-]{1,40})?$",
        label="Version",
        help="The version in the archive; older servers are upgraded, newer ones refused.",
    )
    migrate: bool = setting(
        default=False,
        label="Take over",
        help="Let this program serve in the place of another one's unit; its models stay.",
    )
    hosts: tuple[str, ...] = setting(
        (), label="Hosts", help="Names of the hosts that get a server; empty: all."
    )
    port: int = setting(
        PORT, ge=1_024, le=65_535, label="Port", help="Where the first server of a host listens."
    )
    listen: Literal["default", "loopback", "everywhere"] = setting(
        "default",
        label="Reachable from",
        help="everywhere lets other hosts ask; the server itself asks nobody for a password.",
    )
    search: bool = setting(
        default=False,
        label="Search",
        help="Let `--check` look for other model servers in the hosts' network, 256 addresses.",
    )
    gpus: tuple[str, ...] = setting(
        (), label="Cards", help="Ids of the cards that the first servers may use; empty: all."
    )
    models_path: str | None = setting(
        None,
        pattern=DIRECTORY,
        label="Models in",
        help="Directory of the models; empty: where the server has them.",
    )
    instances: tuple[ServerInstance, ...] = setting(
        (), max_length=256, label="More servers", help="Further servers, one for each card, say."
    )
    models: tuple[WantedModel, ...] = setting(
        (), max_length=200, label="Models", help="Which models hosts should have."
    )
    pulls_max: int = setting(
        2,
        ge=1,
        le=64,
        label="Pulls at a time",
        help="On how many hosts models are fetched at a time.",
    )
    pull_stall_s: int = setting(
        120,
        ge=10,
        le=3_600,
        unit="s",
        label="Stalled pull",
        help="A pull that brings nothing for this long is given up; the next run goes on with it.",
    )
    spread: Literal["spread", "pack"] = setting(
        "spread",
        label="Placement",
        help="spread leaves room on each host, pack fills one host before the next.",
    )
    sharding: bool = setting(
        default=True,
        label="Over several cards",
        help="A model that fits on no card may lie on several of one host.",
    )
    on_cpu: bool = setting(
        default=False,
        label="Without a card",
        help="Hosts without a usable card may hold models too; they answer slowly.",
    )
    gpu_memory_ratio: float = setting(
        0.9,
        gt=0,
        le=1,
        label="Card memory",
        help="Part of a card's memory that models may fill.",
    )
    gpu_bytes_max: int | None = setting(
        None,
        ge=1,
        unit="bytes",
        label="Memory a card",
        help="Most memory of one card that models may fill, if less than that part.",
    )
    working_ratio: float = setting(
        0.2,
        ge=0,
        le=4,
        label="Working memory",
        help="What a model needs beside its size, for context and computing, as a part of it.",
    )
    balance: Literal["round-robin", "least-loaded", "weighted", "capability"] = setting(
        "least-loaded",
        label="Balancing",
        help="Which of several servers with a model is asked.",
        active=False,
    )
    on_failure: Literal["move", "wait", "fallback"] = setting(
        "move",
        label="Failed card",
        help="Move its models to another, wait for it, or ask the fallback endpoints.",
        active=False,
    )
    update: Literal["never", "notify", "scheduled"] = setting(
        "notify",
        label="New model files",
        help="What happens when a model's tag means other files than those that are there.",
        active=False,
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.source is not None and (self.sha256 is None or self.version is None):
            raise ValueError("source needs sha256 and version")
        if self.program == "as-found" and self.source is not None:
            raise ValueError("source needs program ollama or parallama")
        names = [(one.host, one.name) for one in self.instances]
        ports = [(one.host, one.port) for one in self.instances]
        for what, values in (("name", names), ("port", ports)):
            twice = next((value for value, count in Counter(values).items() if count > 1), None)
            if twice is not None:
                raise ValueError(f"two servers on {twice[0]} have the {what} {twice[1]}")
        taken = next((one for one in self.instances if one.port == self.port), None)
        if taken is not None:
            raise ValueError(f"port {self.port} is that of the first server, not of {taken.name}")
        if self.instances and self.program == "as-found":
            raise ValueError("more servers need program ollama or parallama")
        models = Counter(model.name for model in self.models)
        model = next((name for name, count in models.items() if count > 1), None)
        if model is not None:
            raise ValueError(f"{model} stands there twice")
        return self

    @property
    def host_names(self) -> frozenset[str]:
        """Return every host that is named here."""
        return frozenset(
            (
                *self.hosts,
                *(one.host for one in self.instances),
                *(host for model in self.models for host in model.hosts),
            )
        )
