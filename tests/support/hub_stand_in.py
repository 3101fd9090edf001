"""Stand-ins for the two hubs: real HTTP on the loopback interface, with the failures that real ones have."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

COMMIT = "1f0ec6a1a2f1c3b6f2b0b8a0a6a9f5c0e1d2c3b4"
REPO = "Qwen/Qwen3Guard-Gen-0.6B"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def git_sha1(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@dataclass
class StandIn:
    """Both protocols at once. `large` files are redirected to the storage, which is another origin.

    `trouble` is a list of things that happen to the next requests for content, in order: a status, `cut` (the
    connection breaks in the middle), `damage` (a wrong byte), `no-range` (the whole file although a part was asked).
    """

    files: dict[str, bytes]
    repo: str = REPO
    large: set[str] = field(default_factory=set)
    token: str | None = None
    trouble: list[object] = field(default_factory=list)
    listing_trouble: list[object] = field(default_factory=list)
    listing: object = None
    retry_after: str | None = None
    requests: list[tuple[str, str | None, str | None, str | None]] = field(default_factory=list)
    """Of each request: where (`hub` or `storage`) and path, Range, Authorization, Cookie."""
    url: str = ""
    storage_url: str = ""

    def contents(self):
        """The requests for content, as (path, range)."""
        return [
            (path, range_)
            for path, range_, _, _ in self.requests
            if "/api/models/" not in path and "/repo/files" not in path
        ]

    def huggingface_listing(self):
        def entry(path, content):
            plain = {"rfilename": path, "size": len(content), "blobId": git_sha1(content)}
            return (
                {**plain, "lfs": {"sha256": sha256(content), "size": len(content), "pointerSize": 134}}
                if path in self.large
                else plain
            )

        siblings = [entry(path, content) for path, content in self.files.items()]
        return {"id": self.repo, "sha": COMMIT, "private": False, "siblings": siblings}

    def github_listing(self):
        tree = [
            {"path": path, "type": "blob", "size": len(content), "sha": git_sha1(content)}
            for path, content in self.files.items()
        ]
        return {"sha": COMMIT, "tree": [*tree, {"path": "data", "type": "tree", "sha": COMMIT}], "truncated": False}

    def modelscope_listing(self):
        entries = [
            {
                "Name": path.rsplit("/")[-1],
                "Path": path,
                "Type": "blob",
                "Size": len(content),
                "Sha256": sha256(content),
                "Revision": COMMIT,
            }
            for path, content in self.files.items()
        ]
        entries.append({"Name": "assets", "Path": "assets", "Type": "tree", "Size": 0, "Sha256": ""})
        return {"Code": 200, "Data": {"Files": entries}, "Message": "success", "RequestId": "1", "Success": True}


class _Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A client that hangs up in the middle of an answer is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Ends the thread of a kept-alive connection that its client forgot to close; the fixture waits for the threads.
    timeout = 2
    stand_in: StandIn
    is_storage: bool

    def log_message(self, *args):
        pass

    def do_GET(self):
        stand_in = self.stand_in
        place = "storage" if self.is_storage else "hub"
        headers = self.headers
        stand_in.requests.append((place + self.path, headers["Range"], headers["Authorization"], headers["Cookie"]))
        url = urlsplit(self.path)
        if self.is_storage:
            return self._content(unquote(url.path[1:]))
        if stand_in.token and headers["Authorization"] != f"Bearer {stand_in.token}":
            return self._answer(401, b'{"error":"Invalid username or password."}')
        if url.path == f"/api/models/{stand_in.repo}/revision/main":
            return self._list(stand_in.huggingface_listing())
        if url.path == f"/api/v1/models/{stand_in.repo}/repo/files" and parse_qs(url.query)["Revision"] == ["master"]:
            return self._list(stand_in.modelscope_listing())
        if url.path.startswith(f"/{stand_in.repo}/resolve/{COMMIT}/"):
            return self._or_redirect(unquote(url.path.removeprefix(f"/{stand_in.repo}/resolve/{COMMIT}/")))
        if url.path == f"/api/v1/models/{stand_in.repo}/repo":
            return self._or_redirect(parse_qs(url.query)["FilePath"][0])
        return self._data_set(unquote(url.path))

    def _data_set(self, path):
        """Data sets on the hub, and at GitHub: its API and its raw files, at any commit."""
        stand_in = self.stand_in
        if path == f"/api/datasets/{stand_in.repo}/revision/main":
            return self._list(stand_in.huggingface_listing())
        if path.startswith(f"/datasets/{stand_in.repo}/resolve/{COMMIT}/"):
            return self._or_redirect(path.removeprefix(f"/datasets/{stand_in.repo}/resolve/{COMMIT}/"))
        if path.startswith(f"/repos/{stand_in.repo}/git/trees/"):
            return self._list(stand_in.github_listing())
        if path.startswith(f"/{stand_in.repo}/"):
            return self._content(path.removeprefix(f"/{stand_in.repo}/").partition("/")[2])
        return self._answer(404, b'{"error":"Repository not found"}')

    def _list(self, listing):
        stand_in = self.stand_in
        if stand_in.listing_trouble:
            return self._answer(stand_in.listing_trouble.pop(0), b"{}")
        listing = listing if stand_in.listing is None else stand_in.listing
        return self._answer(200, listing if isinstance(listing, bytes) else json.dumps(listing).encode())

    def _or_redirect(self, path):
        if path not in self.stand_in.large:
            return self._content(path)
        self.send_response(302)
        self.send_header("Location", f"{self.stand_in.storage_url}/{path}?signature=abc")
        self.send_header("X-Linked-Etag", f'"{sha256(self.stand_in.files[path])}"')
        self.send_header("Content-Length", "0")
        return self.end_headers()

    def _content(self, path):
        content = self.stand_in.files[path]
        trouble = self.stand_in.trouble.pop(0) if self.stand_in.trouble else None
        if isinstance(trouble, int):
            return self._answer(trouble, b"")
        start = 0
        if self.headers["Range"] and trouble != "no-range":
            start = int(self.headers["Range"].removeprefix("bytes=").split("-")[0])
            if start >= len(content):
                return self._answer(416, b"")
        self.send_response(206 if start else 200)
        self.send_header("Set-Cookie", "acw_tc=0123; Path=/")
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        if trouble == "damage":
            body = body[:-1] + bytes([body[-1] ^ 1])
        if trouble == "cut":
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return None
        self.wfile.write(body)
        return None

    def _answer(self, status, body):
        self.send_response(status)
        self.send_header("Set-Cookie", "acw_tc=0123; Path=/")
        if self.stand_in.retry_after is not None:
            self.send_header("Retry-After", self.stand_in.retry_after)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def hub_stand_in():
    stand_in = StandIn(
        files={
            ".gitattributes": b"*.safetensors filter=lfs\n",
            "README.md": b"# A model\n",
            "config.json": b'{"architectures": ["Qwen3ForCausalLM"]}',
            "model.safetensors": bytes(range(256)) * 8192,
            "nested/merges.txt": "合并 merges\n".encode(),
            "pytorch_model.bin": b"a pickle, which nobody should open",
            "modeling_custom.py": b"raise SystemExit('code from a hub was run')",
        },
        large={"model.safetensors", "pytorch_model.bin"},
    )
    servers = []
    for is_storage in (False, True):
        handler = type("Handler", (_Handler,), {"stand_in": stand_in, "is_storage": is_storage})
        server = _Server(("127.0.0.1", 0), handler)
        server.daemon_threads = False
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
    stand_in.url, stand_in.storage_url = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    yield stand_in
    for server in servers:
        server.shutdown()
        server.server_close()
