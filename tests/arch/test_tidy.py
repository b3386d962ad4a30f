"""House rules that no linter knows. Each message says what to do instead.

A rule here has cost somebody an evening once. To depart from a size rule, write the file and the
reason into the table beside the rule; the review is about the reason.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.arch.tree import ROOT, Module, imports, modules, text_files

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
LONG_MODULES: dict[str, str] = {
    "bzzz_core/errors.py": "every deliberate failure in one place, a few lines each",
}
"""Place -> why it is not divided."""
LONG_FUNCTIONS: dict[str, str] = {}
"""place::function -> why it is not divided."""
NAMES_THAT_SAY_NOTHING = {"util", "utils", "helper", "helpers", "common", "manager", "misc"}
SEEN_FROM_OUTSIDE: dict[str, str] = {
    "bzzz_core.fabric.memory": "clusters of one process: simulations, tests, embedding (ADR 0011)",
    "bzzz_core.fabric.memory_keyvalue": "the same, for keys",
    "bzzz_core.fabric.memory_log": "the same, for logs and blobs",
    "bzzz_core.fabric.log": "the port's log on brokers, for whoever keeps one (ADR 0017)",
    "bzzz_core.fabric.blobs": "the port's blobs on brokers, as the log",
    "bzzz_core.fabric.hybrid": "messages while the brokers are away, for embedding (ADR 0017)",
}
"""Module -> who reaches it, if no import from an entry point does."""
ENTRY_POINTS = ("bzzz_core.cli", "bzzz_tui.cli")

# Character classes, so that this file does not contain what it looks for.
UNFINISHED = re.compile(r"\b(TOD[O]|FIXM[E]|XX[X]|HAC[K])\b")
FOREIGN_PLACES = re.compile(
    r"/wor[k]/|/roo[t]/[.]|/op[t]/pypi|\b(pypi|pythonhosted|debian|npmjs)[.](org|net)\b"
)

Finding = Iterator[tuple[int, str]]


def tasks_without_an_owner(tree: ast.Module) -> Finding:
    """A task nobody owns loses its errors and outlives its service."""
    groups = _names_of_task_groups(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = _last_name(node.func)
        owner = _last_name(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        if name == "ensure_future" or (name == "create_task" and owner not in groups):
            yield node.lineno, "start tasks with TaskGroup.create_task, and annotate the group"


def clocks_of_the_wall(tree: ast.Module) -> Finding:
    """Wall-clock time jumps; whatever decides by it is wrong one night a year."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.time", "time.time_ns"}:
            yield node.lineno, "take a Clock and ask now_ms(); for people: bzzz_core.clock.utc_now"


def errors_that_vanish(tree: ast.Module) -> Finding:
    """Catching everything hides bugs; catching a cancellation hangs the shutdown."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            caught = {_last_name(kind) for kind in _kinds(node.type)}
            broad = caught & {"", "Exception", "BaseException", "CancelledError"}
            if broad and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node)):
                yield node.lineno, "catch what you expect; re-raise everything else"


def trust_that_was_switched_off(tree: ast.Module) -> Finding:
    """An unverified peer is no peer."""
    forbidden = {("known_hosts", None), ("verify", False), ("check_hostname", False)}
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant):
            if (node.arg, node.value.value) in forbidden:
                yield node.value.lineno, f"never pass {node.arg}={node.value.value!r}"
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            for target in node.targets:
                if (_last_name(target), node.value.value) == ("check_hostname", False):
                    yield node.lineno, "pin the certificate's name instead"
        elif isinstance(node, ast.Attribute) and node.attr == "CERT_NONE":
            yield node.lineno, "load the authority's certificate instead"


def slow_or_unsafe_parts(tree: ast.Module) -> Finding:
    """Parts that were measured and found wanting, with what to use instead."""
    replacements = {
        "DataTable": "bzzz_tui.widgets.LiveTable (DataTable cost 17 times the CPU)",
        "LoadingIndicator": "a still line of text (it redraws 16 times a second)",
        "sqlite3": "apsw (the standard library's SQLite is old and has the WAL-reset bug)",
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name.split(".")[0] for alias in node.names}
            if isinstance(node, ast.ImportFrom):
                names.add((node.module or "").split(".")[0])
            for name in names & set(replacements):
                yield node.lineno, f"instead of {name}: {replacements[name]}"


def notices_that_read_markup(tree: ast.Module) -> Finding:
    """A path or a name with brackets in it would lose them, or end the program."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _last_name(node.func) == "notify" and node.args:
            said = {k.arg: ast.unparse(k.value) for k in node.keywords}
            notice = "timeout" in said  # else something else is notified
            ours = isinstance(node.args[0], ast.Constant)
            if notice and not ours and said.get("markup") != "False":
                yield node.lineno, "say markup=False: it is not our own text alone"


RULES: tuple[Callable[[ast.Module], Finding], ...] = (
    tasks_without_an_owner,
    clocks_of_the_wall,
    errors_that_vanish,
    trust_that_was_switched_off,
    slow_or_unsafe_parts,
    notices_that_read_markup,
)


EXCEPT = {
    # Textual cancels its workers several times over; the app owns these tasks and waits for them.
    ("bzzz_tui/app_base.py", "tasks_without_an_owner"),
    # It ends its tasks one after the other, and goes on without one that does not end.
    ("bzzz_core/shutdown/service.py", "tasks_without_an_owner"),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_product_code_has_no(rule: Callable[[ast.Module], Finding]) -> None:
    found = [
        f"{m.place}:{line}: {what}"
        for m in modules()
        if (str(m.place), rule.__name__) not in EXCEPT
        for line, what in rule(m.tree)
    ]
    assert not found, "\n".join(found)


PLANTED = {
    "tasks_without_an_owner": "import asyncio\nasync def f():\n    asyncio.create_task(g())\n",
    "clocks_of_the_wall": "import time\nnow = time.time()\n",
    "errors_that_vanish": "try:\n    f()\nexcept Exception:\n    pass\n",
    "trust_that_was_switched_off": "connect(host, known_hosts=None)\n",
    "slow_or_unsafe_parts": "from textual.widgets import DataTable\n",
    "notices_that_read_markup": "app.notify(str(exc), timeout=5)\n",
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_finds_what_it_is_for(rule: Callable[[ast.Module], Finding]) -> None:
    assert list(rule(ast.parse(PLANTED[rule.__name__])))


def test_task_on_a_task_group_is_welcome() -> None:
    code = "async def f():\n  async with TaskGroup() as tasks:\n    tasks.create_task(g())\n"
    assert not list(tasks_without_an_owner(ast.parse(code)))


def test_nothing_is_left_unfinished() -> None:
    found = [
        f"{place}:{number}: finish it, or write it down as an issue"
        for place, text in text_files()
        for number, line in enumerate(text.splitlines(), 1)
        if UNFINISHED.search(line) and not place.endswith(".lock")
    ]
    assert not found, "\n".join(found)


def test_no_file_names_a_place_of_somebody_s_machine() -> None:
    found = [
        f"{place}:{number}: {hit[0]} belongs to one machine or network"
        for place, text in text_files()
        for number, line in enumerate(text.splitlines(), 1)
        if (hit := FOREIGN_PLACES.search(line))
    ]
    assert not found, "\n".join(found)


def test_only_what_belongs_to_the_project_is_looked_at(tmp_path: Path) -> None:
    """A second working tree has a file `.git` with a path in it; a red test leaves a report."""
    (tmp_path / ".gitignore").write_text("__pycache__/\n*.py[cod]\nreport.html\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "__pycache__").mkdir()
    for place in (".git", "report.html", "docs/a.pyc", "docs/__pycache__/b.md", "docs/c.md", "d"):
        (tmp_path / place).write_text("x")
    assert {place for place, _ in text_files(tmp_path)} == {".gitignore", "docs/c.md", "d"}


def test_an_ignored_place_that_is_no_plain_name_is_not_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("docs/generated\n")
    with pytest.raises(AssertionError, match="plain names"):
        list(text_files(tmp_path))


def test_modules_are_short_enough_to_read() -> None:
    long = {m.place: m.line_count for m in modules() if m.line_count > MODULE_LINES_MAX}
    assert set(long) == set(LONG_MODULES), f"divide, or give a reason in LONG_MODULES: {long}"


def test_functions_fit_on_a_screen() -> None:
    long = {
        f"{module.place}::{node.name}": length
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    }
    assert set(long) == set(LONG_FUNCTIONS), f"divide, or give a reason in LONG_FUNCTIONS: {long}"


def test_module_names_say_what_is_inside() -> None:
    vague = [m.place for m in modules() if m.name.rpartition(".")[2] in NAMES_THAT_SAY_NOTHING]
    assert not vague, f"name them after what they hold: {vague}"


def test_every_module_is_reached_from_a_command() -> None:
    known = {module.name: module for module in modules()}
    missing = [name for name in ENTRY_POINTS if name not in known]
    assert not missing, f"no such entry point: {missing}"
    reached: set[str] = set()
    waiting = [*ENTRY_POINTS, *SEEN_FROM_OUTSIDE]
    while waiting:
        name = waiting.pop()
        while name and name not in known:
            name = name.rpartition(".")[0]  # a name inside a module
        if name and name not in reached:
            reached.add(name)
            waiting += [name.rpartition(".")[0], *imports(known[name]), *_named(known[name])]
    dead = sorted(set(known) - reached)
    assert not dead, f"nobody imports these: {dead}"


def test_fast_tests_do_not_sleep() -> None:
    nap = re.compile(r"\b(time|asyncio)\.sleep\((?!0\))")
    found = [
        f"{place}:{number}: advance the fake clock, or wait for the event itself"
        for place, text in text_files()
        for number, line in enumerate(text.splitlines(), 1)
        if re.match(r"tests/(unit|property|simulation)/", place) and nap.search(line)
    ]
    assert not found, "\n".join(found)


def test_every_allowed_skip_has_a_reason() -> None:
    lines = (ROOT / "tests" / "allowed_skips.txt").read_text().splitlines()
    bare = [line for line in lines if line.strip() and not line.partition("#")[2].strip()]
    assert not bare, f"write the reason behind a #: {bare}"


def _named(module: Module) -> Iterator[str]:
    """Yield the modules that a module names in strings, as lazy command tables do."""
    dotted = re.compile(r"(bzzz_core|bzzz_tui|screens|themes)(\.\w+)+")
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            place = node.value.partition(":")[0]
            if dotted.fullmatch(place):
                yield place


def _names_of_task_groups(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.withitem(context_expr=made, optional_vars=ast.expr() as target) if (
                "TaskGroup" in ast.unparse(made)
            ):
                names.add(_last_name(target))
            case ast.arg(arg=name, annotation=ast.expr() as kind) if "TaskGroup" in ast.unparse(
                kind
            ):
                names.add(name)
            case ast.AnnAssign(target=target, annotation=kind) if "TaskGroup" in ast.unparse(kind):
                names.add(_last_name(target))
    for node in ast.walk(tree):  # self._tasks = tasks; group = await stack.enter...(TaskGroup())
        if isinstance(node, ast.Assign):
            value = ast.unparse(node.value)
            if "TaskGroup(" in value or _last_name(node.value) in names:
                names.update(_last_name(target) for target in node.targets)
    return names - {""}


def _last_name(node: ast.expr | None) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _kinds(node: ast.expr | None) -> list[ast.expr | None]:
    return list(node.elts) if isinstance(node, ast.Tuple) else [node]
