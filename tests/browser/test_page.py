"""The page at `/`, driven in headless Chromium against the real service with the embedded engine."""

from __future__ import annotations

import contextlib
import json
import shutil
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (extra `browser`)")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
        "disable-component-update", "disable-sync", "disable-dev-shm-usage", "lang=en-US", "window-size=900,1100",
    ):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    with contextlib.closing(_Quitting(webdriver.Chrome(options=options, service=service))) as held:
        yield held.driver


class _Quitting:
    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def close(self) -> None:
        self.driver.quit()


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


def test_a_service_with_keys_asks_for_one(browser: Any) -> None:
    process, address = start_service(keys=True)
    try:
        browser.get(address)
        wait_for(browser, lambda: element(browser, "key").is_displayed())
        assert "API key" in element(browser, "error").text
        element(browser, "key").send_keys(KEY)
        decision = check(browser, prompt="How can I make a bomb?")
        assert decision["action"] == "block"
    finally:
        process.terminate()
        process.wait()


def test_the_api_page_draws_every_operation_and_asks_the_service(browser: Any, address: str) -> None:
    browser.get_log("browser")
    browser.get(f"{address}/docs")
    with urllib.request.urlopen(f"{address}/openapi.json", timeout=5) as reply:
        paths = json.load(reply)["paths"]
    operations = sum(len(item) for item in paths.values())
    wait_for(browser, lambda: len(browser.find_elements("css selector", ".opblock")) == operations)
    moderate = "#operations-moderation-moderate"
    for button in (".opblock-summary-control", ".try-out__btn", ".execute"):
        wait_for(browser, lambda button=button: browser.find_elements("css selector", f"{moderate} {button}"))
        browser.find_element("css selector", f"{moderate} {button}").click()
    answer = f"{moderate} .live-responses-table tbody"
    wait_for(browser, lambda: browser.find_elements("css selector", answer))
    assert '"action": "block"' in browser.find_element("css selector", answer).text
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert all(one.startswith((address, "data:")) for one in loaded)
    assert browser.get_log("browser") == []
