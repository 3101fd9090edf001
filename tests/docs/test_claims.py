"""What the pages say that the service does not do, or does by a number: when it stops being true, they must change."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from apps import make_client

from moderation_service.streaming.growing_answer import Pacing

ROOT = Path(__file__).parents[2]
OF_A_CHAT_MODEL = ("/v1/completions", "/v1/embeddings")


def pages(name: str) -> list[str]:
    """A page in both languages."""
    return [(ROOT / "docs" / f"{name}{end}").read_text(encoding="utf-8") for end in (".md", ".zh-CN.md")]


@pytest.mark.parametrize("path", OF_A_CHAT_MODEL)
def test_routes_of_a_chat_model_are_not_there_without_one(path: str) -> None:
    reply = make_client().post(path, json={"model": "m", "input": "bomb", "messages": []})
    assert reply.status_code == 404
    for page in pages("openai"):
        assert f"`{path}`" in page


@pytest.mark.parametrize("method", ["OPTIONS", "GET", "POST"])
@pytest.mark.parametrize("path", ["/moderate", "/v1/chat/completions", "/v1/moderations", "/policies", "/nowhere"])
def test_no_cors_header_is_ever_sent(method: str, path: str) -> None:
    headers = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    reply = make_client().open(path, method=method, headers=headers, json={"prompt": "Hello"})
    assert [name for name, _ in reply.headers if name.lower().startswith("access-control-")] == []
    for page in [*pages("openai"), *pages("security")]:
        assert "CORS" in page


def test_a_page_under_another_name_is_refused_but_where_the_threat_model_says_that_it_is_not() -> None:
    elsewhere = {"Host": "rebound.example"}
    assert make_client().post("/moderate", json={"prompt": "Hello"}, headers=elsewhere).status_code == 403
    for opened in ({"allowed_hosts": ("*",)}, {"host": "0.0.0.0", "allow_open": True}):
        assert make_client(**opened).post("/moderate", json={"prompt": "Hello"}, headers=elsewhere).status_code == 200
    for page, word in zip(pages("threat-model"), ("DNS rebinding", "DNS 重绑定"), strict=True):
        assert word in page


def test_the_bytes_that_are_held_back_for_litellm_are_those_said() -> None:
    held = Pacing().hold_bytes
    for page in pages("litellm"):
        assert f"{held} " in page
        assert f"{held // 3 + 1} " in page  # in characters of three bytes, rounded up


def test_the_charts_replicas_stand_behind_one_address_as_the_page_says() -> None:
    replicas = yaml.safe_load((ROOT / "manifests/helm/moderation-service/ci/full.yaml").read_text("utf-8"))["vllm"][
        "replicas"
    ]
    rendered = (ROOT / "tests/helm/golden/full.yaml").read_text(encoding="utf-8")
    (config,) = re.findall(r"upstreams:\s+((?:- \S+\s+)+)", rendered)
    assert (replicas, config.count("- http")) == (2, 1)
    for page in pages("kubernetes"):
        assert "`engine=external`" in page


def test_defaults_of_other_products_that_leak_are_named() -> None:
    for page in [*pages("openai"), *pages("integrations")]:
        assert "stream_first: false" in page
    for page in pages("litellm"):
        assert "`incremental_diff`" in page
        assert "`reasoning_content`" in page
    for page in pages("lakera"):
        assert 'LakeraGuard(endpoint="http://127.0.0.1:8787/v2/guard")' in page
