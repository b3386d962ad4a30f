"""What the AI section of the answers accepts, and what of it a node is told."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bzzz_core.config.schema import ClusterSpec, resolve
from bzzz_core.config.sections import AiAnswers
from bzzz_core.deploy.goal import node_entries
from tests.fakes.deploy_goals import enrolled, spec

OPENAI = {"provider": "openai", "api_key": "env:KEY"}
CHEAP = {"name": "cheap", "provider": "ollama", "base_url": "http://10.0.0.9:11434"}
ARCHIVE = {"source": "/srv/ollama.tgz", "sha256": "a" * 64, "version": "0.9.1"}


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"endpoints": [CHEAP, CHEAP]}, "two endpoints are called cheap"),
        ({"endpoints": [{**CHEAP, "name": "main"}]}, "main is the name of the first"),
        ({"endpoints": [{"name": "x"}]}, "provider openai needs api_key"),
        ({"asking": {"fallback": ["cheap"]}}, "no endpoint is called cheap; there are main"),
        ({"asking": {"tasks": [{"task": "review", "model": "m", "endpoint": "x"}]}}, "called x"),
        ({"servers": {"program": "ollama", "source": "/x.tgz"}}, "needs sha256 and version"),
        ({"servers": ARCHIVE}, "source needs program"),
        ({"servers": {"kv_cache": "q8_0", "flash_attention": "disabled"}}, "needs flash_attention"),
        ({"servers": {"models": [{"name": "a"}, {"name": "a"}]}}, "a stands there twice"),
        ({"costs": {"request_cents": 600}}, "request_cents (600) is more than task_cents (500)"),
        (
            {"costs": {"allocations": [{"name": n, "daily_cents": 1500, "monthly_cents": 1}
                                       for n in ("a", "b")]}},
            "the projects' shares come to 3000, daily_cents is 2000",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_words(answers: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        AiAnswers.model_validate(answers)
    assert words in str(caught.value)


def test_two_servers_of_a_host_need_two_ports() -> None:
    instance = {"name": "b", "host": "bzzz-1", "port": 11434}
    with pytest.raises(ValidationError, match="port 11434 is that of the first server"):
        AiAnswers.model_validate({"servers": {"program": "ollama", "instances": [instance]}})


def test_hosts_named_for_models_are_hosts_of_the_answers() -> None:
    with pytest.raises(ValidationError, match="names bzzz-9, which is no host"):
        spec(2, ai={"servers": {"models": [{"name": "a", "hosts": ["bzzz-9"]}]}})


def test_the_paid_service_is_asked_for_the_default_model() -> None:
    assert AiAnswers.model_validate({"endpoint": OPENAI}).effective("main").model == "gpt-5"
    imitator = {**OPENAI, "base_url": "http://10.0.0.9:8000"}
    assert AiAnswers.model_validate({"endpoint": imitator}).effective("main").model is None
    ai = AiAnswers.model_validate({"endpoints": [CHEAP]})
    assert ai.effective("cheap").base_url == CHEAP["base_url"]
    assert ai.names == ("cheap",)


def test_a_node_is_told_of_the_first_endpoint_alone() -> None:
    """Another model to hold, or another limit of money, restarts no agent."""
    plain = _resolved(spec(1, ai={"endpoint": OPENAI}))
    more = {
        "servers": {"models": [{"name": "a"}]},
        "endpoints": [CHEAP],
        "costs": {"history": "day"},
    }
    assert _resolved(spec(1, ai={"endpoint": OPENAI, **more})) == plain


def test_answers_of_the_first_release_are_still_valid() -> None:
    old = {"provider": "ollama", "base_url": "http://10.0.0.9:11434", "model": "llama3"}
    assert spec(1, ai={"endpoint": old}).ai.effective("main").model == "llama3"


def _resolved(answers: ClusterSpec) -> Any:
    nodes = node_entries(answers, frozenset({"bzzz-1"}), {"bzzz-1": enrolled(1)})
    assert nodes is not None
    return resolve(answers, answers.hosts[0], cluster_id="d" * 32, nodes=nodes)
