"""The SSH adapter against a real sshd: each test is a trap that was measured in the wild."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bzzz_core.clock import SystemClock
from bzzz_core.config.profile import ProfileHost, SshAccess
from bzzz_core.config.secrets import Secret
from bzzz_core.deploy.ssh import own_key
from bzzz_core.deploy.ssh.forward import forward
from bzzz_core.deploy.ssh.host_keys import KnownHosts
from bzzz_core.deploy.ssh.login import Login, Pace
from bzzz_core.deploy.ssh.session import session
from bzzz_core.deploy.ssh.upload import SEGMENT_BYTES
from bzzz_core.errors import (
    AuthenticationFailed,
    CommandFailed,
    HostKeyChanged,
    HostKeyUnknown,
    HostUnreachable,
)
from bzzz_core.integrations.ollama import Ollama, PullProgress
from tests.fakes.loopback_sshd import PROGRAM, LoopbackSshd, make_key
from tests.fakes.ollama_program import Server, Store

pytestmark = [
    pytest.mark.integration,
    pytest.mark.anyio,
    pytest.mark.skipif(PROGRAM is None, reason="sshd is not installed"),
    pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed"),
]
QUICK = Pace(connect_s=3, login_s=5, keepalive_s=0.5, keepalives_max=2)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[LoopbackSshd]:
    with LoopbackSshd(tmp_path / "sshd") as server:
        yield server


def login(server: LoopbackSshd) -> Login:
    return Login(
        name="host-1",
        address="127.0.0.1",
        port=server.port,
        user=server.user,
        key=server.key,
        accept_new_host_key=True,
    )


def own(server: LoopbackSshd) -> KnownHosts:
    return KnownHosts(server.directory / "known_hosts")


async def test_first_contact_needs_consent_and_shows_the_fingerprint(sshd: LoopbackSshd) -> None:
    """Nobody can compare what is not shown."""
    careful = dataclasses.replace(login(sshd), accept_new_host_key=False)
    with pytest.raises(HostKeyUnknown, match=r"first contact") as failure:
        async with session(careful, own(sshd)):
            pass
    assert sshd.fingerprint in str(failure.value)
    assert "Accepted" not in sshd.log.read_text()


async def test_a_given_fingerprint_is_consent_for_that_key_alone(sshd: LoopbackSshd) -> None:
    named = dataclasses.replace(
        login(sshd), accept_new_host_key=False, host_key_sha256=sshd.fingerprint
    )
    async with session(named, own(sshd)) as host:
        assert host.greeting.host_key_sha256 == sshd.fingerprint
    other = dataclasses.replace(named, host_key_sha256="SHA256:" + "A" * 43)
    with pytest.raises(HostKeyChanged):
        async with session(other, KnownHosts(sshd.directory / "elsewhere")):
            pass


async def test_a_given_fingerprint_comes_before_what_is_on_record(sshd: LoopbackSshd) -> None:
    """Until then a line in any known_hosts file was enough, and the password went there."""
    known = own(sshd)
    async with session(login(sshd), known):
        pass
    sshd.log.write_text("")
    other = dataclasses.replace(login(sshd), host_key_sha256="SHA256:" + "A" * 43)
    with pytest.raises(HostKeyChanged, match=r"but the answers say"):
        async with session(other, known):
            pass
    assert "Accepted" not in sshd.log.read_text()
    async with session(dataclasses.replace(other, host_key_sha256=sshd.fingerprint), known):
        pass


async def test_a_given_fingerprint_does_not_replace_a_key_on_record(sshd: LoopbackSshd) -> None:
    known = own(sshd)
    async with session(login(sshd), known):
        pass
    sshd.stop()
    sshd.new_host_key()
    sshd.start()
    named = dataclasses.replace(login(sshd), host_key_sha256=sshd.fingerprint)
    with pytest.raises(HostKeyChanged, match=r"has CHANGED"):
        async with session(named, known):
            pass


@pytest.mark.parametrize("named", [True, False])
async def test_a_revoked_key_is_refused_at_first_contact_too(
    sshd: LoopbackSshd, *, named: bool
) -> None:
    words = " ".join((sshd.directory / "host.pub").read_text().split()[:2])
    theirs = sshd.directory / "theirs"
    theirs.write_text(f"@revoked [127.0.0.1]:{sshd.port} {words}\n")
    pinned = sshd.fingerprint if named else None
    with pytest.raises(HostKeyChanged, match=r"REVOKED"):
        async with session(
            dataclasses.replace(login(sshd), host_key_sha256=pinned),
            KnownHosts(sshd.directory / "known_hosts", [theirs]),
        ):
            pass
    assert "Accepted" not in sshd.log.read_text()
    assert not (sshd.directory / "known_hosts").exists()


async def test_a_pinned_key_is_trusted_without_asking_again(sshd: LoopbackSshd) -> None:
    async with session(login(sshd), own(sshd)):
        pass
    careful = dataclasses.replace(login(sshd), accept_new_host_key=False)
    async with session(careful, own(sshd)) as host:
        assert host.greeting.uid >= 0
    assert (sshd.directory / "known_hosts").read_text().count("\n") == 1


async def test_a_changed_key_is_refused_before_anything_is_sent(sshd: LoopbackSshd) -> None:
    """Consent to new keys is no consent to another one."""
    async with session(login(sshd), own(sshd)):
        pass
    old = sshd.fingerprint
    sshd.stop()
    sshd.new_host_key()
    sshd.log.write_text("")
    sshd.start()
    with pytest.raises(HostKeyChanged) as failure:
        async with session(login(sshd), own(sshd)):
            pass
    assert old in str(failure.value)
    assert sshd.fingerprint in str(failure.value)
    log = sshd.log.read_text()
    assert "Accepted" not in log
    assert "Failed" not in log


async def test_a_refused_login_is_told_from_an_unreachable_host(
    sshd: LoopbackSshd, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger"
    make_key(stranger)
    with pytest.raises(AuthenticationFailed, match=r"refused"):
        async with session(dataclasses.replace(login(sshd), key=stranger), own(sshd)):
            pass
    sshd.stop()
    with pytest.raises(HostUnreachable, match=r"is sshd running"):
        async with session(login(sshd), own(sshd)):
            pass


KEYS_ONLY = ()
PASSWORDS_ONLY = ("PubkeyAuthentication no", "PasswordAuthentication yes", "PermitRootLogin yes")
QUESTIONS_ONLY = (
    *("PubkeyAuthentication no", "UsePAM yes", "KbdInteractiveAuthentication yes"),
    "PermitRootLogin yes",
)


@pytest.mark.parametrize(
    ("lines", "given", "said"),
    [
        (KEYS_ONLY, "password", "offers publickey; tried: none. Name a key"),
        (KEYS_ONLY, "key", r"offers publickey; tried: publickey \(.*stranger\). Let the host know"),
        (PASSWORDS_ONLY, "key", "offers password; tried: none. Give the password of"),
        (PASSWORDS_ONLY, "password", r"tried: the password, once \(password\). Is the password"),
        (QUESTIONS_ONLY, "key", "offers keyboard-interactive; tried: none. Give the password"),
        (QUESTIONS_ONLY, "password", r"the password, once \(keyboard-interactive\). Is the"),
    ],
)
async def test_a_refusal_names_what_the_host_offers_and_what_was_tried(
    tmp_path: Path, lines: tuple[str, ...], given: str, said: str
) -> None:
    """So that nobody looks for a wrong password where passwords are turned off."""
    stranger = tmp_path / "stranger"
    make_key(stranger)
    with LoopbackSshd(tmp_path / "sshd", *lines) as sshd:
        tried = dataclasses.replace(
            login(sshd),
            key=stranger if given == "key" else None,
            password=Secret("wrong horse") if given == "password" else None,
        )
        with pytest.raises(AuthenticationFailed, match=said) as failure:
            async with session(tried, own(sshd)):
                pass
    assert "wrong horse" not in str(failure.value)
    assert sshd.log.read_text().count("Failed password") <= 1


async def test_a_login_that_ends_for_too_many_keys_is_a_refusal(tmp_path: Path) -> None:
    """A busy SSH agent; said to be a host out of reach, it would be tried again and again."""
    keys = [tmp_path / "first", tmp_path / "second"]
    for key in keys:
        make_key(key)
    with LoopbackSshd(tmp_path / "sshd", "MaxAuthTries 1") as sshd:
        many = dataclasses.replace(login(sshd), own_key=keys[0], key=keys[1])
        with pytest.raises(
            AuthenticationFailed, match=r"too many keys \(.*first, .*second\): name"
        ):
            async with session(many, own(sshd)):
                pass


async def test_output_that_is_no_utf8_keeps_output_and_status(sshd: LoopbackSshd) -> None:
    async with session(login(sshd), own(sshd)) as host:
        done = await host.run(
            r"printf 'ok\n'; printf 'a\377'; exit 3", what="print", root=False, check=False
        )
        assert (done.status, done.stdout) == (3, b"ok\na\xff")
        assert (await host.run("echo on", what="go on", root=False)).text == "on"


async def test_a_chatty_login_does_not_mix_into_output(tmp_path: Path) -> None:
    noisy = 'ForceCommand echo Welcome; echo noise >&2; eval "$SSH_ORIGINAL_COMMAND"'
    with LoopbackSshd(tmp_path / "sshd", noisy) as sshd:
        async with session(login(sshd), own(sshd)) as host:
            assert (await host.run("echo hello", what="greet", root=False)).text == "hello"


async def test_files_arrive_where_a_chatty_login_breaks_sftp(tmp_path: Path) -> None:
    """Its server is started through the login's shell, whose words come first."""
    noisy = 'ForceCommand echo Welcome; eval "$SSH_ORIGINAL_COMMAND"'
    large = tmp_path / "large"
    content = random.Random(7).randbytes(5_000_000)
    large.write_bytes(content)
    sent: list[int] = []
    with LoopbackSshd(tmp_path / "sshd", noisy) as sshd:
        async with session(login(sshd), own(sshd)) as host:
            staged = await host.stage(b"secret\0\xff\n")
            assert _content_and_mode(staged) == (b"secret\0\xff\n", 0o600)
            path = await host.upload(large, lambda done, _total: sent.append(done))
            assert _content_and_mode(path) == (content, 0o600)
            assert sent == [0, 2 << 20, 4 << 20, len(content)]
            # A link that was lost left the first segment, and a torn one after it.
            os.truncate(path, 2_500_000)
            sent.clear()
            await host.upload(large, lambda done, _total: sent.append(done))
            assert sent[0] == 2 << 20
            assert _content_and_mode(path) == (content, 0o600)


def _content_and_mode(path: str) -> tuple[bytes, int]:
    file = Path(path)
    return file.read_bytes(), stat.S_IMODE(file.stat().st_mode)


async def test_a_login_that_ends_early_is_no_success(tmp_path: Path) -> None:
    with (
        LoopbackSshd(tmp_path / "sshd", "ForceCommand exit 0") as sshd,
        pytest.raises(CommandFailed, match=r"ended before the command"),
    ):
        async with session(login(sshd), own(sshd)):
            pass


async def test_values_arrive_as_they_are(sshd: LoopbackSshd) -> None:
    hostile = ["a'b\"c", "$(touch /tmp/x) `id`", "line\nline", "-n", "", "ünïcode ☃", "\\", "*"]
    async with session(login(sshd), own(sshd)) as host:
        done = await host.run('printf "%s\\0" "$@"', *hostile, what="print", root=False)
    assert done.stdout.decode().split("\0")[:-1] == hostile


async def test_a_secret_is_told_on_standard_input_and_nowhere_else(sshd: LoopbackSshd) -> None:
    script = 'cat; printf "|%s" "$(tr "\\0" " " </proc/$$/cmdline | grep -c "canary-[1]")"'
    async with session(login(sshd), own(sshd)) as host:
        done = await host.tell(script, content=Secret("canary-1"), what="tell", timeout_s=10)
    assert done.text == "canary-1\n|0"


async def test_a_model_is_pulled_through_the_hosts_own_loopback(
    sshd: LoopbackSshd, tmp_path: Path
) -> None:
    server = Server(("127.0.0.1", 0), Store(tmp_path / "models"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    told: list[PullProgress] = []
    try:
        async with (
            session(login(sshd), own(sshd)) as host,
            host.forwarded(server.server_address[1]) as port,
            Ollama(f"http://127.0.0.1:{port}", clock=SystemClock()) as ollama,
        ):
            assert port != server.server_address[1]
            await ollama.pull("tiny", stall_s=10, progress=told.append)
            assert [model.name for model in await ollama.stored()] == ["tiny:latest"]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert told[-1].status == "success"


async def test_a_killed_command_is_a_failure(sshd: LoopbackSshd) -> None:
    async with session(login(sshd), own(sshd)) as host:
        with pytest.raises(CommandFailed):
            await host.run("kill -9 $$", what="die", root=False)


async def test_huge_output_is_cut_and_the_status_is_kept(sshd: LoopbackSshd) -> None:
    async with session(login(sshd), own(sshd)) as host:
        done = await host.run(
            "head -c 20000000 /dev/zero; exit 7", what="flood", root=False, check=False
        )
    assert done.status == 7
    assert done.truncated
    assert len(done.stdout) < 5_000_000


async def test_eight_commands_run_side_by_side(sshd: LoopbackSshd) -> None:
    async with session(login(sshd), own(sshd)) as host:
        begun = time.monotonic()
        done = await asyncio.gather(
            *(host.run('sleep 1; echo "$1"', str(n), what="wait", root=False) for n in range(8))
        )
    assert [one.text for one in done] == [str(n) for n in range(8)]
    assert time.monotonic() - begun < 6  # one after the other takes eight


async def test_a_server_that_drops_logins_at_random_is_asked_again(tmp_path: Path) -> None:
    """MaxStartups does so as soon as a few log in at once; first contact is no exception."""
    with LoopbackSshd(tmp_path / "sshd", "MaxStartups 2:60:8") as sshd:

        async def go(number: int) -> str:
            known = KnownHosts(sshd.directory / f"known-{number}")
            async with session(login(sshd), known) as host:
                return (await host.run('echo "$1"', str(number), what="ask", root=False)).text

        said = await asyncio.gather(*(go(number) for number in range(12)))
        assert said == [str(number) for number in range(12)]
        assert "MaxStartups" in sshd.log.read_text()


async def test_a_server_with_few_sessions_is_asked_again_and_named_if_that_fails(
    tmp_path: Path,
) -> None:
    with LoopbackSshd(tmp_path / "sshd", "MaxSessions 2") as sshd:
        async with session(login(sshd), own(sshd)) as host:
            brief = (host.run("sleep 0.2", what="wait", root=False) for _ in range(4))
            assert [done.status for done in await asyncio.gather(*brief)] == [0] * 4
            long = (host.run("sleep 6", what="wait", root=False) for _ in range(3))
            outcomes = await asyncio.gather(*long, return_exceptions=True)
            (refusal,) = (one for one in outcomes if isinstance(one, Exception))
            assert isinstance(refusal, CommandFailed)
            assert "MaxSessions" in str(refusal)


async def test_an_upload_that_is_there_in_part_is_gone_on_with(
    sshd: LoopbackSshd, tmp_path: Path
) -> None:
    """What is there and wrong is not built upon."""
    big = tmp_path / "big"
    big.write_bytes(bytes(range(251)) * 30_000)
    seen: list[int] = []
    async with session(login(sshd), own(sshd)) as host:
        first = Path(await host.upload(big, lambda _sent, _total: None))
        content = _mode_and_content(first)[1]
        _write(first, content[: SEGMENT_BYTES + 5])
        assert await host.upload(big, lambda sent, _total: seen.append(sent)) == str(first)
        assert seen[0] == SEGMENT_BYTES
        assert _mode_and_content(first) == (0o600, content)
        _write(first, b"x" * SEGMENT_BYTES)
        seen.clear()
        await host.upload(big, lambda sent, _total: seen.append(sent))
        assert seen[0] == 0
        assert _mode_and_content(first)[1] == content


async def test_a_frozen_server_fails_within_the_keepalive_budget(sshd: LoopbackSshd) -> None:
    async with session(login(sshd), own(sshd), QUICK) as host:
        sleeping = asyncio.ensure_future(host.run("sleep 60", what="sleep", root=False))
        await asyncio.sleep(0.3)
        sshd.freeze()
        begun = time.monotonic()
        with pytest.raises((HostUnreachable, CommandFailed)):
            await sleeping
        assert time.monotonic() - begun < 5


async def test_the_host_itself_ends_a_command_that_takes_too_long(sshd: LoopbackSshd) -> None:
    async with session(login(sshd), own(sshd)) as host:
        with pytest.raises(CommandFailed, match=r"longer than 1 s"):
            await host.run("sleep 61.25", what="sleep", root=False, timeout_s=1)
    assert _running("sleep 61.25") == []


async def test_a_cancelled_command_does_not_outlive_its_limit(sshd: LoopbackSshd) -> None:
    """Cancelling here does not reach the process there; its own limit does."""
    async with session(login(sshd), own(sshd)) as host:
        sleeping = asyncio.ensure_future(
            host.run("sleep 62.25", what="sleep", root=False, timeout_s=2)
        )
        await _until(lambda: _running("sleep 62.25") != [])
        sleeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sleeping
        assert (await host.run("echo on", what="go on", root=False)).text == "on"
        await _until(lambda: _running("sleep 62.25") == [])


async def test_staged_files_are_private_from_the_start_and_swept_at_the_end(
    sshd: LoopbackSshd, tmp_path: Path
) -> None:
    big = tmp_path / "big"
    big.write_bytes(bytes(range(256)) * 20_000)
    seen: list[int] = []
    async with session(login(sshd), own(sshd)) as host:
        secret = Path(await host.stage(b"secret"))
        sent = Path(await host.upload(big, lambda done, _total: seen.append(done)))
        assert _mode_and_content(secret) == (0o600, b"secret")
        assert _mode_and_content(sent)[1] == _mode_and_content(big)[1]
        assert _mode(secret.parent) == 0o700
    assert seen[-1] == len(_mode_and_content(big)[1])
    assert not secret.parent.exists()


async def test_forwarding_leads_to_the_hosts_own_loopback(sshd: LoopbackSshd) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello " + await reader.readline())
        writer.close()

    async with session(login(sshd), own(sshd)):
        pass
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        access = SshAccess(
            user=sshd.user,
            port=sshd.port,
            key=str(sshd.key),
            known_hosts=str(sshd.directory / "known_hosts"),
        )
        target = ProfileHost(
            name="host-1", address="127.0.0.1", api_port=server.sockets[0].getsockname()[1]
        )
        async with forward(access, target) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"you\n")
            assert await reader.read() == b"hello you\n"
            writer.close()


async def test_forwarding_trusts_no_host_that_setup_did_not_pin(sshd: LoopbackSshd) -> None:
    access = SshAccess(
        user=sshd.user, port=sshd.port, key=str(sshd.key), known_hosts=str(sshd.directory / "none")
    )
    with pytest.raises(HostKeyUnknown):
        async with forward(access, ProfileHost(name="host-1", address="127.0.0.1", api_port=1)):
            pass


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _mode_and_content(path: Path) -> tuple[int, bytes]:
    return _mode(path), path.read_bytes()


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


async def _until(holds: Callable[[], bool]) -> None:
    """Return once something holds that no process tells us."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def _running(command: str) -> list[str]:
    """Return the processes with exactly these words."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended meanwhile
        if words == command:
            found.append(words)
    return found


async def test_a_locked_key_of_ours_logs_in_with_its_passphrase(sshd: LoopbackSshd) -> None:
    """And is tried before the key that the answers name."""
    path, passphrase = sshd.directory / "ssh" / "id_ed25519", Secret("correct horse battery")
    own_key.create(path, comment="bzzz", passphrase=passphrase)
    assert b"ENCRYPTED" in path.read_bytes()
    (sshd.directory / "authorized_keys").write_text(own_key.public_line(path) + "\n")
    locked = dataclasses.replace(login(sshd), own_key=path, passphrase=passphrase)
    async with session(locked, own(sshd)) as host:
        assert host.greeting.through.endswith(f"127.0.0.1 {sshd.port}")
    with pytest.raises(AuthenticationFailed):
        async with session(dataclasses.replace(locked, passphrase=Secret("wrong")), own(sshd)):
            pass
