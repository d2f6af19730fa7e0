"""What the final project judges a separation with (notebook 20_project)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from sopedu.audio.spectrogram import istft, stft
from sopedu.config import SpectrogramConfig
from sopedu.errors import SopeduError
from sopedu.evaluation.baselines import static_masks
from sopedu.evaluation.dictionaries import Dictionaries, learn_spectra
from sopedu.toyband.scenes import solo

_SOLOS, _ATOMS, _UPDATES = 24, 32, 60  # solos and spectra of a class; updates of its dictionary


def baselines(
    mixture: torch.Tensor, instruments: Sequence[str], sound: SpectrogramConfig, properties: Sequence[str] = ("all",)
) -> dict[str, torch.Tensor]:
    """Separate a mixture of the toy band with two methods that are told which instruments play, and see no picture.

    Both learn from solos of the training split: the mean spectrum of each instrument (static mask), and a dictionary of
    its spectra (supervised NMF).

    Args:
        mixture: waveform ``(L,)`` float32 at the sample rate of ``sound``.
        instruments: the N that play, all different.
        sound: settings of the spectrograms, those of the model.
        properties: of the solos' sounds, see :func:`sopedu.solo`.

    Returns:
        ``static_mask`` and ``nmf_by_class``, each ``(N, length)`` float32; the length is at most L.

    Raises:
        SopeduError: the same instrument twice, or an unknown one.

    Notebook: 20_project.
    """
    if len(set(instruments)) < len(instruments):
        raise SopeduError(f"{', '.join(instruments)}: a class cannot tell two of a kind apart; choose different ones")
    known = torch.stack([_solos(instrument, sound, tuple(properties)) for instrument in instruments])
    magnitudes = stft(known, sound).abs()  # (N, solos, F, T)
    labels = np.arange(len(instruments))[None]
    spectrogram = stft(mixture, sound)
    static = static_masks(magnitudes.square().mean((1, 3)).double().numpy(), labels)[0]
    estimates = istft(static * spectrogram, sound)
    spectra = [learn_spectra(one.transpose(0, 1).flatten(1), _ATOMS, _UPDATES) for one in magnitudes]
    dictionaries = Dictionaries(torch.stack(spectra), sound)
    by_class = dictionaries.separate(mixture[None], labels, estimates.shape[-1])[0]
    return {"static_mask": estimates, "nmf_by_class": by_class}


def _solos(instrument: str, sound: SpectrogramConfig, properties: tuple[str, ...]) -> torch.Tensor:
    """Waveforms ``(solos, L)``, with pictures as small as possible, because nobody looks at them."""
    drawn = {"samples": sound.samples, "size": 16, "times": (0.0,), "properties": properties}
    return torch.stack([solo(seed, "train", instrument, **drawn).waveform() for seed in range(_SOLOS)])
