"""Guarded chat as a model of Dify: no event holds an answer that was withheld, because no node ever has it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from dify_events import blocking, relayed, service_api, web_app
from fake_llm import chunk, fake_llm, http, says, sse, whole
from live_service import LiveService
from samples import SAFE, SAFE_ANSWER, SAFE_ANSWER_ZH, SAFE_ZH, UNSAFE, UNSAFE_ANSWER, UNSAFE_ZH

from moderation_service.core.policy import DEFAULT_MESSAGES

pytestmark = pytest.mark.dify

ROOT = Path(__file__).resolve().parents[2]
APPS = ROOT / "examples" / "dify"
KEY = "guarded-model-key"
BREAD = says(SAFE_ANSWER)
TOOL = {
    "name": "send_mail",
    "description": "Sends a mail.",
    "parameters": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
}


@pytest.fixture(scope="module")
def behind():
    """The chat model that is guarded."""
    with fake_llm() as fake:
        yield fake


@pytest.fixture(scope="module")
def guard(behind, tmp_path_factory):
    """The service in front of it, as users start it."""
    log = tmp_path_factory.mktemp("guard") / "log"
    with LiveService(key=KEY, log=log, settings={"chat_upstream": behind.url}) as service:
        yield service


@pytest.fixture(scope="module")
def client(dify_python):
    """The SDK's request code in its own process."""
    command = [dify_python, str(Path(__file__).parent / "harness" / "model_client.py")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    with subprocess.Popen(command, **pipes) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def form(guard):
    """What the page says to fill in, as the provider's form hands it on."""
    return {
        "endpoint_url": f"{guard.url}/v1",
        "api_key": KEY,
        "mode": "chat",
        "context_size": "8192",
        "function_calling_type": "tool_call",
        "stream_function_calling": "supported",
        "stream_mode_delimiter": "\\n\\n",
    }


@pytest.fixture
def ask(client, form, behind):
    """One call of Dify's to the model, which would answer with `says`."""

    def call(content=SAFE, *, answer=BREAD, messages=None, **job):
        behind.requests.clear()
        behind.behave = answer
        asked = messages or [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}]
        line = {"credentials": form, "model": "llm-1", "messages": asked, **job}
        client.stdin.write(json.dumps(line) + "\n")
        client.stdin.flush()
        return json.loads(client.stdout.readline())

    return call


def text_of(reply):
    assert reply["error"] == ""
    return "".join(chunk["delta"]["message"]["content"] for chunk in reply["chunks"])


def test_the_form_is_accepted_when_it_is_saved(ask):
    assert ask(validate=True)["error"] == ""


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("content", "answer"), [(SAFE, SAFE_ANSWER), (SAFE_ZH, SAFE_ANSWER_ZH)])
def test_a_safe_answer_comes_as_it_is(ask, behind, stream, content, answer):
    reply = ask(content, answer=says(answer), stream=stream)
    assert text_of(reply) == answer
    [asked] = behind.requests
    assert asked.body["messages"][-1] == {"role": "user", "content": content}
    assert asked.body["user"] == "end-user-1"
    assert asked.body.get("stream_options") == ({"include_usage": True} if stream else None)


def test_a_safe_answer_is_streamed_in_pieces(ask):
    reply = ask(answer=says(SAFE_ANSWER * 8))
    assert len([chunk for chunk in reply["chunks"] if chunk["delta"]["message"]["content"]]) > 3


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("content", "language"), [(UNSAFE, "en"), (UNSAFE_ZH, "zh")])
def test_a_blocked_prompt_is_an_answer_with_the_message(ask, stream, content, language):
    assert text_of(ask(content, stream=stream)) in (DEFAULT_MESSAGES[language], DEFAULT_MESSAGES["en"])


@pytest.mark.parametrize("stream", [True, False])
def test_of_a_blocked_answer_dify_gets_nothing(ask, stream):
    reply = ask(answer=says(UNSAFE_ANSWER), stream=stream)
    assert text_of(reply).endswith(DEFAULT_MESSAGES["en"])
    assert "bomb" not in json.dumps(reply)
    assert "poison" not in json.dumps(reply)


def call_of(arguments):
    function = {"name": "send_mail", "arguments": arguments}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }


@pytest.mark.parametrize("stream", [True, False])
def test_a_call_of_a_tool_is_judged_before_dify_can_make_it(ask, behind, stream):
    def calls(text):
        arguments = json.dumps({"text": text})
        if not stream:
            return lambda request: [whole(call_of(arguments), finish="tool_calls")]
        first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "send_mail", "arguments": ""}}
        rest = {"index": 0, "function": {"arguments": arguments}}
        deltas = [{"role": "assistant", "content": None, "tool_calls": [first]}, {"tool_calls": [rest]}]
        return lambda request: sse(*[chunk(delta) for delta in deltas], chunk({}, finish="tool_calls"))

    def called(reply):
        messages = [one["delta"]["message"] for one in reply["chunks"]]
        return [call["function"] for message in messages for call in message.get("tool_calls") or []]

    reply = ask(answer=calls(SAFE_ANSWER), tools=[TOOL], stream=stream)
    assert reply["error"] == ""
    assert [json.loads(function["arguments"])["text"] for function in called(reply)] == [SAFE_ANSWER]
    assert behind.requests[0].body["tools"][0]["function"]["name"] == "send_mail"
    blocked = ask(answer=calls(UNSAFE_ANSWER), tools=[TOOL], stream=stream)
    assert called(blocked) == []
    assert "bomb" not in json.dumps(blocked)


def test_the_second_call_of_an_agent_passes_with_the_result_of_the_tool(ask):
    messages = [
        {"role": "user", "content": SAFE},
        {"role": "assistant", "content": "", "tool_calls": call_of("{}")["tool_calls"]},
        {"role": "tool", "content": "sent", "tool_call_id": "call_1"},
    ]
    assert text_of(ask(messages=messages, tools=[TOOL])) == SAFE_ANSWER


def test_a_picture_is_refused_and_the_model_is_not_asked(ask, behind):
    picture = {
        "type": "image",
        "format": "png",
        "base64_data": "iVBORw0KGgo=",
        "mime_type": "image/png",
        "detail": "low",
    }
    content = [{"type": "text", "data": "What is this?"}, picture]
    reply = ask(messages=[{"role": "user", "content": content}])
    assert "400" in reply["error"]
    assert behind.requests == []


def test_a_failing_model_fails_the_node_without_its_words(ask):
    reply = ask(answer=lambda request: [http(500, {"error": {"message": "private words"}})])
    assert "502" in reply["error"]
    assert "private" not in json.dumps(reply)


# The same in an app: graphon runs it, the model is asked with the SDK's request code.


@pytest.fixture
def run(run_flow, guard, form, behind):
    def one(name, query, answer):
        behind.behave = says(answer)
        return run_flow(name, query, answer, service=guard, model_credentials=form)

    return one


def test_the_app_answers_and_streams(run):
    result = run("guarded_model_chatflow.yml", SAFE, SAFE_ANSWER * 8)
    assert (result["path"], result["streamed"]) == (["start", "llm", "shown"], SAFE_ANSWER * 8)
    assert len(result["chunks"]) > 3


def test_no_event_of_the_app_holds_anything_of_a_withheld_answer(run):
    result = run("guarded_model_chatflow.yml", SAFE, UNSAFE_ANSWER)
    assert (result["path"], result["streamed"]) == (["start", "llm", "shown"], DEFAULT_MESSAGES["en"])
    stream = service_api(result["events"])
    assert {"node_started", "node_finished", "message", "workflow_finished"} <= {one["event"] for one in stream}
    for everything in (result, stream, web_app(stream), blocking(stream)):
        assert "bomb" not in json.dumps(everything)
        assert "poison" not in json.dumps(everything)


def test_a_blocked_prompt_is_answered_with_the_message(run):
    assert run("guarded_model_chatflow.yml", UNSAFE, SAFE_ANSWER)["streamed"] == DEFAULT_MESSAGES["en"]


# The other rows of the page's table: what the double guard's own stream carries, and who gets it.


@pytest.fixture
def withheld(run_flow):
    """The events of the double guard that withheld an answer."""
    result = run_flow("guarded_chatflow.yml", SAFE, UNSAFE_ANSWER)
    assert (result["path"][-1], result["streamed"]) == ("withheld", DEFAULT_MESSAGES["en"])
    return service_api(result["events"])


def test_the_service_apis_stream_holds_an_answer_that_the_nodes_withheld(withheld):
    """As the page says. In the outputs of the model's node and in the inputs of the check behind it."""
    holding = [one for one in withheld if "bomb" in json.dumps(one)]
    assert [(one["event"], one["data"]["node_id"]) for one in holding] == [
        ("node_finished", "llm"),
        ("node_finished", "output_check"),
    ]
    assert "bomb" in json.dumps(holding[0]["data"]["outputs"])
    assert "bomb" in json.dumps(holding[1]["data"]["inputs"])


def test_the_web_app_blocking_mode_and_a_relay_of_messages_do_not(withheld):
    for shown in (web_app(withheld), blocking(withheld), relayed(withheld)):
        assert "bomb" not in json.dumps(shown)
        assert DEFAULT_MESSAGES["en"] in json.dumps(shown)


def test_content_moderation_leaves_the_answer_in_the_agents_thoughts():
    """Dify's documented stream of an Agent app whose answer its Content Moderation replaced at the end."""
    stream = [
        {"event": "agent_message", "answer": UNSAFE_ANSWER[:40]},
        {"event": "agent_thought", "position": 1, "thought": UNSAFE_ANSWER, "tool": "", "observation": ""},
        {"event": "message_replace", "answer": DEFAULT_MESSAGES["en"], "reason": "output_moderation"},
        {"event": "message_end"},
    ]
    assert "bomb" not in json.dumps(relayed(stream))
    assert [one["event"] for one in stream if "poison" in json.dumps(one)] == ["agent_message", "agent_thought"][1:]


@pytest.mark.parametrize("name", ["guarded_model_chatbot.yml", "guarded_model_agent.yml"])
def test_the_apps_without_a_graph_use_the_guarded_model(name):
    app = yaml.safe_load((APPS / name).read_text("utf-8"))
    assert app["model_config"]["model"]["provider"] == "langgenius/openai_api_compatible/openai_api_compatible"
    assert app["app"]["mode"] == ("chat" if "chatbot" in name else "agent-chat")
    assert "workflow" not in app
    tools = [tool["tool_name"] for tool in app["model_config"]["agent_mode"]["tools"]]
    assert tools == ([] if "chatbot" in name else ["prompt_check", "output_check"])


def test_the_agents_tools_have_no_list_whose_items_dify_would_not_describe():
    """Dify passes a parameter's type on and no `items`; OpenAI's models refuse such a tool, and so the whole call."""
    app = yaml.safe_load((APPS / "guarded_model_agent.yml").read_text("utf-8"))
    for entry in app["model_config"]["agent_mode"]["tools"]:
        tool = yaml.safe_load((ROOT / f"dify_plugin/tools/{entry['tool_name']}.yaml").read_text("utf-8"))
        asked = {parameter["name"]: parameter["type"] for parameter in tool["parameters"] if parameter["form"] == "llm"}
        assert set(asked.values()) == {"string"}
        assert all(parameter["llm_description"] for parameter in tool["parameters"] if parameter["form"] == "llm")
