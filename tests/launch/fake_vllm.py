"""Behaves like `vllm serve` as far as `up` can tell: a closed port for a while, then its API; worker processes; deaths.

FAKE_VLLM names a folder. In it `behaviour` has one word for each start (the last one repeats); what was started is
written to `start-N.json`. With the file `sick` in it, /health answers 503.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = Path(os.environ["FAKE_VLLM"])
cached: dict[str, int] = {}
TOP = {"Safe": -4.0, "Controversial": -5.0, "Unsafe": -0.05}


def option(name):
    return sys.argv[sys.argv.index(name) + 1]


def verdict(messages):
    unsafe = "bomb" in messages[-1]["content"] and behaviour != "calls-all-safe"
    lines = [f"Safety: {'Unsafe' if unsafe else 'Safe'}", f"Categories: {'Violent' if unsafe else 'None'}"]
    if messages[-1]["role"] == "assistant":
        lines.append(f"Refusal: {'Yes' if 'sorry' in messages[-1]['content'] else 'No'}")
    return "\n".join(lines)


def entry(token, logprob, top):
    said = [{"token": word, "logprob": value, "bytes": list(word.encode())} for word, value in top]
    return {"token": token, "logprob": logprob, "bytes": list(token.encode()), "top_logprobs": said}


def logprobs(text):
    label = text.split("\n")[0].removeprefix("Safety: ")
    scores = {f" {word}": (TOP["Unsafe"] if word == label else -4.0 - i) for i, word in enumerate(TOP)}
    top = sorted(scores.items(), key=lambda item: -item[1])
    rest = text[len("Safety: ") + len(label) :]
    tokens = [("Safety", []), (":", []), (f" {label}", top)] + ([(rest, [])] if rest else [])
    return {"content": [entry(token, -0.05, top or [(token, -0.05)]) for token, top in tokens]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.handle_one()

    def do_POST(self):
        self.handle_one()

    def handle_one(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
        key = os.environ.get("VLLM_API_KEY")
        if self.path.startswith("/v1/") and key and self.headers["Authorization"] != f"Bearer {key}":
            return self.answer(401, {"error": "Unauthorized"})
        if self.path == "/health":
            return self.answer(503 if (FOLDER / "sick").exists() else 200, None)
        if self.path == "/version":
            return self.answer(200, {"version": "0.32.0"})
        if self.path == "/v1/models":
            model = {
                "id": option("--served-model-name"),
                "object": "model",
                "root": sys.argv[2],
                "max_model_len": int(option("--max-model-len")),
            }
            return self.answer(200, {"object": "list", "data": [model]})
        if self.path == "/tokenize":
            text = json.dumps(body.get("messages") or body.get("prompt"))
            return self.answer(
                200, {"count": len(text), "max_model_len": int(option("--max-model-len")), "tokens": [1] * len(text)}
            )
        if self.path == "/pooling":
            return self.rows(body)
        if self.path == "/v1/chat/completions":
            return self.chat(body)
        return self.answer(404, {"detail": "Not Found"})

    def rows(self, body):
        """Every token of an answer is safe, and every prompt unsafe: with one the service sees whether harm is known.

        Of what was asked with the same salt before, only the last 16 are computed again.
        """
        known = max(cached.get(body["cache_salt"], 0) - 16, 0)
        cached[body["cache_salt"]] = len(body["input"])
        count = len(body["input"]) - known
        content = struct.pack("<23f", *[3.0] + [0.0] * 10, *[0.0, 3.0] + [0.0] * 10) * count
        item = {"index": 0, "embed_dtype": "float32", "endianness": "little", "start": 0, "end": len(content)}
        self.answer(200, content, metadata=json.dumps({"data": [{**item, "shape": [count, 23]}]}))

    def chat(self, body):
        if behaviour == "dies-of-requests":
            os._exit(1)
        text = verdict(body["messages"]) if behaviour != "not-a-guard" else "I'm a helpful assistant."
        if body["max_tokens"] <= 3 and behaviour != "not-a-guard":
            text = text.split("\n")[0]
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": None},
            "logprobs": logprobs(text) if body.get("logprobs") and behaviour != "no-logprobs" else None,
            "finish_reason": "length" if body["max_tokens"] <= 3 else "stop",
            "stop_reason": None,
        }
        usage = {"prompt_tokens": 120, "completion_tokens": 9, "total_tokens": 129}
        model = option("--served-model-name")
        self.answer(
            200,
            {"id": "1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage},
        )

    def answer(self, status, body, metadata=None):
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        if metadata is not None:
            self.send_header("metadata", metadata)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


number = len(list(FOLDER.glob("start-*.json"))) + 1
words = (FOLDER / "behaviour").read_text().split()
behaviour = words[min(number, len(words)) - 1]
worker = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
start = {"pid": os.getpid(), "worker": worker.pid, "argv": sys.argv[1:], "env": dict(os.environ), "at": time.time()}
(FOLDER / f"start-{number}.json.new").write_text(json.dumps(start))
(FOLDER / f"start-{number}.json.new").rename(FOLDER / f"start-{number}.json")
print(f"INFO loading the model, start {number}", flush=True)


def end(*_):
    worker.terminate()
    os._exit(0)


if behaviour == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, end)
if behaviour == "crash":
    print("Traceback (most recent call last):\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB")
    sys.exit(1)
if behaviour == "silent":
    time.sleep(600)
time.sleep(0.1)
ThreadingHTTPServer((option("--host"), int(option("--port"))), Handler).serve_forever(0.02)
