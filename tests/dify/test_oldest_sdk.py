"""The plugin in the oldest SDK that it says it supports. The other tests run it in the newest one."""

from __future__ import annotations

import re
import time

import plugin_checks
import pytest
from fake_service import FakeService
from plugin_outputs import PLUGIN, PLUGIN_NAME, declared
from plugin_process import PluginError, StdioPlugin
from prepare_venv import OLDEST_REQUIREMENTS
from samples import SAFE, SAFE_ANSWER, UNSAFE, UNSAFE_ANSWER

pytestmark = pytest.mark.dify


@pytest.fixture(scope="module")
def old(oldest_python):
    with StdioPlugin(PLUGIN, python=oldest_python) as running:
        yield running
        assert running.stray == []


def test_it_is_the_lower_bound_of_the_plugins_requirements():
    bound = re.search(r"^dify-plugin>=([\d.]+),", (PLUGIN / "requirements.txt").read_text(), re.MULTILINE)
    assert f"\ndify-plugin=={bound[1]}\n" in OLDEST_REQUIREMENTS.read_text().replace("_", "-")


def test_it_accepts_the_plugin(oldest_python):
    assert plugin_checks.check_with_sdk(PLUGIN, oldest_python) == ""


@pytest.mark.parametrize(
    ("tool", "parameters", "action"),
    [
        ("prompt_check", {"query": SAFE, "history": "null"}, "allow"),
        ("prompt_check", {"query": UNSAFE}, "block"),
        ("output_check", {"query": SAFE, "answer": SAFE_ANSWER}, "allow"),
        ("output_check", {"query": UNSAFE, "answer": UNSAFE_ANSWER}, "block"),
        ("check_texts", {"texts": [SAFE, {"content": SAFE_ANSWER}]}, "allow"),
        ("check_texts", {"texts": [SAFE, UNSAFE]}, "block"),
    ],
)
def test_every_node_gives_every_output(old, live, tool, parameters, action):
    output = old.invoke_tool(PLUGIN_NAME, tool, live.credentials(), parameters)
    assert set(output.variables) == set(declared(tool))
    assert output.variables["action"] == action


def test_credentials_are_checked(old, live):
    old.validate_credentials(PLUGIN_NAME, live.credentials())
    with pytest.raises(PluginError, match="the API key is wrong"):
        old.validate_credentials(PLUGIN_NAME, {**live.credentials(), "api_key": "wrong"})


def test_the_deadline_holds(old):
    fake = FakeService()
    fake.reply({"safety": "safe"}, drip_s=0.5)
    started = time.monotonic()
    output = old.invoke_tool(PLUGIN_NAME, "prompt_check", {"base_url": fake.url, "timeout": "1"}, {"query": "hi"})
    fake.close()
    assert time.monotonic() - started < 3
    assert output.variables["error"].endswith("did not answer within 1 s")
