"""What can keep `up` from bringing the service up.

ConfigurationError
└── LaunchError            exit code 1
    ├── NothingToRunOn     exit code 2   no GPU, or one too small, and neither --cpu nor --upstream was given
    ├── VllmMissing        exit code 2   the program `vllm` is not installed
    ├── DownloadFailed     exit code 1   the hub refused, or what it sent is not what it announced
    ├── PreparationFailed  exit code 1   an engine's programs could not be installed, or the model not converted
    └── ServerFailed       exit code 1   vLLM died, did not become ready, or is not a Qwen3Guard
"""

from __future__ import annotations

from typing import ClassVar

from ..errors import ConfigurationError

__all__ = ["DownloadFailed", "LaunchError", "NothingToRunOn", "PreparationFailed", "ServerFailed", "VllmMissing"]


class LaunchError(ConfigurationError):
    """`up` can't go on; the message says what to do."""

    exit_code: ClassVar[int] = 1


class NothingToRunOn(LaunchError):
    """This machine has no GPU that the wanted model fits on."""

    exit_code = 2


class VllmMissing(LaunchError):
    """vLLM is not installed."""

    exit_code = 2


class DownloadFailed(LaunchError):
    """A model could not be downloaded. What has arrived is kept, and the next attempt goes on from there."""


class PreparationFailed(LaunchError):
    """What an engine for the CPU needs could not be made. What is whole stays, and the next attempt goes on."""


class ServerFailed(LaunchError):
    """The model server did not come up, or does not do what it must."""
