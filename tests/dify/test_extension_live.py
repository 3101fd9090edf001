"""The Content Moderation extension of the real service, asked over HTTP as Dify's requestor asks it."""

from __future__ import annotations

import pytest
import requests
from samples import SAFE, SAFE_ANSWER, SAFE_ZH, UNSAFE, UNSAFE_ANSWER, UNSAFE_ZH

pytestmark = pytest.mark.dify

APP = "f2c4a4d4-7d5a-4a1e-9f0f-0c6a1f1f9f10"
PASSES = {"flagged": False, "action": "direct_output"}


@pytest.fixture
def ask(live):
    """Posts to exactly the configured URL, its query string included."""

    def post(point, params, *, query="", key=None):
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key or live.key}"}
        body = {"point": point, "params": params}
        with requests.Session() as session:
            session.trust_env = False  # no proxy on the way to this machine
            answer = session.post(live.url + "/dify/moderation" + query, json=body, headers=headers, timeout=60)
            return answer.status_code, answer.json()

    return post


def test_saving_the_extension(ask):
    assert ask("ping", {}) == (200, {"result": "pong"})
    assert ask("ping", {}, key="wrong-wrong-key")[0] == 401
    assert ask("ping", {}, query="?policy=nope")[0] == 400


@pytest.mark.parametrize(("query", "flagged"), [(SAFE, False), (SAFE_ZH, False), (UNSAFE, True), (UNSAFE_ZH, True)])
def test_inputs(ask, query, flagged):
    status, reply = ask("app.moderation.input", {"app_id": APP, "inputs": {"city": "Berlin"}, "query": query})
    assert (status, reply["flagged"], reply["action"]) == (200, flagged, "direct_output")
    assert bool(reply.get("preset_response")) is flagged


def test_an_answer_that_turns_unsafe_is_flagged_by_every_worker(ask):
    text = SAFE_ANSWER * 40
    for end in range(300, len(text), 600):
        assert ask("app.moderation.output", {"app_id": APP, "text": text[:end]}) == (200, PASSES)
    for _ in range(6):
        params = {"app_id": APP, "text": text + f" {UNSAFE_ANSWER}" * 4}
        status, reply = ask("app.moderation.output", params, query="?language=zh")
        assert (status, reply["flagged"]) == (200, True)
        assert reply["preset_response"].startswith("抱歉")


def test_a_wrong_key_withholds_an_output_instead_of_letting_it_pass(ask):
    status, reply = ask("app.moderation.output", {"app_id": APP, "text": SAFE_ANSWER}, key="wrong-wrong-key")
    assert (status, reply["flagged"]) == (200, True)
