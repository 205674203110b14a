"""When a spec runs."""

from __future__ import annotations

from typing import Literal

Tier = Literal["ci", "nightly", "release"]
TIERS: tuple[Tier, ...] = ("ci", "nightly", "release")
