"""The draft of answers: the schema decides, and what was typed is never lost."""

from __future__ import annotations

import string

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bzzz_core.config.leaf import catalogue
from bzzz_core.config.schema import HOSTS_MAX, ClusterSpec, HostSpec
from bzzz_tui.fields import Kind, entries_text
from screens.setup.draft import FIELDS, Draft, HostDraft, parse_hosts, write_host
from screens.setup.steps import home_of


def test_every_leaf_of_the_schema_is_a_field_of_exactly_one_step() -> None:
    """A field that no step shows could only be answered in a file."""
    assert [key for key in FIELDS if home_of(key) is None] == []


def test_a_field_stands_in_the_group_that_names_it_most_closely() -> None:
    def title(key: str) -> str:
        home = home_of(key)
        assert home is not None, key
        return f"{home[0].number} {home[1].title}"

    assert title("security.ssh.user") == "1 Login"
    assert title("security.ssh.known_hosts") == "3 Trust and keys"
    assert title("resources.monitoring.logs.file") == "5 Log"
    assert title("resources.monitoring.alerts.disk_ratio") == "5 Monitoring"


def test_every_field_has_words_for_an_operator() -> None:
    assert all(field.label and field.help.endswith((".", "?")) for field in FIELDS.values())


def test_secrets_are_known_as_secrets() -> None:
    secrets = {key for key, field in FIELDS.items() if field.kind is Kind.SECRET}
    assert secrets == {key for key, leaf in catalogue(ClusterSpec).items() if leaf.holds_reference}
    assert {"security.ssh.password", "security.tls.passphrase", "ai.endpoint.api_key"} <= secrets


def test_an_untouched_draft_says_only_that_hosts_are_needed() -> None:
    assert [problem.key for problem in Draft().problems()] == ["hosts"]
    assert Draft().spec() is None


def test_defaults_are_left_out_of_the_answers() -> None:
    draft = Draft(hosts=[HostDraft("a", "10.0.0.1")])
    draft.set("network.ports.api", "8080")
    draft.set("ai.endpoint.model", "")
    document = draft.document()
    assert document == {"version": 1, "hosts": [{"name": "a", "address": "10.0.0.1"}]}


def test_a_draft_of_complete_answers_gives_them_back() -> None:
    draft = Draft(hosts=parse_hosts("a=root@10.0.0.1:2222 b=10.0.0.2", ()))
    draft.set("security.ssh.accept_new_host_keys", "yes")
    draft.set("security.ssh.password", "env:LAB")
    draft.set("cluster.timings.heartbeat_ms", "100")
    draft.set("resources.monitoring.logs.levels", "fabric=debug,  dht=error")
    draft.set("ai.endpoint.provider", "ollama")
    draft.set("ai.endpoint.base_url", "http://10.0.0.9:11434")
    spec = draft.spec()
    assert isinstance(spec, ClusterSpec)
    assert spec.resources.monitoring.logs.levels == ("fabric=debug", "dht=error")
    assert Draft.of(spec).spec() == spec


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("network.ports.api", "x", "write a whole number"),
        ("network.ports.api", "0", "must be at least 1"),
        ("resources.paths.data", "data", "write a path that starts with /"),
        ("cluster.name", "My Cluster", "use lower-case letters, digits and dashes"),
        ("ai.endpoint.base_url", "10.0.0.1", "write a URL"),
        ("security.ssh.user", "", "write a user name"),
        ("resources.monitoring.logs.levels", "fabrik=debug", "no part of BZZZ is called fabrik"),
        ("security.ssh.password", "hunter2", "write a reference, not the secret"),
    ],
)
def test_a_wrong_text_is_answered_by_what_to_type(key: str, text: str, words: str) -> None:
    draft = Draft(hosts=[HostDraft("a", "10.0.0.1")])
    draft.set(key, text)
    (problem,) = draft.problems()
    assert problem.key == key
    assert problem.words.startswith(words)
    assert draft.get(key) == text


def test_what_may_be_a_secret_is_in_no_output() -> None:
    draft = Draft(hosts=[HostDraft("a", "10.0.0.1")])
    draft.set("security.ssh.password", "hunter2")
    draft.set("security.tls.passphrase", "file:/root/passphrase")
    assert "hunter2" not in draft.yaml()
    assert draft.safe_texts() == {"security.tls.passphrase": "file:/root/passphrase"}
    assert all("hunter2" not in problem.words for problem in draft.problems())


@pytest.mark.parametrize(
    "key",
    [
        "ai.endpoint.base_url",
        "ai.servers.source",
        "network.proxy.url",
        "services.bundle",
        "services.updates.channel_url",
        "security.login.oidc.issuer",
        "security.tls.public.acme_directory",
    ],
)
@pytest.mark.parametrize("login", ["hunter2", "me:hunter2", "me:h/u@nter2"])
def test_a_login_within_a_url_is_refused_and_kept_nowhere(key: str, login: str) -> None:
    draft = Draft(hosts=[HostDraft("a", "10.0.0.1")])
    draft.set(key, f"https://{login}@ai.example/v1")
    assert draft.problems()[0].key == key
    assert "nter2" not in draft.yaml() + str(draft.safe_texts())
    assert "ai.example" in draft.yaml()


def test_a_login_within_the_url_of_an_entry_is_kept_nowhere() -> None:
    draft = Draft(hosts=[HostDraft("a", "10.0.0.1")])
    entry = {"name": "x", "provider": "ollama", "base_url": 'http://me:hun"ter2@h'}
    draft.set("ai.endpoints", entries_text([entry]))
    assert draft.problems()[0].key == "ai.endpoints"
    assert "ter2" not in draft.yaml() + str(draft.safe_texts())


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("10.0.0.1", [HostDraft("bzzz-1", "10.0.0.1")]),
        ("a=10.0.0.1:2222", [HostDraft("a", "10.0.0.1", "2222")]),
        ("root@db.example", [HostDraft("bzzz-1", "db.example", "", "root")]),
        ("fd00::1", [HostDraft("bzzz-1", "fd00::1")]),
        ("[fd00::1]:22", [HostDraft("bzzz-1", "fd00::1", "22")]),
        ("10.0.0.1 # the old one\n# 10.0.0.2\n", [HostDraft("bzzz-1", "10.0.0.1")]),
        ("", []),
    ],
)
def test_hosts_are_read_in_the_forms_people_use(text: str, hosts: list[HostDraft]) -> None:
    assert parse_hosts(text, ()) == hosts


def test_a_host_without_a_name_gets_the_next_free_one() -> None:
    names = [host.name for host in parse_hosts("10.0.0.1 bzzz-2=10.0.0.2 10.0.0.3", ["bzzz-1"])]
    assert names == ["bzzz-2", "bzzz-2", "bzzz-3"]


def test_the_roles_of_a_host_are_kept_in_draft_answers_and_session() -> None:
    host = HostSpec(name="a", address="10.0.0.1", roles=("coordinator", "storage"))
    draft = Draft.of(ClusterSpec(hosts=(host,)))
    assert draft.hosts == (HostDraft("a", "10.0.0.1", roles="coordinator, storage"),)
    assert draft.spec() == ClusterSpec(hosts=(host,))
    assert "coordinator" in draft.yaml()
    kept = msgspec.json.decode(msgspec.json.encode(draft.hosts), type=tuple[HostDraft, ...])
    assert kept == draft.hosts
    (typed,) = parse_hosts("a=10.0.0.1+coordinator+storage", ())
    assert typed == draft.hosts[0]
    wrong = {problem.key for problem in Draft(hosts=parse_hosts("a=10.0.0.1+boss", ())).problems()}
    assert any(key.startswith("hosts.0.roles") for key in wrong)


def test_digits_without_end_are_no_port() -> None:
    draft = Draft(hosts=parse_hosts("10.0.0.1:" + "1" * 5_000, ()))
    assert draft.problems()[0].key == "hosts.0.port"


WORDS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)


@given(
    st.builds(
        HostDraft,
        name=WORDS,
        address=st.one_of(WORDS, st.ip_addresses().map(str)),
        port=st.one_of(st.just(""), st.integers(1, 65_535).map(str)),
        user=st.one_of(st.just(""), WORDS),
        roles=st.sampled_from(["", "storage", "coordinator, worker"]),
    )
)
def test_a_host_that_is_written_down_reads_the_same(host: HostDraft) -> None:
    assert parse_hosts(write_host(host), ()) == [host]


def many(count: int) -> list[dict[str, str]]:
    """Return so many hosts as an answers file has them."""
    return [{"name": f"h{n}", "address": f"10.1.{n // 200}.{n % 200 + 1}"} for n in range(count)]


def test_no_host_of_the_answers_is_dropped() -> None:
    """A wizard that quietly took the first 64 of 70 would write a smaller cluster down."""
    spec = ClusterSpec.model_validate({"hosts": many(HOSTS_MAX)})
    assert len(Draft.of(spec).hosts) == HOSTS_MAX
    assert len(Draft.of(spec).document()["hosts"]) == HOSTS_MAX


def test_more_hosts_than_setup_bears_are_refused_with_the_number() -> None:
    with pytest.raises(ValidationError, match=f"at most {HOSTS_MAX} items.* not {HOSTS_MAX + 1}"):
        ClusterSpec.model_validate({"hosts": many(HOSTS_MAX + 1)})
    hosts = [HostDraft(**host) for host in many(HOSTS_MAX + 1)]
    (problem,) = Draft(hosts=hosts).problems()
    assert problem.key == "hosts"
    assert str(HOSTS_MAX) in problem.words
