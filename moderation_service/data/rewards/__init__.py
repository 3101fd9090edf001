"""Rewards from a running service, for reinforcement learning. Needs the extra `rewards`."""

from __future__ import annotations

from .guard_reward import GuardReward

__all__ = ["GuardReward"]
