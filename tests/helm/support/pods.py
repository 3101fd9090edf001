"""A container of a rendered pod as a process of this machine: its command, its variables, its files, its probes.

There is no container runtime here. Volumes become folders, and the paths at which they are mounted are replaced by
those folders wherever they are mentioned: in the command, the variables and the files of ConfigMaps. What only a
container runtime does is not imitated here; user, capabilities and read-only root are in containment.py.
"""

from __future__ import annotations

import base64
import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import charts
from charts import Object

PROGRAMS = {
    "moderation-service": [sys.executable, "-m", "moderation_service"],
    "python": [sys.executable],
}
"""What the image has on its path."""
POD = "pod-of-a-test"
"""The name that the pod has."""


@dataclass
class Container:
    """A container that can be started: what it was told, in terms of this machine."""

    spec: Object
    argv: list[str]
    env: dict[str, str]
    places: dict[str, Path]

    @contextmanager
    def started(self, log: Path) -> Iterator[Running]:
        """The process, which has ended afterwards."""
        # Added to, as to a pipe: /dev/stdout may be opened a second time.
        with log.open("ab") as output:
            process = subprocess.Popen(self.argv, env=self.env, stdout=output, stderr=output, cwd="/")
        running = Running(self, process, log)
        try:
            yield running
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(30)

    def run(self) -> subprocess.CompletedProcess[str]:
        """The process to its end."""
        return subprocess.run(self.argv, env=self.env, capture_output=True, text=True, cwd="/", timeout=60, check=False)


@dataclass
class Running:
    """A started container, and the kubelet that looks after it."""

    container: Container
    process: subprocess.Popen[bytes]
    log: Path

    def probe(self, name: str) -> bool:
        """Whether a probe succeeds now, by the kubelet's rules: an answer in time with a status from 200 to 399."""
        probe = self.container.spec[name]
        ports = {port["name"]: port["containerPort"] for port in self.container.spec["ports"]}
        asked = probe["httpGet"]
        port = ports.get(asked["port"], asked["port"])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=probe["timeoutSeconds"])
        try:
            connection.request("GET", asked["path"], headers={"User-Agent": "kube-probe/1.37", "Connection": "close"})
            return 200 <= connection.getresponse().status < 400
        except OSError:
            return False
        finally:
            connection.close()

    def wait_for(self, name: str, *, value: bool = True) -> None:
        """Until the probe says so. It is asked every tenth of a second, and given a minute."""
        deadline = time.monotonic() + 60
        while self.probe(name) is not value:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, f"{name} is not {value}: {self.log.read_text()}"
            time.sleep(0.1)

    def send(self, number: int) -> None:
        """Send a signal to the container's process."""
        self.process.send_signal(number)

    def end(self, grace_s: int) -> int:
        """What the kubelet does to end a pod: preStop, then SIGTERM, then wait for the grace period. The exit code."""
        began = time.monotonic()
        hook = self.container.spec.get("lifecycle", {}).get("preStop", {}).get("exec")
        if hook:
            subprocess.run(hook["command"], check=True, timeout=grace_s)
        self.send(signal.SIGTERM)
        return self.process.wait(max(1, grace_s - (time.monotonic() - began)))


def make(
    objects: list[Object], workload: Object, name: str, folder: Path, *, replace: Mapping[str, str] | None = None
) -> Container:
    """A container of a rendered workload. `replace` are further texts to replace, such as addresses of Services."""
    spec, pod = charts.container(workload, name), charts.pod_spec(workload)
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    places = {mount["mountPath"]: folder / "volumes" / mount["name"] for mount in spec["volumeMounts"]}
    told = {path: str(place) for path, place in places.items() if path != "/dev/shm"} | dict(replace or {})
    # In one go, the longest first: what has been put in has such paths in it, too.
    known = re.compile("|".join(re.escape(text) for text in sorted(told, key=len, reverse=True)))

    def here(text: str) -> str:
        return known.sub(lambda match: told[match[0]], text)

    for mount in spec["volumeMounts"]:
        if mount["mountPath"] != "/dev/shm":
            fill(places[mount["mountPath"]], volumes[mount["name"]], objects, here)
    env = {"PATH": os.environ["PATH"]}
    for entry in spec.get("env", []):
        value = entry.get("value", "")
        if "fieldRef" in entry.get("valueFrom", {}):
            value = {"metadata.name": POD}[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        elif "valueFrom" in entry:
            reference = entry["valueFrom"]["secretKeyRef"]
            value = _content(objects, "Secret", reference["name"])[reference["key"]]
        env[entry["name"]] = re.sub(r"\$\((\w+)\)", lambda match: env[match[1]], here(value))
    command = [*spec["command"], *spec.get("args", [])]
    argv = [*PROGRAMS[command[0]], *map(here, command[1:])]
    return Container(spec, argv, env, places)


def fill(folder: Path, volume: Object, objects: list[Object], here: Callable[[str], str]) -> None:
    """The content of a volume; `here` is applied to that of ConfigMaps."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = volume.get("projected", {}).get("sources", [volume])
    for source in sources:
        for kind, key in (("ConfigMap", "configMap"), ("Secret", "secret")):
            if key not in source:
                continue
            content = _content(objects, kind, source[key].get("name") or source[key]["secretName"])
            items = source[key].get("items") or [{"key": name, "path": name} for name in content]
            for item in items:
                text = content[item["key"]]
                # Files of a ConfigMap may name paths; a Secret's content is nobody's business.
                (folder / item["path"]).write_text(here(text) if kind == "ConfigMap" else text, encoding="utf-8")
                (folder / item["path"]).chmod(0o440)


def _content(objects: list[Object], kind: str, name: str) -> dict[str, str]:
    data: dict[str, str] = charts.find([one for one in objects if one["metadata"]["name"] == name], kind)["data"]
    return data if kind == "ConfigMap" else {key: base64.b64decode(text).decode() for key, text in data.items()}
