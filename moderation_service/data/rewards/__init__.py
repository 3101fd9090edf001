"""Rewards from a running service, for reinforcement learning. Needs the extra `rewards`."""

from __future__ import annotations

from ...config.extras import install_command

try:
    from .guard_reward import GuardReward
except ModuleNotFoundError as missing:
    if missing.name != "aiohttp":
        raise
    raise ModuleNotFoundError(f"Rewards need aiohttp: {install_command('rewards')}", name="aiohttp") from None

__all__ = ["GuardReward"]
