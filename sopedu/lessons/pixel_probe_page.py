"""What PixelProbe sends to the browser: pictures, maps, spectrograms and masks as bytes, sounds as WAV."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image

from sopedu.audio.soundfiles import encode_wav
from sopedu.audio.spectrogram import stft, warp
from sopedu.lessons.moving_maps import FLOOR_DB, MovingMaps
from sopedu.lessons.page_bytes import axes_on_page, decibel_bytes, share_bytes
from sopedu.lessons.place_answers import PlaceAnswer
from sopedu.localization.long_clips import LongClip
from sopedu.localization.places import Box

#: Pixels of the longer side of a picture in the browser.
SHOWN_PIXELS = 480


def scene_on_page(
    clip: LongClip, maps: np.ndarray, moving: MovingMaps, boxes: Mapping[str, Box], loudest: float
) -> dict[str, Any]:
    """Return what the browser draws and plays before a place is chosen.

    Args:
        clip: sound and pictures.
        maps: sound map of every picture over the clip around it, ``(n, h, w)``.
        moving: maps that follow the sound.
        boxes: of the named sources.
        loudest: largest magnitude of the mixture.
    """
    return {
        "pictures": [_jpeg(picture) for picture in clip.pictures],
        "times": clip.times.tolist(),
        "seconds": clip.seconds,
        "grid": list(clip.grid),
        "maps": share_bytes(np.sqrt(maps)),  # roots: shares of some thousandths are told apart, too
        **{name: share_bytes(values) for name, values in moving.on_page().items()},
        "quietest": FLOOR_DB,
        "boxes": [{"name": name, "box": list(box)} for name, box in boxes.items()],
        "mixture": encode_wav(clip.waveform, clip.sound.sample_rate),
        "spectrogram": decibel_bytes(warped_magnitude(clip, clip.waveform), loudest),
        **axes_on_page(clip.sound),
    }


def answer_on_page(clip: LongClip, answer: PlaceAnswer, loudest: float, request: int) -> dict[str, Any]:
    """Return what the browser draws and plays of a result.

    Args:
        clip: the recording.
        answer: the result for a place.
        loudest: largest magnitude of the mixture.
        request: number of the browser's question; 0 if Python asked.
    """
    painted = isinstance(answer.place, np.ndarray) and answer.place.ndim == 2
    return {
        "name": answer.name,
        "text": answer.text,
        "place": [] if painted else [float(value) for value in answer.place],
        "cells": np.flatnonzero(answer.place).tolist() if painted else [],
        "sound": encode_wav(answer.waveform, clip.sound.sample_rate),
        "spectrogram": decibel_bytes(warped_magnitude(clip, answer.waveform), loudest),
        "mask": share_bytes(answer.mask),
        "request": request,
    }


def warped_magnitude(clip: LongClip, waveform: np.ndarray) -> np.ndarray:
    """Compute the magnitude on log-frequency rows, ``(Q, T)``.

    Args:
        clip: has the spectrogram's settings.
        waveform: mono ``(L,)``.
    """
    return warp(stft(torch.from_numpy(waveform), clip.sound).abs(), clip.sound).numpy()


def _jpeg(picture: np.ndarray) -> bytes:
    """A picture ``(H, W, 3)``, no larger than the page shows it."""
    image, encoded = Image.fromarray(picture), io.BytesIO()
    image.thumbnail((SHOWN_PIXELS, SHOWN_PIXELS))
    image.save(encoded, "JPEG", quality=85)
    return encoded.getvalue()
