"""What the lab sends to the page: pictures, masks and spectrograms as bytes, sounds as 16-bit samples, scores."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from sopedu.lessons.lab_figures import curve_style, relative_losses
from sopedu.lessons.lab_runs import CHOICES, STEPS, FinishedRuns, LabRun, Values, reason_for_silence
from sopedu.lessons.lab_view import LabPair, Separated, pictures_with_maps
from sopedu.lessons.page_bytes import axes_on_page, decibel_bytes, share_bytes

_TOP = 32767  # the int16 value of a sample of 1


def fixed_parts(finished: FinishedRuns, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return what never changes: choices, names of the pairs, axes and colours.

    Args:
        finished: the finished runs.
        pairs: names of the two instruments of each pair.
    """
    sound = finished.config.spectrogram
    return {
        "choices": [
            {"name": name, "label": choice.label, "options": [list(option) for option in choice.options.items()]}
            for name, choice in CHOICES.items()
        ],
        "usual": finished.usual,
        "steps": STEPS,
        "pairs": [" + ".join(_words(name) for name in names) for names in pairs],
        "rate": sound.sample_rate,
        "seconds": sound.counted_samples / sound.sample_rate,
        **axes_on_page(sound),
    }


def pair_on_page(pair: LabPair) -> dict[str, Any]:
    """Return what is known of a held-out pair: names and sounds.

    Args:
        pair: that is heard.
    """
    samples = pair.config.spectrogram.counted_samples
    return {
        "names": [_words(name) for name in pair.names],
        "mixture": _samples(pair.mixture.numpy()[:samples]),
        "sources": [_samples(source[:samples]) for source in pair.sources.numpy()],
    }


def run_on_page(
    run: LabRun | None,
    values: Values,
    seen: Separated | None,
    pair: LabPair,
    alike: Sequence[LabRun],
    offered: dict[str, list[str]],
    live: Sequence[LabRun],
) -> dict[str, Any]:
    """Return what a side shows.

    Args:
        run: that is shown, or None.
        values: choices of the side.
        seen: what the run makes of the pair.
        pair: that is heard.
        alike: runs with the same choices, for the spread over seeds.
        offered: values of each choice for which a finished run exists.
        live: all live runs, which can be chosen too.
    """
    runs = [[f"seed:{one.seed}", f"finished, seed {one.seed}"] for one in alike if not one.live]
    runs += [[f"live:{number}", f"yours: {one.name}"] for number, one in enumerate(live)]
    chosen = "" if run is None else f"live:{list(live).index(run)}" if run.live else f"seed:{run.seed}"
    scores = [[one.sdr_improvement, one is run] for one in alike if math.isfinite(one.sdr_improvement)]
    return {
        "values": values,
        "offered": offered,
        "runs": runs,
        "run": chosen,
        "name": "" if run is None else run.title,
        "kind": "heads" if run is None else run.kind,
        "scores": scores,
        "said": said_of_scores(run, alike),
        "here": [] if seen is None else [_number(value) for value in seen.improvements],
        "target": values["target"],
        "silent": bool(seen and seen.silent),
        "reason": reason_for_silence(values) if seen and seen.silent else "",
        "shown": {} if seen is None else run_seen_on_page(seen, pair, kind=values["target"]),
    }


def said_of_scores(run: LabRun | None, alike: Sequence[LabRun]) -> str:
    """Write the SDR improvement of a run, and its spread over the runs with other seeds, as one line.

    Args:
        run: that is shown, or None.
        alike: all runs with the same choices.
    """
    known = [one.sdr_improvement for one in alike if math.isfinite(one.sdr_improvement)]
    if run is None or not known:
        return ""
    text = f"SDR improvement {_number(run.sdr_improvement)} dB"
    if len(known) == 1:
        return text + "; one run only"
    spread = f"{_number(min(known))} to {_number(max(known))} dB"
    return f"{text}; {len(known)} runs: mean {_number(float(np.mean(known)))}, {spread}"


def run_seen_on_page(seen: Separated, pair: LabPair, sounds: bool = True, kind: str = "ratio") -> dict[str, Any]:
    """Return maps, masks, spectrograms and sounds of both sources.

    Args:
        seen: what a run makes of the pair.
        pair: that is heard.
        sounds: include spectrograms and sounds.
        kind: of the true masks.
    """
    drawn = {
        "maps": [_encoded(picture) for picture in pictures_with_maps(pair, seen)],
        "masks": [share_bytes(mask) for mask in seen.masks],
        "true_masks": [share_bytes(mask) for mask in pair.true_masks(kind)],
        "levels": [_number(level) for level in seen.levels],
    }
    if sounds:
        loudest = float(pair.magnitude.max())
        drawn["spectrograms"] = [decibel_bytes(magnitude, loudest) for magnitude in seen.magnitudes]
        drawn["sounds"] = [_samples(estimate) for estimate in seen.estimates]
    return drawn


def curves_on_page(named: Sequence[tuple[str, LabRun, int]]) -> list[dict[str, Any]]:
    """Return learning curves with their styles.

    Args:
        named: names, runs and numbers of styles.
    """
    curves = []
    for name, run, number in named:
        colour, dashes = curve_style(number)
        steps, losses = relative_losses(run)
        improvements = [[entry["step"], entry["improvement"]] for entry in run.history if "improvement" in entry]
        style = {"colour": colour, "dashes": list(dashes)}
        losses = [list(point) for point in zip(steps, losses, strict=True)]
        curves.append({"name": name, **style, "losses": losses, "improvements": improvements})
    return curves


def _words(name: str) -> str:
    return name.replace("_", " ")


def _number(value: float) -> str:
    return f"{value:z.1f}".replace("-", "−")


def _samples(waveform: np.ndarray) -> bytes:
    return np.rint(waveform.clip(-1, 1) * _TOP).astype("<i2").tobytes()


def _encoded(picture: np.ndarray) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(picture).save(encoded, "WEBP", quality=85, method=2)
    return encoded.getvalue()
