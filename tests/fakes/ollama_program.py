"""An EMULATION of the program `ollama`: its command line and its API, without any model.

It is no Ollama. It keeps made-up layers where Ollama keeps real ones, tells its progress in the
same lines, and fails in the same ways. Only the standard library, so that it runs on a bare host.

Names of models say what happens: `tiny` and every other name is pulled whole; `missing` is on no
registry; `broken` fails in the middle; `stalled` repeats its figures for ever; `cut` loses the
connection in the middle the first time; `large` has 4 MiB and takes 3 s.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

VERSION = "0.9.1"
CHUNK_BYTES = 64 * 1024


def layers_of(name: str) -> list[bytes]:
    """Return what a model is made of."""
    size = 64 if name.startswith("large") else 4
    seed = hashlib.sha256(name.encode()).digest()
    return [seed * (size * CHUNK_BYTES // len(seed)), json.dumps({"model": name}).encode()]


def digest_of(content: bytes) -> str:
    """Return a layer's name."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Store:
    """Blobs and manifests in the places where Ollama has them."""

    def __init__(self, root: Path) -> None:
        """Take the directory OLLAMA_MODELS."""
        self.blobs = root / "blobs"
        self.manifests = root / "manifests"
        self.blobs.mkdir(parents=True, exist_ok=True)
        self.manifests.mkdir(parents=True, exist_ok=True)

    def blob(self, digest: str) -> Path:
        """Return where a layer is."""
        return self.blobs / digest.replace(":", "-")

    def manifest(self, name: str) -> Path:
        """Return where it stands what a model is made of."""
        return self.manifests / name.replace("/", "_").replace(":", "@")

    def models(self) -> list[dict[str, Any]]:
        """Return the models that are there whole."""
        return [json.loads(path.read_text()) for path in sorted(self.manifests.iterdir())]


class Server(ThreadingHTTPServer):
    """The API on one port."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], store: Store, pause_s: float = 0.0) -> None:
        """Take where to listen, what to serve, and how long a chunk takes to arrive."""
        super().__init__(address, Api)
        self.store = store
        self.pause_s = pause_s
        self.cut: set[str] = set()
        self.received = 0
        """Bytes that pulls brought so far."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away."""


class Api(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer what only looks."""
        said: dict[str, Any] | None = {
            "/api/version": {"version": VERSION},
            "/api/tags": {"models": self.server.store.models()},
            "/api/ps": {"models": []},
            "/emulation": {"environment": dict(os.environ), "received": self.server.received},
        }.get(self.path)
        self._json(200 if said else 404, said or {"error": "not found"})

    def do_POST(self) -> None:
        """Answer a pull or a question about a model."""
        name = self._name()
        if self.path == "/api/pull":
            self._pull(name)
        elif self.path == "/api/show" and self.server.store.manifest(name).exists():
            self._json(200, {"details": {"family": "none", "parameter_size": "0B"}})
        else:
            self._json(404, {"error": f"model '{name}' not found"})

    def do_DELETE(self) -> None:
        """Remove a model."""
        name = self._name()
        path = self.server.store.manifest(name)
        if not path.exists():
            self._json(404, {"error": f"model '{name}' not found"})
            return
        path.unlink()
        self._json(200, {})

    def _name(self) -> str:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        name = str(body["model"])
        return name if ":" in name else f"{name}:latest"

    def _json(self, status: int, document: dict[str, Any]) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _say(self, **words: Any) -> None:
        line = json.dumps(words).encode() + b"\n"
        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        self.wfile.flush()

    def _pull(self, name: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/x-ndjson")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self._say(status="pulling manifest")
        if name.startswith("missing"):
            self._say(error="pull model manifest: file does not exist")
        elif self._layers(name):
            self._say(status="verifying sha256 digest")
            self._keep(name)
            self._say(status="writing manifest")
            self._say(status="success")
        self.wfile.write(b"0\r\n\r\n")

    def _layers(self, name: str) -> bool:
        for content in layers_of(name):
            digest = digest_of(content)
            path = self.server.store.blob(digest)
            part = path.with_name(f"{path.name}-partial")
            have = path.stat().st_size if path.exists() else 0
            have = have or (part.stat().st_size if part.exists() else 0)
            word = f"pulling {digest[7:19]}"
            self._say(status=word, digest=digest, total=len(content), completed=have)
            while have < len(content):
                if have and name.startswith("stalled"):
                    time.sleep(0.01)
                    self._say(status=word, digest=digest, total=len(content), completed=have)
                    continue
                if have and name.startswith("broken"):
                    self._say(error="max retries exceeded: unexpected EOF\x1b[2J")
                    return False
                if have and name.startswith("cut") and name not in self.server.cut:
                    self.server.cut.add(name)
                    self.connection.close()
                    raise BrokenPipeError
                chunk = content[have : have + CHUNK_BYTES]
                with part.open("ab") as file:
                    file.write(chunk)
                have += len(chunk)
                self.server.received += len(chunk)
                time.sleep(self.server.pause_s or (0.05 if name.startswith("large") else 0))
                self._say(status=word, digest=digest, total=len(content), completed=have)
            if not path.exists():
                part.rename(path)
        return True

    def _keep(self, name: str) -> None:
        layers = layers_of(name)
        document = {
            "name": name,
            "size": sum(map(len, layers)),
            "digest": digest_of(b"".join(layers)).partition(":")[2],
        }
        self.server.store.manifest(name).write_text(json.dumps(document))


def main(words: list[str]) -> int:
    """Do what the command line says."""
    if words == ["--version"]:
        sys.stdout.write(f"ollama version is {VERSION}\n")
        return 0
    if words != ["serve"]:
        sys.stderr.write("this emulation knows `serve` and `--version`\n")
        return 2
    host, _, port = os.environ.get("OLLAMA_HOST", "127.0.0.1:11434").rpartition(":")
    models = os.environ.get("OLLAMA_MODELS") or f"{os.environ['HOME']}/.ollama/models"
    pause_s = float(os.environ.get("EMULATION_PAUSE_S", "0"))
    Server((host or "127.0.0.1", int(port)), Store(Path(models)), pause_s).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
