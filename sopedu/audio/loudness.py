"""The level of a recording, and the gain that makes a model's result independent of it.

A network is trained on sounds of one level, and its masks get worse the more a sound differs from it. So the input of
the network is scaled to that level. The masks are applied to the recording itself: only the network's input is scaled.

Levels are in decibels of full scale: 0 dB is the mean power of a signal that is always 1 or −1.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from sopedu.audio.soundfiles import FULL_SCALE
from sopedu.config import SpectrogramConfig
from sopedu.errors import SopeduError

#: The training level assumed for models that do not state it, such as those trained by the original code on MUSIC's
#: videos: the level of broadcasts (EBU R 128). The toy band's mixtures have −23.1 dB.
BROADCAST_LEVEL = -23.0
#: A recording below this level is faint: its noise may be louder than its music.
FAINT = -60.0
# Below one step of 16-bit samples there is only rounding noise, so it is not amplified.
_LEAST = 20 * np.log10(1 / FULL_SCALE)
# A piece further below the level of its recording than this is noise in a pause, and is not scaled up to the training
# level. Measured with white noise 60 dB below the toy band's music, in 24 scenes whose players rest: the loudest cell
# of `toyband` (`toyband-tiny`) passes 0.26 (0.52) without scaling, 0.18 (0.37) if this is 20, 0.09 (0.24) at 40 and 60.
_PAUSE = 40.0
_BLOCK_SECONDS = 0.1


def _block_powers(waveform: torch.Tensor, sound: SpectrogramConfig) -> torch.Tensor:
    """Return the mean power of blocks of 0.1 s: ``(…, L)`` → ``(…, n)`` float64."""
    size = block_size(sound)
    padded = torch.nn.functional.pad(waveform, (0, -waveform.shape[-1] % size))
    return padded.unfold(-1, size, size).double().square().mean(-1)


def block_size(sound: SpectrogramConfig) -> int:
    """Return the number of samples per block of 0.1 s.

    Args:
        sound: whose sample rate counts.
    """
    return round(_BLOCK_SECONDS * sound.sample_rate)


def _gated_level(powers: torch.Tensor) -> torch.Tensor:
    """Return the level in dB full scale of blocks ``(…, n)`` → ``(…)``: the mean of those that are not silent.

    Blocks more than 10 dB below the mean of all do not count, so a rest or added zeros do not lower the level.

    Source: the relative gate of ITU-R BS.1770-5, annex 1.
    """
    loud = powers >= 0.1 * powers.mean(-1, keepdim=True)
    return 10 * torch.log10((powers * loud).sum(-1) / loud.sum(-1))


def level_of(waveform: torch.Tensor, sound: SpectrogramConfig) -> torch.Tensor:
    """Return the level of waveforms, without their pauses.

    Args:
        waveform: ``(…, L)`` float.
        sound: whose sample rate counts.

    Returns:
        ``(…)`` float64, in dB full scale; −inf is silence.

    Source: the relative gate of ITU-R BS.1770-5, annex 1.
    """
    return _gated_level(_block_powers(waveform, sound))


def level_of_blocks(blocks: Iterable[np.ndarray], sound: SpectrogramConfig) -> float:
    """Return the level of a long recording that comes in pieces.

    Args:
        blocks: ``(n,)`` float32 arrays; all but the last hold a whole number of blocks of :func:`block_size` samples.
        sound: whose sample rate counts.

    Returns:
        The level in dB full scale, without pauses; −inf is silence.
    """
    return float(_gated_level(torch.cat([_block_powers(torch.from_numpy(piece), sound) for piece in blocks])))


def hearing_gain(
    waveform: torch.Tensor, sound: SpectrogramConfig, trained_at: float | None, recording: float | None = None
) -> torch.Tensor:
    """Return the factor that scales magnitudes to the level at which a network was trained.

    A waveform more than 40 dB below its recording is a pause, and is scaled as if it lay 40 dB below.

    Args:
        waveform: ``(…, L)`` float.
        sound: whose sample rate counts.
        trained_at: level of the training sounds in dB full scale; None: sounds are not scaled.
        recording: level in dB full scale of the recording that the waveforms are cut from; None: each is a whole one.

    Returns:
        ``(…)``, of the type and on the device of `waveform`.
    """
    if trained_at is None:
        return waveform.new_ones(waveform.shape[:-1])
    least = max(_LEAST, -np.inf if recording is None else recording - _PAUSE)
    return (10 ** ((trained_at - level_of(waveform, sound).clamp_min(least)) / 20)).to(waveform)


def checked_level(level: object) -> float:
    """Check the level that a checkpoint states, and return it.

    Args:
        level: as it was read from a file.

    Raises:
        SopeduError: it is not a number from −100 to 0.
    """
    if not isinstance(level, int | float) or not -100 <= level <= 0:
        raise SopeduError(f"level_db is {level!r:.40}: it must be a number from -100 to 0 (dB of full scale)")
    return float(level)
