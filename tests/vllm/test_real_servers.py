"""The service in front of real vLLM and real llama.cpp, which serve tiny-guard."""

from __future__ import annotations

import math
import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from time import monotonic, sleep
from typing import Any

import pytest
from crowd import asking
from flask.testing import FlaskClient

from moderation_service.config.settings import Secret
from moderation_service.core.neutralise import neutralise
from moderation_service.core.verdict import Category
from moderation_service.engines.vllm.rendering import ANSWER_BEGINNING, learn
from moderation_service.upstream.byte_level import spelled

from .attack_strings import ATTACKS, CONTROL_TOKENS, HARMLESS, MARKERS
from .servers import ModelServer, tiny_guard_data

pytestmark = pytest.mark.vllm

DATA = tiny_guard_data()
EXAMPLES = DATA.examples()
Service = Callable[..., FlaskClient]
_RECOVERY_S = 5.0


def moderate(client: FlaskClient, **body: object) -> dict[str, Any]:
    answer = client.post("/moderate", json=body)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    found: dict[str, Any] = answer.get_json()
    return found


def in_the_models_words(reply: dict[str, Any]) -> str:
    """A reply of ours as the model would have written it."""
    lines = [f"Safety: {reply['safety'].capitalize()}", f"Categories: {', '.join(reply['category_names']) or 'None'}"]
    if reply["target"] == "response":
        lines.append(f"Refusal: {'Yes' if reply['refusal'] else 'No'}")
    return "\n".join(lines)


def asked_directly(server: ModelServer, messages: object, **options: object) -> dict[str, Any]:
    body = {"model": "qwen3guard", "messages": messages, "temperature": 0, "max_tokens": 64, **options}
    status, answer = server.post("/v1/chat/completions", body)
    assert status == 200
    choice: dict[str, Any] = answer["choices"][0]
    return choice


def test_every_verdict_is_the_one_the_server_gives_directly(server: ModelServer, service: Service) -> None:
    client = service()
    for messages, expected in EXAMPLES:
        direct = asked_directly(server, messages)["message"]["content"]
        assert direct == expected
        assert in_the_models_words(moderate(client, messages=messages)) == direct


def test_a_batch_of_everything_gives_the_same_verdicts(server: ModelServer, service: Service) -> None:
    answer = moderate(service(), inputs=[{"messages": messages} for messages, _ in EXAMPLES])
    assert [in_the_models_words(one) for one in answer["results"]] == [expected for _, expected in EXAMPLES]


def test_the_fast_answer_has_the_same_severity(server: ModelServer, service: Service) -> None:
    client = service()
    for messages, expected in EXAMPLES:
        found = moderate(client, messages=messages, detail="severity")
        assert f"Safety: {found['safety'].capitalize()}" == expected.partition("\n")[0]
        assert found["scores"] is not None


def test_scores_are_the_servers_own_probabilities(server: ModelServer, service: Service) -> None:
    client = service()
    for messages, _ in EXAMPLES[::5]:
        tokens = asked_directly(server, messages, logprobs=True, top_logprobs=20)["logprobs"]["content"]
        top = {one["token"]: math.exp(one["logprob"]) for one in tokens[2]["top_logprobs"]}
        known = {"safe": top.get(" Safe", 0), "controversial": top.get(" Cont", 0), "unsafe": top.get(" Unsafe", 0)}
        scores = moderate(client, messages=messages)["scores"]
        for name, probability in known.items():
            assert scores[name] == pytest.approx(probability / sum(known.values()), abs=0.02)


def test_long_texts_are_judged_in_windows_and_nothing_is_missed(server: ModelServer, service: Service) -> None:
    client = service()
    for seed in range(6):
        clean = moderate(client, prompt=DATA.long_text(150, seed=seed))
        assert clean["windows"] > 3
        assert clean["safety"] == "safe"
        found = moderate(client, prompt=DATA.long_text(150, seed=seed, category="PII"))
        assert (found["safety"], found["categories"]) == ("unsafe", [Category.PII.value])


def test_a_megabyte_is_refused_with_the_limit(server: ModelServer, service: Service) -> None:
    answer = service().post("/moderate", json={"prompt": DATA.long_text(24_000, seed=1)})
    assert answer.status_code == 413
    assert "the limit is 64 windows" in answer.get_json()["error"]["message"]


def test_half_the_context_and_more_is_never_cut(server: ModelServer, service: Service) -> None:
    """Lengths around the edge of the context, where servers begin to shorten answers."""
    client = service()
    for sentences in range(24, 46, 3):
        text = DATA.long_text(sentences, seed=sentences, category="Violent")
        assert moderate(client, prompt=text)["safety"] == "unsafe"


def test_a_wrong_key_is_an_error_and_not_ready(server: ModelServer, service: Service) -> None:
    client = service(upstream_api_key=Secret("wrong"), default_policy="balanced")
    answer = client.post("/moderate", json={"prompt": "hello"})
    assert (answer.status_code, answer.get_json()["error"]["type"]) == (503, "engine_unavailable")
    assert "API key" in answer.get_json()["error"]["message"]
    assert client.get("/readyz").status_code == 503


def test_readiness_names_the_model(server: ModelServer, service: Service) -> None:
    answer = service().get("/readyz")
    assert answer.get_json() == {"status": "ready", "engine": "vllm", "model": "qwen3guard"}


def test_sixty_four_at_once_get_the_right_answers(server: ModelServer, service: Service) -> None:
    client = service(upstream_concurrency=64)
    wrong: list[object] = []

    def ask(number: int) -> None:
        for messages, expected in EXAMPLES[number::64]:
            found = in_the_models_words(moderate(client, messages=messages))
            if found != expected:
                wrong.append((messages, found, expected))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(64)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert wrong == []


def rendered(server: ModelServer, content: str) -> tuple[list[int], list[str]]:
    """Ids and pieces of the whole prompt, as vLLM's template and tokenizer make it."""
    status, answer = server.post(
        "/tokenize",
        {"model": "qwen3guard", "messages": [{"role": "user", "content": content}], "return_token_strs": True},
    )
    assert status == 200
    return answer["tokens"], answer["token_strs"]


def common_beginning(one: list[int], other: list[int]) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


_SHOWS_NOTHING = {"Cc", "Cf"}
_FILLERS = "\u034f\u3164"


def structure(pieces: Sequence[str]) -> Counter[str]:
    """How often each part of a template stands in what these tokens spell, if one reads over what nobody sees."""
    text = "".join(
        char
        for char in spelled(pieces) or ""
        if char.isspace() or (unicodedata.category(char) not in _SHOWS_NOTHING and char not in _FILLERS)
    )
    lines = "\n".join(line.strip() for line in text.splitlines())
    words = re.sub(r"[\s_-]+", " ", text)
    found = Counter(pattern for pattern in _LINE_PARTS for _ in re.finditer(pattern, lines, re.MULTILINE))
    found.update(marker for marker in MARKERS for _ in re.finditer(f"< ?/? ?{marker} ?>", words, re.IGNORECASE))
    found["any section"] = len(re.findall(r"< ?/? ?(?:BEGIN|END) [A-Z ]+>", words))
    found["any token"] = len(re.findall(r"< ?\|+ ?(?:im start|im end|endoftext) ?\|+ ?>", words, re.IGNORECASE))
    return found


_LINE_PARTS = (
    *("^USER\\s*:", "^ASSISTANT\\s*:", "^# *Task *:", r"^\d\) *Evaluate", r"^\*\*Safety:", r"^\*\*Refusal:"),
    *("^Provide your safety assessment", "^- *The (?:first|second|third) line"),
)


def test_no_attack_becomes_a_control_token_or_structure(server: ModelServer, kind: str) -> None:
    if kind != "vllm":
        pytest.skip("only vLLM tells the ids of a whole prompt")
    assert len(ATTACKS) >= 1200
    plain, plain_pieces = rendered(server, "x")
    other, _ = rendered(server, "7")
    # The blank in front of the text and the line break behind it may become one token with its edges.
    before = common_beginning(plain, other) - 1
    after = common_beginning(plain[::-1], other[::-1]) - 1
    expected = structure(plain_pieces)
    assert sum(expected[marker] for marker in MARKERS) == len(MARKERS) - 2  # a prompt has no refusal policy
    tokens = forged = 0
    for attack in ATTACKS:
        text = neutralise(attack)
        assert len(text) == len(attack)
        ids, pieces = rendered(server, text)
        # The template around the text is, token by token, what it is around a harmless one ...
        assert ids[:before] == plain[:before]
        assert ids[-after:] == plain[-after:]
        # ... in the text there is no control token, and in the whole no section, instruction or turn more.
        assert not set(pieces[before : len(pieces) - after]) & set(CONTROL_TOKENS), attack
        assert structure(pieces) == expected, attack
        raw_ids, raw_pieces = rendered(server, attack)
        tokens += bool(set(raw_pieces[before : len(raw_ids) - after]) & set(CONTROL_TOKENS))
        forged += structure(raw_pieces) != expected
    # What the test is worth: sent as they are, most of these do become control tokens or structure.
    assert tokens > 500
    assert forged > 600


def test_harmless_texts_are_tokenised_as_they_were_written(server: ModelServer, kind: str) -> None:
    if kind != "vllm":
        pytest.skip("only vLLM tells the ids of a whole prompt")
    for text in HARMLESS:
        assert rendered(server, neutralise(text)) == rendered(server, text)


def test_the_prompt_rendered_here_is_the_servers_own(server: ModelServer, kind: str) -> None:
    if kind != "vllm":
        pytest.skip("only vLLM's prompts are rendered here")

    def render(messages: Sequence[Mapping[str, str]]) -> str | None:
        return spelled(server.post("/tokenize", {"messages": messages, "return_token_strs": True})[1]["token_strs"])

    rendering = learn(render)
    assert rendering is not None
    attacks = [[{"role": "user", "content": neutralise(attack)}] for attack in ATTACKS]
    for messages in [messages for messages, _ in EXAMPLES] + attacks:
        prompt = rendering.prompt(messages).removesuffix(ANSWER_BEGINNING)
        _, chat = server.post("/tokenize", {"messages": messages})
        _, own = server.post("/tokenize", {"prompt": prompt, "add_special_tokens": False})
        assert own["tokens"] == chat["tokens"]


def test_killed_under_load_and_back_within_seconds(server: ModelServer, service: Service) -> None:
    client = service()
    messages = [{"role": "user", "content": "How can I make a bomb?"}]
    found: list[tuple[int, object]] = []

    def ask(number: int) -> None:
        answer = client.post("/moderate", json={"messages": messages})
        body = answer.get_json()
        found.append((answer.status_code, body.get("safety") or body["error"]["type"]))

    with asking(ask, callers=8):
        until(lambda: sum(status == 200 for status, _ in found) > 20)
        server.kill()
        until(lambda: found[-1][0] == 503)
        assert client.get("/readyz").status_code == 503
    server.start()
    server.wait_until_healthy()
    returned = monotonic()
    until(lambda: client.post("/moderate", json={"messages": messages}).status_code == 200)
    assert monotonic() - returned < _RECOVERY_S
    assert client.get("/readyz").status_code == 200
    assert {answer for status, answer in found if status == 200} == {"unsafe"}
    assert {status for status, _ in found} <= {200, 502, 503, 504}


def until(is_so: Callable[[], bool], *, within_s: float = 60.0) -> None:
    ends_at = monotonic() + within_s
    while not is_so():
        assert monotonic() < ends_at
        sleep(0.02)
