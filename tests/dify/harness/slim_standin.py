"""What lets graphon run a workflow's tool nodes in the real plugin: a stand-in for `dify-plugin-daemon-slim`.

graphon starts the program named by SLIM_BINARY_PATH for every plugin call. This one understands the same calls and
answers with the same JSON lines. It sends *tool* calls to the plugin that runs in the SDK's serverless mode, and plays
the *LLM* itself; a model of the provider "OpenAI-API-compatible" it asks with the SDK's own request code, which that
provider is made of. flow_runner.py sets it up; its settings are environment variables:

    SLIM_STANDIN_PLUGIN   the plugin's folder
    SLIM_STANDIN_URL      where it is served
    SLIM_STANDIN_LLM      what the LLM says, word by word
    SLIM_STANDIN_LOG      file to which the LLM's prompts are added, one JSON line each

    slim -id ID -action ACTION   {"data": ...} on stdin -> {"event": "chunk", "data": ...}* {"event": "done"}
    slim extract -id ID -output json -> {"data": {"manifest": {..., "tool": provider with its tools}}}
    errors: {"code", "message"} on stderr, status 1
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ZERO_USAGE = {
    "prompt_tokens": 1,
    "prompt_unit_price": "0",
    "prompt_price_unit": "0",
    "prompt_price": "0",
    "completion_tokens": 1,
    "completion_unit_price": "0",
    "completion_price_unit": "0",
    "completion_price": "0",
    "total_tokens": 2,
    "total_price": "0",
    "currency": "USD",
    "latency": 0.1,
    "time_to_first_token": 0.1,
    "time_to_generate": 0.1,
}


def emit(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def fail(code: str, message: str) -> int:
    sys.stderr.write(json.dumps({"code": code, "message": message}) + "\n")
    return 1


def declaration(folder: Path) -> dict[str, Any]:
    manifest = yaml.safe_load((folder / "manifest.yaml").read_text("utf-8"))
    provider = yaml.safe_load((folder / manifest["plugins"]["tools"][0]).read_text("utf-8"))
    provider["tools"] = [yaml.safe_load((folder / path).read_text("utf-8")) for path in provider["tools"]]
    return {**manifest, "tool": provider}


def is_ours(identifier: str, manifest: dict[str, Any]) -> bool:
    return identifier.split(":")[0] == f"{manifest['author']}/{manifest['name']}"


def play_llm(action: str, data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    model = data["model"]
    if action == "get_ai_model_schemas":
        yield {
            "model_schema": {
                "model": model,
                "label": {"en_US": model},
                "model_type": "llm",
                "features": [],
                "fetch_from": "predefined-model",
                "model_properties": {"mode": "chat", "context_size": 8192},
                "parameter_rules": [],
            }
        }
        return
    if action != "invoke_llm":
        raise KeyError(action)
    with Path(os.environ["SLIM_STANDIN_LOG"]).open("a", encoding="utf-8") as log:
        log.write(json.dumps(data["prompt_messages"], ensure_ascii=False) + "\n")
    words = os.environ.get("SLIM_STANDIN_LLM", "A harmless answer.").split(" ")
    pieces = [word + " " for word in words[:-1]] + [words[-1], ""]
    for index, piece in enumerate(pieces):
        last = index == len(pieces) - 1
        yield {
            "model": model,
            "prompt_messages": [],
            "system_fingerprint": "",
            "delta": {
                "index": index,
                "message": {"role": "assistant", "content": piece, "name": "", "tool_calls": []},
                "usage": ZERO_USAGE if last else None,
                "finish_reason": "stop" if last else None,
            },
        }


def ask_model(action: str, data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A real call, by the code that the provider "OpenAI-API-compatible" uses."""
    if action == "get_ai_model_schemas":
        yield from play_llm(action, data)
        return
    import model_client

    for chunk in model_client.invoke(data["credentials"], data["prompt_messages"], model=data["model"]):
        delta = chunk["delta"]
        delta["usage"] = ZERO_USAGE if delta.get("finish_reason") else None
        yield {"model": data["model"], "prompt_messages": [], "system_fingerprint": "", "delta": delta}


def call_tool(action: str, data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    body = {"session_id": "s", "event": "request", "data": {"user_id": "u", "type": "tool", "action": action, **data}}
    headers = {"Content-Type": "application/json"}
    post = urllib.request.Request(os.environ["SLIM_STANDIN_URL"] + "/invoke", json.dumps(body).encode(), headers)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(post, timeout=120) as answer:
        for line in filter(bytes.strip, answer):
            message = json.loads(line)["data"]
            if message["type"] == "error":
                raise RuntimeError(json.dumps(message["data"]))
            if message["type"] == "stream":
                yield message["data"]


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser()
    extracting = argv[:1] == ["extract"]
    for name in ("id", "action", "args", "output", "path"):
        parser.add_argument(f"-{name}")
    args = parser.parse_args(argv[1:] if extracting else argv)
    manifest = declaration(Path(os.environ["SLIM_STANDIN_PLUGIN"]))
    if extracting:
        if not is_ours(args.id, manifest):
            return fail("PLUGIN_NOT_FOUND", f"no folder is set for {args.id}")
        emit({"data": {"unique_identifier": args.id, "manifest": manifest}})
        return 0
    data = json.loads(args.args or sys.stdin.read())["data"]
    try:
        plays = ask_model if "openai_api_compatible" in args.id else play_llm
        for piece in (call_tool if is_ours(args.id, manifest) else plays)(args.action, data):
            emit({"event": "chunk", "data": piece})
    except (RuntimeError, ValueError) as error:
        return fail("PLUGIN_EXEC_ERROR", str(error))
    except (OSError, KeyError) as error:
        return fail("PLUGIN_START_ERROR", str(error))
    emit({"event": "done", "data": {}})
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
