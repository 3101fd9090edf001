"""A container of a rendered pod, contained as a runtime would: its user, no capabilities, a root that can't be written.

Needs root and the right to make namespaces, but no container runtime: the process is the first one in a PID namespace
of its own and sees a file system with this machine's programs, the pod's volumes at their own paths, and nothing else.
The network is this machine's.
"""

from __future__ import annotations

import base64
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import charts
import pods
from charts import Object

_DEVICES = ("null", "zero", "random", "urandom")
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64")


@cache
def can_contain() -> bool:
    """Whether this machine lets us."""
    if os.geteuid() != 0:
        return False
    try:
        done = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


class Contained(pods.Running):
    """A contained process; signals go to it and not to `unshare`, which does not pass them on."""

    @property
    def pid(self) -> int:
        """Its number outside of its namespace."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return int(children.read_text().split()[0])

    def send(self, number: int) -> None:
        os.kill(self.pid, number)


@contextmanager
def started(objects: list[Object], workload: Object, name: str, folder: Path, *arguments: str) -> Iterator[Contained]:
    """The container, which has ended afterwards. `arguments` replace those of the pod."""
    spec, pod = charts.container(workload, name), charts.pod_spec(workload)
    command = [*spec["command"], *(arguments or spec.get("args", []))]
    container = pods.Container(spec, command, _variables(objects, spec), {})
    script = folder / "start.sh"
    folder.mkdir(parents=True, exist_ok=True)
    script.write_text(_script(objects, spec, pod, folder, container), encoding="utf-8")
    log = folder / "log"
    with log.open("wb") as output:
        # Whoever is killed takes along what it started, tests included.
        words = [
            "setpriv",
            "--pdeathsig=KILL",
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-e",
            str(script),
        ]
        process = subprocess.Popen(words, stdout=output, stderr=output)
    running = Contained(container, process, log)
    try:
        yield running
    finally:
        if process.poll() is None:
            running.send(signal.SIGKILL)
        process.wait(30)


def run(objects: list[Object], workload: Object, name: str, folder: Path, *arguments: str) -> tuple[int, str]:
    """The container to its end: exit code and output."""
    with started(objects, workload, name, folder, *arguments) as running:
        code = running.process.wait(60)
    return code, running.log.read_text()


def wait_for_output(running: Contained, text: str) -> None:
    deadline = time.monotonic() + 30
    while text not in running.log.read_text():
        assert time.monotonic() < deadline, running.log.read_text()
        time.sleep(0.05)


def _variables(objects: list[Object], spec: Object) -> dict[str, str]:
    """Those of the pod, and the path, which is the image's."""
    found = {"PATH": f"{sys.prefix}/bin:/usr/bin:/bin"}
    for entry in spec.get("env", []):
        value = entry.get("value", "")
        if "valueFrom" in entry:
            reference = entry["valueFrom"]["secretKeyRef"]
            data = charts.find(objects, "Secret", reference["name"])["data"]
            value = base64.b64decode(data[reference["key"]]).decode()
        found[entry["name"]] = value
    return found


def _script(objects: list[Object], spec: Object, pod: Object, folder: Path, container: pods.Container) -> str:
    """What is done inside the new namespaces before the program takes over."""
    rights, own = pod["securityContext"], spec["securityContext"]
    user, group = rights["runAsUser"], rights["runAsGroup"]
    root = folder / "root"
    root.mkdir()
    lines = [
        "mount --make-rprivate /",
        f"mount -t tmpfs -o mode=755 tmpfs {root}",
        f"mkdir -p {root}/proc {root}/dev/shm {root}/app",
        f"mount -t proc proc {root}/proc",
        *(f"touch {root}/dev/{device}\nmount --bind /dev/{device} {root}/dev/{device}" for device in _DEVICES),
    ]
    lines += _machines(root, *_SYSTEM)
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for mount in spec["volumeMounts"]:
        source = folder / "volumes" / mount["name"]
        pods.fill(source, volumes[mount["name"]], objects, lambda text: text)
        # As the kubelet does: an emptyDir is everybody's, other files belong to root and the pod's group.
        source.chmod(0o777 if "emptyDir" in volumes[mount["name"]] else 0o755)
        for file in source.iterdir():
            os.chown(file, 0, rights["fsGroup"])
        lines.append(_bind(str(source), f"{root}{mount['mountPath']}", read_only=mount.get("readOnly", False)))
    # Behind the volumes: the project may lie in a folder that is one of them, such as /tmp.
    lines += _machines(root, sys.base_prefix, sys.prefix, str(charts.ROOT))
    if own["readOnlyRootFilesystem"]:
        lines.append(f"mount -o remount,ro {root}")
    dropped = "--bounding-set=-all --inh-caps=-all" if own["capabilities"]["drop"] == ["ALL"] else ""
    privileges = "--no-new-privs" if own["allowPrivilegeEscalation"] is False else ""
    identity = f"--reuid={user} --regid={group} --groups={rights['fsGroup']}"
    words = ["env", "-i", *(f"{name}={value}" for name, value in container.env.items()), *container.argv]
    lines += [
        f"cd {root}/app",
        f"exec chroot {root} setpriv --pdeathsig=KILL {identity} {dropped} {privileges} {shlex.join(words)}",
    ]
    return "\n".join(lines) + "\n"


def _machines(root: Path, *paths: str) -> Iterator[str]:
    """These folders of the machine at their own paths."""
    for path in paths:
        if Path(path).is_symlink():
            yield f"cp --no-dereference {path} {root}{path}"
        elif Path(path).is_dir():
            yield _bind(path, f"{root}{path}", read_only=True)


def _bind(source: str, target: str, *, read_only: bool) -> str:
    bind = f"mkdir -p {target}\nmount --bind {source} {target}"
    return f"{bind}\nmount -o remount,bind,ro {target}" if read_only else bind
