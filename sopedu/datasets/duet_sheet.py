"""Films of two players for blind listening: a part of each, in several versions, without a reference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from sopedu.datasets.duet_evaluation import REGIONS, boxes_at, detector_of, find_players
from sopedu.datasets.duet_films import Duet, open_duets
from sopedu.errors import SopeduError
from sopedu.evaluation.duets import low_notes
from sopedu.evaluation.sheet import ANCHOR, TRIALS, Trial
from sopedu.localization.long_clips import crossfade, walk_windows, window_centres, window_starts
from sopedu.localization.pixel_sounds import PixelSounds
from sopedu.localization.places import Box, centre
from sopedu.model.checkpoints import Checkpoint, as_checkpoint
from sopedu.objects.box_file import BoxFile
from sopedu.objects.detection import Detector

_SECONDS = 6.0  # of each film, around its middle
_SHOWN_SIZE = 270  # shorter side of the picture, in pixels
_SEPARATED = ("model", "model_normalised", "by_pitch")


def trials_of_duets(
    checkpoint: Checkpoint | str | Path,
    place: str | Path,
    regions: str = REGIONS[0],
    trials: int = TRIALS,
    root: str | Path | None = None,
    frame_rate: float | None = None,
) -> list[Trial]:
    """Separate parts of films for a page of blind listening: of each film one player, the left and the right in turn.

    Versions are the mixture, the model, the model with normalised masks, and low or high notes alone.

    Args:
        checkpoint: the model; or its folder or name.
        place: see :func:`sopedu.datasets.evaluate_duets`.
        regions: see there.
        trials: how many at most.
        root: see there.
        frame_rate: see there.

    Returns:
        the trials; films that cannot be used are left out.

    Raises:
        SopeduError: no such films or regions, or no film can be used.
    """
    checkpoint, detector = as_checkpoint(checkpoint), detector_of(regions)
    duets, found, why = open_duets(place, checkpoint.config, root, frame_rate), [], ""
    for number, duet in enumerate(duets):
        if len(found) == trials:
            break
        try:
            found.append(_trial(duet, checkpoint, regions, detector, number % 2))
        except SopeduError as error:
            why = why or str(error)
    if not found:
        raise SopeduError(f"{place}: none of {len(duets)} films can be used; the first: {why}")
    return found


def _trial(duet: Duet, checkpoint: Checkpoint, regions: str, detector: Detector | BoxFile | None, asked: int) -> Trial:
    """A part of one film; `asked` is 0 for the left player, 1 for the right one."""
    sound = checkpoint.config.spectrogram
    with TemporaryDirectory() as folder:
        mixture = duet.read_sound(sound.sample_rate, Path(folder) / "mixture")
        players = find_players(duet, checkpoint, mixture, regions, detector)
        count = min(mixture.length, round(_SECONDS * sound.sample_rate))
        begin = (mixture.length - count) // 2
        middle = (begin + count / 2) / sound.sample_rate
        boxes = boxes_at(players, middle)
        if boxes is None:
            raise SopeduError(f"{duet.name}: one of its players is not there in the middle of the film")
        starts = window_starts(count, sound)
        times = [min(begin / sound.sample_rate + time, duet.seconds) for time in window_centres(starts, sound)]
        windows = walk_windows(
            checkpoint, starts, lambda start, length: mixture.read(begin + start, min(length, count - start)),
            duet.frames(checkpoint.config.frames, times), mixture.level(sound),
        )  # fmt: skip
        pieces = (
            (window.start, _versions(window.pixels, boxes_at(players, time), asked))
            for window, time in zip(windows, times, strict=True)
        )
        versions = dict(zip(_SEPARATED, np.concatenate(list(crossfade(pieces, count)), -1), strict=True))
        versions[ANCHOR] = mixture.read(begin, count)
    picture = _marked(duet, checkpoint, middle, boxes[asked])
    return Trial(f"{duet.name}, the {('left', 'right')[asked]} player", "the player in the frame", picture, versions)


def _versions(pixels: PixelSounds, boxes: tuple[Box, Box] | None, asked: int) -> np.ndarray:
    """Sounds ``(3, L)`` of a window; silence while one of the players is not there."""
    if boxes is None:
        return np.zeros((len(_SEPARATED), pixels.sound.counted_samples), np.float32)
    low = low_notes(pixels)
    by_pitch = low if centre(boxes[asked])[0] < 0.5 else pixels.mixture() - low
    normalised = pixels.separate_all(boxes, normalise=True)[asked]
    return torch.stack([pixels.separate(boxes[asked]), normalised, by_pitch]).numpy()


def _marked(duet: Duet, checkpoint: Checkpoint, time: float, box: Box) -> np.ndarray:
    """The picture at a time, with a frame around one player."""
    from PIL import Image, ImageDraw

    frames = next(duet.frames(replace(checkpoint.config.frames, size=_SHOWN_SIZE), [time]))
    image = Image.fromarray(frames[len(frames) // 2].permute(1, 2, 0).numpy())
    left, top, right, bottom = (edge * (image.width, image.height)[place % 2] for place, edge in enumerate(box))
    draw = ImageDraw.Draw(image)
    for inside, width, colour in ((0, 6, "black"), (2, 2, "yellow")):  # seen on any ground
        low = (left + inside, top + inside)
        draw.rectangle((low, (max(low[0], right - 1 - inside), max(low[1], bottom - 1 - inside))), None, colour, width)
    return np.asarray(image)
