"""The gateway of a rendered release, started as a process."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

import charts
import pods
from charts import Object
from processes import free_port

KEY = "test-key-0123456789"
POLICIES = "policies:\n  school:\n    extends: strict\n    message: {en: Ask a grown-up., zh: 请告诉大人。}\n"


def values(port: int, upstream: str | None, **gateway: Any) -> Object:
    engine = {"engine": "lite"} if upstream is None else {"engine": "external", "external": {"urls": [upstream]}}
    return {
        **engine,
        "listenAddress": "127.0.0.1",
        "gateway": {
            "containerPort": port,
            "config": {"workers": 2, "default_policy": "school", "graceful_timeout_s": 20},
            "policies": {"content": POLICIES},
            "apiKeys": {"keys": [f"app:{KEY}"]},
            "preStopSeconds": 1,
            **gateway,
        },
    }


class Gateway:
    """The gateway of a rendered release, as a process."""

    def __init__(self, given: Object, folder: Path, port: int) -> None:
        self.objects = charts.render(given)
        self.workload = charts.deployment(self.objects, "gateway")
        self.port = port
        self.folder = folder
        self.container = pods.make(self.objects, self.workload, "gateway", folder / "gateway")
        self.grace_s: int = charts.pod_spec(self.workload)["terminationGracePeriodSeconds"]

    def ask(self, prompt: str, *, key: str = KEY) -> tuple[int, Any]:
        """One request on a connection of its own, as a proxy without keep-alive sends it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}", "Connection": "close"}
            connection.request("POST", "/moderate", json.dumps({"prompt": prompt}), headers)
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())
        finally:
            connection.close()

    def helm_test(self) -> Any:
        """The pod of `helm test`, with the Service's address replaced by that of the process."""
        pod = charts.find(self.objects, "Pod")
        service = f"http://{charts.find(self.objects, 'Service')['metadata']['name']}:8787"
        replace = {service: f"http://127.0.0.1:{self.port}"}
        return pods.make(self.objects, pod, "check", self.folder / "test", replace=replace).run()


def make_gateway(folder: Path, upstream: str | None, **gateway: Any) -> Gateway:
    port = free_port()
    return Gateway(values(port, upstream, **gateway), folder, port)
