"""Writes author, repo and contact of publisher.yaml into the Dify plugin, and the example apps anew.

    python tools/dify/publisher.py            write them
    python tools/dify/publisher.py --check    exit with 1 while they are placeholders, or not what the plugin says

An app names the plugin by its author: with another author, apps made for the former one ask for the former plugin.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import draw_graphs
import make_examples
import yaml
from plugin_files import collect

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = Path(__file__).with_name("publisher.yaml")
PLUGIN = ROOT / "dify_plugin"
PLACEHOLDERS = {
    "repo": "https://github.com/moderation-service/moderation-service",
    "contact": "maintainers@moderation-service.example",
}
_SHAPES = {
    "author": re.compile(r"[a-z0-9_-]{1,64}"),
    "repo": re.compile(r"https://\S+"),
    "contact": re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+"),
}


def publisher(path: Path = SETTINGS) -> dict[str, str]:
    """The three values. Raises SystemExit that names the one that is missing or misshapen."""
    read = yaml.safe_load(path.read_text("utf-8"))
    values = {name: str((read or {}).get(name) or "") for name in _SHAPES}
    for name, shape in _SHAPES.items():
        if not shape.fullmatch(values[name]):
            raise SystemExit(f"{path.name}: {name} is {values[name]!r}, want {shape.pattern}")
    return values


def problems(values: dict[str, str], plugin: Path = PLUGIN) -> list[str]:
    """Why a package must not be signed: sentences, none when it may be."""
    found = [
        f"{name} is still the placeholder {placeholder}"
        for name, placeholder in PLACEHOLDERS.items()
        if values[name] == placeholder
    ]
    manifest = yaml.safe_load((plugin / "manifest.yaml").read_text("utf-8"))
    return found + [
        f"{name} is {manifest[name]} in the plugin; run: python tools/dify/publisher.py"
        for name in values
        if manifest[name] != values[name]
    ]


def write(values: dict[str, str], plugin: Path = PLUGIN) -> list[Path]:
    """Puts the values in place of those that the manifest has now; returns the files that changed."""
    manifest = yaml.safe_load((plugin / "manifest.yaml").read_text("utf-8"))
    changed = []
    for name in collect(plugin):
        path = plugin / name
        if path.suffix not in (".yaml", ".md"):
            continue
        old = path.read_text("utf-8")
        new = old.replace(manifest["repo"], values["repo"]).replace(manifest["contact"], values["contact"])
        new = re.sub(
            rf"^( *author: ){re.escape(manifest['author'])}$", rf"\g<1>{values['author']}", new, flags=re.MULTILINE
        )
        if new != old:
            path.write_text(new, "utf-8")
            changed.append(path)
    return changed


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="say what keeps a package from being signed")
    args = parser.parse_args(argv)
    values = publisher()
    if args.check:
        for problem in (found := problems(values)):
            print(f"not signed: {problem} (tools/dify/publisher.yaml)", file=sys.stderr)
        return 1 if found else 0
    for path in write(values):
        print(path)
    make_examples.main([])
    draw_graphs.main()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
