"""What is looked at on a page of the console in Chromium."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["LOOKS", "Look", "faults", "show"]

_AXE = Path(__file__).parent.parent / "browser" / "vendor" / "axe.min.js"
_SERIOUS = ("serious", "critical")
_MIN_TARGET_PX = 40
_SMALL = """
const inputs = "input:not([type=hidden]):not([type=checkbox]):not([type=radio])";
const height = (one) => one.getBoundingClientRect().height;
return [...document.querySelectorAll(`button, ${inputs}, select, textarea, nav a, .tile a, summary`)]
  .filter((one) => one.getClientRects().length && height(one) < arguments[0] - 0.5)
  .map((one) => `${one.tagName} ${one.textContent.trim().slice(0, 20)} ${height(one)}`);
"""
_WIDE = """
const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
return wide <= 0 ? [] : [`${wide} px wider than the screen`];
"""
_RUN_AXE = """
const done = arguments[arguments.length - 1];
const places = (one) => one.nodes.map((node) => node.target.join(" ")).slice(0, 4).join(" | ");
axe.run(document, {resultTypes: ["violations"]}).then(
  (found) => done(found.violations.map((one) => [one.impact, one.id, places(one)])),
  (error) => done([["critical", String(error), ""]]));
"""


@dataclass(frozen=True, slots=True)
class Look:
    """One way to look at a page."""

    language: str
    width: int
    scheme: str

    def __str__(self) -> str:
        return f"{self.language}-{self.width}-{self.scheme}"


LOOKS = (
    Look("en", 1280, "light"), Look("zh", 1280, "dark"), Look("en", 390, "dark"), Look("zh", 390, "light"),
)  # fmt: skip
"""Every pair of language, width and colour scheme is among them."""


def show(browser: Any, address: str, look: Look) -> None:
    """Load a page as a browser with this look does."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": look.width, "height": 900, "deviceScaleFactor": 1, "mobile": look.width < 800},
    )
    features = [{"name": "prefers-color-scheme", "value": look.scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get_log("browser")
    browser.get(f"{address}{'&' if '?' in address else '?'}lang={look.language}")


def faults(browser: Any, look: Look) -> Sequence[str]:
    """What is wrong with the page that is shown: for eyes, ears and thumbs, for the policy, in the browser's log."""
    found = [f"policy: {one}" for one in browser.execute_script("return window.violations")]
    found += [f"log: {one['message']}" for one in browser.get_log("browser") if one["level"] == "SEVERE"]
    found += [f"width: {one}" for one in browser.execute_script(_WIDE)]
    if look.width < 800:
        found += [f"target: {one}" for one in browser.execute_script(_SMALL, _MIN_TARGET_PX)]
    browser.execute_script(_AXE.read_text(encoding="utf-8"))
    found += [
        f"axe: {rule} at {where}"
        for impact, rule, where in browser.execute_async_script(_RUN_AXE)
        if impact in _SERIOUS
    ]
    return found
