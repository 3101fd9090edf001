"""A service without keys is for its own machine: it answers to this machine's names only."""

from __future__ import annotations

import pytest
from apps import keys, make_client

REFUSED = {
    "type": "host_not_allowed",
    "message": (
        "Without API keys this service is only for its own machine, and answers to names such as localhost. "
        "Add the name it was asked under to `allowed_hosts`, or set `api_keys`."
    ),
    "param": None,
}


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8787",
        "LOCALHOST:8787",
        "localhost.:8787",
        "127.0.0.1:8787",
        "127.1.2.3",
        "[::1]",
        "[::1]:8787",
        "host.docker.internal:8787",
    ],
)
def test_this_machines_names_are_answered(host: str) -> None:
    assert make_client().get("/policies", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8787",
        "localhost.evil.example",
        "127.0.0.1.evil.example:8787",
        "evil.example:localhost",
        "192.168.1.7:8787",
        "[2001:db8::1]:8787",
        "127.0.0.1@evil.example",
        "2130706433",
    ],
)
@pytest.mark.parametrize("path", ["/policies", "/", "/healthz", "/nowhere"])
def test_other_names_are_refused_and_the_setting_is_named(host: str, path: str) -> None:
    reply = make_client().get(path, headers={"Host": host})
    assert (reply.status_code, reply.json) == (403, {"error": REFUSED})


def test_a_check_and_a_guarded_chat_are_refused_in_the_shape_of_their_door() -> None:
    client, headers = make_client(), {"Host": "evil.example"}
    assert client.post("/moderate", json={"prompt": "bread"}, headers=headers).json == {"error": REFUSED}
    reply = client.post("/v1/chat/completions", json={}, headers=headers)
    assert (reply.status_code, reply.json["error"]["code"]) == (403, "host_not_allowed")
    # Dify takes an error for a pass.
    call = {"point": "app.moderation.output", "params": {"app_id": "a", "text": "bread"}}
    withheld = client.post("/dify/moderation", json=call, headers=headers)
    assert (withheld.status_code, withheld.json["flagged"]) == (200, True)


def test_the_operator_can_add_names() -> None:
    client = make_client(allowed_hosts=("Moderation.lan",))
    assert client.get("/policies", headers={"Host": "moderation.LAN:8787"}).status_code == 200
    assert client.get("/policies", headers={"Host": "other.lan"}).status_code == 403
    assert make_client(allowed_hosts=("*",)).get("/policies", headers={"Host": "any.example"}).status_code == 200


def test_names_do_not_matter_where_keys_or_the_operator_say_who_may_come() -> None:
    with_keys = make_client(api_keys=keys("app:0123456789"))
    assert with_keys.get("/policies", headers={"Host": "a.example", "X-API-Key": "0123456789"}).status_code == 200
    opened = make_client(host="0.0.0.0", allow_open=True)
    assert opened.get("/policies", headers={"Host": "a.example"}).status_code == 200
