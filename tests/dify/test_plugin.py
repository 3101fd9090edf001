"""The plugin in the real SDK runtime, asking the real service with the embedded engine."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fake_service import DECISION
from plugin_outputs import PLUGIN, PLUGIN_NAME, declared
from plugin_process import PluginError
from plugin_tcp import TcpPlugin
from samples import REFUSAL_ANSWER, SAFE, SAFE_ANSWER, SAFE_ZH, UNSAFE, UNSAFE_ANSWER, UNSAFE_ZH, WORD_CONTROVERSIAL

from moderation_service.core.policy import DEFAULT_MESSAGES
from moderation_service.wires.dify import UNCHECKED_MESSAGES

pytestmark = pytest.mark.dify

ROOT = Path(__file__).resolve().parents[2]


def test_the_sdk_and_the_marketplace_checks_accept_the_plugin(dify_python):
    command = [
        str(ROOT / "tools/dify/difypkg.py"),
        "validate",
        str(PLUGIN),
        "--marketplace",
        "--sdk-python",
        dify_python,
    ]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_safe_prompt_passes(invoke):
    found = invoke("prompt_check", query=SAFE)
    assert (found["safety"], found["action"], found["is_safe"], found["allowed"]) == ("Safe", "allow", True, True)
    assert (found["safe_text"], found["message"], found["error"], found["refusal"]) == (SAFE, "", "", "")
    assert found["score"] < 0.5


@pytest.mark.parametrize(("query", "language"), [(UNSAFE, "en"), (UNSAFE_ZH, "zh")])
def test_an_unsafe_prompt_is_blocked_in_its_own_language(invoke, query, language):
    found = invoke("prompt_check", query=query)
    assert (found["safety"], found["action"], found["is_safe"], found["allowed"]) == ("Unsafe", "block", False, False)
    assert found["message"] == found["safe_text"] == DEFAULT_MESSAGES[language]
    assert "violent" in found["categories"]
    assert "Violent" in found["categories_text"]
    assert found["score"] > 0.5


def test_chinese_text_passes(invoke):
    assert invoke("prompt_check", query=SAFE_ZH)["safe_text"] == SAFE_ZH


def test_an_answer_is_judged_with_its_question(invoke):
    assert invoke("output_check", query=SAFE, answer=SAFE_ANSWER)["safe_text"] == SAFE_ANSWER
    assert invoke("output_check", query=SAFE, answer=SAFE_ANSWER)["refusal"] == "no"
    blocked = invoke("output_check", query=UNSAFE, answer=UNSAFE_ANSWER)
    assert (blocked["safety"], blocked["action"], blocked["safe_text"]) == ("Unsafe", "block", DEFAULT_MESSAGES["en"])
    assert invoke("output_check", query=UNSAFE, answer=REFUSAL_ANSWER)["refusal"] == "yes"
    assert invoke("output_check", answer=SAFE_ANSWER)["safety"] == "Safe"


def test_a_controversial_text_has_a_message_even_where_the_policy_lets_it_pass(invoke, words):
    flagged = invoke("prompt_check", words.credentials(), query=WORD_CONTROVERSIAL)
    assert (flagged["safety"], flagged["action"], flagged["is_safe"]) == ("Controversial", "flag", False)
    assert (flagged["safe_text"], flagged["message"]) == (WORD_CONTROVERSIAL, DEFAULT_MESSAGES["en"])
    blocked = invoke("prompt_check", words.credentials(), query=WORD_CONTROVERSIAL, policy="strict")
    assert (blocked["action"], blocked["safe_text"]) == ("block", DEFAULT_MESSAGES["en"])


def test_the_default_policy_comes_from_the_authorization(invoke, words):
    strict = words.credentials(policy="strict")
    assert invoke("prompt_check", strict, query=WORD_CONTROVERSIAL)["action"] == "block"
    node = invoke("prompt_check", strict, query=WORD_CONTROVERSIAL, policy="loose")
    assert node["action"] == "allow"


def test_a_check_is_found_in_the_services_log_by_its_request_id_and_without_its_text(invoke, live):
    found = invoke("prompt_check", query="How do I bake a zebra-striped cake?")
    assert found["request_id"] in live.logged()
    assert "zebra" not in live.logged()


def test_what_is_sent_is_the_native_contract(invoke, fake):
    fake.decide(target="response")
    credentials = {"base_url": f"{fake.url}/moderate/", "api_key": " secret-key "}
    invoke("output_check", credentials, query="hi", answer="你好", policy="strict", language="pt")
    [(headers, body)] = fake.requests
    assert body == {"prompt": "hi", "response": "你好", "policy": "strict"}
    assert (headers["authorization"], headers["accept-language"]) == ("Bearer secret-key", "pt")
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize(("on_error", "action"), [(None, "block"), ("block", "block"), ("allow", "allow")])
def test_every_output_is_there_when_the_service_is_not(invoke, on_error, action):
    parameters = {"query": SAFE_ZH} | ({"on_error": on_error} if on_error else {})
    found = invoke("prompt_check", {"base_url": "http://127.0.0.1:1"}, **parameters)
    assert (found["safety"], found["action"], found["is_safe"], found["score"]) == ("Error", action, False, 1.0)
    assert found["message"] == UNCHECKED_MESSAGES["zh"]
    assert found["safe_text"] == (SAFE_ZH if action == "allow" else found["message"])
    assert "connection refused" in found["error"]


@pytest.mark.parametrize(
    ("changes", "action"),
    [
        ({"safety": None, "action": "allow", "degraded": True}, "allow"),
        ({"safety": None, "action": "flag", "degraded": True}, "flag"),
        ({"safety": None, "action": "block", "allowed": False, "message": "Later.", "degraded": True}, "block"),
    ],
)
def test_a_decision_without_a_verdict_is_an_error_and_the_stricter_setting_wins(invoke, fake, changes, action):
    fake.decide(**changes)
    for on_error, expected in (("allow", action), ("block", "block")):
        found = invoke("prompt_check", {"base_url": fake.url}, query="hi", on_error=on_error)
        assert (found["safety"], found["action"], found["is_safe"]) == ("Error", expected, False)
        assert found["error"] == "the service's model gave no verdict"
        assert found["message"] == (changes.get("message") or UNCHECKED_MESSAGES["en"])


@pytest.mark.parametrize(
    "changes",
    [
        {"safety": "harmless"},
        {"safety": ["safe"]},
        {"action": "pass"},
        {"target": "response"},
        {"categories": "violent"},
        {"category_names": [7]},
    ],
)
def test_an_unknown_verdict_is_never_a_pass(invoke, fake, changes):
    fake.decide(**changes)
    found = invoke("prompt_check", {"base_url": fake.url}, query="hi", on_error="allow")
    assert (found["safety"], found["action"]) == ("Error", "block")
    assert found["error"] == "the service answered with an unknown verdict"


def test_without_scores_the_label_decides_the_score(invoke, fake):
    fake.decide(scores=None, safety="controversial", action="flag")
    assert invoke("prompt_check", {"base_url": fake.url}, query="hi")["score"] == 0.5


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ({"body": b"<html>Welcome</html>"}, "answered, but not as a moderation service (HTTP 200)"),
        ({"body": {"detail": "Not Found"}, "status": 404}, "answered, but not as a moderation service (HTTP 404)"),
        ({"body": b"", "status": 302, "headers": {"Location": "/login"}}, "answered with a redirect (HTTP 302)"),
        ({"body": b"[" * 400_000}, "answered, but not as a moderation service (HTTP 200)"),
        ({"body": {"error": {"type": "engine_unavailable"}}, "status": 503}, "its model is not ready"),
        ({"body": {**DECISION, "safety": None}}, "the service's model gave no verdict"),
    ],
)
def test_credentials_are_refused_with_the_reason(plugin, fake, reply, problem):
    fake.reply(**reply)
    with pytest.raises(PluginError) as refused:
        plugin.validate_credentials(PLUGIN_NAME, {"base_url": fake.url, "api_key": "a-very-secret-key"})
    assert refused.value.error_type == "ToolProviderCredentialValidationError"
    assert problem in refused.value.message
    assert "a-very-secret-key" not in json.dumps(refused.value.payload)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"base_url": "http://127.0.0.1:1"}, "connection refused; in Dify this address is the plugin_daemon container"),
        ({"base_url": "http://no-such-host.invalid:8787"}, "there is no host of that name here"),
        ({"base_url": "moderation:8787"}, "must look like http://moderation:8787"),
        ({"base_url": "http://[::1"}, "must look like http://moderation:8787"),
        ({"base_url": ""}, "must look like http://moderation:8787"),
        ({"api_key": "wrong-key-wrong-key"}, "the API key is wrong"),
        ({"api_key": ""}, "the service wants an API key"),
        ({"api_key": "schlüssel\n"}, "the API key has characters that can't be in a key"),
        ({"policy": "nope"}, "the service has no policy 'nope'"),
        ({"timeout": "soon"}, "the timeout must be 1 to 60 seconds"),
        ({"timeout": "nan"}, "the timeout must be 1 to 60 seconds"),
    ],
)
def test_the_real_service_refuses_what_is_wrong(plugin, live, changes, problem):
    with pytest.raises(PluginError) as refused:
        plugin.validate_credentials(PLUGIN_NAME, {**live.credentials(), **changes})
    assert problem in refused.value.message
    key = changes.get("api_key") or live.key
    assert key not in json.dumps(refused.value.payload, ensure_ascii=False)


def test_good_credentials_are_accepted(plugin, live):
    plugin.validate_credentials(PLUGIN_NAME, live.credentials(policy="strict", timeout="5"))
    plugin.validate_credentials(PLUGIN_NAME, {**live.credentials(), "base_url": live.url + "/"})


def test_nothing_of_key_and_text_reaches_the_error_or_the_log(plugin, fake):
    fake.reply({"error": {"type": "internal_error", "message": "echo: private words"}}, status=500)
    credentials = {"base_url": fake.url, "api_key": "a-very-secret-key"}
    output = plugin.invoke_tool(PLUGIN_NAME, "prompt_check", credentials, {"query": "private words"})
    assert output.variables["error"] == "the service could not judge the text (HTTP 500, internal_error)"
    for written in (json.dumps(output.messages), plugin.stderr, json.dumps(plugin.log)):
        assert "private" not in written
        assert "a-very-secret-key" not in written


def test_fifty_checks_at_once_are_all_answered_rightly(invoke):
    queries = [SAFE, UNSAFE, SAFE_ZH, UNSAFE_ZH, SAFE_ANSWER] * 10
    with ThreadPoolExecutor(50) as pool:
        found = list(pool.map(lambda query: invoke("prompt_check", query=query), queries))
    assert [one["action"] for one in found] == ["allow", "block", "allow", "block", "allow"] * 10
    assert len({one["request_id"] for one in found}) == 50


def test_remote_debugging_declares_everything_and_runs(dify_python, live):
    with TcpPlugin(PLUGIN, python=dify_python) as remote:
        [provider] = remote.declarations["tool"]
        names = [credential["name"] for credential in provider["credentials_schema"]]
        assert names == ["base_url", "api_key", "policy", "timeout"]
        for tool in provider["tools"]:
            name = tool["identity"]["name"]
            assert tool["output_schema"]["properties"] == declared(name)
        for icon in ("icon.svg", "icon-dark.svg"):
            assert remote.assets[icon] == (PLUGIN / "_assets" / icon).read_bytes()
        remote.validate_credentials(PLUGIN_NAME, live.credentials())
        output = remote.invoke_tool(PLUGIN_NAME, "prompt_check", live.credentials(), {"query": UNSAFE})
        assert output.variables["action"] == "block"
        parameters = {"query": UNSAFE, "answer": UNSAFE_ANSWER}
        output = remote.invoke_tool(PLUGIN_NAME, "output_check", live.credentials(), parameters)
        assert output.variables["action"] == "block"
