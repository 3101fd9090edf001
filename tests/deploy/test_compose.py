"""The compose files: valid, linted, and the gateway's environment and mounts run as a process."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_guard_server import BOMB, FakeServer, Request, guard, reply
from fake_stream_server import FakeStreamServer, write_model_dir
from hub_stand_in import StandIn, hub_stand_in  # noqa: F401
from processes import SERVE_LITE, run_command, running

from moderation_service.config.settings import declarations
from moderation_service.launch.command_line import vllm_command
from moderation_service.launch.gpu import Gpu
from moderation_service.launch.guard import GUARDS
from moderation_service.launch.plan import Wishes, plan_gpu
from moderation_service.launch.stream import STREAM_FLAGS, plan_pair_gpu

pytestmark = pytest.mark.deploy

FOLDER = Path(__file__).parents[2] / "manifests" / "compose"
FILES = ("compose.yaml", "compose.gpu.yaml")
KEY, VLLM_KEY = "compose-0123456789abcdef", "between-0123456789abcdef"
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")

each_file = pytest.mark.parametrize("name", FILES)


def example_env() -> dict[str, str]:
    lines = (FOLDER / "example.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """What compose makes of `${NAME:-default}` and `${NAME:?complaint}`."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        if variables.get(name):
            return variables[name]
        if kind == "?":
            raise LookupError(f"{name}: {rest}")
        return rest or ""

    return _VARIABLE.sub(value, text)


def services(name: str, **variables: str) -> dict[str, Any]:
    """The services of a file as compose sees them, with `extends` carried out."""
    text = "\n".join(line for line in (FOLDER / name).read_text().splitlines() if not line.lstrip().startswith("#"))
    found = yaml.safe_load(interpolated(text, variables))["services"]
    for service in found.values():
        if parent := service.pop("extends", None):
            base = services(parent["file"], **variables)[parent["service"]]
            service["environment"] = {**base["environment"], **service.get("environment", {})}
            service["volumes"] = [*base.get("volumes", []), *service.get("volumes", [])]
            for key, value in base.items():
                service.setdefault(key, value)
        # A variable without a value is taken from compose's own environment, and left out where it isn't there.
        told = service.get("environment", {})
        told = {key: variables.get(key) if value is None else value for key, value in told.items()}
        service["environment"] = {key: value for key, value in told.items() if value is not None}
    return dict(found)


def gpu_services(**variables: str) -> dict[str, Any]:
    return services("compose.gpu.yaml", **{**example_env(), "VLLM_API_KEY": VLLM_KEY, **variables})


def switched_on() -> dict[str, str]:
    """The lines of the example that are to be uncommented."""
    lines = (FOLDER / "example.env").read_text().splitlines()
    return dict(match.groups() for line in lines if (match := re.fullmatch(r"# ([A-Z_]+)=(\S+)", line)))


def tool(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name(name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@each_file
def test_it_is_what_the_compose_specification_allows(name: str) -> None:
    done = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", FOLDER / name)
    assert done.returncode == 0, done.stdout


@each_file
def test_the_security_linter_finds_nothing_grave(name: str) -> None:
    done = tool("compose-lint", "--fail-on", "high", FOLDER / name)
    assert done.returncode == 0, done.stdout


def test_the_yaml_is_tidy() -> None:
    rules = "{extends: default, rules: {line-length: {max: 120}, document-start: disable, comments: disable}}"
    done = tool("yamllint", "--strict", "-d", rules, FOLDER)
    assert (done.returncode, done.stdout) == (0, "")


def test_every_variable_is_in_the_example_and_the_other_way_round() -> None:
    used = {match[1] for name in FILES for match in _VARIABLE.finditer((FOLDER / name).read_text())}
    assert used == set(example_env())


def test_the_key_between_gateway_and_model_must_be_given() -> None:
    with pytest.raises(LookupError, match="VLLM_API_KEY: see example"):
        services("compose.gpu.yaml", **example_env())


def test_secrets_are_not_kept_under_version_control() -> None:
    ignored = (FOLDER.parents[1] / ".gitignore").read_text().splitlines()
    assert {"manifests/compose/.env", "manifests/compose/config/api_keys"} <= set(ignored)
    assert example_env()["VLLM_API_KEY"] == example_env()["HF_TOKEN"] == ""


@each_file
def test_the_gateway_may_do_as_little_as_possible(name: str) -> None:
    gateway = services(name, **{**example_env(), "VLLM_API_KEY": VLLM_KEY})["gateway"]
    assert gateway["read_only"] is True
    assert gateway["cap_drop"] == ["ALL"]
    assert gateway["security_opt"] == ["no-new-privileges:true"]
    assert gateway["ports"] == ["127.0.0.1:8787:8787"]
    assert gateway["volumes"][0] == "./config:/etc/moderation:ro"
    assert all(mount.endswith(":ro") for mount in gateway["volumes"])
    assert "user" not in gateway  # the image's


def test_only_the_gateway_reaches_the_model() -> None:
    document = yaml.safe_load((FOLDER / "compose.gpu.yaml").read_text())
    model, gateway = gpu_services()["guard-model"], gpu_services()["gateway"]
    assert "ports" not in model
    assert "expose" not in model
    assert document["networks"]["model"] == {"internal": True}
    assert set(model["networks"]) & set(gateway["networks"]) == {"model"}
    assert gateway["depends_on"]["guard-model"] == {"condition": "service_healthy"}
    assert "vllm" not in document["services"]


def test_vllm_is_started_as_up_starts_it() -> None:
    """The same flags and the published set-up: 4B, a context of 10240, 14 GiB."""
    model = gpu_services()["guard-model"]
    memory = int(23.6 * 1024)
    card = Gpu(index=0, name="RTX 4090", uuid="GPU-1", total_mib=memory, free_mib=memory)
    four = next(one for one in GUARDS if one.size == "4B")
    plan = plan_gpu([card], Wishes(guard=four, memory_gib=14.0))
    ours = vllm_command(plan, program="vllm", model=Path("model"), port=8000)
    flags = dict(word.partition("=")[::2] for word in model["command"][1:])
    mine = {word: ours.argv[at + 1] for at, word in enumerate(ours.argv) if word.startswith("--")}
    assert set(flags) == {*mine, "--revision"}
    for name in ("--max-model-len", "--dtype", "--served-model-name"):
        assert flags[name] == mine[name]
    assert float(flags["--gpu-memory-utilization"]) == pytest.approx(float(mine["--gpu-memory-utilization"]), abs=0.01)
    assert model["entrypoint"] == ["vllm", "serve"]
    assert model["command"][0] == four.repo
    assert {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}.items() <= model["environment"].items()


def test_the_profile_is_switched_on_by_two_lines_of_the_example() -> None:
    on = switched_on()
    assert set(on) == {"COMPOSE_PROFILES", "MODERATION_STREAM_UPSTREAM"}
    found = gpu_services(**on)
    profiles = {name: service.get("profiles") for name, service in found.items()}
    one = [on["COMPOSE_PROFILES"]]
    assert profiles == {"gateway": None, "guard-model": None, "stream-model": one, "guard-stream": one}
    assert found["gateway"]["environment"]["MODERATION_STREAM_UPSTREAM"] == "http://guard-stream:8000"
    without = gpu_services()["gateway"]
    assert "MODERATION_STREAM_UPSTREAM" not in without["environment"]
    # What the profile brings may not be there.
    assert [name for name, one in without["depends_on"].items() if one.get("required", True)] == ["guard-model"]


def test_the_second_vllm_is_started_as_up_starts_it_and_fits_on_the_card_beside_the_first() -> None:
    found = gpu_services()
    memory = int(23.6 * 1024)
    card = Gpu(index=0, name="RTX 4090", uuid="GPU-1", total_mib=memory, free_mib=memory)
    four = next(one for one in GUARDS if one.size == "4B")
    plan = plan_pair_gpu([card], Wishes(guard=four, memory_gib=14.0))[1]
    ours = vllm_command(plan, program="vllm", model=Path("model"), port=8000, extra=STREAM_FLAGS)
    mine = {word: ours.argv[at + 1] for at, word in enumerate(ours.argv) if word.startswith("--")}
    model, *words = found["guard-stream"]["command"]
    flags = dict(word.partition("=")[::2] for word in words)
    assert found["guard-stream"]["entrypoint"] == ["vllm", "serve"]
    assert set(flags) == set(mine)
    for name in ("--max-model-len", "--dtype", "--served-model-name", "--hf-overrides"):
        assert flags[name] == mine[name]
    share = float(flags["--gpu-memory-utilization"])
    assert share == pytest.approx(float(mine["--gpu-memory-utilization"]), abs=0.01)
    assert share + float(example_env()["GUARD_GPU_MEMORY_UTILIZATION"]) <= 0.9
    assert model == found["gateway"]["environment"]["MODERATION_STREAM_MODEL_DIR"]


def test_only_the_gateway_reaches_the_second_vllm_and_that_one_reaches_nothing() -> None:
    found = gpu_services()
    document = yaml.safe_load((FOLDER / "compose.gpu.yaml").read_text())
    assert document["networks"]["stream"] == {"internal": True}
    assert found["guard-stream"]["networks"] == ["stream"]
    assert [name for name, one in found.items() if "stream" in one["networks"]] == ["gateway", "guard-stream"]
    assert not any("ports" in one for name, one in found.items() if name != "gateway")


def test_the_second_vllm_starts_when_its_files_are_there_and_the_first_has_taken_its_memory() -> None:
    assert gpu_services()["guard-stream"]["depends_on"] == {
        "stream-model": {"condition": "service_completed_successfully"},
        "guard-model": {"condition": "service_healthy"},
    }


def test_every_setting_named_exists() -> None:
    known = {setting.env for setting in declarations()} | {"MODERATION_CONFIG"}
    named = {key for key in gpu_services()["gateway"]["environment"] if key.startswith("MODERATION_")}
    assert named <= known


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The folder that is mounted as /etc/moderation, with a key in it."""
    folder = tmp_path / "config"
    shutil.copytree(FOLDER / "config", folder)
    (folder / "api_keys").write_text(f"app:{KEY}\n")
    settings = (folder / "config.yaml").read_text().replace("/etc/moderation/", f"{folder}/")
    (folder / "config.yaml").write_text(settings)
    return folder


def environment(gateway: Mapping[str, Any], config: Path) -> dict[str, str]:
    """The gateway's variables, with the mounted folder where it is here."""
    return {name: value.replace("/etc/moderation", str(config)) for name, value in gateway["environment"].items()}


@pytest.fixture
def model() -> Iterator[FakeServer]:
    def behave(request: Request):  # type: ignore[no-untyped-def]
        if request.path == "/health":
            return reply(200, {})
        if request.headers.get("authorization") != f"Bearer {VLLM_KEY}":
            return reply(401, {"error": "no"})
        return guard(request)

    server = FakeServer(behave)
    server.start()
    yield server
    server.stop()


def test_the_gateway_alone_runs_with_the_mounted_files(config: Path) -> None:
    variables = environment(services("compose.yaml")["gateway"], config)
    with running(command=SERVE_LITE, **variables) as service:
        assert service.request("POST", "/moderate", {"prompt": "bread"}).status == 401
        asked = {"prompt": BOMB, "policy": "house"}
        assert service.request("POST", "/moderate", asked, X_API_Key=KEY).json["action"] == "block"
        assert service.request("GET", "/metrics").status == 200


def test_the_gateway_in_front_of_the_model_uses_the_key_between_them(config: Path, model: FakeServer) -> None:
    gateway = gpu_services()["gateway"]
    assert gateway["environment"]["MODERATION_UPSTREAMS"] == "http://guard-model:8000"
    variables = {**environment(gateway, config), "MODERATION_UPSTREAMS": model.url}
    with running(command=SERVE_LITE, **variables) as service:
        decision = service.request("POST", "/moderate", {"prompt": BOMB}, X_API_Key=KEY).json
        assert (decision["engine"], decision["action"], decision["degraded"]) == ("vllm", "block", False)
        assert service.request("GET", "/readyz").status == 200


def test_the_model_is_downloaded_where_the_gateway_and_vllm_look_for_it(
    config: Path,
    tmp_path: Path,
    model: FakeServer,
    hub_stand_in: StandIn,  # noqa: F811
) -> None:
    found = gpu_services(**switched_on(), HF_ENDPOINT=hub_stand_in.url)
    hub_stand_in.repo = "Qwen/Qwen3Guard-Stream-0.6B"
    written = write_model_dir(tmp_path / "written")
    hub_stand_in.files |= {file.name: file.read_bytes() for file in written.iterdir()}
    volume = tmp_path / "stream"
    job = found["stream-model"]
    assert (job["volumes"], found["guard-stream"]["volumes"][0]) == (["stream:/stream"], "stream:/stream:ro")
    assert "stream:/stream:ro" in found["gateway"]["volumes"]
    done = run_command(*(word.replace("/stream", str(volume)) for word in job["command"]), **job["environment"])
    assert done.returncode == 0, done.stderr
    told = environment(found["gateway"], config)
    told["MODERATION_STREAM_MODEL_DIR"] = told["MODERATION_STREAM_MODEL_DIR"].replace("/stream", str(volume), 1)
    with FakeStreamServer() as stream:
        told |= {"MODERATION_UPSTREAMS": model.url, "MODERATION_STREAM_UPSTREAM": stream.url}
        with running(command=SERVE_LITE, **told) as service:
            asked = {"id": "one", "response": "Mix flour and water.", "final": True}
            reply = service.request("POST", "/moderate/stream", asked, X_API_Key=KEY).json
            assert (reply["granularity"], reply["safety"], reply["degraded"]) == ("token", "safe", False)
        assert set(stream.keys) == {f"Bearer {VLLM_KEY}"}


def test_the_models_health_check_tells_life_from_death(model: FakeServer) -> None:
    kind, _, *arguments = gpu_services()["guard-model"]["healthcheck"]["test"]
    command = [sys.executable, *(word.replace("8000", str(model.port)) for word in arguments)]
    assert kind == "CMD"
    assert subprocess.run(command, check=False, timeout=60).returncode == 0
    model.stop()
    assert subprocess.run(command, check=False, timeout=60, stderr=subprocess.DEVNULL).returncode != 0
