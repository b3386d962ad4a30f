"""Which level holds for a component: wishes go before the configuration."""

import ast

import pytest
from pydantic import TypeAdapter, ValidationError

from bzzz_core.config.sections.logs import LogsConfig
from bzzz_core.telemetry.components import ALL, LIBRARIES, OWN, of_logger
from bzzz_core.telemetry.log_levels import LogLevels, Wish, parse
from bzzz_core.telemetry.log_line import LEVELS
from tests.arch.tree import modules


def level(levels: LogLevels, component: str) -> str:
    found = {number: name for name, number in LEVELS.items()}[levels.floor(component)]
    assert levels.in_force()[component if component in ALL else ""].level == found
    return found


def test_the_configuration_names_one_level_for_all_and_others_for_some() -> None:
    levels = LogLevels()
    levels.configure("warning", {"fabric": "debug"})
    assert (level(levels, "fabric"), level(levels, "dht")) == ("debug", "warning")
    assert level(levels, "unknown to the table") == "warning"


def test_libraries_are_quiet_unless_somebody_names_them() -> None:
    levels = LogLevels()
    levels.configure("debug", {})
    levels.wish("", Wish("debug", None))
    assert {level(levels, name) for name in LIBRARIES} == {"warning"}
    levels.wish("asyncio", Wish("debug", None))
    assert (level(levels, "asyncio"), levels.libraries_floor) == ("debug", LEVELS["debug"])
    levels.wish("asyncio", None)
    levels.configure("error", {})
    assert level(levels, "nats") == "error"


def test_a_wish_for_one_goes_before_one_for_all_before_the_configuration() -> None:
    levels = LogLevels()
    levels.configure("info", {"fabric": "error"})
    levels.wish("", Wish("warning", None))
    levels.wish("dht", Wish("debug", None))
    assert [level(levels, one) for one in ("fabric", "dht", "agent")] == [
        "warning",
        "debug",
        "warning",
    ]
    levels.wish("", None)
    assert [level(levels, one) for one in ("fabric", "dht", "agent")] == ["error", "debug", "info"]


def test_a_wish_ends_with_its_time() -> None:
    levels = LogLevels()
    levels.wish("dht", Wish("debug", 5_000))
    levels.wish("fabric", Wish("debug", 3_000))
    assert levels.next_end_ms == 3_000
    assert (levels.expire(2_999), levels.expire(3_000)) == ((), ("fabric",))
    assert (level(levels, "fabric"), level(levels, "dht")) == ("info", "debug")
    levels.wish("dht", Wish("debug", None))
    assert (levels.next_end_ms, levels.expire(10**9)) == (None, ())


def test_a_new_configuration_leaves_wishes_alone() -> None:
    levels = LogLevels()
    levels.wish("dht", Wish("debug", None))
    levels.configure("error", {})
    assert (level(levels, "dht"), levels.in_force()["dht"].configured) == ("debug", "error")


def test_entries_of_the_configuration_are_read_and_unknown_parts_refused() -> None:
    entries = LogsConfig(levels=("fabric=debug", "nats=info")).levels
    assert parse(entries) == {"fabric": "debug", "nats": "info"}
    with pytest.raises(ValidationError, match=r"no part of BZZZ is called fabrik; .*fabric"):
        LogsConfig(levels=("fabrik=debug",))
    for wrong in ("fabric", "fabric=loud", "fabric=debug\n", "=debug"):
        with pytest.raises(ValidationError):
            TypeAdapter(LogsConfig).validate_python({"levels": (wrong,)})


def test_every_component_that_logs_is_one_that_can_be_named() -> None:
    """`logs.get("...")` anywhere in the product, and the table of components."""
    used = {
        node.args[0].value
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "logs.get"
        and isinstance(node.args[0], ast.Constant)
    }
    assert used, "this test must find what it looks for"
    assert used <= set(OWN), "add these to telemetry/components.py, with what they write about"


def test_libraries_are_known_by_their_loggers() -> None:
    assert [
        of_logger(name) for name in ("uvicorn.error", "httpcore.http11", "py.warnings", "")
    ] == [
        "uvicorn",
        "httpx",
        "python",
        "python",
    ]
