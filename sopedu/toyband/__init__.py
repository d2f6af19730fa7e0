"""The toy band: solos and duets rendered from formulas and shapes, with exact stems and boxes (see docs/design.md)."""

from __future__ import annotations

from sopedu.toyband.melody import INSTRUMENTS
from sopedu.toyband.scenes import Scene, duet, from_int16, scene, solo

__all__ = ["INSTRUMENTS", "Scene", "duet", "from_int16", "scene", "solo"]
