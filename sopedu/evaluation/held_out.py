"""The held-out mixtures of an evaluation: opened from data, drawn or listed, and described beside the figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sopedu.config import SpectrogramConfig
from sopedu.data.clips import ClipDataset
from sopedu.data.index_clips import IndexClips
from sopedu.data.recordings import SoundFolderClips
from sopedu.errors import SopeduError, whole_number
from sopedu.evaluation.baselines import held_out_clips
from sopedu.evaluation.pair_lists import PairList, data_protocol, read_pair_list
from sopedu.evaluation.pairs import TestPairs, held_out_pairs
from sopedu.evaluation.statistics import LEVEL, RESAMPLES
from sopedu.model.checkpoints import Checkpoint

#: How many mixtures an evaluation takes if none are listed.
PAIRS = 64


@dataclass(frozen=True)
class HeldOut:
    """Held-out mixtures, and where they come from.

    Attributes:
        clips: that were mixed.
        known: clips of the training set, from which baselines learn.
        pairs: the mixtures.
        seed: that drew them.
        listing: the list that names them; None if they were drawn.
    """

    clips: ClipDataset
    known: ClipDataset
    pairs: TestPairs
    seed: int
    listing: PairList | None

    @property
    def notes(self) -> list[str] | None:
        """What was left out or should be known, one line each; None for the toy band's own sounds: there is nothing."""
        if isinstance(self.clips, IndexClips):
            notes = [] if self.listing is None else list(self.listing.notes)
            if isinstance(self.known, IndexClips) and self.known.index.path == self.clips.index.path:
                notes.append(
                    f"{self.clips.index.path}: the baselines learn from clips that they separate, which favours them; "
                    "a train.csv beside a val.csv or test.csv is learnt from instead"
                )
            return notes
        return self.clips.notes if isinstance(self.clips, SoundFolderClips) else None

    def protocol(self, scored: str, sound: SpectrogramConfig) -> str:
        """Describe which mixtures were scored and how.

        Args:
            scored: how, one clause.
            sound: whose length and sample rate the mixtures have.
        """
        text = f"{mixtures_protocol(self.pairs, sound, listed=self.listing is not None)}; {scored}"
        if isinstance(self.clips, IndexClips):
            how = f"pairs: drawn by seed {self.seed}" if self.listing is None else self.listing.protocol
            text += f"; {data_protocol(self.clips, self.pairs.members, how)}"
        return f"{text}; {self.clips.protocol}" if isinstance(self.clips, SoundFolderClips) else text


def open_held_out(
    checkpoint: Checkpoint,
    data: str = "toyband",
    pairs: int | None = None,
    seed: int = 0,
    instruments: tuple[str, ...] = (),
    sounds: str | Path | None = None,
    sources: int = 2,
    root: str | Path | None = None,
    frame_rate: float | None = None,
    listed: str | Path | None = None,
    progress: bool = True,
) -> HeldOut:
    """Open data and mix held-out clips; the arguments are those of :func:`sopedu.evaluate`.

    Args:
        checkpoint: the model, whose classes and sizes of sounds and frames count.
        data: as there.
        pairs: as there.
        seed: as there.
        instruments: as there.
        sounds: as there.
        sources: as there.
        root: as there.
        frame_rate: as there.
        listed: as there.
        progress: show bars while solos are rendered.

    Raises:
        SopeduError: no such data, or too few solos or classes for such mixtures.
    """
    most, seed = pairs, whole_number(seed, "seed", 0)
    pairs, sources = whole_number(PAIRS if pairs is None else pairs, "pairs", 1), whole_number(sources, "sources", 2)
    instruments = (instruments,) if isinstance(instruments, str) else instruments
    names = tuple(dict.fromkeys(instruments)) or tuple(checkpoint.class_names)
    solos, which = sources * pairs, (seed, sounds, root, frame_rate, progress)
    clips, known = held_out_clips(checkpoint.config, data, names, solos, *which)
    listing = None if listed is None else read_pair_list(listed, indexed(clips), most)
    members = None if listing is None else listing.members
    return HeldOut(clips, known, held_out_pairs(clips, pairs, seed, sources, members=members), seed, listing)


def indexed(clips: ClipDataset) -> IndexClips:
    """Return clips that are those of an index.

    Args:
        clips: of any kind.

    Raises:
        SopeduError: they are not, so no list can name them.
    """
    if not isinstance(clips, IndexClips):
        raise SopeduError("a list of pairs names clips of an index: give --data INDEX.csv")
    return clips


def mixtures_protocol(
    pairs: TestPairs, sound: SpectrogramConfig, same_class: bool = False, listed: bool = False
) -> str:
    """Describe mixtures, and what the intervals of their scores are.

    Args:
        pairs: the mixtures.
        sound: whose length and sample rate they have.
        same_class: each holds one class.
        listed: they were not drawn.
    """
    count = pairs.sources.shape[1]
    classes = len(np.unique(pairs.labels)) if same_class else len(pairs.class_names)
    groups = "pairs" if count == 2 else f"groups of {count}"
    kind = f"of one class, {classes} classes in turn" if same_class else f"all {groups} of {classes} classes in turn"
    kind = f"{len(pairs.class_names)} classes, as listed" if listed else kind
    divided = "halved" if count == 2 else f"divided by {count}"
    return (
        f"{len(pairs.mixture)} held-out mixtures of {count} solos, {kind}, each solo {divided}; "
        f"{sound.counted_samples / sound.sample_rate:.2f} s at {sound.sample_rate} Hz; intervals: {LEVEL} %, "
        f"{RESAMPLES} bootstrap draws of the mixtures"
    )
