"""A model, the service with several workers, and the real LiteLLM proxy between them and the tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from processes import SERVE_LITE, Running, free_port, running

from .proxy import Proxy, litellm_proxy
from .upstream import Model, model_server

CONFIG = Path(__file__).resolve().parents[2] / "examples" / "litellm" / "config.yaml"
KEY = "guard-key-of-the-tests"
POLICIES = """
policies:
  balanced: {description: Says so when no verdict can be had., extends: balanced, on_failure: error}
  withheld: {description: Blocks when no verdict can be had., extends: balanced, on_failure: block}
"""


@pytest.fixture(scope="session")
def llm() -> Iterator[Model]:
    with model_server() as model:
        yield model


@pytest.fixture
def model(llm: Model) -> Model:
    """The language model; it says "Fine." until told otherwise, and has not been asked yet."""
    llm.asked.clear()
    llm.answers.clear()
    return llm


@pytest.fixture(scope="session")
def service() -> Iterator[Running]:
    with running("--workers", "3", MODERATION_API_KEYS=f"litellm:{KEY}") as started:
        yield started


@pytest.fixture(scope="session")
def proxy(llm: Model, service: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """LiteLLM with the configuration of the documentation, as it is."""
    log = tmp_path_factory.mktemp("litellm") / "log"
    guard = {"GUARD_API_BASE": service.url, "GUARD_API_KEY": KEY}
    with litellm_proxy(CONFIG, log, LLM_API_BASE=llm.url, LLM_API_KEY="none", **guard) as started:
        yield started


@pytest.fixture(scope="session")
def behind(llm: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """LiteLLM in front of the guarded chat, as the page describes it: a model's address is the service's."""
    page = (CONFIG.parents[2] / "docs" / "litellm.md").read_text(encoding="utf-8")
    shown = page.split("```yaml\n# LiteLLM in front of the guarded chat\n")[1].split("```")[0]
    file = tmp_path_factory.mktemp("behind") / "config.yaml"
    file.write_text(shown, encoding="utf-8")
    with running("--chat-upstream", llm.url, MODERATION_API_KEYS=f"litellm:{KEY}") as guarded:
        variables = {"GUARD_API_BASE": f"{guarded.url}/v1", "GUARD_API_KEY": KEY}
        with litellm_proxy(file, file.with_name("log"), **variables) as started:
            yield started


@pytest.fixture(scope="session")
def down(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service whose engine can't be reached."""
    file = tmp_path_factory.mktemp("policies") / "policies.yaml"
    file.write_text(POLICIES)
    nobody = f"http://127.0.0.1:{free_port()}"
    flags = ("--engine", "vllm", "--upstream", nobody, "--policies-file", str(file), "--workers", "1")
    with running(*flags, command=SERVE_LITE, MODERATION_API_KEYS=f"litellm:{KEY}") as started:
        yield started


@pytest.fixture(scope="session")
def varied(llm: Model, service: Running, down: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """LiteLLM with one guardrail for each variation of the documented one; a request names the one it wants."""
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    (documented,) = config["guardrails"]
    gone = f"http://127.0.0.1:{free_port()}"
    is_open = {"unreachable_fallback": "fail_open"}
    variations: dict[str, dict[str, Any]] = {
        "block_only": {"streaming_transform_mode": "block_only", "streaming_sampling_rate": 5},
        "soft": {"additional_provider_specific_params": {"soft_block": "incremental_diff"}},
        "strict": {"additional_provider_specific_params": {"policy": "strict"}},
        "typo": {"additional_provider_specific_params": {"policy": "srict"}, **is_open},
        "wrong_key": {"api_key": "not-one-of-the-keys", **is_open},
        "down_closed": {"api_base": down.url},
        "down_open": {"api_base": down.url, **is_open},
        "down_withheld": {
            "api_base": down.url,
            "additional_provider_specific_params": {"policy": "withheld"},
            **is_open,
        },
        "gone_closed": {"api_base": gone},
        "gone_open": {"api_base": gone, **is_open},
    }
    config["guardrails"] = []
    # With this provider LiteLLM asks for chat completions on its other routes too; that is what the model here knows.
    (documented_model,) = config["model_list"]
    documented_model["litellm_params"]["model"] = "hosted_vllm/your-model"
    of_its_own = {**documented_model["litellm_params"], "guardrails": ["strict-pre_call", "strict-post_call"]}
    config["model_list"].append({"model_name": "strict-chat", "litellm_params": of_its_own})
    for name, changes in variations.items():
        params = {**documented["litellm_params"], "api_base": service.url, "default_on": False, **changes}
        # The modes apart, so that a test can have a checked prompt and an answer that can't be.
        for mode in ("pre_call", "during_call", "post_call"):
            guardrail = {"guardrail_name": f"{name}-{mode}", "litellm_params": {**params, "mode": mode}}
            config["guardrails"].append(guardrail)
    for mode in ("pre_call", "post_call"):
        lakera = {"guardrail": "lakera_v2", "mode": mode, "api_base": service.url, "api_key": KEY}
        config["guardrails"].append({"guardrail_name": f"lakera-{mode}", "litellm_params": lakera})
    folder = tmp_path_factory.mktemp("litellm")
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    variables = {"LLM_API_BASE": llm.url, "LLM_API_KEY": "none", "GUARD_API_KEY": KEY}
    with litellm_proxy(file, folder / "log", **variables) as started:
        yield started
