"""What guarding a streamed answer costs: `python benchmarks/bench_stream.py`.

A stand-in for a language model writes 50 tokens a second; every stream tells when it began, as a number that all
contracts have a place for. With `--door chat responses messages` each contract is a row of the same run. The service
judges with its embedded engine, everything
on: API key, metrics, JSON log. Every answer is another text, so the cache is of no use.

`first` is how much later the first text is seen than without the service, `held` how much later the mean token is.
CPU is user and system time of all server processes. The stand-in and the clients run on the same cores.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, quantiles
from typing import Any, NamedTuple

from load import add_before, cpu_seconds, free_port, machine, python_of

KEY = "bench-0123456789abcdef"
SENTENCES = (
    "First put {n} grams of flour into a large bowl and make a well in the middle.",
    "Warm the milk until it is just above body temperature, then stir in the yeast.",
    "While it rests, line the tin with paper and brush the sides with a little melted butter.",
    "Knead for about {n} minutes, until the dough is smooth and springs back when you press it.",
    "If it sticks, do not add more flour at once; wait a minute and try again with wet hands.",
    "Cover the bowl with a cloth.",
    "After {n} minutes it should have doubled; a cool kitchen takes longer, and that does no harm.",
    "Fold it twice, shape it, and let it rest again while the oven gets hot.",
    "Bake it on the lower shelf until it sounds hollow when you tap its base.",
    "- 500 g flour\n- {n} g butter\n- 1 tsp salt\n",
    "Some people like to glaze it with egg, others with milk; both work, and so does nothing at all.",
)


def answer(seed: int, tokens: int) -> list[str]:
    """An answer of so many tokens of about four characters, another one for every seed."""
    luck = random.Random(seed)
    found: list[str] = []
    while len(found) < tokens:
        text = luck.choice(SENTENCES).format(n=luck.randint(2, 900)) + " "
        found += re.findall(r"\s*\S{1,5}|\s+", text)
    return found[:tokens]


PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
Event = dict[str, object]


class Script(NamedTuple):
    """What a contract has before the text, for each piece of it by its number, and after it."""

    before: list[Event]
    piece: Callable[[int, str], Event]
    after: list[Event]


def messages_script(started: float, whole: str) -> Script:
    usage = {"input_tokens": started, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    stop = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}
    delta = {"type": "content_block_delta", "index": 0}
    return Script(
        [{"type": "message_start", "message": message}, block],
        lambda number, text: {**delta, "delta": {"type": "text_delta", "text": text}},
        [{"type": "content_block_stop", "index": 0}, stop, {"type": "message_stop"}],
    )


def responses_script(started: float, whole: str) -> Script:
    response = {"id": "resp_1", "object": "response", "created_at": started, "model": "m", "output": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
    part = {"type": "output_text", "text": "", "annotations": []}
    at: Event = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    full = {**part, "text": whole}
    done = {**item, "content": [full], "status": "completed"}
    return Script(
        [
            {"type": "response.created", "sequence_number": 0, "response": response},
            {"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": item},
            {"type": "response.content_part.added", "sequence_number": 2, **at, "part": part},
        ],
        lambda number, text: {
            "type": "response.output_text.delta", "sequence_number": number + 3, **at, "delta": text, "logprobs": []
        },
        [
            {"type": "response.output_text.done", **at, "text": whole},
            {"type": "response.content_part.done", **at, "part": full},
            {"type": "response.output_item.done", "output_index": 0, "item": done},
            {"type": "response.completed", "response": {**response, "output": [done], "status": "completed"}},
        ],
    )  # fmt: skip


def chat_script(started: float, whole: str) -> Script:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": started, "model": "m"}

    def chunk(choice: Event) -> Event:
        return {**head, "choices": [{"index": 0, **choice}]}

    return Script(
        [],
        lambda number, text: chunk({"delta": {"content": text}, "finish_reason": None}),
        [chunk({"delta": {}, "finish_reason": "stop"})],
    )


SCRIPTS = {"chat": chat_script, "responses": responses_script, "messages": messages_script}


async def model(port: int, *, tokens: int, per_second: float) -> None:
    """The stand-in for a language model."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"content-length: (\d+)", head.lower())[1])  # type: ignore[index]
            body = json.loads(await reader.readexactly(length))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            started = time.monotonic()
            door = next(door for door, path in PATHS.items() if head.split(b" ", 2)[1].decode() == path)
            texts = answer(body["max_tokens"], tokens)
            before, each, after = SCRIPTS[door](started, "".join(texts))
            for event in before:
                send(writer, event)
            for number, text in enumerate(texts):
                await asyncio.sleep(started + (number + 1) / per_second - time.monotonic())
                send(writer, each(number, text))
                await writer.drain()
            for event in after:
                send(writer, event)
            writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n" if door == "chat" else b"0\r\n\r\n")
            await writer.drain()
        writer.close()

    def send(writer: asyncio.StreamWriter, event: dict[str, object]) -> None:
        name = f"event: {event['type']}\n" if "type" in event else ""
        data = f"{name}data: {json.dumps(event)}\n\n".encode()
        writer.write(b"%x\r\n%s\r\n" % (len(data), data))

    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


@dataclass
class Seen:
    """What one client saw."""

    tokens: int = 0
    held_s: list[float] = field(default_factory=list)
    is_complete: bool = False
    error: str = ""


async def chat(port: int, seed: int, *, door: str, per_second: float) -> Seen:
    """One streamed chat."""
    seen = Seen()
    asked = [{"role": "user", "content": f"Bread {seed}?"}]
    body = {"model": "m", "stream": True, "max_tokens": seed, "input" if door == "responses" else "messages": asked}
    content = json.dumps(body).encode()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        writer.write(
            f"POST {PATHS[door]} HTTP/1.1\r\nHost: bench\r\nX-API-Key: {KEY}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode()
            + content
        )
        status = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1]
        if status != b"200":
            seen.error = f"status {status.decode()}"
        started = 0.0
        async for data in events(reader):
            now = time.monotonic()
            document = {} if data == "[DONE]" else json.loads(data)
            started = started or began(document)
            if data == "[DONE]" or document.get("type") in ("response.completed", "message_stop"):
                seen.is_complete = True
                break
            if "error" in document:
                seen.error = str(document["error"])
            elif has_text(document):
                seen.tokens += 1
                seen.held_s.append(now - started - seen.tokens / per_second)
        writer.close()
    except (OSError, ValueError, asyncio.IncompleteReadError) as error:
        seen.error = seen.error or repr(error)
    return seen


def began(document: dict[str, Any]) -> float:
    """When the model began, if this document tells it."""
    told = document.get("created") or document.get("response", {}).get("created_at")
    return float(told or document.get("message", {}).get("usage", {}).get("input_tokens") or 0.0)


def has_text(document: dict[str, Any]) -> bool:
    """Whether a document has a piece of the text."""
    if "choices" in document:
        return bool(document["choices"][0]["delta"].get("content"))
    return document.get("type") in ("response.output_text.delta", "content_block_delta")


async def events(reader: asyncio.StreamReader) -> AsyncIterator[str]:
    """The data of the events in a body of chunks."""
    rest = b""
    while size := int(await reader.readline(), 16):
        *whole, rest = (rest + (await reader.readexactly(size + 2))[:-2]).split(b"\n\n")
        for event in whole:
            _, found, data = event.rpartition(b"data: ")
            if found:
                yield data.decode()


async def chats(
    port: int, streams: int, *, first: int, spread_s: float, door: str = "chat", per_second: float
) -> list[Seen]:
    """So many chats at once, begun over a short time, as people do."""

    async def later(number: int) -> Seen:
        await asyncio.sleep(spread_s * number / streams)
        return await chat(port, first + number, door=door, per_second=per_second)

    return await asyncio.gather(*(later(number) for number in range(streams)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 20, 100, 200], help="chats at once, per row")
    parser.add_argument("--tokens", type=int, default=400, help="tokens of an answer")
    parser.add_argument("--per-second", type=float, default=50.0, help="tokens that the model writes per second")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--door", nargs="+", choices=PATHS, default=["chat"], help="contracts, each a row of the same run"
    )
    parser.add_argument("--model", type=int, metavar="PORT", help=argparse.SUPPRESS)
    add_before(parser)
    options = parser.parse_args()
    if options.model is not None:
        asyncio.run(model(options.model, tokens=options.tokens, per_second=options.per_second))
        return
    places = max(options.streams)
    with contextlib.ExitStack() as stack:
        model_port = stack.enter_context(running_model(options))
        services = {"now": stack.enter_context(service(model_port, options.workers, places))}
        if options.before:
            earlier = service(model_port, options.workers, places, checkout=options.before)
            services = {"before": stack.enter_context(earlier), **services}
        for _, port in services.values():
            for door in options.door:
                warm = chats(port, 2 * options.workers, first=1, spread_s=0.1, door=door, per_second=options.per_second)
                asyncio.run(warm)
        print("| streams | errors | first, p50 | first, p95 | held, mean | held, p95 | checks per 1000 tokens | "
              "CPU per 1000 tokens |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
        first = 1000
        for streams in options.streams:
            for title, (pid, port) in services.items():
                for door in options.door:
                    name = str(streams) if len(services) == 1 else f"{streams}, {title}"
                    name = name if len(options.door) == 1 else f"{name}, {door}"
                    print(row(name, pid, port, streams, first, door=door, per_second=options.per_second), flush=True)
                    first += streams
    print(f"\n{machine()}; {options.workers} workers, {options.per_second:g} tokens/s, {options.tokens} tokens each.")


def row(name: str, pid: int, port: int, streams: int, first: int, *, door: str, per_second: float) -> str:
    checks, cpu = checks_made(port), cpu_seconds(pid)
    spread_s = min(2.0, streams / 50)
    seen = asyncio.run(chats(port, streams, first=first, spread_s=spread_s, door=door, per_second=per_second))
    checks, cpu = checks_made(port) - checks, cpu_seconds(pid) - cpu
    wrong = [one for one in seen if one.error or not one.is_complete]
    for one in wrong[:3]:
        print(f"error: {one.error or 'cut'} after {one.tokens} tokens", file=sys.stderr)
    firsts = sorted(one.held_s[0] for one in seen if one.held_s)
    held = [seconds for one in seen for seconds in one.held_s]
    thousands = sum(one.tokens for one in seen) / 1000
    cells = [
        name,
        str(len(wrong)),
        f"{median(firsts):.2f} s",
        f"{worst(firsts):.2f} s",
        f"{mean(held):.2f} s",
        f"{worst(held):.2f} s",
        f"{checks / thousands:.0f}",
        f"{cpu / thousands * 1000:.0f} ms",
    ]
    return f"| {' | '.join(cells)} |"


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def worst(values: list[float]) -> float:
    return quantiles(values, n=20)[-1] if len(values) > 1 else values[0]


def checks_made(port: int) -> int:
    """Responses that the service has judged so far."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"X-API-Key": KEY})
    with urllib.request.urlopen(request, timeout=30) as reply:
        lines = reply.read().decode().splitlines()
    counts = [line for line in lines if line.startswith("moderation_decisions_total{") and 'target="response"' in line]
    return sum(int(float(line.rpartition(" ")[2])) for line in counts)


@contextlib.contextmanager
def running_model(options: argparse.Namespace) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, __file__, "--model", str(port), "--tokens", str(options.tokens)]
    with subprocess.Popen([*command, "--per-second", str(options.per_second)]) as process:
        try:
            yield port
        finally:
            process.terminate()


@contextlib.contextmanager
def service(model_port: int, workers: int, places: int, *, checkout: Path | None = None) -> Iterator[tuple[int, int]]:
    """The service as its users start it; each worker has a place for every stream, for they are not shared evenly."""
    port = free_port()
    settings = {
        "MODERATION_API_KEYS": KEY,
        "MODERATION_CHAT_UPSTREAM": f"http://127.0.0.1:{model_port}",
        "MODERATION_CHAT_MAX_STREAMS": str(places),
        "MODERATION_THREADS": str(places + 16),
        "MODERATION_WORKERS": str(workers),
        "MODERATION_PORT": str(port),
    }
    with tempfile.TemporaryFile() as log:
        command = [python_of(checkout), "-m", "moderation_service", "serve"]
        # Not in this checkout: an interpreter would take the service that lies in the folder, not its own.
        with subprocess.Popen(command, env={**os.environ, **settings}, stderr=log, stdout=log, cwd="/") as process:
            try:
                wait_until_ready(port)
                yield process.pid, port
            finally:
                process.terminate()


def wait_until_ready(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return
        time.sleep(0.1)
    raise SystemExit("the service did not start")


if __name__ == "__main__":
    main()
