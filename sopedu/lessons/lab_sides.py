"""The two sides of the lab: which run stands on each, and what a run makes of the held-out pairs.

>>> sides = LabSides(FinishedRuns(), [], pairs)
>>> sides.put("a", {"components": 16, "seed": 1})
>>> sides.runs["a"].name
'K=16, BCE, ratio, seed 1'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sopedu.errors import SopeduError, whole_number
from sopedu.lessons.lab_runs import FinishedRuns, LabRun, Values
from sopedu.lessons.lab_view import LabPair, Separated, separate_pair

_MOST_KEPT = 256  # separations in memory, of some 100 kB each


class LabSides:
    """The runs to the left (``a``) and to the right (``b``).

    Args:
        finished: the finished runs.
        live: the live ones; the list may grow.
        pairs: held-out pairs.

    Attributes:
        runs: side → its run; None if no run has the choices.
        values: side → its choices.
    """

    def __init__(self, finished: FinishedRuns, live: Sequence[LabRun], pairs: Sequence[LabPair]) -> None:
        self.finished, self.live, self.pairs = finished, live, pairs
        self.runs: dict[str, LabRun | None] = {"a": None, "b": None}
        self.values: dict[str, Values] = {}
        self._seen: dict[tuple[LabRun, int], Separated] = {}

    def put(self, side: str, wanted: Mapping[str, Any] | LabRun | str) -> None:
        """Put a run on a side.

        Args:
            side: ``a`` or ``b``.
            wanted: a run, its name, or choices of a finished run, also ``seed``.

        Raises:
            SopeduError: an unknown choice, or no run has these choices or this name.
        """
        if isinstance(wanted, str):
            found = [run for run in (*self.live, *self.finished.runs) if run.name == wanted]
            if not found:
                raise SopeduError(f"no run is called {wanted!r}: live runs are {[run.name for run in self.live]}")
            wanted = found[0]
        if isinstance(wanted, LabRun):
            self.values[side], self.runs[side] = wanted.values, wanted
            return
        seed = wanted.get("seed")
        choices = {name: value for name, value in wanted.items() if name != "seed"}
        run = self.finished.find(choices, None if seed is None else whole_number(seed, "seed", 0))
        if run is None:
            text = ", ".join(f"{name}={value!r}" for name, value in wanted.items())
            raise SopeduError(f"no finished run has {text}: train it, lab.start({text})")
        self.values[side], self.runs[side] = run.values, run

    def choose(self, side: str, values: Values) -> None:
        """Change the choices of a side; it is empty if no run has them.

        Args:
            side: ``a`` or ``b``.
            values: of all choices.
        """
        before = self.runs[side]
        alike = [run for run in self.live[::-1] if run.values == values and run.kind == "heads"]
        finished = self.finished.find(values, before.seed if before else None) or self.finished.find(values)
        self.values[side], self.runs[side] = values, finished or (alike[0] if alike else None)

    def alike(self, side: str) -> list[LabRun]:
        """Return all runs with the choices of a side, in whose scores one sees the spread over seeds.

        Args:
            side: ``a`` or ``b``.
        """
        shown, values = self.runs[side], self.values[side]
        kind = shown.kind if shown else "heads"
        live = [run for run in self.live if (run.values, run.kind) == (values, kind)]
        finished = list(self.finished.seeds(values).values()) if kind == "heads" else []
        return [*finished, *live]

    def separated(self, run: LabRun, number: int) -> Separated:
        """Return what a run makes of a pair; computed once.

        Args:
            run: finished or live.
            number: of the pair.
        """
        key = run, number
        if key not in self._seen:
            if len(self._seen) >= _MOST_KEPT:
                self._seen.pop(next(iter(self._seen)))
            self._seen[key] = separate_pair(run.load().model, self.pairs[number])
        return self._seen[key]

    def curves(self) -> list[tuple[str, LabRun, int]]:
        """Return the runs with curves: names, runs, and numbers of their styles, which stay the same for a live run."""
        shown = [(side, run) for side, run in self.runs.items() if run]
        named = {run: (f"{side.upper()}: {run.title}", run, "ab".index(side)) for side, run in shown}
        for number, run in enumerate(self.live, 2):
            name = named.get(run, (run.title,))[0]
            named[run] = name, run, number
        return list(named.values())
