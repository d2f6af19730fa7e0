"""Open a data set by its name or path."""

from __future__ import annotations

from pathlib import Path

from sopedu.config import Config
from sopedu.data.clips import ClipDataset, ToyBandClips
from sopedu.data.index_clips import IndexClips
from sopedu.data.recordings import play_recordings, sounds_by_class
from sopedu.machine import usable_cores
from sopedu.toyband.instruments import INSTRUMENTS


def is_held_out(index: Path) -> bool:
    """Return whether an index is not trained on: ``val.csv``, ``test.csv`` and copies such as ``val.clean.csv``.

    Args:
        index: its path.
    """
    return _split_of(index) in ("val", "test")


def index_beside(index: Path, split: str) -> Path:
    """Return the index of another split of a data set.

    Args:
        index: of one split, such as ``train.clean.csv``.
        split: ``train``, ``val`` or ``test``.

    Returns:
        the index beside it that is called alike (``val.clean.csv``), or else plainly (``val.csv``), or else `index`.
    """
    alike = split + index.name.removeprefix(_split_of(index))
    beside = (index.with_name(name) for name in (alike, f"{split}.csv"))
    return next((path for path in beside if path.exists()), index)


def _split_of(index: Path) -> str:
    return index.name.split(".")[0]


def is_toyband(data: str) -> bool:
    """Return whether a data set is rendered: ``toyband``, or ``toyband+FOLDER`` with recorded sounds.

    Args:
        data: name or path.
    """
    return data == "toyband" or data.startswith("toyband+")


def open_clips(
    data: str,
    config: Config,
    split: str = "train",
    solos: int | None = None,
    class_names: tuple[str, ...] | None = None,
    root: str | Path | None = None,
    frame_rate: float | None = None,
) -> ClipDataset:
    """Open a data set by name or path.

    Args:
        data: ``toyband``, or the path of an index CSV (see :class:`sopedu.data.index_clips.IndexClips`), whose clips
            may be in tar files (:mod:`sopedu.data.shards`).
            ``toyband+FOLDER``: in training, half of the toy band's solos sound like recordings in the folder
            (see :func:`sopedu.data.recordings.play_recordings`).
        config: of spectrograms and frames.
        split: other than ``train``, the index of the validation split beside it is preferred, unless it is held out
            itself: ``val.csv`` beside ``train.csv``, ``val.clean.csv`` beside ``train.clean.csv``.
        solos: number of solos of the toy band; None: as configured.
        class_names: order of the labels, so that two indexes of one data set agree; None: as found.
        root: the folder in which the paths of the index begin; None: it is found.
        frame_rate: frames per second of the prepared data; None: found from some clips.
    """
    if is_toyband(data):
        recorded = split == "train" and data != "toyband"
        if recorded:  # a wrong folder is told before minutes of rendering
            sounds_by_class(data.removeprefix("toyband+"), config.toyband.instruments or INSTRUMENTS)
        clips = ToyBandClips(config, split, solos, workers=usable_cores())
        if recorded:
            play_recordings(clips, data.removeprefix("toyband+"))
        return clips
    path = Path(data)
    if split != "train" and not is_held_out(path):
        path = index_beside(path, "val")
    return IndexClips(path, config, class_names, root, frame_rate)
