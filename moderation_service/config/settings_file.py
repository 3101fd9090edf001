"""The YAML file of settings: values as they stand there, each with its place for the message about it."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

import yaml

from ..errors import ConfigurationError
from .setting import Setting
from .yaml_file import compose_file

__all__ = ["read_settings_file"]

_NULL = "tag:yaml.org,2002:null"


def read_settings_file(path: Path, known: Mapping[str, Setting]) -> dict[str, tuple[object, str]]:
    """The file's values with their places. Lists are kept for secrets; everything else is text or a scalar."""
    root = compose_file(path)
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise ConfigurationError(f"{path}:1: must be a mapping of settings.")
    found: dict[str, tuple[object, str]] = {}
    for key_node, value_node in root.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise ConfigurationError(f"{path}:{line}: the name of a setting must be a single word.")
        name = str(key_node.value)
        if name not in known:
            close = " or ".join(get_close_matches(name, known, n=2))
            meant = f"; do you mean {close}?" if close else "."
            raise ConfigurationError(f"{path}:{line}: there is no setting {name!r}{meant}")
        if name in found:
            raise ConfigurationError(f"{path}:{line}: {name} is set twice.")
        where = f"{path}:{line}: {name}"
        values = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
        if any(node.tag == _NULL or node.value == "" for node in values):
            # Read as text it would be the file "null" or the home folder "~"; read as "no keys" it would be open.
            raise ConfigurationError(f"{where}: has no value; leave the line out for the default.")
        if isinstance(value_node, yaml.ScalarNode):
            found[name] = (str(value_node.value), where)
        elif isinstance(value_node, yaml.SequenceNode) and all(
            isinstance(item, yaml.ScalarNode) for item in value_node.value
        ):
            found[name] = ([str(item.value) for item in value_node.value], where)
        else:
            raise ConfigurationError(f"{where}: must be a single value or a list of values.")
    return found
