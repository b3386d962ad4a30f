"""One tiny completion from a host that will use an endpoint: does it get through from there?

That this machine reaches a service says nothing about hosts behind other firewalls and proxies. The
host's own Python asks, as the login, with the proxies that the login has. The key goes over the
command's standard input and is in no argument, environment or file; of the answer only status,
error code, model and time come back, never words of the service.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from bzzz_core.config.secrets import Secret, resolve
from bzzz_core.config.sections import AiAnswers, AiEndpoint
from bzzz_core.config.sections.ai import LOCAL_PROVIDERS
from bzzz_core.deploy.remote import Completed, printable
from bzzz_core.errors import BzzzError
from bzzz_core.integrations.ai_endpoint import FIXES, Fault, fault_of, payer_headers, url_of

ANSWER_S_MAX: Final = 120
"""A model that is not in memory yet is loaded first."""
TOKENS_MAX: Final = 16
_ASK: Final = """
python=$(command -v python3) || { echo '{"error": "no-python"}'; exit 0; }
exec "$python" -I -S -c "$1"
"""
_PROGRAM: Final = r"""
import ipaddress, json, re, socket, ssl, sys, time, urllib.error, urllib.parse, urllib.request

asked = json.load(sys.stdin)
host = urllib.parse.urlsplit(asked["url"]).hostname or ""
try:
    near = ipaddress.ip_address(host).is_loopback
except ValueError:
    near = host == "localhost"


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args):
        return None


handlers = [Stay()] + ([urllib.request.ProxyHandler({})] if near else [])
opener = urllib.request.build_opener(*handlers)
body = json.dumps(asked["body"]).encode()
headers = {"content-type": "application/json", **asked["headers"]}
request = urllib.request.Request(asked["url"], body, headers, method="POST")
said, begun = {}, time.monotonic()


def document(answer):
    try:
        found = json.loads(answer.read(1000000))
    except (ValueError, OSError):
        found = {}
    return found if isinstance(found, dict) else {}


def cause(error):
    text = str(error).lower()
    if isinstance(error, socket.gaierror):
        return "dns"
    if isinstance(error, (socket.timeout, TimeoutError)):
        return "timeout"
    if isinstance(error, ssl.SSLError):
        return "tls"
    if "tunnel" in text or "proxy" in text:
        return "proxy"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return "network"


try:
    with opener.open(request, timeout=asked["timeout_s"]) as answer:
        found = document(answer)
        said = {"status": answer.status, "model": str(found.get("model", ""))[:200]}
        said["answered"] = bool(found.get("choices") or found.get("message"))
except urllib.error.HTTPError as error:
    complaint = document(error).get("error")
    complaint = complaint if isinstance(complaint, dict) else {}
    words = [w for w in (complaint.get("code"), complaint.get("type")) if isinstance(w, str)]
    code = next((w for w in words if re.fullmatch("[a-z][a-z0-9_]{1,60}", w)), "")
    said = {"status": error.code, "code": code}
except urllib.error.URLError as error:
    reason = error.reason if isinstance(error.reason, Exception) else error
    said = {"error": cause(reason)}
except (OSError, ValueError) as error:
    said = {"error": cause(error)}
said["ms"] = int(1000 * (time.monotonic() - begun))
print(json.dumps(said))
"""


class Asks(Protocol):
    """A host with an open connection, as far as it is needed here."""

    @property
    def name(self) -> str:
        """Return what the operator calls the host."""
        ...

    async def tell(
        self, script: str, *arguments: str, content: Secret, what: str, timeout_s: int
    ) -> Completed:
        """Run a constant script as the login, with a secret on its standard input.

        Raises:
            CommandFailed: It failed, took too long, or ended without a status.
            HostUnreachable: The connection is gone.
        """
        ...


class _Said(msgspec.Struct, frozen=True):
    status: int = 0
    code: str = ""
    model: str = ""
    answered: bool = False
    error: str = ""
    ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What came of one question from one host."""

    host: str
    endpoint: str
    works: bool
    words: str
    fault: Fault = Fault.NONE
    latency_ms: int | None = None
    model: str = ""

    @property
    def fix(self) -> str:
        """Return what to do about it; "" if nothing."""
        return FIXES.get(self.fault, "")


async def complete_from(
    host: Asks, name: str, endpoint: AiEndpoint, *, fetch_secret: Callable[[str], Secret] = resolve
) -> Completion:
    """Ask an endpoint from a host for a few words; whatever fails is a result too."""
    try:
        key = fetch_secret(endpoint.api_key) if endpoint.api_key else None
        done = await host.tell(
            _ASK,
            _PROGRAM,
            content=Secret(question(endpoint, key)),
            what=f"ask the endpoint {name}",
            timeout_s=ANSWER_S_MAX + 10,
        )
        said = msgspec.json.decode(done.stdout, type=_Said)
    except BzzzError as exc:
        return _failed(host.name, name, str(exc), Fault.SETUP)
    except (ValueError, RecursionError):
        return _failed(
            host.name, name, "the host's Python did not say what came of it", Fault.SETUP
        )
    return judge(host.name, name, endpoint, said)


def question(endpoint: AiEndpoint, key: Secret | None) -> str:
    """Return what the host's program is told, the key among it."""
    words = [{"role": "user", "content": "Answer with the word: ok"}]
    body: dict[str, Any] = {"model": endpoint.model or "", "messages": words, "stream": False}
    if endpoint.provider in LOCAL_PROVIDERS:
        path, body = "/api/chat", {**body, "options": {"num_predict": TOKENS_MAX}}
    else:
        path = "/v1/chat/completions"
        # The paid service's newer models know this name only, who imitates it the older one.
        limit = "max_completion_tokens" if endpoint.base_url is None else "max_tokens"
        body[limit] = TOKENS_MAX
    headers = payer_headers(endpoint)
    if key is not None:
        headers["authorization"] = f"Bearer {key.reveal()}"
    asked = {
        "url": f"{url_of(endpoint)}{path}",
        "body": body,
        "headers": headers,
        "timeout_s": ANSWER_S_MAX,
    }
    return msgspec.json.encode(asked).decode()


_ERRORS: Final[Mapping[str, tuple[Fault, str]]] = {
    "dns": (Fault.NETWORK, "its name is not known there"),
    "refused": (Fault.NETWORK, "nobody listens there"),
    "network": (Fault.NETWORK, "no way to it from there"),
    "tls": (Fault.NETWORK, "its certificate is not trusted there"),
    "proxy": (Fault.PROXY, "the proxy on the way refused"),
    "timeout": (Fault.TIMEOUT, f"no answer within {ANSWER_S_MAX} s"),
    "no-python": (Fault.SETUP, "the host has no python3 to ask with"),
}


def judge(host: str, name: str, endpoint: AiEndpoint, said: _Said) -> Completion:
    """Return what the host's answer means."""
    if said.error:
        fault, words = _ERRORS.get(said.error, (Fault.NETWORK, "no way to it from there"))
        return _failed(host, name, words, fault)
    fault = fault_of(said.status, said.code)
    if endpoint.provider in LOCAL_PROVIDERS and said.status == 404:  # noqa: PLR2004  no such model
        fault = Fault.MODEL
    if fault is not Fault.NONE or not said.answered:
        detail = f"{said.status}, {said.code}" if said.code else str(said.status)
        fault = fault if fault is not Fault.NONE else Fault.SERVICE
        return _failed(host, name, f"{fault.value}: answered {detail}", fault)
    model = printable(said.model) or endpoint.model or ""
    return Completion(
        host=host,
        endpoint=name,
        works=True,
        words=f"{model} answers in {said.ms} ms",
        latency_ms=said.ms,
        model=model,
    )


def _failed(host: str, name: str, words: str, fault: Fault) -> Completion:
    return Completion(host=host, endpoint=name, works=False, words=words, fault=fault)


async def complete_from_all(
    hosts: Mapping[str, Asks], answers: AiAnswers
) -> tuple[Completion, ...]:
    """Ask every endpoint from every host; hosts at the same time, a host's endpoints in turn."""

    async def one(host: Asks) -> list[Completion]:
        return [await complete_from(host, name, answers.effective(name)) for name in answers.names]

    found = await asyncio.gather(*(one(host) for host in hosts.values()))
    return tuple(completion for each in found for completion in each)
