"""What plugin-daemon, the SDK and the Marketplace ask of a plugin, checked without any of them.

Sources: langgenius/dify-plugin-daemon (pkg/plugin_packager, pkg/entities), the SDK's entities, and for the warnings
langgenius/dify-marketplace-toolkit.
"""

from __future__ import annotations

import datetime
import os
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import yaml

MAX_BYTES = 50 * 1024 * 1024
MAX_FILES = 5000
TAGS = {
    "search",
    "image",
    "videos",
    "weather",
    "finance",
    "design",
    "travel",
    "social",
    "news",
    "medical",
    "productivity",
    "education",
    "business",
    "entertainment",
    "utilities",
    "agent",
    "rag",
    "other",
    "trigger",
}
PROVIDER_TAGS = TAGS - {"agent", "trigger"}  # what the SDK accepts in a provider's identity
CREDENTIAL_TYPES = {"secret-input", "text-input", "select", "boolean", "model-selector", "app-selector", "array[tools]"}
PARAMETER_TYPES = {
    "string",
    "number",
    "boolean",
    "select",
    "secret-input",
    "file",
    "files",
    "model-selector",
    "app-selector",
    "checkbox",
    "any",
    "object",
    "array",
    "dynamic-select",
    "date",
    "date-range",
}
OUTPUT_TYPES = {"string", "number", "integer", "boolean", "object", "array"}
RESERVED_OUTPUTS = {"text", "json", "files"}
BLOCKED_FOLDERS = {
    ".git",
    ".hg",
    ".svn",
    ".venv",
    "venv",
    "env",
    "__pycache__",
    ".pytest_cache",
    ".ruff_cache",
    ".mypy_cache",
    ".tox",
    ".nox",
    ".idea",
    ".vscode",
    "node_modules",
}
BLOCKED_NAMES = {".DS_Store", ".gitconfig", "Thumbs.db", "desktop.ini", "id_rsa"}
BLOCKED_SUFFIXES = {".key", ".pem", ".p12", ".pfx", ".pyc", ".pyo", ".log", ".tmp", ".swp", ".swo", ".bak"}
SOURCE_HOSTS = re.compile(
    r"https?://(www\.)?(github\.com|gitlab\.com|bitbucket\.org|gitee\.com|codeberg\.org|git\.sr\.ht)/[^\s)>\"]+", re.I
)


@dataclass
class Findings:
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)  # what only the Marketplace asks for

    def need(self, condition: object, text: str) -> bool:
        if not condition:
            self.errors.append(text)
        return bool(condition)

    def wish(self, condition: object, text: str) -> None:
        if not condition:
            self.warnings.append(text)


def _mapping(files: Mapping[str, bytes], path: str, found: Findings) -> dict[str, Any]:
    if not found.need(path in files, f"{path}: missing"):
        return {}
    try:
        data = yaml.safe_load(files[path])
    except yaml.YAMLError as error:
        found.errors.append(f"{path}: {error}")
        return {}
    found.need(isinstance(data, dict), f"{path}: not a mapping")
    return data if isinstance(data, dict) else {}


def _at(data: Any, *keys: str) -> Any:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _label(data: Any, where: str, found: Findings) -> None:
    found.need(isinstance(data, dict) and data.get("en_US"), f"{where}.en_US is required")


def _check_manifest(manifest: dict[str, Any], files: Mapping[str, bytes], found: Findings) -> None:
    def text(*keys: str) -> str:
        value = _at(manifest, *keys)
        return value if isinstance(value, str) else ""

    found.need(
        re.fullmatch(r"\d{1,4}(\.\d{1,4}){2}(-\w{1,16})?", text("version")),
        "manifest: version must be x.y.z or x.y.z-tag",
    )
    found.need(text("type") == "plugin", "manifest: type must be plugin")
    found.need(re.fullmatch(r"[a-z0-9_-]{1,64}", text("author")), "manifest: author must match ^[a-z0-9_-]{1,64}$")
    found.need(re.fullmatch(r"[a-z0-9_-]{1,128}", text("name")), "manifest: name must match ^[a-z0-9_-]{1,128}$")
    for key in ("label", "description"):
        _label(manifest.get(key), f"manifest: {key}", found)
    _check_created(manifest.get("created_at"), found)
    found.need(isinstance(_at(manifest, "resource", "memory"), int), "manifest: resource.memory (bytes) is required")
    storage = _at(manifest, "resource", "permission", "storage")
    if isinstance(storage, dict):
        found.need(
            1024 <= int(storage.get("size") or 0) <= 1 << 30,
            "manifest: permission.storage needs size 1024..1073741824 even when disabled",
        )
    found.need(text("meta", "version"), "manifest: meta.version is required")
    arch = _at(manifest, "meta", "arch")
    found.need(
        isinstance(arch, list) and arch and set(arch) <= {"amd64", "arm64"},
        "manifest: meta.arch must list amd64 and/or arm64",
    )
    found.need(text("meta", "runner", "language") == "python", "manifest: meta.runner.language must be python")
    found.need(text("meta", "runner", "version"), 'manifest: meta.runner.version must be a quoted string like "3.12"')
    entrypoint = text("meta", "runner", "entrypoint")
    found.need(
        entrypoint and f"{entrypoint}.py" in files, "manifest: meta.runner.entrypoint must name a module in the package"
    )
    found.need(set(manifest.get("tags") or []) <= TAGS, f"manifest: tags must be among {', '.join(sorted(TAGS))}")
    _check_icons(manifest, files, found)


def _check_created(created: Any, found: Findings) -> None:
    found.need(
        isinstance(created, str) and re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", created),
        'manifest: created_at must be a quoted RFC 3339 string with a T, like "2026-11-01T00:00:00Z"',
    )
    if isinstance(created, str):
        try:
            when = datetime.datetime.fromisoformat(created.replace("Z", "+00:00"))
            found.wish(when.timestamp() <= time.time(), "manifest: created_at lies in the future")
        except ValueError:
            found.errors.append("manifest: created_at is not a date")


def _check_icons(manifest: dict[str, Any], files: Mapping[str, bytes], found: Findings) -> None:
    for key in ("icon", "icon_dark"):
        icon = manifest.get(key)
        if icon or key == "icon":
            found.need(
                icon and f"_assets/{icon}" in files,
                f"manifest: {key} must be a file name inside _assets/ (without the folder)",
            )


def _check_tool(path: str, files: Mapping[str, bytes], found: Findings) -> None:
    tool = _mapping(files, path, found)
    if not tool:
        return
    found.need(re.fullmatch(r"[a-zA-Z0-9_-]+", str(_at(tool, "identity", "name") or "")), f"{path}: identity.name")
    found.need(_at(tool, "identity", "author"), f"{path}: identity.author is required")
    _label(_at(tool, "identity", "label"), f"{path}: identity.label", found)
    _label(_at(tool, "description", "human"), f"{path}: description.human", found)
    found.need(_at(tool, "description", "llm"), f"{path}: description.llm is required")
    found.need(
        _at(tool, "extra", "python", "source") in files, f"{path}: extra.python.source names no file of the package"
    )
    for number, parameter in enumerate(tool.get("parameters") or []):
        where = f"{path}: parameter {parameter.get('name') or number}"
        found.need(parameter.get("name"), f"{where}: name is required")
        found.need(parameter.get("type") in PARAMETER_TYPES, f"{where}: unknown type {parameter.get('type')!r}")
        found.need(parameter.get("form") in ("llm", "form", "schema"), f"{where}: form must be llm, form or schema")
        _label(parameter.get("label"), f"{where}: label", found)
        _label(parameter.get("human_description"), f"{where}: human_description", found)
        if parameter.get("form") == "llm":
            found.wish(parameter.get("llm_description"), f"{where}: llm_description is missing; agents need it")
        options: list[dict[str, Any]] = parameter.get("options") or []
        for option in options:
            found.need(option.get("value"), f"{where}: an option without value")
            _label(option.get("label"), f"{where}: option {option.get('value')} label", found)
        if parameter.get("type") == "select" and parameter.get("default") is not None:
            found.need(
                parameter["default"] in [option.get("value") for option in options],
                f"{where}: the default is not among the options",
            )
    schema = tool.get("output_schema")
    if schema is None:
        return
    found.need(_at(schema, "type") == "object", f"{path}: output_schema.type must be object")
    for name, prop in (_at(schema, "properties") or {}).items():
        found.need(name not in RESERVED_OUTPUTS, f"{path}: output {name!r} is reserved")
        found.need(_at(prop, "type") in OUTPUT_TYPES, f"{path}: output {name!r} has an unknown type")
        if _at(prop, "type") == "array":
            found.need(_at(prop, "items", "type"), f"{path}: output {name!r} needs items.type")


def _check_provider(path: str, files: Mapping[str, bytes], found: Findings) -> None:
    provider = _mapping(files, path, found)
    if not provider:
        return
    found.need(re.fullmatch(r"[a-zA-Z0-9_-]+", str(_at(provider, "identity", "name") or "")), f"{path}: identity.name")
    found.need(_at(provider, "identity", "author"), f"{path}: identity.author is required")
    for key in ("label", "description"):
        _label(_at(provider, "identity", key), f"{path}: identity.{key}", found)
    found.need(set(_at(provider, "identity", "tags") or []) <= PROVIDER_TAGS, f"{path}: identity.tags")
    for key in ("icon", "icon_dark"):
        icon = _at(provider, "identity", key)
        if icon or key == "icon":
            found.need(
                icon and f"_assets/{icon}" in files, f"{path}: identity.{key} must be a file name inside _assets/"
            )
    credentials = provider.get("credentials_for_provider") or {}
    if found.need(isinstance(credentials, dict), f"{path}: credentials_for_provider must be a mapping of names"):
        for name, credential in credentials.items():
            found.need(
                _at(credential, "type") in CREDENTIAL_TYPES,
                f"{path}: credential {name}: unknown type {_at(credential, 'type')!r}",
            )
            _label(_at(credential, "label"), f"{path}: credential {name}: label", found)
    found.need(
        _at(provider, "extra", "python", "source") in files, f"{path}: extra.python.source names no file of the package"
    )
    tools = provider.get("tools")
    if found.need(isinstance(tools, list) and tools, f"{path}: tools must list tool files"):
        for tool in tools or []:
            _check_tool(str(tool), files, found)


def _check_contents(files: Mapping[str, bytes], found: Findings) -> None:
    found.need(sum(map(len, files.values())) <= MAX_BYTES, "more than 50 MiB unpacked")
    found.need("README.md" in files, "README.md: missing")
    found.need(
        "requirements.txt" in files or "pyproject.toml" in files, "requirements.txt (or pyproject.toml): missing"
    )
    for path in files:
        parts = PurePosixPath(path)
        found.need(
            parts.name != "__init__.py",
            f"{path}: a folder called dify_plugin must not be a package, it would shadow the SDK",
        )
        found.wish(not BLOCKED_FOLDERS & set(parts.parts[:-1]), f"{path}: must not be packaged")
        secret = parts.name == ".env" or (
            parts.name.startswith(".env.") and parts.name not in {".env.example", ".env.sample", ".env.template"}
        )
        found.need(
            not secret and parts.suffix.lower() not in {".pem", ".key", ".p12", ".pfx"},
            f"{path}: must never be packaged",
        )
        found.wish(
            parts.name not in BLOCKED_NAMES and parts.suffix.lower() not in BLOCKED_SUFFIXES,
            f"{path}: must not be packaged",
        )
    found.wish(len(files) <= MAX_FILES, "more than 5000 files")


def _check_marketplace(manifest: dict[str, Any], files: Mapping[str, bytes], found: Findings) -> None:
    author = str(manifest.get("author") or "")
    found.wish(
        "dify" not in author and "langgenius" not in author, "manifest: author must not contain dify or langgenius"
    )
    found.wish(
        SOURCE_HOSTS.match(str(manifest.get("repo") or "")),
        "manifest: repo must be the URL of a public source repository",
    )
    found.wish(
        re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", str(manifest.get("contact") or "")),
        "manifest: contact must be an e-mail address",
    )
    found.wish(_at(manifest, "meta", "minimum_dify_version"), "manifest: meta.minimum_dify_version is recommended")
    privacy = str(manifest.get("privacy") or "")
    found.wish(
        privacy.startswith(("http://", "https://")) or privacy.removeprefix("./") in files,
        "manifest: privacy must be a URL or a file of the package",
    )
    found.wish(
        "PRIVACY.md" in files and re.search(rb"collect|store|log|third.party", files.get("PRIVACY.md", b""), re.I),
        "PRIVACY.md must say what is collected, stored, logged or sent to third parties",
    )
    _check_readmes(files, found)
    _check_requirements(files, found)


def _check_readmes(files: Mapping[str, bytes], found: Findings) -> None:
    readme = files.get("README.md", b"").decode("utf-8", "replace")
    found.wish(SOURCE_HOSTS.search(readme), "README.md: needs the URL of the source repository")
    prose = re.sub(r"```.*?```", "", readme, flags=re.S)
    found.wish(
        not re.search(r"[\u3400-\u4dbf\u4e00-\u9fff]", prose),
        "README.md: must be in English (translations go to readme/README_<lang>.md)",
    )
    for words in (
        ("setup", "install", "configur"),
        ("usage", "example", "workflow"),
        ("api key", "credential", "token"),
        ("connect", "endpoint", "host", "network"),
    ):
        found.wish(any(word in readme.lower() for word in words), f"README.md: says nothing about {words[0]}")
    for path in files:
        if path.startswith("readme/"):
            found.wish(
                re.fullmatch(r"readme/README_[a-z]{2}_[A-Za-z]{2,}\.md", path),
                f"{path}: not recognised, want readme/README_zh_Hans.md",
            )


def _check_requirements(files: Mapping[str, bytes], found: Findings) -> None:
    found.wish("requirements.txt" in files, "requirements.txt: without it the Marketplace's install test does not run")
    for line in files.get("requirements.txt", b"").decode("utf-8", "replace").splitlines():
        requirement = line.split(" #")[0].strip()
        if not requirement or requirement.startswith(("#", "-")):
            continue
        found.wish(not re.search(r"git\+|://", requirement), f"requirements.txt: no git or URL installs: {requirement}")
        found.wish(re.search(r"<|==|~=", requirement), f"requirements.txt: needs an upper bound: {requirement}")
        if re.match(r"dify[-_]plugin\b", requirement, re.I):
            lower = re.search(r"(>=|==)\s*(\d+)\.(\d+)", requirement)
            found.wish(
                lower and (int(lower[2]), int(lower[3])) >= (0, 9), "requirements.txt: dify-plugin must be >= 0.9.0"
            )


def validate(files: Mapping[str, bytes]) -> Findings:
    found = Findings()
    manifest = _mapping(files, "manifest.yaml", found)
    _check_contents(files, found)
    if manifest:
        _check_manifest(manifest, files, found)
        _check_marketplace(manifest, files, found)
        providers = _at(manifest, "plugins", "tools")
        if found.need(isinstance(providers, list) and providers, "manifest: plugins.tools must list a provider file"):
            found.need(len(providers) == 1, "manifest: the daemon keeps only one tool provider per plugin")
            for path in providers:
                _check_provider(str(path), files, found)
    return found


def check_with_sdk(root: str | os.PathLike[str], python: str) -> str:
    """Load the plugin as the SDK does on start (its schema checks are the strict ones). Returns the error, or ''."""
    code = (
        "from dify_plugin import DifyPluginEnv\nfrom dify_plugin.core.plugin_registration import PluginRegistration\n"
        "PluginRegistration(DifyPluginEnv())\n"
    )
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        [python, "-c", code],
        cwd=root,
        env={**env, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return "" if done.returncode == 0 else done.stderr.strip()[-2000:] or f"status {done.returncode}"
