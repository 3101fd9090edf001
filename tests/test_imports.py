"""Who may import whom, and what importing costs."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import moderation_service

PACKAGE = Path(moderation_service.__file__).parent
HEAVY = ("torch", "transformers", "vllm", "ray", "sklearn", "scipy", "onnxruntime", "tensorflow", "pandas")
WEB = ("flask", "werkzeug", "jinja2", "gunicorn", "requests", "urllib3", "http.client", "socket", "prometheus_client")
PURE = (
    "core.verdict", "core.conversation", "core.policy", "core.neutralise", "core.qwen3guard", "core.question", "errors",
    "core.app", "core.escalation", "core.found", "core.never_milder", "core.normal_form",
    "core.text_views.decoded", "core.text_views.edits",
    "core.text_views.encodings", "core.text_views.leet", "core.text_views.letters", "core.text_views.likeness",
    "core.text_views.characters", "core.text_views.pinyin", "core.text_views.turned", "core.text_views.words",
    "core.cascade", "streaming.growing_answer", "upstream.pace", "core.what_if", "core.policy_comparison",
    "core.policy_words", "core.review", "core.tool_calls",
)  # fmt: skip
IO = {
    "asyncio", "fcntl", "flask", "ftplib", "gunicorn", "http", "httpx", "io", "logging", "multiprocessing", "numpy",
    "os", "pathlib", "pickle", "prometheus_client", "random", "requests", "secrets", "select", "selectors", "shutil",
    "signal", "smtplib", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "urllib",
    "urllib3", "werkzeug", "yaml",
}  # fmt: skip


@cache
def modules() -> dict[str, Path]:
    """All modules by their name inside the package, `` for the package itself."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


@cache
def imported(name: str) -> set[str]:
    """What a module imports: ours by their name inside the package with a dot in front, others by full name.

    Imports inside functions count, those for type checkers don't.
    """
    path = modules()[name]
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            base = [part for part in package if part][: len(package) - node.level + 1] if node.level else []
            target = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            prefix = "." if node.level else ""
            found.add(prefix + target)
            found |= {f"{prefix}{target}.{alias.name}".replace("..", ".") for alias in node.names}
        waiting += ast.iter_child_nodes(node)
    return found


def ours(name: str) -> set[str]:
    """The modules of the package that a module imports."""
    known = modules()
    return {one[1:] for one in imported(name) if one.startswith(".") and one[1:] in known}


PURE_HERE = [name for name in PURE if name in modules()]


@pytest.mark.parametrize("name", PURE_HERE)
def test_pure_modules_do_no_io(name: str) -> None:
    roots = {one.partition(".")[0] for one in imported(name) if not one.startswith(".")}
    assert not roots & IO


@pytest.mark.parametrize("name", PURE_HERE)
def test_pure_modules_use_pure_modules_only(name: str) -> None:
    assert ours(name) <= {*PURE, "core", "core.text_views", "streaming", "upstream"}


# Packages import downwards only, in this order.
ORDER = (
    "__main__", "commands", "launch", "server", "web", "console", "data", "chat", "wires", "cluster", "streaming",
    "engines", "upstream", "store", "observability", "config", "core", "errors", "ids",
)  # fmt: skip


def package_of(name: str) -> str:
    return name.partition(".")[0]


def test_every_module_has_its_place_in_the_order() -> None:
    assert {package_of(name) for name in modules() if name} <= set(ORDER)
    flat = {name for name, path in modules().items() if path.parent == PACKAGE and name}
    assert flat == {"__main__", "errors", "ids"}


def test_the_reading_of_imports_works() -> None:
    assert {"core.conversation", "core.engine", "core.policy", "core.verdict", "errors"} <= ours("core.moderator")
    assert "flask" in imported("web.app")
    assert {"config.settings", "web.service"} <= ours("web.app")


def test_packages_import_downwards_only() -> None:
    depth = {name: place for place, name in enumerate(ORDER)}
    wrong = [
        f"{name} imports {other}"
        for name in modules()
        for other in ours(name)
        if name and other and depth[package_of(other)] < depth[package_of(name)]
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Also not within a package, and not through an import inside a function."""
    finished: set[str] = set()

    def walk(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join([*way[way.index(name) :], name])
        if name not in finished:
            for other in sorted(ours(name) - {""}):
                # A package's own __init__ is run by importing its parts, not asked by them.
                if other != name and not name.startswith(f"{other}."):
                    walk(other, (*way, name))
            finished.add(name)

    for name in sorted(modules()):
        walk(name, ())


def test_engines_and_wires_know_nothing_of_each_other() -> None:
    for name in modules():
        kind = name.partition(".")[0]
        if kind in ("engines", "wires"):
            other = "wires" if kind == "engines" else "engines"
            assert not [one for one in ours(name) if one.partition(".")[0] == other], name
            assert not {one.partition(".")[0] for one in imported(name)} & {"flask", "gunicorn"}, name


def test_data_sets_need_no_web_framework() -> None:
    for name in modules():
        if package_of(name) == "data":
            assert not {one.partition(".")[0] for one in imported(name)} & {"flask", "werkzeug", "gunicorn"}, name


def test_policies_do_not_know_conversations() -> None:
    assert ours("core.policy") == {"errors", "core.app", "core.escalation", "core.policy_words", "core.verdict"}
    assert ours("core.verdict") == set()
    assert ours("errors") == set()


def test_only_settings_read_the_environment() -> None:
    readers = {
        name
        for name, path in modules().items()
        if any(word in path.read_text(encoding="utf-8") for word in ("os.environ", "os.getenv"))
    }
    # The command line hands the environment to the settings; the server and the metrics share a folder's name, which
    # prometheus-client reads from there and nowhere else; what downloads reads the hubs' variables (HF_TOKEN and its
    # like); a child of ours inherits it; a file of apps names the variables that hold their keys; a program of another
    # interpreter finds its key there.
    assert readers <= {
        "commands.bench", "commands.benchmark_fetch", "commands.check", "commands.download", "commands.judging_cluster",
        "config.apps_file", "commands.judging_engine", "commands.options", "commands.up", "data.ray.vllm_server",
        "launch.inside.serve_llamacpp",
        "server.gunicorn_app", "observability.metrics",
    }  # fmt: skip


def test_whatever_is_raised_is_caught_at_the_outer_edges_only() -> None:
    """Elsewhere what is caught is named: a mistake of ours must not pass for a failure of somebody else."""
    catchers = {
        name
        for name, path in modules().items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler) and (node.type is None or ast.unparse(node.type) == "Exception")
    }
    assert catchers <= {
        "web.lifecycle", "server.exchange", "server.poller",  # a request or a connection ends
        "cluster.memory", "data.window", "engines.cascade.comparing", "engines.lists.live", "launch.lent",
        "store.recorder", "web.following", "web.readiness",  # a thread that must live on, or says what ended it
        # A library that raises nothing narrower.
        "commands.judging_cluster", "engines.stream.tokenizer", "web.cluster_limits",
    }  # fmt: skip


def test_every_module_says_what_it_is_for_and_what_it_promises() -> None:
    for name, path in modules().items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), name
        if path.name not in ("__init__.py", "__main__.py"):
            assert "__all__" in path.read_text(encoding="utf-8"), name


OF_EXTRAS = {
    "web.mcp_server": "mcp",
    "launch.inside.convert": "gguf",
    "launch.inside.serve_llamacpp": "xllamacpp",
    **{name: "ray" for name in modules() if name.startswith("data.ray")},
    **{name: "alembic" for name in modules() if name.startswith("store.") and name != "store.choice"},
}
"""Modules that only their extra, or another environment, makes importable; they have suites of their own."""


@pytest.mark.parametrize("name", [name for name in modules() if name != "__main__"])
def test_a_module_promises_only_what_it_has(name: str) -> None:
    if name in OF_EXTRAS and importlib.util.find_spec(OF_EXTRAS[name]) is None:
        pytest.skip(f"needs {OF_EXTRAS[name]}")
    module = __import__(f"moderation_service.{name}".rstrip("."), fromlist=["*"])
    for promised in getattr(module, "__all__", []):
        assert hasattr(module, promised), f"{name}.{promised}"


def test_modules_are_short_enough_to_be_read() -> None:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules().items()}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def loaded_after(code: str) -> set[str]:
    """The modules that are loaded in a fresh interpreter after this code."""
    script = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_importing_the_package_loads_next_to_nothing() -> None:
    loaded = loaded_after("import moderation_service")
    assert not loaded & {*HEAVY, *WEB, "numpy", "yaml", "click"}
    assert {name for name in loaded if name.startswith("moderation_service")} == {"moderation_service"}


@pytest.mark.parametrize("name", PURE_HERE)
def test_importing_a_pure_module_loads_nothing_that_could_do_io(name: str) -> None:
    assert not loaded_after(f"import moderation_service.{name}") & {*HEAVY, *WEB, "numpy", "yaml", "click"}


def test_a_running_service_has_loaded_nothing_heavy() -> None:
    loaded = loaded_after(
        "from moderation_service.web import create_app\n"
        "app = create_app()\n"
        "client = app.test_client()\n"
        "assert client.post('/moderate', json={'prompt': 'bread', 'response': 'flour'}).status_code == 200\n"
        "assert client.get('/').status_code == client.get('/readyz').status_code == 200"
    )
    assert not loaded & {*HEAVY, "sqlalchemy", "alembic", "argon2", "authlib", "moderation_service.console"}
    assert not [name for name in loaded if name.startswith(("dify_plugin", "moderation_service.data", "aiohttp"))]
    # Nor what only records and pages for people need.
    assert not loaded & {"sqlalchemy", "alembic", "psycopg", "sqlite3", "argon2", "authlib", "redis"}


def test_help_is_quick_because_it_loads_no_engine() -> None:
    loaded = loaded_after(
        "import sys\nfrom click.testing import CliRunner\nfrom moderation_service.commands.cli import cli\n"
        "assert CliRunner().invoke(cli, ['serve', '--help']).exit_code == 0"
    )
    assert not loaded & {*HEAVY, "numpy", "flask", "gunicorn", "prometheus_client"}
