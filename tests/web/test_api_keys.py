from __future__ import annotations

import hashlib
import hmac
import logging
from pathlib import Path

import pytest
from apps import keys

from moderation_service.config.settings import Settings
from moderation_service.errors import ConfigurationError
from moderation_service.web.api_keys import ApiKeys, check_exposure, load_api_keys, sent_key, warn_of_readers

KEY = "correct-horse-battery"
DIGEST = hashlib.sha256(KEY.encode()).hexdigest()


def load(*texts: str, file: Path | None = None) -> ApiKeys:
    return load_api_keys(Settings(api_keys=keys(*texts), api_keys_file=file))


def complaint(*texts: str, file: Path | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(*texts, file=file)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (KEY, "key-1"),
        (f"chat:{KEY}", "chat"),
        (f"team.a_b-2:{KEY}", "team.a_b-2"),
        (f"chat:sha256:{DIGEST}", "chat"),
        (f"sha256:{DIGEST}", "key-1"),
    ],
)
def test_a_key_can_be_plain_named_or_hashed(text: str, name: str) -> None:
    accepted = load(text)
    assert accepted.identify(KEY) == name
    for wrong in (KEY[:-1], KEY + "x", KEY.upper(), "", DIGEST, f"{name}:{KEY}", f"sha256:{DIGEST}"):
        assert accepted.identify(wrong) is None


def test_several_keys_have_their_own_names() -> None:
    accepted = load("first-key", f"chat:{KEY}", "third-key")
    assert [accepted.identify(key) for key in ("first-key", KEY, "third-key")] == ["key-1", "chat", "key-3"]


def test_no_keys_means_open() -> None:
    assert not load()
    assert load(KEY)


def test_only_hashes_are_kept() -> None:
    accepted = load(f"chat:{KEY}")
    assert accepted.entries == (("chat", hashlib.sha256(KEY.encode()).digest()),)
    assert KEY not in repr(accepted)


def test_every_entry_is_compared_in_constant_time_even_after_a_match(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return compare_digest(one, other)

    compare_digest = hmac.compare_digest
    accepted = load("first-key", "second-key", "third-key")
    monkeypatch.setattr(hmac, "compare_digest", compare)
    for key in ("first-key", "third-key", "none-of-them"):
        compared.clear()
        accepted.identify(key)
        assert compared == [digest for _, digest in accepted.entries]


def test_a_key_of_any_characters_can_be_asked_for() -> None:
    for key in ("\ud800", "ключ-ключ", "\x00", "x" * 100_000):
        assert load(KEY).identify(key) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("short", "a key needs 8 characters or more, all of them printable ASCII without spaces."),
        ("name:short", "a key needs 8 characters or more, all of them printable ASCII without spaces."),
        ("name:", "a key needs 8 characters or more, all of them printable ASCII without spaces."),
        ("two words here", "a key needs 8 characters or more, all of them printable ASCII without spaces."),
        ("schlüssel-äöü", "a key needs 8 characters or more, all of them printable ASCII without spaces."),
        (f"a b:{KEY}", "a key's name may have letters, digits, '.', '_' and '-' only."),
        (f":{KEY}", "a key's name may have letters, digits, '.', '_' and '-' only."),
        (f"{'n' * 65}:{KEY}", "a key's name may have letters, digits, '.', '_' and '-' only."),
        (f"名:{KEY}", "a key's name may have letters, digits, '.', '_' and '-' only."),
        ("name:sha256:abc", "sha256: must be followed by 64 lower-case hex digits."),
        (f"name:sha256:{DIGEST.upper()}", "sha256: must be followed by 64 lower-case hex digits."),
        (f"sha256:{DIGEST.upper()}", "sha256: must be followed by 64 lower-case hex digits."),
        (f"sha256:{DIGEST}0", "sha256: must be followed by 64 lower-case hex digits."),
    ],
)
def test_a_bad_key_is_refused_without_repeating_it(text: str, reason: str) -> None:
    assert complaint("good-key-1", text) == f"api_keys[1]: {reason}"


def test_two_keys_of_one_name_are_refused() -> None:
    assert complaint("chat:first-key", "chat:second-key") == "api_keys[1]: there are two keys named 'chat'."


# Keys in a file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def test_a_file_has_one_key_per_line_and_adds_to_the_others(file: Path) -> None:
    file.write_text(f"# made in May\n\n  chat:sha256:{DIGEST}  \r\nsecond-key\n", encoding="utf-8")
    accepted = load("first-key", file=file)
    assert [accepted.identify(key) for key in ("first-key", KEY, "second-key")] == ["key-1", "chat", "key-3"]


def test_a_bad_key_in_a_file_is_refused_with_its_line_without_repeating_it(file: Path) -> None:
    file.write_text("# a comment\n\nshort\n", encoding="utf-8")
    assert complaint(file=file) == (
        f"{file}:3: a key needs 8 characters or more, all of them printable ASCII without spaces."
    )


@pytest.mark.parametrize("content", ["", "\n \n", "# nothing\n"])
def test_a_file_without_a_key_is_refused_because_it_would_mean_open(file: Path, content: str) -> None:
    file.write_text(content, encoding="utf-8")
    assert complaint("first-key", file=file) == f"api_keys_file: {file} has no key in it."


def test_a_file_that_cannot_be_read_is_refused(file: Path) -> None:
    assert complaint(file=file) == f"api_keys_file: {file} can't be read: FileNotFoundError."
    file.write_bytes(b"\xff\xfe")
    assert complaint(file=file) == f"api_keys_file: {file} can't be read: UnicodeDecodeError."


# Where the service may be open


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "localhost", "::1", "[::1]"])
def test_on_a_loopback_address_no_key_is_needed(host: str) -> None:
    check_exposure(Settings(host=host), has_keys=False)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "[::]", "10.0.0.1", "192.168.1.2", "example.com", "fe80::1", "127.1"]
)
def test_on_another_address_the_service_refuses_to_be_open(host: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_exposure(Settings(host=host), has_keys=False)
    assert str(caught.value).startswith(f"host: {host} can be reached from other machines and no API key is set.")
    check_exposure(Settings(host=host), has_keys=True)
    check_exposure(Settings(host=host, allow_open=True), has_keys=False)


# Where a key is found in a request


@pytest.mark.parametrize(
    ("authorization", "api_key", "found"),
    [
        (None, None, None),
        (f"Bearer {KEY}", None, KEY),
        (f"bearer  {KEY} ", None, KEY),
        (None, KEY, KEY),
        (None, f" {KEY} ", KEY),
        (f"Bearer {KEY}", "other-key", KEY),
        ("Basic dXNlcjpwYXNz", KEY, KEY),
        ("Bearer", KEY, KEY),
        ("Bearer ", None, None),
        ("Basic dXNlcjpwYXNz", None, None),
        (KEY, None, None),
        (None, "", None),
        (None, " ", None),
    ],
)
def test_a_key_is_sent_as_a_bearer_token_or_in_a_header_of_its_own(
    authorization: str | None, api_key: str | None, found: str | None
) -> None:
    assert sent_key(authorization, api_key) == found


@pytest.mark.parametrize(
    ("mode", "line", "warns"),
    [
        (0o644, f"chat:{KEY}", True),
        (0o604, f"# sha256:\nchat:{KEY}", True),
        (0o640, f"chat:{KEY}", False),
        (0o600, f"chat:{KEY}", False),
        (0o644, f"chat:sha256:{DIGEST}", False),
    ],
)
def test_a_key_that_everybody_on_the_machine_can_read_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, line: str, warns: bool
) -> None:
    file = tmp_path / "keys"
    file.write_text(line)
    file.chmod(mode)
    with caplog.at_level(logging.WARNING):
        warn_of_readers(file)
    assert [record.getMessage() for record in caplog.records] == ["api_keys_file_readable"] * warns
    assert KEY not in str([record.__dict__ for record in caplog.records])
