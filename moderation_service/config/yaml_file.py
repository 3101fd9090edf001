"""Opens a YAML file as a tree of nodes, which know their line; used for settings and policies."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from ..errors import ConfigurationError

__all__ = ["compose_file"]

# PyYAML quotes the names of aliases and tags; a key that begins with `*` or `!` would be printed. Its own words, such
# as '<block end>', and single characters stay.
_QUOTED = re.compile(r" '[^'<][^']{2,}'")


def compose_file(path: Path) -> yaml.Node | None:
    """The root node, or None for an empty file. Raises ConfigurationError with the file, the line and the reason."""
    try:
        return yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not UTF-8 text.") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(f"{path}:{line}: not valid YAML: {_QUOTED.sub('', str(error.problem))}.") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: not valid YAML: {error}.") from error
