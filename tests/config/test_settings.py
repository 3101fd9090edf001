from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from moderation_service.config.settings import (
    Secret,
    ServersUrl,
    Setting,
    Settings,
    Source,
    Url,
    declarations,
    load_settings,
)
from moderation_service.errors import ConfigurationError

HIDDEN = "hunter2-very-secret"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "moderation.yaml"


def from_file(file: Path, text: str) -> Settings:
    file.write_text(text, encoding="utf-8")
    return load_settings(file=file).settings


def complaint(**sources: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(**sources)
    return str(caught.value)


def file_complaint(file: Path, text: str) -> str:
    file.write_text(text, encoding="utf-8")
    message = complaint(file=file)
    assert message.startswith(f"{file}:")
    return message.removeprefix(f"{file}:")


def named(name: str) -> Setting:
    return next(setting for setting in declarations() if setting.name == name)


# Where values come from


def test_without_sources_every_setting_has_its_default() -> None:
    loaded = load_settings()
    assert loaded.settings == Settings()
    assert set(loaded.sources.values()) == {Source.DEFAULT}
    assert loaded.warnings == ()


def test_flags_win_over_the_environment_and_that_over_the_file(file: Path) -> None:
    file.write_text("port: 1001\nhost: 127.0.0.2\nworkers: 3\n", encoding="utf-8")
    environ = {"MODERATION_PORT": "1002", "MODERATION_HOST": "127.0.0.3"}
    loaded = load_settings(file=file, environ=environ, flags={"port": "1003", "threads": None})
    effective = loaded.settings
    assert (effective.port, effective.host, effective.workers, effective.threads) == (1003, "127.0.0.3", 3, 64)
    assert [loaded.sources[name] for name in ("port", "host", "workers", "threads")] == [
        Source.FLAG,
        Source.ENVIRONMENT,
        Source.FILE,
        Source.DEFAULT,
    ]


def test_every_setting_can_be_given_in_the_file_and_in_the_environment(file: Path) -> None:
    values: dict[str, tuple[str, object]] = {}
    for setting in declarations():
        text, value = {
            str: ("loose", "loose"),
            bool: (str(not setting.default).lower(), not setting.default),
            int: ("1_024", 1024),
            float: ("2.5", 2.5),
            Path: ("/nowhere", Path("/nowhere")),
            Secret: ("long-enough-1", Secret("long-enough-1")),
            Url: ("http://one:8000/v1/", Url("http://one:8000")),
            ServersUrl: ("http://one:8000/v1/?resolve=all", ServersUrl("http://one:8000?resolve=all")),
        }[setting.kind]
        if setting.minimum is not None and setting.minimum > 1024 and setting.kind is int:
            text, value = f"{setting.minimum:.0f}", int(setting.minimum)
        if setting.choices:
            text = value = setting.choices[-1]
        elif setting.maximum is not None and setting.maximum < 1024 and setting.kind is int:
            text, value = "3", 3
        elif setting.maximum is not None and setting.maximum < 2.5 and setting.kind is float:
            text, value = "0.5", 0.5
        if setting.is_list:
            text, value = f"{text}, {text}", (value, value)
        values[setting.name] = (text, value)
    file.write_text("".join(f"{name}: {text}\n" for name, (text, _) in values.items()), encoding="utf-8")
    environ = {named(name).env: text for name, (text, _) in values.items()}
    expected = {name: value for name, (_, value) in values.items()}
    for loaded in (load_settings(file=file), load_settings(environ=environ)):
        assert {field: getattr(loaded.settings, field) for field in expected} == expected


def test_keys_may_be_a_list_in_the_file(file: Path) -> None:
    assert from_file(file, "api_keys:\n  - key-number-1\n  - name:key-number-2\n").api_keys == (
        Secret("key-number-1"),
        Secret("name:key-number-2"),
    )


def test_keys_of_the_environment_replace_those_of_the_file(file: Path) -> None:
    file.write_text("api_keys: [key-number-1]\n", encoding="utf-8")
    loaded = load_settings(file=file, environ={"MODERATION_API_KEYS": " key-number-2 , ,"})
    assert loaded.settings.api_keys == (Secret("key-number-2"),)


@pytest.mark.parametrize(("text", "value"), [("yes", True), ("On", True), ("1", True), ("no", False), ("FALSE", False)])
def test_truth_has_several_spellings(text: str, value: bool) -> None:
    assert load_settings(environ={"MODERATION_ALLOW_OPEN": text}).settings.allow_open is value


def test_an_empty_file_sets_nothing(file: Path) -> None:
    assert from_file(file, "# nothing\n") == Settings()


def test_the_home_folder_may_be_written_as_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert load_settings(flags={"policies_file": "~/p.yaml"}).settings.policies_file == Path("/home/ada/p.yaml")


# What is wrong


@pytest.mark.parametrize("place", ["file", "environment", "flag"])
@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("port", "eighty", "must be a whole number."),
        ("port", "80.5", "must be a whole number."),
        ("port", "true", "must be a whole number."),
        ("port", "0", "must be at least 1, not 0."),
        ("port", "65536", "must be at most 65535, not 65536."),
        ("workers", "0", "must be at least 1, not 0."),
        ("threads", "-1", "must be at least 1, not -1."),
        ("keep_alive_s", "0", "must be at least 1, not 0."),
        ("graceful_timeout_s", "601", "must be at most 600, not 601."),
        ("deadline_s", "soon", "must be a number."),
        ("deadline_s", "nan", "must be a finite number."),
        ("deadline_s", "inf", "must be a finite number."),
        ("deadline_s", "0", "must be at least 0.05, not 0.0."),
        ("cache_ttl_s", "0.5", "must be at least 1, not 0.5."),
        ("max_body_bytes", "1023", "must be at least 1024, not 1023."),
        ("max_messages", "0", "must be at least 1, not 0."),
        ("max_batch_items", "0", "must be at least 1, not 0."),
        ("max_metadata_bytes", "65537", "must be at most 65536, not 65537."),
        ("cache_size", "-1", "must be at least 0, not -1."),
        ("allow_open", "maybe", "must be true or false."),
        ("pages", "2", "must be true or false."),
        ("engine", "gpt", "must be one of {engines}, not 'gpt'."),
        ("log_level", "INFO", "must be one of debug, info, warning, error, not 'INFO'."),
        ("host", "' '", "must be a text."),
    ],
)
def test_a_bad_value_names_its_place_and_the_reason(file: Path, place: str, name: str, text: str, reason: str) -> None:
    setting = named(name)
    reason = reason.replace("{engines}", ", ".join(named("engine").choices or ()))
    if place == "file":
        assert file_complaint(file, f"# a comment\n{name}: {text}\n") == f"2: {name}: {reason}"
    elif place == "environment":
        assert complaint(environ={setting.env: text.strip("'")}) == f"{setting.env}: {reason}"
    else:
        assert complaint(flags={name: text.strip("'")}) == f"{setting.flag}: {reason}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prot: 80\n", "1: there is no setting 'prot'; do you mean port?"),
        ("policy: strict\n", "1: there is no setting 'policy'; do you mean policy_choice or default_policy?"),
        ("zzz: 80\n", "1: there is no setting 'zzz'."),
        ("port: 80\nport: 81\n", "2: port is set twice."),
        ("- port\n", "1: must be a mapping of settings."),
        ("port: {a: 1}\n", "1: port: must be a single value or a list of values."),
        ("api_keys: [[a]]\n", "1: api_keys: must be a single value or a list of values."),
        ("port: [80]\n", "1: port: must be a whole number."),
        ("host: [a]\n", "1: host: must be a text."),
        ("pages: [true]\n", "1: pages: must be true or false."),
        ("deadline_s: [1]\n", "1: deadline_s: must be a number."),
        ("port: 80\nhost:\n", "2: host: has no value; leave the line out for the default."),
        ("audit_file: ~\n", "1: audit_file: has no value; leave the line out for the default."),
        ("api_keys: null\n", "1: api_keys: has no value; leave the line out for the default."),
        ("api_keys: [null]\n", "1: api_keys: has no value; leave the line out for the default."),
    ],
)
def test_a_file_of_another_shape_is_refused_with_its_line(file: Path, text: str, expected: str) -> None:
    assert file_complaint(file, text) == expected


def test_a_file_that_is_no_yaml_is_refused_with_its_line(file: Path) -> None:
    assert file_complaint(file, "port: 80\nhost: [a\n").startswith("3: not valid YAML: ")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    assert complaint(file=path) == f"{path}: can't be read: No such file or directory."


def test_an_unknown_variable_is_only_a_warning_because_kubernetes_invents_some() -> None:
    environ = {"MODERATION_PORT_8787_TCP": "tcp://10.0.0.1:8787", "MODERATION_CONFIG": "x", "OTHER": "y"}
    loaded = load_settings(environ=environ)
    assert loaded.warnings == ("MODERATION_PORT_8787_TCP: no such setting; ignored.",)
    assert loaded.settings == Settings()


LINKS = {
    "MODERATION_PORT": "tcp://10.96.0.1:8787",
    "MODERATION_PORT_8787_TCP": "tcp://10.96.0.1:8787",
    "MODERATION_PORT_8787_TCP_ADDR": "10.96.0.1",
    "MODERATION_PORT_8787_TCP_PORT": "8787",
    "MODERATION_PORT_8787_TCP_PROTO": "tcp",
    "MODERATION_SERVICE_HOST": "10.96.0.1",
    "MODERATION_SERVICE_PORT": "8787",
    "MODERATION_SERVICE_PORT_HTTP": "8787",
}
"""What Kubernetes puts into every pod beside a Service that is called `moderation`."""


@pytest.mark.parametrize("link", ["tcp://10.96.0.1:8787", "udp://10.96.0.1:53", "sctp://[fd00::1]:8787"])
@pytest.mark.parametrize(("flags", "port"), [({}, 8787), ({"port": 9000}, 9000)])
def test_the_variables_of_a_kubernetes_service_are_no_settings(link: str, flags: dict[str, object], port: int) -> None:
    loaded = load_settings(environ={**LINKS, "MODERATION_PORT": link}, flags=flags)
    assert loaded.settings == Settings(port=port)
    assert [warning.partition(":")[0] for warning in loaded.warnings] == sorted(LINKS)
    assert loaded.warnings[0] == "MODERATION_PORT: what Kubernetes sets for a Service of that name; ignored."


def test_a_port_in_the_file_counts_where_kubernetes_sets_the_variable(file: Path) -> None:
    file.write_text("port: 9000\n")
    loaded = load_settings(file=file, environ=LINKS)
    assert (loaded.settings.port, loaded.sources["port"]) == (9000, Source.FILE)


@pytest.mark.parametrize("value", ["http://10.96.0.1:8787", "tcp://10.96.0.1", "tcp://:x", "0", "eighty", ""])
@pytest.mark.parametrize("flags", [{}, {"port": 9000}])
def test_a_port_that_is_wrong_in_any_other_way_stops_the_start(value: str, flags: dict[str, object]) -> None:
    assert complaint(environ={"MODERATION_PORT": value}, flags=flags).startswith("MODERATION_PORT: must be ")


# Secrets


def test_a_secret_hides_itself() -> None:
    settings = Settings(api_keys=(Secret(HIDDEN),))
    for text in (repr(settings), str(settings), repr(Secret(HIDDEN)), f"{settings.api_keys}", f"{Secret(HIDDEN)}"):
        assert HIDDEN not in text
    assert "***" in repr(settings)


@pytest.mark.parametrize(
    "text",
    [
        f"api_keys: {{a: {HIDDEN}}}",
        f"api_keys: [{HIDDEN}, {{a: b}}]",
        f"api_keys: [{HIDDEN}",
        f"api_key: {HIDDEN}",
        f"api_keys: *{HIDDEN}",
        f"api_keys: &{HIDDEN} [&{HIDDEN} a]",
        f"api_keys: !{HIDDEN}",
        f"? {{api_keys: {HIDDEN}}}\n: 1",
    ],
)
def test_no_complaint_about_the_file_repeats_a_secret(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    assert HIDDEN not in complaint(file=file)


# Addresses of servers


def test_addresses_are_given_with_or_without_the_end_that_clients_add() -> None:
    text = "http://10.0.0.1:8000/v1, https://guard.example/qwen/ ,http://[::1]:8000"
    found = load_settings(environ={"MODERATION_UPSTREAMS": text}).settings.upstreams
    assert found == ("http://10.0.0.1:8000", "https://guard.example/qwen", "http://[::1]:8000")


@pytest.mark.parametrize(
    "text",
    [
        "localhost:8000",
        "ftp://one",
        "http://",
        "http://user:hunter2@one",
        "http://one:hunter2",
        "http:// one",
    ],
)
def test_other_addresses_are_refused_without_repeating_them(text: str) -> None:
    message = complaint(environ={"MODERATION_UPSTREAMS": text})
    assert message.startswith("MODERATION_UPSTREAMS: must be an address")
    assert "hunter2" not in message


def test_an_address_may_stand_for_all_servers_of_its_name() -> None:
    text = "http://guards:8000/v1/?resolve=all,http://one:8000"
    several, one = load_settings(environ={"MODERATION_UPSTREAMS": text}).settings.upstreams
    assert (several.base, several.is_resolved) == ("http://guards:8000", True)
    assert (one.base, one.is_resolved) == ("http://one:8000", False)


@pytest.mark.parametrize(
    "text", ["http://one?x=1", "http://one?resolve=one", "http://one?", "http://one?resolve=all&x=1"]
)
def test_nothing_else_stands_behind_an_address(text: str) -> None:
    message = complaint(environ={"MODERATION_UPSTREAMS": text})
    assert message == "MODERATION_UPSTREAMS: behind an address only ?resolve=all can stand."


def test_only_the_servers_of_the_guard_are_looked_up() -> None:
    message = complaint(environ={"MODERATION_CHAT_UPSTREAM": "http://llm:8000?resolve=all"})
    assert message.startswith("MODERATION_CHAT_UPSTREAM: must be an address")


def test_a_flag_is_repeated_for_each_address() -> None:
    loaded = load_settings(flags={"upstreams": ("http://one:1", "http://two:2")})
    assert loaded.settings.upstreams == ("http://one:1", "http://two:2")
    assert load_settings(flags={"upstreams": ()}).sources["upstreams"] is Source.DEFAULT


# Declarations


def test_every_setting_is_declared_with_what_documentation_needs() -> None:
    for setting in declarations():
        assert setting.help.endswith("."), setting.name
        assert setting.section, setting.name
        assert setting.env == f"MODERATION_{setting.name.upper()}"
        name = setting.name.removesuffix("s") if setting.is_list else setting.name
        assert setting.flag == f"--{name.replace('_', '-')}"
        if setting.kind in (int, float):
            assert setting.minimum is not None, setting.name
            assert setting.maximum is not None, setting.name
            assert setting.default is None or setting.minimum <= setting.default <= setting.maximum


def test_every_number_explains_its_unit_in_its_name_or_its_declaration() -> None:
    for setting in declarations():
        if setting.name.endswith("_s"):
            assert setting.unit == "seconds", setting.name
        if setting.name.endswith("_bytes"):
            assert setting.unit == "bytes", setting.name


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]
