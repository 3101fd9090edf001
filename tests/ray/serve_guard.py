"""Stands in for the program `vllm`: a model server that asks for the key it was given.

usage: serve_guard.py FOLDER serve MODEL --host HOST --port PORT ...; the words go to FOLDER/started-PID
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from fake_guard_server import Action, FakeServer, Request, guard, reply


def behave(request: Request) -> Action:
    if request.path != "/tokenize" and request.headers.get("authorization") != f"Bearer {os.environ['VLLM_API_KEY']}":
        return reply(401, {})
    return guard(request)


folder, *words = sys.argv[1:]
Path(folder, f"started-{os.getpid()}").write_text(" ".join(words))
server = FakeServer(behave, port=int(words[words.index("--port") + 1]))
server.start()
over = threading.Event()
signal.signal(signal.SIGTERM, lambda number, frame: over.set())
over.wait()
server.stop()
