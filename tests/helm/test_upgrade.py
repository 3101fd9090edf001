"""An upgrade keeps the keys that the first installation made: Helm asks the cluster, here a stand-in for its API."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import charts
import pytest
from charts import NAMESPACE, Object

KINDS = {
    "v1": ("Secret", "ConfigMap", "Service", "ServiceAccount", "PersistentVolumeClaim", "Pod"),
    "apps/v1": ("Deployment",),
    "policy/v1": ("PodDisruptionBudget",),
    "networking.k8s.io/v1": ("NetworkPolicy",),
}
API_KEYS, GUARD_KEY = "rel-moderation-service-api-keys", "rel-moderation-service-guard-key"


def plural(kind: str) -> str:
    return kind.lower().removesuffix("y") + ("ies" if kind.endswith("y") else "s")


def discovery() -> dict[str, Object]:
    """What an API server says of itself, by path."""
    pages: dict[str, Object] = {
        "/version": {"major": "1", "minor": "33", "gitVersion": "v1.33.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
    }
    groups = []
    for version, kinds in KINDS.items():
        path = f"/api/{version}" if version == "v1" else f"/apis/{version}"
        resources = [{"name": plural(kind), "namespaced": True, "kind": kind, "verbs": ["get"]} for kind in kinds]
        pages[path] = {"kind": "APIResourceList", "groupVersion": version, "resources": resources}
        if version != "v1":
            entry = {"groupVersion": version, "version": version.partition("/")[2]}
            groups.append({"name": version.partition("/")[0], "versions": [entry], "preferredVersion": entry})
    pages["/apis"] = {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    return pages


class Cluster:
    """An API server that has some Secrets."""

    def __init__(self) -> None:
        self.pages = discovery()
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                found = cluster.pages.get(self.path.partition("?")[0])
                body = found or {
                    "kind": "Status",
                    "apiVersion": "v1",
                    "status": "Failure",
                    "reason": "NotFound",
                    "code": 404,
                }
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def add_secret(self, name: str, **data: str) -> None:
        encoded = {key.replace("_", "-"): base64.b64encode(text.encode()).decode() for key, text in data.items()}
        self.pages[f"/api/v1/namespaces/{NAMESPACE}/secrets/{name}"] = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "data": encoded,
        }

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def cluster(tmp_path: object) -> Iterator[Cluster]:
    one = Cluster()
    yield one
    one.close()


def upgrade(major: int, cluster: Cluster, *arguments: str) -> list[Object]:
    asking = ["--dry-run=server", "--disable-openapi-validation", "--is-upgrade", "--kube-apiserver", cluster.url]
    return charts.template(major, *asking, *arguments)


def secret(objects: list[Object], name: str) -> str:
    (text,) = charts.find(objects, "Secret", name)["data"].values()
    return base64.b64decode(text).decode()


@pytest.mark.parametrize("major", [3, 4])
def test_keys_that_the_cluster_has_are_kept(major: int, cluster: Cluster) -> None:
    cluster.add_secret(API_KEYS, api_keys="default:made-at-the-first-installation")
    cluster.add_secret(GUARD_KEY, api_key="the-key-of-vllm")
    objects = upgrade(major, cluster)
    assert secret(objects, API_KEYS) == "default:made-at-the-first-installation"
    assert secret(objects, GUARD_KEY) == "the-key-of-vllm"
    annotations = charts.deployment(objects, "guard")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["checksum/guard-key"] == hashlib.sha256(b"the-key-of-vllm").hexdigest()


@pytest.mark.parametrize("major", [3, 4])
def test_a_key_that_was_deleted_is_made_again(major: int, cluster: Cluster) -> None:
    cluster.add_secret(GUARD_KEY, api_key="the-key-of-vllm")
    objects = upgrade(major, cluster)
    assert secret(objects, GUARD_KEY) == "the-key-of-vllm"
    assert len(secret(objects, API_KEYS)) == len("default:") + 40


def test_keys_in_the_values_win_over_those_of_the_cluster(cluster: Cluster) -> None:
    cluster.add_secret(API_KEYS, api_keys="default:made-at-the-first-installation")
    objects = upgrade(4, cluster, "--set", "gateway.apiKeys.keys={app:0123456789}")
    assert secret(objects, API_KEYS) == "app:0123456789"
