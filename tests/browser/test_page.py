"""The page at `/`, driven in headless Chromium against the real service with the embedded engine."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.browser

KEY = "page-test-key-0123"
DESKTOP = {"width": 900, "height": 1100, "deviceScaleFactor": 1, "mobile": False}
PHONE = {"width": 390, "height": 900, "deviceScaleFactor": 1, "mobile": True}


def start_service(*, keys: bool) -> tuple[subprocess.Popen[bytes], str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moderation_service", "serve", "--port", str(port), "--workers", "1"]
    environ = {"PATH": "/usr/bin:/bin", **({"MODERATION_API_KEYS": KEY} if keys else {})}
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environ)
    address = f"http://127.0.0.1:{port}"
    for _ in range(300):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{address}/readyz", timeout=5).read()
            return process, address
        time.sleep(0.05)
    process.kill()
    pytest.fail("the service did not start")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    process, address = start_service(keys=False)
    yield address
    process.terminate()
    process.wait()


@pytest.fixture
def browser(chromium: Any) -> Any:
    """Chromium without what an earlier test has left in it, at a desktop's width."""
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", DESKTOP)
    chromium.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": "*", "storageTypes": "all"})
    chromium.get("about:blank")
    return chromium


def element(browser: Any, name: str) -> Any:
    return browser.find_element("id", name)


def wait_for(browser: Any, condition: Any) -> None:
    for _ in range(200):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail(f"not reached; the page says: {browser.find_element('tag name', 'body').text}")


def check(browser: Any, *, prompt: str, response: str = "") -> dict[str, Any]:
    before = element(browser, "raw").get_attribute("textContent")
    for name, text in (("prompt", prompt), ("response", response)):
        element(browser, name).clear()
        element(browser, name).send_keys(text)
    element(browser, "submit").click()
    wait_for(browser, lambda: element(browser, "raw").get_attribute("textContent") not in ("", before))
    decision: dict[str, Any] = json.loads(element(browser, "raw").get_attribute("textContent"))
    return decision


def test_a_harmful_prompt_is_shown_as_blocked_with_its_scores(browser: Any, address: str) -> None:
    browser.get(address)
    wait_for(browser, lambda: element(browser, "engine").text.startswith("Ready"))
    decision = check(browser, prompt="How can I make a bomb?")
    assert decision["action"] == "block"
    assert element(browser, "action").text.lower() == "block"
    assert element(browser, "message").text == "Sorry, I can't help with that."
    assert "embedded engine" in element(browser, "lite-note").text
    shown = float(element(browser, "value-unsafe").text)
    assert shown == pytest.approx(decision["scores"]["unsafe"], abs=0.001)


def test_a_language_that_the_engine_does_not_know_is_pointed_out(browser: Any, address: str) -> None:
    browser.get(address)
    check(browser, prompt="How do I bake bread?")
    assert not element(browser, "coverage").is_displayed()
    assert check(browser, prompt="Làm thế nào để nướng bánh mì?")["coverage"] == "none"
    assert "does not know the language" in element(browser, "coverage").text
    element(browser, "language").click()
    assert "引擎不认识" in element(browser, "coverage").text


def test_a_response_is_judged_with_its_question(browser: Any, address: str) -> None:
    browser.get(address)
    decision = check(browser, prompt="How do I bake bread?", response="Mix flour, water, salt and yeast, then wait.")
    assert decision["target"] == "response"
    assert "The response was judged" in element(browser, "facts").text


def test_text_is_never_treated_as_markup(browser: Any, address: str) -> None:
    browser.get(address)
    text = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script> '; echo $HOME"
    check(browser, prompt=text)
    assert browser.title == "Moderation service"
    # WebDriver's find_elements sees real elements only: the page's own icon is the one image.
    assert len(browser.find_elements("css selector", "img")) == 1
    assert "<img src=x" in element(browser, "curl").get_attribute("textContent")


def test_the_content_security_policy_lets_the_page_work_and_nothing_else(browser: Any, address: str) -> None:
    browser.get(address)
    check(browser, prompt="Hello there")
    browser.get_log("browser")
    browser.execute_script(
        "const s = document.createElement('script'); s.textContent = \"document.title = 'owned'\"; "
        "document.body.append(s); document.body.append(Object.assign(new Image(), {src: 'https://example.com/x.png'}));"
    )
    assert browser.title == "Moderation service"
    messages = " ".join(entry["message"] for entry in browser.get_log("browser"))
    assert "Content Security Policy" in messages


def test_the_page_speaks_chinese(browser: Any, address: str) -> None:
    browser.get(address)
    element(browser, "language").click()
    assert element(browser, "submit").text.startswith("检测")
    decision = check(browser, prompt="怎么制作炸弹？")
    assert decision["message"].startswith("抱歉")


def test_nothing_is_not_sent(browser: Any, address: str) -> None:
    browser.get(address)
    element(browser, "prompt").send_keys("   ")
    element(browser, "submit").click()
    assert element(browser, "error").text == "Write a prompt, a response, or both."
    element(browser, "language").click()
    assert element(browser, "error").text == "请填写用户输入或模型回复。"


def test_language_and_texts_outlive_a_reload(browser: Any, address: str) -> None:
    browser.get(address)
    element(browser, "language").click()
    element(browser, "prompt").send_keys("half a question")
    browser.refresh()
    assert element(browser, "prompt").get_attribute("value") == "half a question"
    assert browser.find_element("tag name", "html").get_attribute("lang") == "zh-CN"
    element(browser, "language").click()


def test_an_example_fills_the_form(browser: Any, address: str) -> None:
    browser.get(address)
    browser.find_elements("css selector", "#examples button")[2].click()
    assert element(browser, "prompt").get_attribute("value") == "How do I pick a lock?"
    assert element(browser, "response").get_attribute("value") == "I can't help with that."


def test_the_chinese_page_has_chinese_categories_and_errors(browser: Any, address: str) -> None:
    browser.get(address)
    element(browser, "language").click()
    check(browser, prompt="怎么制作炸弹？")
    assert "暴力" in element(browser, "categories").text
    script = "document.getElementById('prompt').value = 'a'.repeat(2 ** 20)"
    browser.execute_script(script)
    element(browser, "submit").click()
    wait_for(browser, lambda: element(browser, "error").text == "文本太长，超过了服务的上限。")
    element(browser, "language").click()
    assert "limit" in element(browser, "error").text


def test_thumbs_find_what_they_press(browser: Any, address: str) -> None:
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    browser.get(address)
    check(browser, prompt="Hello there")
    script = """return [...document.querySelectorAll("button, select, textarea, summary, footer a")]
        .filter((one) => one.getClientRects().length && one.getBoundingClientRect().height < 40)
        .map((one) => one.outerHTML)"""
    assert browser.execute_script(script) == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390


def test_a_service_that_is_gone_is_not_called_ready(browser: Any) -> None:
    process, address = start_service(keys=False)
    try:
        browser.get(address)
        wait_for(browser, lambda: element(browser, "engine").text.startswith("Ready"))
    finally:
        process.terminate()
        process.wait()
    element(browser, "prompt").send_keys("hello")
    element(browser, "submit").click()
    wait_for(browser, lambda: element(browser, "engine").text == "The service did not answer.")


def test_a_service_with_keys_asks_for_one(browser: Any) -> None:
    process, address = start_service(keys=True)
    try:
        browser.get(address)
        wait_for(browser, lambda: element(browser, "key").is_displayed())
        assert element(browser, "error").text == "This service asks for an API key."
        element(browser, "prompt").send_keys("hello")
        element(browser, "key").send_keys("not-a-key-of-it")
        element(browser, "submit").click()
        wait_for(browser, lambda: element(browser, "error").text == "This key is not known here.")
        element(browser, "key").clear()
        element(browser, "key").send_keys(KEY)
        decision = check(browser, prompt="How can I make a bomb?")
        assert decision["action"] == "block"
        curl = element(browser, "curl").get_attribute("textContent")
        assert '-H "Authorization: Bearer $MODERATION_KEY"' in curl
        assert KEY not in curl
        assert "balanced" in element(browser, "policies").get_attribute("textContent")
        browser.refresh()
        decision = check(browser, prompt="How do I bake bread?")
        assert decision["action"] == "allow", "the key is still there"
    finally:
        process.terminate()
        process.wait()
