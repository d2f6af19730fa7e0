"""How much of a sound is more than steady noise, so that hiss is not taken for music, at any level.

Faint noise cannot be told from faint music by its level. But the cells of the power spectrogram of steady noise,
whatever its colour, are exponentially distributed about a floor that changes slowly with frequency: it is known how
many lie how far above it. Music fills few cells and leaves most of them almost empty.
"""

from __future__ import annotations

import math

import numpy as np
import torch

_QUARTER = 0.25  # this share of the cells shows the floor; music may fill three quarters
_ABOVE = 5.0  # times the noise's mean power: cells above hold (1 + 5) · exp(−5) = 4 % of the energy of steady noise
_OFFSET = 3  # bins that a constant offset and its drift reach; nothing in them is heard
_SILENT = 1e-6  # a frame this far below the loudest is silent and does not count
_NARROWEST, _WIDTH = 8, 1 / 6  # bins on either side of a bin in which the floor is sought; the second times the bin
# Shares measured at the model's STFT: white, blue (power ∝ frequency), pink (∝ 1 / frequency) noise 0.03 to 0.08; the
# toy band's solos 0.95 to 1; real recordings 0.9 to 1, distorted guitars 0.7 to 0.8; solos as loud as pink noise 0.6.
# White noise that ends within a clip has 0.12.
_NOISE, _MUSIC = 0.15, 0.5


def share_above_noise(spectrogram: torch.Tensor) -> float:
    """Return the share of a sound's energy that stands out of steady noise.

    Args:
        spectrogram: ``(F, T)`` complex, or its magnitude, at linear frequencies.

    Returns:
        0 to 1, the same for every level: at most about 0.1 for steady noise, nearly 1 for music, 0 for silence.

    Source: the floor as a low quantile of the power, as in minimum statistics (Martin 2001, DOI 10.1109/89.928915),
        over neighbouring bins in place of time, so that held notes are no noise.
    """
    power = spectrogram.abs().double().square().cpu().numpy()
    power[:_OFFSET] = 0
    frames = power.sum(0)
    power = power[:, frames > _SILENT * frames.max()]  # noise that begins or ends, as where zeros were added, is noise
    if not power.size:
        return 0.0
    bins = np.arange(len(power))
    tilted = power * bins[:, None] ** 2.0  # so that the floor of low, loud noise is not underestimated
    centres = [_OFFSET]
    while centres[-1] < bins[-1]:
        centres.append(min(centres[-1] + _reach(centres[-1]), bins[-1]))
    quantiles = [np.quantile(tilted[max(_OFFSET, c - _reach(c)) : c + _reach(c) + 1], _QUARTER) for c in centres]
    floor = np.interp(bins, centres, quantiles) / -math.log(1 - _QUARTER)  # from the quantile to the mean
    return float(power[tilted > _ABOVE * floor[:, None]].sum() / power.sum())


def _reach(centre: int) -> int:
    return max(_NARROWEST, int(centre * _WIDTH))


def certainty_of_music(spectrogram: torch.Tensor) -> float:
    """Return the factor that darkens the sound map of noise: 0 for steady noise, 1 where half the energy is more.

    Args:
        spectrogram: ``(F, T)``, see :func:`share_above_noise`.
    """
    return min(1.0, max(0.0, (share_above_noise(spectrogram) - _NOISE) / (_MUSIC - _NOISE)))
