"""What annotating costs: the work on files, memory, and how near it comes to a bare HTTP client.

    python benchmarks/bench_annotate.py files [--rows 1000000]
    python benchmarks/bench_annotate.py client [--seconds-per-verdict 0.05 | --url http://127.0.0.1:8101 --key KEY]

`files` reads, labels and writes JSON lines with the judging left out. `client` asks one server in turn by `annotate`
and by a bare aiohttp client that puts the same questions, as many at a time; of a real server also by
`--detail severity`. The server is a stand-in that takes so long for each verdict, or the one at --url, a vLLM. Each
figure is the median of the rounds; compare figures of one run only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from moderation_service.config.settings import Secret, Settings, Url
from moderation_service.core.conversation import Conversation
from moderation_service.core.qwen3guard import chat_messages
from moderation_service.core.verdict import Category, Detail, Scores, Severity, Target, Verdict
from moderation_service.data.annotate import Annotation, annotate
from moderation_service.data.dataset import open_dataset
from moderation_service.data.encoders import create_encoder
from moderation_service.data.files import Kind
from moderation_service.data.journal import GrowingFile, Progress
from moderation_service.data.labels import Labels
from moderation_service.data.window import JudgingWindow, WindowOptions
from moderation_service.engines import create_engine

VERDICT = Verdict(Target.PROMPT, Severity.UNSAFE, (Category.VIOLENT,), None, Scores(0.01, 0.09, 0.9), "none", "none-1")
IN_FLIGHT = 256
ROUNDS = 3


class InstantEngine:
    """Takes no time."""

    name, model = VERDICT.engine, VERDICT.model

    def judge(self, conversations: list[Conversation], **how: Any) -> list[Verdict]:
        return [VERDICT] * len(conversations)


class InstantWindow:
    """A window whose engine takes no time, without its threads."""

    threads = IN_FLIGHT
    away = None

    def submit(self, conversation: Conversation, then: Callable[[Verdict], None]) -> None:
        then(VERDICT)


def make_rows(path: Path, rows: int) -> int:
    """About 100 bytes each; every text another one."""
    choose = random.Random(1)
    words = ["bread", "water", "harbour", "lantern", "orchard", "violin", "granite", "meadow"]
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            text = " ".join(choose.choices(words, k=7))
            file.write(json.dumps({"id": number, "prompt": f"{text} {number}?", "source": "made"}) + "\n")
    return path.stat().st_size


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def files(rows: int) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-annotate-", dir="/var/tmp") as name:
        folder = Path(name)
        source = folder / "in.jsonl"
        for count in (1000, rows):
            size = make_rows(source, count)
            dataset = open_dataset([source])
            labels = Labels(dataset.reading)
            began, cpu = time.perf_counter(), time.process_time()
            work_on_files(dataset, labels, folder / f"files-{count}.jsonl")
            files_us = 1e6 * (time.process_time() - cpu) / count
            files_s = time.perf_counter() - began
            cpu = time.process_time()
            job = Annotation(dataset=dataset, output=str(folder / f"out-{count}.jsonl"), labels=labels)
            annotate(job, InstantWindow(), engine="none", model="none-1")  # type: ignore[arg-type]
            all_us = 1e6 * (time.process_time() - cpu) / count
            cpu = time.process_time()
            job = replace(job, output=str(folder / f"threads-{count}.jsonl"))
            with JudgingWindow(InstantEngine()) as window:  # type: ignore[arg-type]
                annotate(job, window, engine="none", model="none-1")
            window_us = 1e6 * (time.process_time() - cpu) / count
            print(
                f"{count:>9,} rows, {size / 1e6:.1f} MB: files {files_us:.2f} us CPU per row, "
                f"{count / files_s:,.0f} rows/s; formats and labels too {all_us:.1f} us, "
                f"the window too {window_us:.1f} us; memory {peak_mb():.0f} MB"
            )


def work_on_files(dataset: Any, labels: Labels, output: Path) -> None:
    """Read, splice, write, sync, with one label for all rows."""
    encoder = create_encoder(dataset, labels, Kind.JSONL)
    label = labels.of([], [VERDICT])
    growing = GrowingFile(output, {})
    length = 0
    for position, chunk in dataset.chunks(size=256):
        content = encoder.chunk(chunk, [label] * len(chunk.rows))
        length += len(content)
        growing.add(content, Progress(position.file, position.offset, length))
    growing.published(encoder.finish(growing.part, output))
    growing.close()


# A stand-in for a model server: one process, so that its work is not counted as the client's.

_ANSWER = {
    "id": "x", "object": "chat.completion", "model": "guard",
    "choices": [
        {
            "index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": "Safety: Safe\nCategories: None"},
            "logprobs": {"content": [
                {"token": token, "logprob": 0.0, "top_logprobs": [
                    {"token": " Safe", "logprob": -0.01}, {"token": " Unsafe", "logprob": -5.0},
                    {"token": " Controversial", "logprob": -6.0},
                ] if token == " Safe" else []}
                for token in ("Safety", ":", " Safe", "\n", "Categories", ":", " None")
            ]},
        }
    ],
    "usage": {"prompt_tokens": 300, "completion_tokens": 7, "total_tokens": 307},
}  # fmt: skip


def stand_in(pipe: Any, seconds: float) -> None:
    from aiohttp import web

    harmful = json.loads(
        json.dumps(_ANSWER).replace("Safety: Safe", "Safety: Unsafe").replace("ies: None", "ies: Violent")
    )
    del harmful["choices"][0]["logprobs"]
    response = json.loads(json.dumps(_ANSWER).replace("ies: None", r"ies: None\nRefusal: No"))

    async def chat(request: web.Request) -> web.Response:
        body = await request.json()
        await asyncio.sleep(seconds)
        last = body["messages"][-1]
        if last["role"] == "assistant":
            return web.json_response(response)
        return web.json_response(harmful if "bomb" in last["content"] else _ANSWER)

    async def models(request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "guard", "max_model_len": 8192, "owned_by": "other"}]})

    async def main() -> None:
        app = web.Application()
        app.add_routes([web.post("/v1/chat/completions", chat), web.get("/v1/models", models)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        pipe.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(main())


@contextmanager
def served(seconds: float, url: str | None) -> Iterator[str]:
    if url is not None:
        yield url
        return
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=stand_in, args=(theirs, seconds), daemon=True)
    process.start()
    yield f"http://127.0.0.1:{ours.recv()}"
    process.terminate()


def client(seconds: float, url: str | None, key: str | None, rows: int) -> None:
    with served(seconds, url) as address, tempfile.TemporaryDirectory() as name:
        settings = Settings(
            engine="vllm", upstreams=(Url(address),), upstream_api_key=None if key is None else Secret(key),
            upstream_timeout_s=120.0, upstream_concurrency=IN_FLIGHT + 32,
        )  # fmt: skip
        engine = create_engine(settings)
        engine.check_ready()
        found: dict[str, list[float]] = {"aiohttp": [], "annotate": [], "annotate, severity": []}
        ways = list(found) if url is not None else list(found)[:2]
        for number in range(ROUNDS):
            for way in ways:
                source = Path(name) / f"{number}-{way}.jsonl"
                # Texts of their own: a server's prefix cache would know those of the round before.
                make_rows(source, rows)
                source.write_text(
                    source.read_text("utf-8").replace('"prompt": "', f'"prompt": "{number} {way} '), "utf-8"
                )
                began, cpu = time.perf_counter(), time.process_time()
                if way == "aiohttp":
                    asyncio.run(bare(address, key, source, engine.model, is_vllm=url is not None))
                else:
                    detail = Detail.SEVERITY if way.endswith("severity") else Detail.FULL
                    dataset = open_dataset([source])
                    labels = Labels(dataset.reading, detail)
                    job = Annotation(dataset=dataset, output=f"{source}.out.jsonl", labels=labels)
                    with JudgingWindow(engine, WindowOptions(in_flight=IN_FLIGHT, detail=detail)) as window:
                        counts, _ = annotate(job, window, engine=engine.name, model=engine.model)
                        assert counts.errors == 0, counts
                took = time.perf_counter() - began
                found[way].append(rows / took)
                used = 1e6 * (time.process_time() - cpu) / rows
                print(f"  {way:<20} {rows / took:>8.0f} rows/s   {used:>5.0f} us CPU per row here", flush=True)
        engine.close()
    base = statistics.median(found["aiohttp"])
    for way in ways:
        rate = statistics.median(found[way])
        print(f"{way:<20} {rate:>8.0f} rows/s   {100 * rate / base:.0f} % of aiohttp   peak memory {peak_mb():.0f} MB")


async def bare(address: str, key: str | None, source: Path, model: str, *, is_vllm: bool) -> None:
    """What anybody would write: a session, a semaphore, the chat API, and the label read from the text."""
    import aiohttp

    slots = asyncio.Semaphore(IN_FLIGHT)
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        more: dict[str, Any] = {"top_logprobs": 20}
        if is_vllm:  # what the engine asks of one
            asked = {"model": model, "prompt": " Safe Unsafe Controversial", "return_token_strs": True}
            async with session.post(f"{address}/tokenize", json={**asked, "add_special_tokens": False}) as reply:
                told = await reply.json()
            pieces = zip(told["tokens"], told["token_strs"], strict=True)
            ids = [token for token, piece in pieces if piece.startswith("\u0120")]
            stop = {"stop": ["Safety: Safe"], "include_stop_str_in_output": True}
            more = {"logprob_token_ids": ids, **stop}

        async def one(row: dict[str, Any]) -> str:
            messages = chat_messages(Conversation.of(prompt=row["prompt"]))
            body = {
                "model": model,
                "messages": messages,
                "temperature": 0,
                "max_tokens": 64,
                "logprobs": True,
                **more,
            }
            async with slots, session.post(f"{address}/v1/chat/completions", json=body) as reply:
                answer = await reply.json()
            return str(answer["choices"][0]["message"]["content"])

        rows = [json.loads(line) for line in source.read_text("utf-8").splitlines()]
        labels = await asyncio.gather(*map(one, rows))
    source.with_suffix(".out").write_text("\n".join(labels), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["files", "client"])
    parser.add_argument("--rows", type=int)
    parser.add_argument("--seconds-per-verdict", type=float, default=0.05)
    parser.add_argument("--url")
    parser.add_argument("--key")
    asked = parser.parse_args()
    if asked.what == "files":
        files(asked.rows or 1_000_000)
    else:
        client(asked.seconds_per_verdict, asked.url, asked.key, asked.rows or 4000)


if __name__ == "__main__":
    sys.exit(main())
