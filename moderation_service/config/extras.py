"""What an extra of this package installs, for messages that say how to get it.

The package is on no index: a `pip install` by its bare name would bring whatever somebody else registers under it, so
messages name what is missing itself. The names and bounds are those of the package's own metadata.
"""

from __future__ import annotations

import re

__all__ = ["install_command"]

_OF_EXTRA = re.compile(r"""(?P<requirement>[^;]+?)\s*;.*\bextra\s*==\s*["'](?P<extra>[\w-]+)["']""")


def install_command(extra: str) -> str:
    """The command that installs what `extra` stands for, such as `pip install 'tokenizers>=0.21'`."""
    from importlib import metadata  # with the whole of `email` in it, which no start needs

    try:
        required = metadata.requires("moderation-service") or []
    except metadata.PackageNotFoundError:  # run from a folder in which it was never installed
        required = []
    found = [match["requirement"] for one in required if (match := _OF_EXTRA.match(one)) and match["extra"] == extra]
    if not found:
        return f"pip install '.[{extra}]' in the clone"
    return "pip install " + " ".join(f"'{one}'" for one in found)
