"""A page for blind listening: several versions of a sound, in random order, are rated by ear from 0 to 100.

The hidden reference is among them, and so is the mixture as it is: the anchor, which a separation should beat. The
page draws the order for every trial and every rater. Which sound is which stands in the key, a file of its own, so a
rater who is given the page cannot find out. :mod:`sopedu.evaluation.ratings` joins answers and key.

Source: after ITU-R BS.1534-3 (MUSHRA); its low-pass anchors are replaced by the mixture.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sopedu.audio.loudness import BROADCAST_LEVEL, level_of
from sopedu.config import SpectrogramConfig
from sopedu.errors import SopeduError
from sopedu.evaluation.pairs import TestPairs
from sopedu.files import require_place, write_json
from sopedu.pages import picture_source, write_page

#: What a version is, by its name in the key.
CONDITIONS = {
    "reference": "hidden reference",
    "mixture": "mixture (anchor)",
    "static_mask": "static mask",
    "nmf_by_class_best": "NMF at its best, classes told",
    "by_pitch": "low notes left, high ones right",
    "model": "model",
    "model_normalised": "model, masks normalised",
    "ideal_ratio_mask": "ideal ratio mask",
}
REFERENCE, ANCHOR = "reference", "mixture"
WORDS = ("Bad", "Poor", "Fair", "Good", "Excellent")
#: How many trials a page has.
TRIALS = 12
_OF_PAIRS = ("mixture", "static_mask", "nmf_by_class_best", "model", "ideal_ratio_mask")
_MOST_VERSIONS = 9  # a key of the keyboard for each
_LOUDEST_RAISE = 30.0  # dB; what is softer is left softer
_PEAK = 0.98
_FADE_SECONDS = 0.01  # at both ends, because sounds repeat


@dataclass(frozen=True)
class Trial:
    """One sound in several versions.

    Attributes:
        about: what it is, for the key; raters do not see it.
        asked: what a rater should listen for.
        picture: of the player ``(H, W, 3)`` uint8.
        versions: waveforms ``(L,)`` by condition.
    """

    about: str
    asked: str
    picture: np.ndarray
    versions: Mapping[str, np.ndarray]


def trials_of_pairs(pairs: TestPairs, rows: Mapping[str, torch.Tensor], trials: int = TRIALS) -> list[Trial]:
    """Choose sounds of held-out mixtures: one source of each mixture, the first and the others in turn.

    Args:
        pairs: mixtures with their true sources.
        rows: estimates ``(P, N, L)`` by row, as an evaluation returns them.
        trials: how many at most.

    Returns:
        the trials; a source that does not sound is left out.
    """
    found, count = [], pairs.sources.shape[1]
    for number in range(len(pairs.mixture)):
        source = number % count
        if len(found) == trials or not pairs.sources[number, source].any():
            continue
        length = rows["model"].shape[-1]
        versions = {REFERENCE: pairs.sources[number, source, :length]}
        versions |= {name: rows[name][number, source] for name in _OF_PAIRS if name in rows}
        names = [pairs.class_names[label] for label in pairs.labels[number]]
        asked, frames = names.pop(source), pairs.frames[number, source]
        found.append(
            Trial(
                f"{asked}, mixed with {' and '.join(names)}",
                asked.replace("_", " "),
                frames[len(frames) // 2].permute(1, 2, 0).numpy(),
                {name: version.numpy() for name, version in versions.items()},
            )
        )
    return found


def write_sheet(
    path: str | Path, trials: Sequence[Trial], sound: SpectrogramConfig, model: str = "", seed: int = 0
) -> Path:
    """Write a page for blind listening, with all sounds in it, and its key ``NAME.key.json`` beside it.

    All versions get one level (−23 dB of full scale), so that nobody prefers the louder one.

    Args:
        path: of the page, ``NAME.html``; its folder is made.
        trials: with the same conditions in each.
        sound: whose sample rate the sounds have.
        model: description of the model, for the key.
        seed: of the names that hide the conditions.

    Returns:
        the path of the key.

    Raises:
        SopeduError: no trial, too many conditions, or a file cannot be written.
    """
    key_path = key_of(path)
    conditions = [name for name in CONDITIONS if trials and name in trials[0].versions]
    if not trials or not 2 <= len(conditions) <= _MOST_VERSIONS:
        raise SopeduError(
            f"{path}: {len(trials)} trials of {len(conditions)} versions; a page needs one and two, at most 9 versions"
        )
    names = iter(_hidden_names(len(trials) * (1 + len(conditions)), seed))
    shown, key = [], {}
    for trial in trials:
        stored = {name: _encoded(version, sound) for name, version in _levelled(trial.versions, sound).items()}
        hidden = {next(names): name for name in conditions}
        shown.append({
            "id": next(names), "asked": trial.asked, "picture": picture_source(trial.picture),
            "sounds": {name: stored[hidden[name]] for name in sorted(hidden)}, "reference": stored.get(REFERENCE),
        })  # fmt: skip
        key[shown[-1]["id"]] = {"about": trial.about, "sounds": hidden}
    sheet = "sheet-" + hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:8]
    named = {name: CONDITIONS[name] for name in conditions}
    write_json(key_path, {"sheet": sheet, "page": Path(path).name, "model": model, "conditions": named, "trials": key})
    write_page(
        path, "sheet.html", title="Blind listening", data={"sheet": sheet, "trials": shown}, trials=len(trials),
        sounds=len(conditions), reference=REFERENCE in conditions, words=WORDS,
    )  # fmt: skip
    return key_path


def key_of(path: str | Path) -> Path:
    """Return the path of the key of a page.

    Args:
        path: of the page.

    Raises:
        SopeduError: it does not end in .html, or nothing can be written there.
    """
    path = Path(path)
    if path.suffix.lower() != ".html":
        raise SopeduError(f"{path}: a page for listening is called NAME.html")
    return require_place(path.with_suffix(".key.json"))


def _hidden_names(count: int, seed: int) -> list[str]:
    """Names that say nothing; they begin with a letter, so that no spreadsheet takes them for numbers."""
    generator = np.random.default_rng([seed, 59])
    return [f"x{number:05x}" for number in generator.choice(16**5, count, replace=False)]


def _levelled(versions: Mapping[str, np.ndarray], sound: SpectrogramConfig) -> dict[str, np.ndarray]:
    """Bring all versions to one level; if one of them clips then, all become softer."""
    found = {}
    for name, version in versions.items():
        raised = min(BROADCAST_LEVEL - float(level_of(torch.from_numpy(version), sound)), _LOUDEST_RAISE)
        found[name] = version * 10 ** (raised / 20)
    loudest = max(float(np.abs(version).max()) for version in found.values())
    return {name: version * min(1.0, _PEAK / max(loudest, 1e-9)) for name, version in found.items()}


def _encoded(waveform: np.ndarray, sound: SpectrogramConfig) -> str:
    """A waveform as FLAC, without loss, in base64."""
    import soundfile

    fade = np.minimum(1.0, (np.arange(len(waveform)) + 0.5) / (_FADE_SECONDS * sound.sample_rate))
    written = io.BytesIO()
    soundfile.write(written, waveform * fade * fade[::-1], sound.sample_rate, format="FLAC", subtype="PCM_16")
    return base64.b64encode(written.getvalue()).decode("ascii")
