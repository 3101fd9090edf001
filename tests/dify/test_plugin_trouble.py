"""What the nodes do when there is no verdict: a kind for each cause, one deadline, and nothing that fails the app."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from fake_service import FakeService
from plugin_process import PluginError

from moderation_service.wires.dify import UNCHECKED_MESSAGES

pytestmark = pytest.mark.dify

NAME = "moderation_guard"
NOTHING = {"en": "There is no text to check.", "zh": "没有需要检查的文本。", "ja": "検査するテキストがありません。",
           "pt": "Não há texto para verificar."}  # fmt: skip
TOO_LONG = {"en": "This text is too long for the safety check. Please shorten it.",
            "zh": "文本过长，无法进行安全检查，请缩短后再试。",
            "ja": "テキストが長すぎて安全性を確認できません。短くしてください。",
            "pt": "Este texto é longo demais para a verificação de segurança. Encurte-o, por favor."}  # fmt: skip
SETUP = {
    "en": "The safety check of this app is not set up correctly. Please tell its owner.",
    "zh": "此应用的安全检查配置有误，请联系应用的管理员。",
    "ja": "このアプリの安全性の確認が正しく設定されていません。管理者にお知らせください。",
    "pt": "A verificação de segurança deste aplicativo não está configurada corretamente. Avise o responsável.",
}
UNREADABLE = "The safety check can't read this text. Please write it differently."
HTML = b"<html><body><h1>Bad Gateway</h1> private words</body></html>"


@pytest.mark.parametrize("tool", ["prompt_check", "output_check"])
@pytest.mark.parametrize("language", ["en", "zh", "ja", "pt"])
def test_an_empty_text_is_safe_and_there_is_nothing_to_show(invoke, tool, language):
    """Without asking anybody: nobody is harmed by it, also when the service is down."""
    text = "query" if tool == "prompt_check" else "answer"
    for empty in ("", " \n\u3000", None):
        parameters = {text: empty, "language": language, "on_error": "block"}
        found = invoke(tool, {"base_url": "http://127.0.0.1:1"}, **parameters)
        assert (found["safety"], found["action"], found["is_safe"], found["score"]) == ("Safe", "allow", True, 0.0)
        assert (found["error"], found["message"]) == ("nothing to check", NOTHING[language])
        assert found["safe_text"] == (empty or "")


@pytest.mark.parametrize("language", ["en", "zh", "ja", "pt"])
@pytest.mark.parametrize(
    ("status", "kind", "param", "error", "message"),
    [
        (401, "unauthorized", None, "the API key is wrong", SETUP),
        (403, "forbidden", "policy", "the service refused the request (HTTP 403, forbidden, policy)", SETUP),
        (404, "not_found", None, "the service refused the request (HTTP 404, not_found)", SETUP),
        (400, "invalid_request", "policy", "the service has no policy 'strickt'", SETUP),
        (413, "too_large", None, "the text is longer than the service accepts", TOO_LONG),
    ],
)
def test_what_somebody_can_mend_blocks_and_says_who(invoke, fake, language, status, kind, param, error, message):
    fake.refuse(status, kind, param=param)
    credentials = {"base_url": fake.url, "api_key": "some-key"}
    found = invoke("prompt_check", credentials, query="hi", policy="strickt", on_error="allow", language=language)
    assert (found["safety"], found["action"], found["error"]) == ("Error", "block", error)
    assert found["message"] == message[language]


def test_a_text_that_the_service_can_not_read_is_the_users_to_change(invoke):
    found = invoke("prompt_check", query="\u200b\u200b", on_error="allow")
    assert (found["safety"], found["action"], found["message"]) == ("Error", "block", UNREADABLE)
    assert "invalid_request, prompt" in found["error"]


@pytest.mark.parametrize("size", [300_000, 1_000_000, 3_000_000])
def test_a_text_of_a_megabyte_is_judged_or_too_long_and_never_breaks_the_node(invoke, size):
    for char in ("a", "好", "\x01"):
        found = invoke("prompt_check", query=char * size, on_error="allow", timeout=60)
        if found["error"]:
            assert (found["safety"], found["action"]) == ("Error", "block")
            assert found["message"] == TOO_LONG["zh" if char == "好" else "en"]
        else:
            assert found["safe_text"] in (char * size, found["message"])


def test_a_chinese_text_is_not_sent_at_twice_its_size(invoke, fake):
    fake.decide()
    invoke("prompt_check", {"base_url": fake.url}, query="你好" * 1000)
    assert int(fake.requests[0][0]["content-length"]) < 6100


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_proxys_page_of_an_overload_is_an_outage(invoke, fake, status):
    fake.reply(HTML, status=status)
    for on_error in ("allow", "block"):
        found = invoke("prompt_check", {"base_url": fake.url}, query="hi", on_error=on_error)
        assert (found["safety"], found["action"]) == ("Error", on_error)
        assert found["message"] == UNCHECKED_MESSAGES["en"]
        assert f"HTTP {status}" in found["error"]
        assert "private" not in str(found)


@pytest.mark.parametrize(
    ("status", "message"), [(200, UNCHECKED_MESSAGES), (404, SETUP), (413, TOO_LONG), (302, SETUP)]
)
def test_another_page_is_not_taken_for_a_verdict(invoke, fake, status, message):
    fake.reply(HTML, status=status)
    found = invoke("prompt_check", {"base_url": fake.url}, query="hi")
    assert (found["safety"], found["action"], found["message"]) == ("Error", "block", message["en"])


def test_a_busy_service_is_asked_again_when_it_said_so(invoke, fake):
    fake.refuse(429, "overloaded", headers={"Retry-After": "1"})
    fake.decide()
    started = time.monotonic()
    assert invoke("prompt_check", {"base_url": fake.url}, query="hi")["safety"] == "Safe"
    assert time.monotonic() - started >= 1
    assert len(fake.requests) == 2


@pytest.mark.parametrize("wait", ["30", "Wed, 21 Oct 2099 07:28:00 GMT", "99999999999"])
def test_a_wait_that_is_too_long_is_not_waited_for(invoke, fake, wait):
    fake.refuse(429, "overloaded", headers={"Retry-After": wait})
    found = invoke("prompt_check", {"base_url": fake.url}, query="hi", on_error="allow")
    assert (found["action"], found["error"]) == ("allow", "the service is busy (HTTP 429, overloaded)")
    assert len(fake.requests) == 1


@pytest.mark.parametrize("tool", ["prompt_check", "check_texts"])
def test_a_service_that_drips_is_given_up_at_the_deadline(invoke, fake, tool):
    """One byte every half second never breaks the timeout of a single read."""
    fake.reply({"safety": "safe"}, drip_s=0.5)
    started = time.monotonic()
    parameters = {"query": "hi"} if tool == "prompt_check" else {"texts": ["hi"]}
    found = invoke(tool, {"base_url": fake.url, "timeout": "1"}, **parameters)
    assert time.monotonic() - started < 3
    assert (found["safety"], found["action"], found["message"]) == ("Error", "block", UNCHECKED_MESSAGES["en"])
    assert found["error"].endswith("did not answer within 1 s")


def test_the_deadline_counts_for_all_attempts_together(invoke, fake):
    fake.refuse(429, "overloaded", headers={"Retry-After": "1"})
    fake.reply({"safety": "safe"}, drip_s=0.5)
    started = time.monotonic()
    found = invoke("prompt_check", {"base_url": fake.url, "timeout": "2"}, query="hi")
    assert time.monotonic() - started < 4
    assert found["error"].endswith("did not answer within 2 s")


def test_a_service_that_says_nothing_is_given_up_at_the_deadline(invoke):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        found = invoke(
            "prompt_check", {"base_url": f"http://127.0.0.1:{silent.getsockname()[1]}", "timeout": "1"}, query="x"
        )
        assert time.monotonic() - started < 3
        assert found["error"].endswith("did not answer within 1 s")


def test_a_connection_that_breaks_in_the_middle_is_made_again(invoke, fake):
    fake.hang_up()
    fake.decide()
    assert invoke("prompt_check", {"base_url": fake.url}, query="hi")["safety"] == "Safe"


def test_a_service_that_is_just_restarting_is_waited_for(invoke):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    back = []

    def start() -> None:
        back.append(FakeService(port=port))
        back[0].decide()

    timer = threading.Timer(0.6, start)
    timer.start()
    try:
        assert invoke("prompt_check", {"base_url": f"http://127.0.0.1:{port}"}, query="hi")["safety"] == "Safe"
    finally:
        timer.join()
        back[0].close()


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/moderate",
        "/moderate/",
        "/v1",
        "/v1/",
        "/V1/Moderations",
        "/v1/chat/completions",
        "/dify/moderation",
        "/readyz",
    ],
)
def test_an_address_of_the_service_means_the_service(plugin, live, path):
    plugin.validate_credentials(NAME, {**live.credentials(), "base_url": f" {live.url}{path} "})
    plugin.validate_credentials(NAME, {**live.credentials(), "base_url": f'"{live.url}{path}"'})


def test_a_path_before_the_service_is_kept(invoke, fake):
    fake.decide()
    for typed in ("/guard", "/guard/moderate", "/guard/v1/moderations", "/api/v1"):
        invoke("prompt_check", {"base_url": fake.url + typed}, query="hi")
    assert fake.paths == ["/guard/moderate"] * 3 + ["/api/v1/moderate"]


@pytest.mark.parametrize("prefix", ["Bearer ", "bearer  ", "Authorization: Bearer ", '"', " "])
def test_a_key_may_be_pasted_with_what_stands_before_it(plugin, live, prefix):
    plugin.validate_credentials(NAME, {**live.credentials(), "api_key": prefix + live.key})


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"base_url": "{url}?policy=strict"}, "must end before its ? or #: enter {url} and put a policy into"),
        ({"base_url": "{url}/moderate#top"}, "must end before its ? or #: enter {url} and put"),
        ({"base_url": "{https}"}, "it does not speak https; for plain http enter {url}"),
        (
            {"base_url": "moderation:8787"},
            "must look like http://moderation:8787 with http:// or https:// at its beginning",
        ),
        ({"api_key": "dify:{key}"}, "the API key is wrong; of name:key enter only what follows the colon"),
    ],
)
def test_what_can_not_be_repaired_says_what_to_type(plugin, live, changes, problem):
    known = {"url": live.url, "https": live.url.replace("http:", "https:"), "key": live.key}
    typed = {name: value.format(**known) for name, value in changes.items()}
    with pytest.raises(PluginError) as refused:
        plugin.validate_credentials(NAME, {**live.credentials(), **typed})
    assert problem.format(**known) in refused.value.message
    assert live.key not in refused.value.message
