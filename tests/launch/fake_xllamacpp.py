"""Stands in for the wheel `xllamacpp`: the same calls, a server of llama.cpp's dialect, and verdicts by a word.

FAKE_XLLAMACPP names a folder whose file `behaviour` has one word: `serve`, or `safe` for a model to which everything is
safe. What was started is written to `start-N.json` there.
"""

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

FOLDER = Path(os.environ.get("FAKE_XLLAMACPP", "/nowhere"))


class CommonParams:
    def __init__(self):
        self.model = SimpleNamespace(path="")
        self.cpuparams = SimpleNamespace(n_threads=-1)
        self.cpuparams_batch = SimpleNamespace(n_threads=-1)
        self.prefill_assistant = True


def verdict(messages, behaviour):
    unsafe = "bomb" in messages[-1]["content"] and behaviour != "safe"
    lines = [f"Safety: {'Unsafe' if unsafe else 'Safe'}", f"Categories: {'Violent' if unsafe else 'None'}"]
    if messages[-1]["role"] == "assistant":
        lines.append(f"Refusal: {'Yes' if 'sorry' in messages[-1]['content'] else 'No'}")
    return "\n".join(lines)


def logprobs(text):
    label = text.split("\n")[0].removeprefix("Safety: ")
    rest = text.removeprefix(f"Safety: {label}")
    top = [(f" {word}", -0.05 if word == label else -5.0) for word in ("Safe", "Controversial", "Unsafe")]
    tokens = [("Safety", [("Safety", -0.01)]), (":", [(":", -0.01)]), (f" {label}", top), (rest, [(rest, -0.01)])]

    def entry(token, logprob):
        return {"token": token, "logprob": logprob, "bytes": list(token.encode())}

    return {
        "content": [
            {**entry(token, -0.05), "top_logprobs": [entry(*one) for one in choices]} for token, choices in tokens
        ]
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    params: CommonParams

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.respond(None)

    def do_POST(self):
        self.respond(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def respond(self, body):
        if self.path == "/health":
            return self.answer(200, {"status": "ok"})
        if self.headers["Authorization"] != f"Bearer {self.params.api_keys[0]}":
            return self.answer(401, {"error": {"code": 401, "message": "Invalid API Key"}})
        if self.path == "/v1/models":
            context = self.params.n_ctx // self.params.n_parallel
            entry = {"id": next(iter(self.params.model_alias)), "owned_by": "llamacpp", "meta": {"n_ctx": context}}
            return self.answer(200, {"object": "list", "data": [entry]})
        if self.path == "/tokenize":
            pieces = [{"id": 1, "piece": letter} for letter in body.get("content", "")]
            return self.answer(200, {"tokens": pieces if body.get("with_pieces") else [1] * len(pieces)})
        if self.path != "/v1/chat/completions":
            return self.answer(404, {"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}})
        text = verdict(body["messages"], (FOLDER / "behaviour").read_text().strip())
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "logprobs": logprobs(text)}
        cut = body["max_tokens"] <= 3
        choice["finish_reason"] = "length" if cut else "stop"
        usage = {"prompt_tokens": 100 + len(body["messages"][-1]["content"]) // 4, "completion_tokens": 9}
        return self.answer(200, {"object": "chat.completion", "choices": [choice], "usage": usage})

    def answer(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Server:
    def __init__(self, params):
        head = Path(params.model.path).read_bytes()[:4]
        facts = {"pid": os.getpid(), "head": head.decode(), "slots": params.n_parallel, "context": params.n_ctx}
        facts |= {"threads": params.cpuparams.n_threads, "prefill": params.prefill_assistant, "name": params.model.path}
        facts |= {"alias": sorted(params.model_alias), "keys": params.api_keys, "http": params.n_threads_http}
        number = len(list(FOLDER.glob("start-*.json"))) + 1
        (FOLDER / f"start-{number}.json").write_text(json.dumps(facts))
        handler = type("Bound", (Handler,), {"params": params})
        server = ThreadingHTTPServer((params.hostnames[0], params.port), handler)
        self.listening_address = f"http://{params.hostnames[0]}:{params.port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
