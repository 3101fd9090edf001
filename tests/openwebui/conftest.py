"""The real Open WebUI, once for all tests; and services in front of which it stands."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest
from processes import SERVE_FAKE, SERVE_LITE, free_port, running

from .chat_model import MODEL, ChatModel, chat_model
from .product import OpenWebUI, open_webui

# Without the product there is nothing to run in these files; tests/openwebui/run.sh installs it.
collect_ignore_glob = [] if importlib.util.find_spec("open_webui") else ["test_real_*.py"]

KEY = "open-webui-tests-key"


@pytest.fixture(scope="session")
def model() -> Iterator[ChatModel]:
    with chat_model() as started:
        yield started


@pytest.fixture(scope="session")
def webui(model: ChatModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenWebUI]:
    with open_webui(tmp_path_factory.mktemp("open-webui"), model=MODEL, OPENAI_API_BASE_URL=model.url) as started:
        yield started


@pytest.fixture(scope="session")
def guard() -> Iterator[str]:
    """The address of a service whose engine finds the word `bomb`."""
    with running(command=SERVE_FAKE, MODERATION_API_KEYS=KEY) as service:
        yield service.url


@pytest.fixture(scope="session")
def guard_without_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service whose model server is gone, and whose policy wants that to be an error."""
    policies = tmp_path_factory.mktemp("policies") / "policies.yaml"
    policies.write_text("policies: {own: {on_failure: error}}")
    flags = ("--engine", "vllm", "--upstream", f"http://127.0.0.1:{free_port()}", "--default-policy", "own")
    with running(*flags, "--policies-file", str(policies), command=SERVE_LITE, MODERATION_API_KEYS=KEY) as service:
        yield service.url


@pytest.fixture
def no_guard() -> str:
    """An address at which nobody listens."""
    return f"http://127.0.0.1:{free_port()}"
