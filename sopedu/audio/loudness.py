"""How loud a recording is, and how loud a model hears it: the result must not hang on the recording's level.

A network has seen sounds of one level in training, and answers worse the further a sound lies from it. So what it
hears is brought to that level. Masks are applied to the recording as it is: only what the network hears changes.

Levels are in decibels of full scale: 0 dB is the mean power of a signal that is 1 or −1 throughout.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from sopedu.audio.soundfiles import FULL_SCALE
from sopedu.config import SpectrogramConfig
from sopedu.errors import SopeduError

#: Taken for the training level of models that do not state it, such as those trained by the original code on MUSIC's
#: videos: the level of broadcasts (EBU R 128). The toy band's mixtures have −23.1 dB.
BROADCAST_LEVEL = -23.0
#: A recording below this is faint: what its makers did not mean to be heard may be louder than what they did.
FAINT = -60.0
# Below the step of 16-bit samples there is nothing but rounding, which no gain turns into sound.
_LEAST = 20 * np.log10(1 / FULL_SCALE)
# Of a recording only what lies no more than so much below it is brought up to the training level: the rest is noise in
# a pause. Of white noise 60 dB below the toy band's music, in 24 scenes whose players rest, the loudest cell of
# `toyband` (`toyband-tiny`) lets through 0.26 (0.52) as it is, 0.18 (0.37) if this is 20, 0.09 (0.24) at 40 and 60.
_PAUSE = 40.0
_BLOCK_SECONDS = 0.1


def block_powers(waveform: torch.Tensor, sound: SpectrogramConfig) -> torch.Tensor:
    """Mean power of blocks of 0.1 s: ``(…, L)`` → ``(…, n)`` float64."""
    size = block_size(sound)
    padded = torch.nn.functional.pad(waveform, (0, -waveform.shape[-1] % size))
    return padded.unfold(-1, size, size).double().square().mean(-1)


def block_size(sound: SpectrogramConfig) -> int:
    """Samples of a block."""
    return round(_BLOCK_SECONDS * sound.sample_rate)


def gated_level(powers: torch.Tensor) -> torch.Tensor:
    """Level in dB full scale of blocks ``(…, n)`` → ``(…)``: the mean of those that are not silence.

    Blocks more than 10 dB below the mean of all do not count, so a rest or added zeros make nothing quieter.
    Source: the relative gate of ITU-R BS.1770-5, annex 1.
    """
    loud = powers >= 0.1 * powers.mean(-1, keepdim=True)
    return 10 * torch.log10((powers * loud).sum(-1) / loud.sum(-1))


def level_of(waveform: torch.Tensor, sound: SpectrogramConfig) -> torch.Tensor:
    """Level in dB full scale of waveforms ``(…, L)`` → ``(…)`` float64; −inf is silence."""
    return gated_level(block_powers(waveform, sound))


def level_of_blocks(blocks: Iterable[np.ndarray], sound: SpectrogramConfig) -> float:
    """Level of a long recording that comes in pieces ``(n,)``, each but the last of whole blocks."""
    return float(gated_level(torch.cat([block_powers(torch.from_numpy(piece), sound) for piece in blocks])))


def hearing_gain(
    waveform: torch.Tensor, sound: SpectrogramConfig, trained_at: float | None, recording: float | None = None
) -> torch.Tensor:
    """What the magnitudes of waveforms are multiplied with before a network hears them.

    Each waveform is brought to the level the model was trained at. A piece of a recording that lies more than 40 dB
    below the whole of it is a pause, and is brought up as if it lay 40 dB below.

    Args:
        waveform: ``(…, L)``.
        trained_at: in dB full scale; None for a model that hears everything as it is.
        recording: level in dB full scale of the recording that a waveform is cut from; by default its own.

    Returns:
        ``(…)`` float32.
    """
    if trained_at is None:
        return waveform.new_ones(waveform.shape[:-1])
    least = max(_LEAST, -np.inf if recording is None else recording - _PAUSE)
    return (10 ** ((trained_at - level_of(waveform, sound).clamp_min(least)) / 20)).to(waveform)


def checked_level(level: object) -> float:
    """A level that a checkpoint states.

    Raises:
        SopeduError: it is not a number from −100 to 0.
    """
    if not isinstance(level, int | float) or not -100 <= level <= 0:
        raise SopeduError(f"level_db is {level!r:.40}: it must be a number from -100 to 0 (dB of full scale)")
    return float(level)
