"""What root reads on a host where the user `bzzz` could have placed something else."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from bzzz_core.deploy import rollback
from bzzz_core.deploy.own_files import AS_OWNER
from bzzz_core.deploy.phases import join_cluster, verify_cluster, wait_ready
from tests.fakes.probe_script import fake, run

SECRET = "root:$y$j9T$a-root-only-line:19000:"  # noqa: S105  a canary


class Listener(HTTPServer):
    """Whoever listens where the API should: it keeps what it is told, and has a version."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.told: list[str] = []
        self.looks = 0


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Listener)
        self.server.looks += self.path == "/health/ready"
        self.server.told.append(self.headers.get("Authorization", ""))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"version": "1"}')

    def log_message(self, *_: object) -> None:
        """Say nothing."""


SHORT_S, LONG_S = "0.4", "3"
"""For one look, and for several on a machine of any speed."""


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def place_token(tmp_path: Path, what: str) -> Path:
    """Return the token's path, where lies what a test is about."""
    (tmp_path / "shadow").write_text(f"{SECRET}\ndaemon:*:\n")
    (tmp_path / "single").write_text(f"{SECRET}\n")
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    token = secrets / "api-token"
    if what in {"shadow", "single"}:
        token.symlink_to(tmp_path / what)
    elif what == "pipe":
        os.mkfifo(token)
    else:
        token.write_text(what)
    return token


def wait(
    tmp_path: Path,
    listener: Listener,
    token: Path,
    *,
    restarts: str = "",
    started: bool = True,
    limit_s: str = SHORT_S,
) -> subprocess.CompletedProcess[str]:
    """Run the gate's script on this machine, for an agent that systemd calls active.

    Args:
        tmp_path: Where.
        listener: Who answers.
        token: What lies where the token should.
        restarts: The counts that systemd gives, one a look; the last one again and again.
        started: Whether this run started the agent.
        limit_s: How long the gate waits for the node to be ready.
    """
    tools = tmp_path / "tools"
    tools.mkdir()
    counts = tmp_path / "counts"
    counts.write_text("".join(f"{count}\n" for count in restarts.split()))
    count = f'head -n 1 {counts}; [ "$(wc -l <{counts})" -le 1 ] || sed -i 1d {counts}'
    fake(tools, "systemctl", f"case $* in *NRestarts*) {count} ;; *) echo active ;; esac")
    fake(tools, "journalctl", ":")
    inputs = tmp_path / "run" / "inputs"
    inputs.parent.mkdir(exist_ok=True)
    if not inputs.is_symlink():
        inputs.write_text("/opt/x/site\n")
    script = wait_ready._WAIT.replace("/run/bzzz-agent/inputs", str(inputs))
    words = (sys.executable, str(listener.server_port), limit_s, "/opt/x/site", "1", str(token))
    return subprocess.run(
        ["sh", "-c", script, "bzzz", *words, "1", "0", "yes" if started else ""],
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
        env={"PATH": f"{tools}:{os.environ['PATH']}"},
    )


def ask(listener: Listener, token: Path) -> subprocess.CompletedProcess[str]:
    """Run the script that asks a node for its view."""
    words = (sys.executable, str(listener.server_port), str(token))
    return subprocess.run(
        ["sh", "-c", verify_cluster._ASK, "bzzz", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
    )


@pytest.mark.parametrize("what", ["shadow", "single", "pipe", f"{SECRET}\nmore", "with blanks"])
def test_the_gate_hands_no_other_file_out(tmp_path: Path, listener: Listener, what: str) -> None:
    done = wait(tmp_path, listener, place_token(tmp_path, what))
    assert done.returncode == 1
    assert [told for told in listener.told if told] == []
    assert "root-only" not in done.stdout + done.stderr
    assert "api-token" in done.stderr


def test_the_gate_tells_nothing_of_what_a_link_for_the_inputs_names(
    tmp_path: Path, listener: Listener
) -> None:
    token = place_token(tmp_path, "good")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "inputs").symlink_to(tmp_path / "single")
    done = wait(tmp_path, listener, token)
    assert done.returncode == 1
    assert "root-only" not in done.stderr


@pytest.mark.parametrize(
    ("restarts", "started", "crashes"),
    [
        ("", True, False),
        ("0", True, False),
        ("1", True, True),
        ("1", False, False),
        ("7", False, False),
        ("7 7 8", False, True),
    ],
)
def test_an_agent_that_systemd_had_to_start_again_crashes(
    tmp_path: Path, listener: Listener, restarts: str, *, started: bool, crashes: bool
) -> None:
    """On a slow host there is no time for more than one new start.

    Of one that this run did not start, systemd counts since weeks ago: only what comes counts.
    """
    token = place_token(tmp_path, "shadow")
    looks = LONG_S if len(restarts.split()) > 1 else SHORT_S
    done = wait(tmp_path, listener, token, restarts=restarts, started=started, limit_s=looks)
    assert done.returncode == 1
    assert ("not ready: it crashes (" in done.stderr) is crashes
    assert "api-token" in done.stderr


def test_an_agent_that_crashed_long_ago_has_the_time_that_others_have(
    tmp_path: Path, listener: Listener
) -> None:
    """It was given up at the first look that did not find it ready."""
    token = place_token(tmp_path, "shadow")
    wait(tmp_path, listener, token, restarts="3", started=False, limit_s=LONG_S)
    assert listener.looks > 1


def test_the_gate_presents_the_nodes_own_token(tmp_path: Path, listener: Listener) -> None:
    done = wait(tmp_path, listener, place_token(tmp_path, "a-token\n"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "Bearer a-token" in listener.told


@pytest.mark.parametrize("what", ["shadow", "single", "pipe"])
def test_the_question_for_the_view_hands_no_other_file_out(
    tmp_path: Path, listener: Listener, what: str
) -> None:
    done = ask(listener, place_token(tmp_path, what))
    assert done.returncode != 0
    assert (listener.told, done.stdout) == ([], "")


def test_the_question_for_the_view_presents_the_token(tmp_path: Path, listener: Listener) -> None:
    done = ask(listener, place_token(tmp_path, "a-token"))
    assert (done.stdout, listener.told) == ('{"version": "1"}', ["Bearer a-token"])


def another_owner(tools: Path) -> None:
    """Let root look at a directory of user 990, who may read nothing that it links to."""
    fake(tools, "id", "echo 0")
    fake(tools, "stat", 'case $* in *"%u %g"*) echo "990 991" ;; *) echo "600 bzzz bzzz" ;; esac')
    fake(tools, "setpriv", f'echo "$*" >>{tools}/asked; echo "denied" >&2; exit 1')


def test_the_joining_reads_with_the_rights_of_the_directory(tmp_path: Path) -> None:
    another_owner(tmp_path)
    (tmp_path / "registry").symlink_to("/etc/hostname")
    done = subprocess.run(
        ["sh", "-c", join_cluster._READ, "bzzz", f"{tmp_path}/registry", "base64"],
        check=False,
        capture_output=True,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    assert (done.returncode, done.stdout) == (1, b"")
    asked = (tmp_path / "asked").read_text()
    assert asked == f"--reuid 990 --regid 991 --clear-groups -- base64 -- {tmp_path}/registry\n"


def test_the_probe_reads_with_the_rights_of_the_directory(tmp_path: Path) -> None:
    tools, node = tmp_path / "tools", tmp_path / "node"
    tools.mkdir()
    node.mkdir()
    another_owner(tools)
    fake(tools, "systemctl", ":")
    (tmp_path / "single").write_text(SECRET)
    for name in ("node.pem", "registry", "api-token", "inputs"):
        (node / name).symlink_to(tmp_path / "single")
    output = run(
        tools,
        "installed.sh",
        change={
            "/etc/bzzz/secrets/node.pem": f"{node}/node.pem",
            '"$1/registry"': f"{node}/registry",
            '"/run/$1/inputs"': f"{node}/inputs",
        },
    )
    assert b"root-only" not in output
    assert b"cm9vdDokeSRqOVQk" not in output, "the same in base64"
    asked = (tools / "asked").read_text()
    assert [f" {tool} " in asked for tool in ("sed", "base64", "cat")] == [True] * 3


def test_the_way_back_reads_with_the_same_rights() -> None:
    assert AS_OWNER in rollback._RETURN
    assert '<"$inputs"' not in rollback._RETURN
    assert rollback._RETURN.count('as_owner "$inputs"') == 3
