"""One headless Chromium for all browser tests, which notes what the content security policy kept away."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

_FLAGS = (
    "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
    "disable-component-update", "disable-sync", "disable-dev-shm-usage", "lang=en-US", "window-size=1280,1000",
    "hide-scrollbars", "force-color-profile=srgb",
)  # fmt: skip
# Before any script of the page: what is refused later is in this list.
_NOTE_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The driver."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (extra `browser`)")
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in _FLAGS:
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    held = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    try:
        held.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _NOTE_VIOLATIONS})
        yield held
    finally:
        held.quit()
