"""What apps cost a verdict: CPU of `POST /moderate` with a key alone, an app, limits, a rule for repeat offenders.

Run: python benchmarks/bench_apps.py [--checks 3000]. The kinds take turns; only figures of one run can be compared.
With a redis-server or valkey-server here, limits in it are measured too.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import tempfile
import time
from io import BytesIO
from pathlib import Path

from bench_store import Engine
from load import free_port

from moderation_service.config.settings import Secret, Settings
from moderation_service.web import create_app
from moderation_service.web.service import build_service

KEY = "key-of-the-benchmark-0123456789"
BODY = b'{"prompt": "How do I get from here to the station?", "metadata": {"user_id": "somebody"}}'
TURNS = 15
LIMITS = "{per_second: 1000000, per_minute: 50000000, per_day: 900000000, at_once: 500}"
ESCALATION = "{after_blocks: 3, within_minutes: 10, action: block, for_minutes: 60}"


def environ() -> dict[str, object]:
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/moderate",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "8787",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "HTTP_AUTHORIZATION": f"Bearer {KEY}",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(BODY)),
        "wsgi.input": BytesIO(BODY),
        "wsgi.url_scheme": "http",
    }


def app_of(folder: Path, kind: str, redis: str | None):
    settings: dict[str, object] = {"cache_size": 0, "log_level": "warning"}
    if kind == "a key":
        settings["api_keys"] = (Secret(f"bench:{KEY}"),)
    else:
        limits = "" if kind == "an app" else f", limits: {LIMITS}"
        digest = hashlib.sha256(KEY.encode()).hexdigest()
        path = folder / f"{kind}.yaml"
        path.write_text(f"apps: {{bench: {{keys: {{a: {{sha256: {digest}}}}}, policies: [balanced]{limits}}}}}")
        settings["apps_file"] = path
    if "offender" in kind:
        (folder / "policies.yaml").write_text(f"policies: {{balanced: {{escalation: {ESCALATION}}}}}")
        settings["policies_file"] = folder / "policies.yaml"
    if "Redis" in kind:
        settings["limits_store"] = Secret(str(redis))
    return create_app(service=build_service(Settings(**settings), engine=Engine()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checks", type=int, default=3000, help="per turn and kind")
    checks = parser.parse_args().checks // TURNS
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    kinds = ["a key", "an app", "with 4 limits", "with 4 limits and offenders"]
    with tempfile.TemporaryDirectory() as name:
        folder, redis, server = Path(name), None, None
        if program is not None:
            port = free_port()
            redis = f"redis://127.0.0.1:{port}/0"
            command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", name, "--save", ""]
            server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            time.sleep(0.5)
            kinds.append("with 4 limits in Redis")
        try:
            apps = {kind: app_of(folder, kind, redis) for kind in kinds}
            times: dict[str, list[float]] = {kind: [] for kind in kinds}
            for _ in range(TURNS + 1):
                for kind, app in apps.items():
                    began = time.process_time()
                    for _ in range(checks):
                        list(app.wsgi_app(environ(), lambda status, headers, exc=None: status))
                    times[kind].append((time.process_time() - began) / checks * 1e6)
        finally:
            if server is not None:
                server.kill()
                server.wait()
    # The first turn warms up.
    found = {kind: min(one[1:]) for kind, one in times.items()}
    print(f"CPU per verdict without engine and sockets, us (lowest of {TURNS} turns)")
    for kind, lowest in found.items():
        print(f"  {kind:<30} {lowest:6.1f}   {lowest - found['a key']:+6.1f}")


if __name__ == "__main__":
    main()
