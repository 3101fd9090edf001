"""Reads apps from a YAML file; every complaint names the file, the line and the reason, and none repeats a key.

A key stands there as its hash, or as the name of a variable or file that has it: the file itself can lie in Git.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import yaml

from ..core.app import DEFAULT_END_USER, MAX_KEYS, App, AppKey, Door, Limits, key_digest
from ..errors import ConfigurationError, InvalidRequest
from .yaml_file import YamlReader, compose_file

__all__ = ["APP_FIELDS", "KEY", "MAX_APPS", "MOST", "NAME", "load_apps", "parse_moment", "read_app"]

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""The name of an app and the label of a key."""
# As for `api_keys`, but longer: these are made by machines.
KEY = re.compile(r"[!-~]{16,512}")
MAX_APPS = 1000
"""Each is a label of some metrics and a place in the memory in which requests are counted."""
MOST = 1_000_000_000
"""The largest limit."""
APP_FIELDS = (
    "description", "keys", "policy", "policies", "doors", "limits", "lists", "end_user", "expires", "enabled",
)  # fmt: skip
_KEY_FIELDS = ("sha256", "env", "file", "expires")
_LIMIT_FIELDS = ("per_second", "per_minute", "per_day", "at_once")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PLACE = re.compile(r"header:[A-Za-z0-9-]{1,64}|[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,64}){0,7}")
_ESCAPES = re.compile(r"\\\\|(\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2})")
_MAX_PLACES = 8
_MAX_LISTS = 100
_NO_FILE = Path("app")
_BOOLS = {"true": True, "false": False}


def load_apps(
    path: Path,
    *,
    policies: Collection[str] | None,
    lists: Collection[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> tuple[App, ...]:
    """The apps of the file. `policies` and `lists` are the names of those that there are; None for any.

    Raises ConfigurationError.
    """
    return tuple(_Reader(path, policies, lists, os.environ if environ is None else environ).read())


def read_app(
    name: str,
    content: Mapping[str, object],
    *,
    policies: Collection[str] | None,
    lists: Collection[str] | None = None,
) -> App:
    """An app without keys from fields such as the file has. Names of policies and lists are not checked where None.

    Raises InvalidRequest that names the field.
    """
    node = yaml.compose(_as_yaml(content), Loader=yaml.SafeLoader)
    assert node is not None, "JSON is never an empty document"
    try:
        return _Reader(_NO_FILE, policies, lists, {}).app(name, node, has_keys=False)
    except ConfigurationError as error:
        raise InvalidRequest(str(error).removeprefix(f"{_NO_FILE}:1: ")) from None


def parse_moment(text: str) -> float | None:
    """`2027-01-31` (to its end, UTC) or `2027-01-31T12:00:00+01:00` as seconds since 1970; None for anything else."""
    try:
        if len(text) == len("2027-01-31"):
            day = date.fromisoformat(text) + timedelta(days=1)
            return datetime.combine(day, time(), UTC).timestamp()
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _as_yaml(content: Mapping[str, object]) -> str:
    """JSON in ASCII, but for what it writes as two halves: in YAML these would be two characters."""

    def whole(found: re.Match[str]) -> str:
        return found[0] if found[1] is None else str(json.loads(f'"{found[1]}"'))

    return _ESCAPES.sub(whole, json.dumps(content))


class _Reader(YamlReader):
    """One file of apps being read."""

    def __init__(
        self,
        path: Path,
        policies: Collection[str] | None,
        lists: Collection[str] | None,
        environ: Mapping[str, str],
    ) -> None:
        super().__init__(path)
        self._path = path
        self._policies = policies
        self._lists = lists
        self._environ = environ
        self._digests: dict[bytes, str] = {}

    def read(self) -> list[App]:
        root = compose_file(self._path)
        if root is None:
            raise ConfigurationError(f"{self._path}:1: the file is empty; it needs a mapping `apps`.")
        fields = self._mapping(root, what="the file", known=("apps",))
        if "apps" not in fields:
            self._fail(root, "the file needs a mapping `apps`")
        found = self._mapping(fields["apps"], what="`apps`")
        if not found:
            # An empty file would mean "open"; whoever names a file wants keys.
            self._fail(fields["apps"], "`apps` has no app in it")
        if len(found) > MAX_APPS:
            self._fail(fields["apps"], f"`apps` may have {MAX_APPS} apps")
        return [self.app(name, node, has_keys=True) for name, node in found.items()]

    def app(self, name: str, node: yaml.Node, *, has_keys: bool) -> App:
        if not NAME.fullmatch(name):
            self._fail(node, f"app name {name!r}: use up to 64 of a-z, 0-9, '-' and '_'")
        known = APP_FIELDS if has_keys else tuple(one for one in APP_FIELDS if one not in ("keys", "enabled"))
        fields = self._mapping(node, what=f"app {name!r}", known=known)
        if has_keys and "keys" not in fields:
            self._fail(node, f"app {name!r} needs `keys`")
        policies = self._policies_of(fields["policies"]) if "policies" in fields else None
        policy = self._policy(fields["policy"], what="`policy`") if "policy" in fields else None
        if policies is not None:
            if policy is None and len(policies) == 1:
                (policy,) = policies
            if policy not in policies:
                self._fail(node, f"app {name!r} needs a `policy`, which is its default, out of its `policies`")
        return App(
            name=name,
            description=self._scalar(fields["description"], what="`description`") if "description" in fields else "",
            keys=self._keys(name, fields["keys"]) if has_keys else (),
            policy=policy,
            policies=policies,
            doors=self._doors(fields["doors"]) if "doors" in fields else None,
            limits=self._limits(fields["limits"]) if "limits" in fields else Limits(),
            lists=self._named_lists(fields["lists"]) if "lists" in fields else (),
            end_user=self._places(fields["end_user"]) if "end_user" in fields else DEFAULT_END_USER,
            expires=self._moment(fields["expires"]) if "expires" in fields else None,
            is_enabled=self._bool(fields["enabled"], what="`enabled`") if "enabled" in fields else True,
        )

    def _keys(self, app: str, node: yaml.Node) -> tuple[AppKey, ...]:
        found = self._mapping(node, what="`keys`")
        if not 1 <= len(found) <= MAX_KEYS:
            self._fail(node, f"app {app!r} needs one key, or {MAX_KEYS} while callers change over")
        return tuple(self._key(app, label, value) for label, value in found.items())

    def _key(self, app: str, label: str, node: yaml.Node) -> AppKey:
        if not NAME.fullmatch(label):
            # Not repeated: it may be the key itself.
            self._fail(node, "the name of a key has up to 64 of a-z, 0-9, '-' and '_'")
        what = f"`keys.{label}`"
        if not isinstance(node, yaml.MappingNode):
            self._fail(node, f"{what} needs `sha256`, `env` or `file`; the key itself can't stand here")
        fields = self._mapping(node, what=what, known=_KEY_FIELDS)
        sources = [one for one in ("sha256", "env", "file") if one in fields]
        if len(sources) != 1:
            self._fail(node, f"{what} needs one of `sha256`, `env` and `file`")
        digest, length = self._digest(sources[0], fields[sources[0]], what=what)
        if digest in self._digests:
            self._fail(node, f"{what} is the same key as {self._digests[digest]}")
        self._digests[digest] = f"`{label}` of app {app!r}"
        return AppKey(label, digest, length, self._moment(fields["expires"]) if "expires" in fields else None)

    def _digest(self, source: str, node: yaml.Node, *, what: str) -> tuple[bytes, int]:
        """The key's hash and its length, 0 where it is not known."""
        text = self._scalar(node, what=f"{what}.{source}")
        if source == "sha256":
            if not _DIGEST.fullmatch(text):
                self._fail(node, f"{what}.sha256 must be 64 lower-case hex digits")
            return bytes.fromhex(text), 0
        if source == "env":
            if text not in self._environ:
                self._fail(node, f"{what}.env: there is no variable {text!r}")
            key = self._environ[text].strip()
        else:
            path = self._path.parent / Path(text).expanduser()
            try:
                key = path.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                self._fail(node, f"{what}.file: {path} can't be read: {type(error).__name__}")
        if not KEY.fullmatch(key):
            self._fail(node, f"{what}: a key has 16 to 512 characters, all of them printable ASCII without spaces")
        return key_digest(key), len(key)

    def _policy(self, node: yaml.Node, *, what: str) -> str:
        name = self._scalar(node, what=what)
        if self._policies is not None and name not in self._policies:
            self._fail(node, f"{what}: there is no policy {name!r}; there are {', '.join(sorted(self._policies))}")
        return name

    def _policies_of(self, node: yaml.Node) -> frozenset[str]:
        return frozenset(self._policy(one, what="`policies`") for one in self._items(node, what="`policies`"))

    def _doors(self, node: yaml.Node) -> frozenset[Door]:
        return frozenset(self._choice(one, Door, what="`doors`") for one in self._items(node, what="`doors`"))

    def _limits(self, node: yaml.Node) -> Limits:
        fields = self._mapping(node, what="`limits`", known=_LIMIT_FIELDS)
        return Limits(**{name: self._count(value, what=f"`limits.{name}`") for name, value in fields.items()})

    def _named_lists(self, node: yaml.Node) -> tuple[str, ...]:
        nodes = self._items(node, what="`lists`")
        if len(nodes) > _MAX_LISTS:
            self._fail(node, f"`lists` may name {_MAX_LISTS} lists")
        found = {self._scalar(one, what="`lists`"): one for one in nodes}
        for name, one in found.items():
            if self._lists is not None and name not in self._lists:
                known = f"there are {', '.join(sorted(self._lists))}" if self._lists else "there are none"
                self._fail(one, f"`lists`: there is no list {name!r}; {known}")
        return tuple(found)

    def _places(self, node: yaml.Node) -> tuple[str, ...]:
        """Where the end user's id is; an empty list for nowhere."""
        if isinstance(node, yaml.SequenceNode) and not node.value:
            return ()
        nodes = self._items(node, what="`end_user`")
        if len(nodes) > _MAX_PLACES:
            self._fail(node, f"`end_user` may name {_MAX_PLACES} places")
        found = []
        for one in nodes:
            place = self._scalar(one, what="`end_user`")
            if not _PLACE.fullmatch(place):
                self._fail(one, "`end_user` names fields, such as user or metadata.user_id, or header:NAME")
            found.append(place)
        return tuple(found)

    def _items(self, node: yaml.Node, *, what: str) -> list[yaml.Node]:
        """The nodes of a list; a single value is a list of one."""
        nodes = list(node.value) if isinstance(node, yaml.SequenceNode) else [node]
        if not nodes:
            self._fail(node, f"{what} is empty; leave it out for no restriction")
        return nodes

    def _count(self, node: yaml.Node, *, what: str) -> int:
        text = self._scalar(node, what=what)
        if not re.fullmatch(r"[0-9][0-9_]{0,12}", text) or not 1 <= int(text.replace("_", "")) <= MOST:
            self._fail(node, f"{what} must be a whole number from 1 to {MOST}, not {text!r}")
        return int(text.replace("_", ""))

    def _moment(self, node: yaml.Node) -> float:
        found = parse_moment(self._scalar(node, what="`expires`"))
        if found is None:
            self._fail(node, "`expires` must be a day such as 2027-01-31, or a moment such as 2027-01-31T12:00:00Z")
        return found

    def _bool(self, node: yaml.Node, *, what: str) -> bool:
        text = self._scalar(node, what=what).lower()
        if text not in _BOOLS:
            self._fail(node, f"{what} must be true or false")
        return _BOOLS[text]
