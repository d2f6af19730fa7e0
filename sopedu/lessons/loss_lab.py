"""The loss lab: change a choice, train some hundred steps, keep the run, compare (notebook 09_train_live).

    >>> lab = LossLab(config, clips, held_out_pairs(held_out, 8))
    >>> lab                                       # controls, Start, Stop, Compare
    >>> lab.start(loss="l1"); lab.wait()          # the same from Python
    >>> lab.compare()

Training runs in a thread of its own, so that a notebook stays usable; it ends with the kernel.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch

from sopedu.audio.metrics import bss_eval_rows
from sopedu.audio.player import Player
from sopedu.audio.spectrogram import istft, stft
from sopedu.config import Config, with_values
from sopedu.data.clips import ClipDataset
from sopedu.evaluation.pairs import TestPairs, separate_pairs
from sopedu.lessons.widgets import choice, slider
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.plots import NotebookFigure, encode_figure, plot_runs, two_digits
from sopedu.training.loop import train
from sopedu.training.run import Callback, Run

#: What can be chosen: name → (field of the configuration, values to choose from).
CHOICES: dict[str, tuple[str, tuple[Any, ...]]] = {
    "components": ("model.components", (4, 8, 16, 32, 64)),
    "loss": ("loss.kind", ("bce", "l1", "l2")),
    "mask": ("loss.target", ("ratio", "binary")),
    "weighted": ("loss.weighted", (True, False)),
    "pooling": ("model.pooling", ("max", "mean")),
    "activation": ("model.visual_activation", ("sigmoid", "softmax", "relu", "none")),
    "learning_rate": ("training.learning_rate", (0.0003, 0.001, 0.003, 0.01, 0.03)),
}
_REDRAW_SECONDS = 1.0


@dataclass
class LabRun:
    """A run that the lab keeps.

    Attributes:
        name: its choices, as text.
        history: records as in `Run.history`.
        sdr_improvement: on held-out mixtures, in dB; NaN until it is known.
        estimates: separated sources of the first held-out pair, ``(2, L)``.
    """

    name: str
    history: list[dict[str, float]] = field(default_factory=list)
    sdr_improvement: float = float("nan")
    estimates: np.ndarray | None = None


class LossLab(widgets.VBox):
    """Train small models and compare them, with controls for the choices.

    Args:
        config: everything that no control chooses.
        clips: solos to train on.
        pairs: held-out mixtures; every run is evaluated on them, and the first one can be played.
        steps: length of a run, until the control changes it.

    Example:
        >>> lab = LossLab(config, clips, pairs)
        >>> lab.start(loss="l1", steps=100)

    Notebook: 09_train_live.
    """

    def __init__(self, config: Config, clips: ClipDataset, pairs: TestPairs, steps: int = 200) -> None:
        self.config, self.clips, self.pairs, self.runs = config, clips, pairs, list[LabRun]()
        self.controls = {name: _control(name, config) for name in CHOICES}
        self.controls["steps"] = slider("steps", steps, 10, max(600, steps), 10)
        self.start_button = widgets.Button(description="Start", button_style="primary", icon="play")
        self.stop_button = widgets.Button(description="Stop", icon="stop", disabled=True)
        self.compare_button = widgets.Button(description="Compare", icon="bar-chart", disabled=True)
        self.start_button.on_click(lambda _: self.start())
        self.stop_button.on_click(lambda _: self.stop())
        self.compare_button.on_click(lambda _: self.compare())
        self.words, self.sounds = widgets.HTML(), widgets.HTML()
        self.picture = widgets.Image(format="png", layout={"max_width": "100%"})
        self._run: Run | None = None
        self._thread: threading.Thread | None = None
        self._say("choose, then press Start")
        buttons = widgets.HBox([self.start_button, self.stop_button, self.compare_button])
        super().__init__([*self.controls.values(), buttons, self.words, self.picture, self.sounds])

    @property
    def running(self) -> bool:
        """Whether a run is being trained or evaluated."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, **choices: Any) -> None:
        """Set controls, then train in the background; do nothing while another run is under way.

        Args:
            choices: values of controls by name, see :data:`CHOICES`, and `steps`.
        """
        if self.running:
            return
        for name, value in choices.items():
            self.controls[name].value = value
        chosen = {name: control.value for name, control in self.controls.items()}
        kept = LabRun(self._name(chosen))
        values = [f"{CHOICES[name][0]}={_text(chosen[name])}" for name in CHOICES]
        config = with_values(self.config, [*values, f"training.steps={chosen['steps']}", "training.precision=float32"])
        self.start_button.disabled, self.stop_button.disabled = True, False
        self._thread = threading.Thread(target=self._work, args=(config, kept), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the run after its current step; it is evaluated and kept."""
        if self._run is not None:
            self._run.stop = True

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the run has ended, for use from Python.

        Args:
            timeout: seconds to wait at most; None for no limit.
        """
        if self._thread is not None:
            self._thread.join(timeout)

    def compare(self) -> NotebookFigure | None:
        """Draw all runs side by side, with players for the first held-out pair.

        Returns:
            the figure; None if there is no run yet.
        """
        if not self.runs:
            return None
        figure = self._draw(self.runs)
        rate, names = self.config.spectrogram.sample_rate, [self.pairs.class_names[i] for i in self.pairs.labels[0]]
        players = [Player(self.pairs.mixture[0], rate, f"mixture of {' and '.join(names)}")]
        for run in self.runs:
            players += [Player(run.estimates[i], rate, f"{run.name}: {name}") for i, name in enumerate(names)]
        self.sounds.value = "\n".join(player._repr_html_() for player in players)
        return figure

    def _name(self, chosen: dict[str, Any]) -> str:
        """Describe the changed settings; a number is added if two runs would get the same name."""
        usual = {name: _value(self.config, name) for name in CHOICES}
        changed = [f"{name} {_text(chosen[name])}" for name in CHOICES if chosen[name] != usual[name]]
        name = ", ".join(changed) or "as it was"
        same = sum(run.name == name or run.name.startswith(f"{name} #") for run in self.runs)
        return f"{name} #{same + 1}" if same else name

    def _work(self, config: Config, kept: LabRun) -> None:
        try:
            self._say(f"{kept.name}: starting …")
            run = train(config, self.clips, callbacks=[_Watch(self, kept)])
            self._say(f"{kept.name}: evaluating on {len(self.pairs.mixture)} held-out mixtures …")
            kept.sdr_improvement, _, kept.estimates = judge_quickly(run.model, self.pairs)
            self.runs.append(kept)
            self._draw(self.runs)
            done = "stopped" if run.step < run.steps else "done"
            improvement = two_digits(kept.sdr_improvement)
            self._say(f"{kept.name}: {done} after {run.step} steps, SDR improvement {improvement} dB")
        except Exception as error:  # errors raised in a thread are not displayed
            self._say(f"⚠ {kept.name}: {error}", "alert")
        finally:
            self._run = None
            self.start_button.disabled, self.stop_button.disabled = False, True
            self.compare_button.disabled = not self.runs

    def _say(self, text: str, role: str = "status") -> None:
        self.words.value = f'<p role="{role}">{escape(text)}</p>'

    def _draw(self, runs: Sequence[LabRun]) -> NotebookFigure:
        figure = plot_runs({run.name: run.history for run in runs}, {run.name: run.sdr_improvement for run in runs})
        self.picture.value = encode_figure(figure, "png", dpi=90)
        return figure


class _Watch(Callback):
    """Shows a run in the lab, and gives the lab the handle to stop it."""

    def __init__(self, lab: LossLab, kept: LabRun) -> None:
        self.lab, self.kept, self.drawn_at = lab, kept, 0.0

    def on_start(self, run: Run) -> None:
        self.kept.history, self.lab._run = run.history, run

    def on_record(self, run: Run) -> None:
        left = run.seconds / run.step * (run.steps - run.step)
        loss = run.history[-1]["loss"]
        self.lab._say(f"{self.kept.name}: step {run.step} of {run.steps}, loss {loss:.3f}, {left:.0f} s left")
        if time.monotonic() - self.drawn_at > _REDRAW_SECONDS:
            self.drawn_at = time.monotonic()
            self.lab._draw([*self.lab.runs, self.kept])


def judge_quickly(model: SoundOfPixels, pairs: TestPairs) -> tuple[float, float, np.ndarray]:
    """Evaluate a model on a few held-out mixtures, without the baselines of :func:`sopedu.evaluate`.

    Args:
        model: in any mode.
        pairs: see :func:`sopedu.evaluation.pairs.held_out_pairs`.

    Returns:
        mean SDR improvement in dB, the same with the two pictures exchanged, and the estimates of the first pair,
        ``(2, L)``.

    Notebook: 09_train_live.
    """
    sound = model.config.spectrogram
    both_orders = torch.cat([pairs.frames, pairs.frames.flip(1)], dim=1)
    right, swapped = separate_pairs(model, pairs.mixture, both_orders).split(2, dim=1)
    references = pairs.sources[..., : sound.counted_samples]
    mixture = istft(stft(pairs.mixture, sound), sound)[:, None].expand_as(references)
    scores = bss_eval_rows(references, {"mixture": mixture, "right": right, "swapped": swapped})
    gained, lost = (float(np.nanmean(scores[row].sdr - scores["mixture"].sdr)) for row in ("right", "swapped"))
    return gained, lost, right[0].numpy()


def _value(config: Config, name: str) -> Any:
    section, key = CHOICES[name][0].split(".")
    return getattr(getattr(config, section), key)


def _control(name: str, config: Config) -> widgets.Widget:
    usual, options = _value(config, name), CHOICES[name][1]
    return choice(name.replace("_", " "), options if usual in options else (usual, *options), usual)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
