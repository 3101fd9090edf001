"""Serve a model with llama.cpp's own HTTP server (from the PyPI wheel `xllamacpp`).

    python serve_llamacpp.py MODEL PORT [--api-key KEY] [--served-name NAME]

MODEL is a .gguf file, or a Hugging Face directory (converted to a temporary file with write_gguf.py).
The server answers after well under a second. Stop it with SIGTERM or Ctrl-C.
"""

import argparse
import pathlib
import signal
import tempfile
import threading

import xllamacpp


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("port", type=int)
    p.add_argument("--api-key")
    p.add_argument("--served-name", default="qwen3guard")
    p.add_argument("--max-len", type=int, default=512)
    p.add_argument("--slots", type=int, default=8, help="requests decoded at the same time")
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args()

    path = pathlib.Path(args.model)
    with tempfile.TemporaryDirectory() as scratch:
        if path.is_dir():
            import write_gguf

            target = pathlib.Path(scratch) / "model.gguf"
            write_gguf.write(path, target)
            path = target

        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.hostnames = ["127.0.0.1"]
        params.port = args.port
        params.model_alias = {args.served_name}
        params.n_parallel = args.slots
        params.n_ctx = args.max_len * args.slots  # the context is shared out between the slots
        params.cpuparams.n_threads = args.threads
        params.cpuparams_batch.n_threads = args.threads
        params.use_jinja = True
        params.endpoint_metrics = True
        # Without this a trailing assistant message is a prefill and response moderation is silently wrong.
        params.prefill_assistant = False
        # One HTTP thread per keep-alive connection: keep this above the client's pool size.
        params.n_threads_http = 64
        if args.api_key:
            params.api_keys = [args.api_key]

        server = xllamacpp.Server(params)
        print("listening on", server.listening_address, flush=True)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        stop.wait()


if __name__ == "__main__":
    main()
