"""Render scenes of the toy band: frames, boxes, the mixture, and the exact sound of each player.

    >>> from sopedu.toyband import solo
    >>> scene = solo(seed=1, instrument="violin")
    >>> scene.frames.shape, scene.stems.shape, scene.boxes.shape
    ((3, 224, 224, 3), (1, 65535), (1, 3, 4))

Sound and picture are computed in float64 and rounded once, so the same seed gives the same bytes everywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sopedu.errors import SopeduError, whole_number
from sopedu.toyband.backgrounds import paint
from sopedu.toyband.instruments import INSTRUMENTS
from sopedu.toyband.melody import compose
from sopedu.toyband.performance import check_properties, perform
from sopedu.toyband.players import draw, look, motion_at
from sopedu.toyband.raster import Canvas, Placement
from sopedu.toyband.splits import draw_identity, generator_for

if TYPE_CHECKING:  # rendering needs no torch, and worker processes start faster without it
    import torch

#: Samples per second, by default.
SAMPLE_RATE = 11025
#: The int16 value of a sample of 1.0.
FULL_SCALE = 32767
#: Times in seconds of the paper's three frames in a clip of 5.94 s: three seconds apart, the second in the middle.
PAPER_TIMES = (-0.028, 2.972, 5.972)


@dataclass(frozen=True)
class Scene:
    """A rendered scene with its ground truth.

    Attributes:
        frames: ``(S, H, W, 3)`` uint8.
        times: S times of the frames, in seconds.
        mixture: ``(L,)`` int16, exactly the sum of the stems.
        stems: ``(N, L)`` int16, one row per performer, zeros for a silent one.
        boxes: ``(N, S, 4)`` x0, y0, x1, y1 in fractions of width and height.
        labels: names of the N performers' instruments, from left to right.
        playing: positions of those who sound.
        sample_rate: in Hz.
    """

    frames: np.ndarray
    times: tuple[float, ...]
    mixture: np.ndarray
    stems: np.ndarray
    boxes: np.ndarray
    labels: tuple[str, ...]
    playing: tuple[int, ...]
    sample_rate: int = SAMPLE_RATE

    def waveform(self) -> torch.Tensor:
        """Return the mixture as a float waveform ``(L,)`` in -1 to 1."""
        return from_int16(self.mixture)

    def stem_waveforms(self) -> torch.Tensor:
        """Return the stems as float waveforms ``(N, L)`` in -1 to 1."""
        return from_int16(self.stems)

    def frames_tensor(self) -> torch.Tensor:
        """Return the frames as ``(S, 3, H, W)`` uint8, as the model takes them."""
        import torch

        return torch.from_numpy(np.ascontiguousarray(self.frames.transpose(0, 3, 1, 2)))


def scene(
    performers: int | Sequence[str],
    seed: int,
    split: str = "train",
    *,
    playing: Sequence[int] | None = None,
    instruments: Sequence[str] = INSTRUMENTS,
    samples: int = 65535,
    sample_rate: int = SAMPLE_RATE,
    size: int | tuple[int, int] = 224,
    times: Sequence[float] = PAPER_TIMES,
    properties: Collection[str] = ("all",),
) -> Scene:
    """Render performers side by side on one stage, all or some of them playing.

    Args:
        performers: how many, drawn from ``instruments`` without repetition, or their names from left to right.
            Zero gives an empty room without a sound.
        seed: a whole number from 0; together with ``split`` it decides everything that is random.
        split: ``train``, ``validation`` or ``test``; they share no melody, no individual instrument, no background.
        playing: positions of those who play, from 0; None: all.
        instruments: names from which performers are drawn.
        samples: length of the sound.
        sample_rate: in Hz.
        size: height and width of the frames in pixels, or one number for both.
        times: of the frames, in seconds.
        properties: of the sounds, names in :data:`sopedu.toyband.performance.PROPERTIES`, or ``all``. Without any
            (``plain``), they follow the plain formulas.

    Returns:
        The scene; the same arguments give the same bytes on every machine.

    Raises:
        SopeduError: ``playing`` is not a list of positions on this stage.
        ValueError: for an unknown instrument or split, or more performers than instruments.
    """
    generator, properties = generator_for("scene", split, seed), check_properties(properties)
    if isinstance(performers, int):
        if not 0 <= performers <= len(instruments):
            raise ValueError(f"{performers} performers cannot be drawn from {len(instruments)} instruments")
        chosen = generator.permutation(len(instruments))[:performers]
        names = tuple(instruments[i] for i in chosen)
    else:
        names = tuple(performers)
    on = _positions(range(len(names)) if playing is None else playing, len(names))
    height, width = (size, size) if isinstance(size, int) else size

    background = Canvas(height, width)
    paint(background, draw_identity(generator, split))
    frames = [background.copy() for _ in times]
    stems = np.zeros((len(names), samples), np.int16)
    boxes = np.zeros((len(names), len(times), 4))
    for index, name in enumerate(names):
        individual = draw_identity(generator, split)  # the same person plays, looks and sounds
        melody = draw_identity(generator, split)
        notes = compose(name, melody, samples / sample_rate, "phrasing" in properties)
        if index in on:
            sound = perform(name, notes, individual, melody, samples, sample_rate, properties, (split, seed))
            stems[index] = np.rint(FULL_SCALE * sound / max(1, len(on)))
        else:
            notes = []
        place = _place(generator, index, len(names), width / height)
        for frame, (canvas, time) in enumerate(zip(frames, times, strict=True)):
            boxes[index, frame] = draw(canvas, name, look(name, individual), place, motion_at(notes, time))
    mixture = stems.sum(axis=0, dtype=np.int16)
    pictures = np.stack([canvas.image() for canvas in frames])
    return Scene(pictures, tuple(times), mixture, stems, boxes, names, on, sample_rate)


def from_int16(samples: np.ndarray) -> torch.Tensor:
    """Convert the toy band's int16 samples to a waveform.

    Args:
        samples: int16, any shape.

    Returns:
        float32 in -1 to 1, same shape.
    """
    import torch

    return torch.from_numpy(samples.astype(np.float32) / FULL_SCALE)


def solo(seed: int, split: str = "train", instrument: str | None = None, **how) -> Scene:
    """Render one performer who plays.

    Args:
        seed: see :func:`scene`.
        split: see :func:`scene`.
        instrument: a name in :data:`sopedu.toyband.BAND`; None draws one of the eleven.
        **how: further arguments of :func:`scene`, e.g. ``size``.

    Returns:
        The scene.
    """
    return scene(1 if instrument is None else [instrument], seed, split, **how)


def duet(seed: int, split: str = "train", pair: Sequence[str] | None = None, **how) -> Scene:
    """Render two performers who both play.

    Args:
        seed: see :func:`scene`.
        split: see :func:`scene`.
        pair: names of their instruments, from left to right; None draws two different ones of the eleven.
        **how: further arguments of :func:`scene`, e.g. ``size``.

    Returns:
        The scene.
    """
    return scene(2 if pair is None else pair, seed, split, **how)


def _positions(playing: Sequence[int], count: int) -> tuple[int, ...]:
    """Return who plays; booleans, which NumPy users pass as a choice, would otherwise be taken for 0 and 1."""
    try:
        on = tuple(whole_number(who, "playing", 0, count - 1) for who in playing)
    except (TypeError, SopeduError):
        on = None
    if on is None or len(set(on)) < len(on):
        raise SopeduError(f"playing={playing!r:.60}: give a list of positions, from 0 to {count - 1}, each once")
    return on


def _place(generator: np.random.Generator, index: int, count: int, aspect: float) -> Placement:
    """Give performer ``index`` of ``count`` a place in their own strip of the stage."""
    strip = 1 / count
    size = generator.uniform(0.62, 0.92) * min(1.0, 1.25 * aspect * strip if count > 1 else 1.0)
    margin = min(strip / 2, 0.42 * size / aspect)
    x = generator.uniform(index * strip + margin, (index + 1) * strip - margin + 1e-9)
    y = generator.uniform(0.5 * size, 1 - 0.5 * size)
    turn = generator.uniform(-0.2, 0.2)
    return Placement(x, y, size, turn, bool(generator.integers(2)))
