"""The lab: two finished runs side by side, to see and hear what K and the loss do; and runs that you train yourself.

    >>> lab = Lab()                                              # notebooks 09_train_live and 15_k_and_loss
    >>> lab.compare({"components": 2}, {"components": 16})       # the same from Python
    >>> lab.start(components=32, loss="l1"); lab.wait()

`lab.js` draws and plays in the browser; everything is computed here, from the weights of
:func:`sopedu.experiments.finished_experiments`. Training runs in a thread, so that a notebook stays usable.
"""

from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from sopedu.audio.player import Player
from sopedu.data.clips import ToyBandClips
from sopedu.errors import SopeduError, whole_number
from sopedu.lessons.lab_figures import plot_curves, plot_two_runs
from sopedu.lessons.lab_page import curves_on_page, fixed_parts, pair_on_page, run_on_page, run_seen_on_page
from sopedu.lessons.lab_runs import STEPS, FinishedRuns, LabRun, as_texts, name_of, reason_for_silence
from sopedu.lessons.lab_sides import LabSides
from sopedu.lessons.lab_training import LiveTraining, Order
from sopedu.lessons.lab_view import lab_pairs, separate_pair
from sopedu.lessons.widgets import browser_part
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.plots import NotebookFigure, encode_figure

_CURED = {"empty_rooms": "0", "absent_pictures": "0"}


class Lab(anywidget.AnyWidget):
    """Compare two runs by eye and ear, and train others live.

    Args:
        a: choices of the left run, such as ``{"components": 2, "seed": 1}``; their names are the keys of
            :data:`sopedu.lessons.lab_runs.CHOICES`.
        b: of the right one.
        folder: of the finished runs; None: those that come with sopedu.
        solos: number of solos that live runs are trained on.
        judged: number of held-out mixtures that a live run is scored on.

    Attributes:
        runs: live runs, in the order of their training.
        finished: the finished ones.
        pair: number of the held-out mixture, from 0.
        source: number of the source that is shown, 0 or 1.

    Raises:
        SopeduError: there are no finished runs, or none with these choices.

    Example:
        >>> lab = Lab()
        >>> lab.compare({"components": 16}, {"loss": "l1"})

    Notebook: 09_train_live, 15_k_and_loss.
    """

    _esm = browser_part("lab.js")
    _css = browser_part("lab.css")

    pair = traitlets.Int(0).tag(sync=True)
    source = traitlets.Int(0).tag(sync=True)

    _fixed = traitlets.Dict().tag(sync=True)
    _mixture = traitlets.Dict().tag(sync=True)
    _a = traitlets.Dict().tag(sync=True)
    _b = traitlets.Dict().tag(sync=True)
    _curves = traitlets.List().tag(sync=True)
    _training = traitlets.Dict().tag(sync=True)
    _preview = traitlets.Dict().tag(sync=True)
    _said = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        a: Mapping[str, Any] | None = None,
        b: Mapping[str, Any] | None = None,
        folder: str | Path | None = None,
        solos: int = 400,
        judged: int = 64,
    ) -> None:
        self.finished, self.runs = FinishedRuns(folder), list[LabRun]()
        self._solos, self._judged = whole_number(solos, "solos", 2), whole_number(judged, "judged", 1)
        self._pairs = lab_pairs(self.finished.config)
        self._sides = LabSides(self.finished, self.runs, self._pairs)
        self._lock = threading.RLock()  # the page asks in one thread, a training reports in another
        self._live: LiveTraining | None = None
        self._to_side = "b"
        super().__init__(
            _fixed=fixed_parts(self.finished, [pair.names for pair in self._pairs]),
            _training={"running": False, "text": "", "done": 0.0, "alert": False, "name": "", "note": "", "values": {}},
        )
        few, first, last = {"components": 2}, self.finished.runs[0].values, self.finished.runs[-1].values
        if a is None:
            a = few if self.finished.seeds(few) else first
        if b is None:
            b = {} if self.finished.seeds({}) else last
        self._sides.put("a", a)
        self._sides.put("b", b)
        self._show()
        self.observe(self._moved, ["pair", "source"])
        self.on_msg(self._asked)

    @property
    def a(self) -> LabRun | None:
        """The run to the left; None if none has the choices."""
        return self._sides.runs["a"]

    @property
    def b(self) -> LabRun | None:
        """The run to the right; None if none has the choices."""
        return self._sides.runs["b"]

    @property
    def running(self) -> bool:
        """Whether a run is being trained or scored."""
        return self._live is not None and self._live.running

    def compare(
        self, a: Mapping[str, Any] | LabRun | str | None = None, b: Mapping[str, Any] | LabRun | str | None = None
    ) -> NotebookFigure:
        """Show two runs, and return them as a figure.

        Args:
            a: choices of the left run (those that are missing are as usual; also ``seed``), a live run or its name;
                None: leave it.
            b: of the right one.

        Raises:
            SopeduError: an unknown choice, or no run has these choices.
        """
        with self._lock:
            for side, wanted in (("a", a), ("b", b)):
                if wanted is not None:
                    self._sides.put(side, wanted)
            self._show()
            return self.figure()

    def start(
        self, seed: int = 0, kind: str = "heads", steps: int | None = None, show_as: str = "b", **choices: Any
    ) -> None:
        """Train a run in the background: :meth:`wait` waits for it, :meth:`stop` ends it.

        Args:
            seed: of the training.
            kind: ``heads`` (new heads on a trained trunk, some ten seconds) or ``scratch`` (everything, some minutes).
            steps: of the training; None: 100 for heads, 400 from scratch.
            show_as: side on which the finished run is shown, ``a`` or ``b``.
            choices: such as ``components=4, loss="l1"``; the others are as usual.

        Raises:
            SopeduError: a run is being trained; an unknown choice.
        """
        if self.running:
            raise SopeduError("a run is being trained: stop it, or wait until it has ended")
        if kind not in STEPS or show_as not in self._sides.runs:
            raise SopeduError(f"kind={kind!r}, show_as={show_as!r}: choose heads or scratch, and a or b")
        steps = STEPS[kind] if steps is None else whole_number(steps, "steps", 1)
        values, seed = self.finished.usual | as_texts(choices), whole_number(seed, "seed", 0)
        config = self.finished.training_config(values, seed, kind, steps, self._solos)
        name = name_of(values, seed, self.finished.usual, kind)
        name += "" if steps == STEPS[kind] else f", {steps} steps"
        same = sum(run.name == name or run.name.startswith(f"{name} (") for run in self.runs)
        name += f" ({same + 1})" if same else ""
        run = LabRun(name, values, seed, kind, steps, _not_there, live=True)
        trunk = self.finished.trunk if kind == "heads" else None
        self._to_side, self._preview = show_as, {}
        self._tell(running=True, text=f"{name}: starting", done=0.0, alert=False, name=name, note="", values=values)
        order = Order(run, config, lambda watch: ToyBandClips(config, watch=watch), trunk, self._pairs, self._judged)
        self._live = LiveTraining(order, self)

    def stop(self) -> None:
        """End the run in training after its current step; it is scored and kept if it has done 20 steps."""
        if self._live is not None and self._live.running:
            self._tell(text="stopping after this step")
            self._live.stop()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the run in training has ended and is scored.

        Args:
            timeout: seconds to wait at most; None for no limit.
        """
        if self._live is not None:
            self._live.wait(timeout)

    def figure(self) -> NotebookFigure:
        """Draw both runs as they are shown: map, masks and spectrogram of the chosen source, and the scores."""
        pair = self._pairs[self.pair]
        runs, seen = self._sides.runs, self._sides.separated
        sides = [(side.upper(), run, run and seen(run, self.pair)) for side, run in runs.items()]
        return plot_two_runs(sides, pair, self.source, [self._sides.alike(side) for side in runs])

    def players(self) -> list[Player]:
        """Make players of the mixture, the true source, and the estimates of A and B, for pages without the widget."""
        pair, rate = self._pairs[self.pair], self.finished.config.spectrogram.sample_rate
        name, samples = pair.names[self.source], self.finished.config.spectrogram.counted_samples
        heard = [
            Player(pair.mixture[:samples], rate, f"mixture of {' and '.join(pair.names)}"),
            Player(pair.sources[self.source, :samples], rate, f"true {name}"),
        ]
        for side, run in self._sides.runs.items():
            if run is not None:
                estimate = self._sides.separated(run, self.pair).estimates[self.source]
                heard.append(Player(estimate, rate, f"{side.upper()}, {name}: {run.title}"))
        return heard

    def curves(self) -> NotebookFigure:
        """Draw the learning curves of A, B and all live runs."""
        return plot_curves(self._sides.curves())

    def __repr__(self) -> str:
        """Name the two runs."""
        names = [run.title if run else "no run" for run in self._sides.runs.values()]
        return f"Lab(A: {names[0]}; B: {names[1]}; {len(self.runs)} live)"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget, and a static figure for saved notebooks."""
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        picture = encode_figure(self.figure(), "png", dpi=80, colours=220)
        return {**data, "text/plain": repr(self), "image/png": b64encode(picture).decode("ascii")}, metadata

    # What a training tells; called from its thread ------------------------------------------------------------------
    def said(self, text: str, done: float, alert: bool = False) -> None:
        """Show what a training says."""
        self._tell(text=text, done=done, alert=alert)

    def looked(self, run: LabRun, model: SoundOfPixels) -> None:
        """Show masks and maps of a model in training."""
        seen, pair = separate_pair(model, self._pairs[self.pair]), self._pairs[self.pair]
        step = run.history[-1]["step"] if run.history else 0
        self._preview = {"step": step, "names": list(pair.names), **run_seen_on_page(seen, pair, sounds=False)}
        self._curves = curves_on_page([*self._sides.curves(), (run.title, run, len(self.runs) + 2)])
        if seen.silent and step:
            self._tell(note=reason_for_silence(run.values))

    def ended(self, run: LabRun | None) -> None:
        """Keep a finished run, and show it."""
        with self._lock:
            if run is not None:
                self.runs.append(run)
                self._sides.put(self._to_side, run)
            self._show()
            self._tell(running=False)

    # What is shown --------------------------------------------------------------------------------------------------
    def _show(self) -> None:
        """Send to the page what has changed."""
        pair = self._pairs[self.pair]
        if self._mixture.get("number") != self.pair:
            self._mixture = {"number": self.pair, **pair_on_page(pair)}
        for side, run in self._sides.runs.items():
            seen = None if run is None else self._sides.separated(run, self.pair)
            values = self._sides.values[side]
            offered = self.finished.offered(values)
            drawn = run_on_page(run, values, seen, pair, self._sides.alike(side), offered, self.runs)
            if drawn != getattr(self, f"_{side}"):
                setattr(self, f"_{side}", drawn)
        self._curves = curves_on_page(self._sides.curves())

    def _moved(self, change: Any) -> None:
        with self._lock:
            self._show()

    @traitlets.validate("pair", "source")
    def _there(self, proposal: dict[str, Any]) -> int:
        count = len(self._pairs) if proposal["trait"].name == "pair" else 2
        if not 0 <= proposal["value"] < count:
            raise SopeduError(f"{proposal['trait'].name} {proposal['value']}: choose 0 to {count - 1}")
        return proposal["value"]

    def _tell(self, **changes: Any) -> None:
        self._training = self._training | changes

    # What the page asks ---------------------------------------------------------------------------------------------
    def _asked(self, _: Any, content: dict[str, Any], __: Any) -> None:
        """Handle a message of the page; an error is shown there, because tracebacks in a log are not visible."""
        try:
            with self._lock:
                self._answer(content)
            self._said = {"text": "", "number": self._said.get("number", 0) + 1}
        except Exception as error:
            text = str(error) if isinstance(error, SopeduError) else f"{type(error).__name__}: {error}"
            self._said = {"text": text, "number": self._said.get("number", 0) + 1}

    def _answer(self, content: dict[str, Any]) -> None:
        kind, side = content.get("kind"), content.get("side", "b")
        if kind == "choose":
            self._sides.choose(side, self._sides.values[side] | as_texts(content["values"]))
            self._show()
        elif kind == "run":
            which, number = content["run"].split(":")
            values = self._sides.values[side]
            self._sides.put(side, {**values, "seed": int(number)} if which == "seed" else self.runs[int(number)])
            self._show()
        elif kind == "start":
            self.start(int(content["seed"]), content["trained"], int(content["steps"]), side, **content["values"])
        elif kind == "stop":
            self.stop()
        else:
            raise SopeduError(f"the page asked for {kind!r}, which is unknown: reload it")


def _not_there() -> Any:
    raise SopeduError("this run has not ended yet")
