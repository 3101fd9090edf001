"""llama.cpp's own HTTP server, from the wheel `xllamacpp`, set up for a guard.

    LLAMA_API_KEY=... python serve_llamacpp.py MODEL.gguf --port N --name NAME --context N --slots N --threads N

It listens on 127.0.0.1 and ends on SIGTERM. The key guards everything but /health.
"""

from __future__ import annotations

import argparse
import os
import signal

import xllamacpp

__all__ = ["main"]

_HTTP_THREADS = 64
"""llama.cpp keeps a thread for every connection that is open; more clients than threads wait for tens of seconds."""


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    for name in ("port", "context", "slots", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--name", required=True)
    given = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})

    params = xllamacpp.CommonParams()
    params.model.path = given.model
    params.hostnames = ["127.0.0.1"]
    params.port = given.port
    params.model_alias = {given.name}
    params.api_keys = [os.environ["LLAMA_API_KEY"]]
    params.n_parallel = given.slots
    # One length for all slots together. A slot keeps the beginning of its last prompt, which the next one shares.
    params.n_ctx = given.context * given.slots
    params.cpuparams.n_threads = given.threads
    params.cpuparams_batch.n_threads = given.threads
    params.use_jinja = True
    # Else a response that is to be judged is taken for the beginning of the guard's own answer.
    params.prefill_assistant = False
    params.n_threads_http = _HTTP_THREADS
    # Prompts of the past, kept in memory: of a guard's prompts only the beginning comes again, and that is in a slot.
    params.cache_ram_mib = 0
    server = xllamacpp.Server(params)
    print("listening on", server.listening_address, flush=True)
    # Nothing but a signal ends it; no handler, because the server's threads run on while Python waits.
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    os._exit(0)


if __name__ == "__main__":
    main()
