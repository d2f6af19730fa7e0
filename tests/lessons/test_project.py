"""The baselines of the final project know the instruments: they beat the mixture, and must be told which is which."""

from __future__ import annotations

import pytest

import sopedu
from sopedu.errors import SopeduError
from sopedu.lessons import baselines

PLAIN = {"size": 16, "times": (0.0,), "properties": ()}


def test_dictionaries_beat_a_static_mask_beats_the_mixture_on_plain_sounds():
    sound, names = sopedu.preset("tiny").spectrogram, ("flute", "tuba")
    duet = sopedu.duet(3, "validation", names, samples=sound.samples, **PLAIN)
    found = baselines(duet.waveform(), names, sound, properties=())
    truth = duet.stem_waveforms()[:, : found["static_mask"].shape[1]]
    mixture = truth.sum(0).expand_as(truth)
    scores = [sopedu.si_sdr(truth, estimates).mean() for estimates in (mixture, *found.values())]
    assert scores[0] + 1 < scores[1] < scores[2]
    turned = baselines(duet.waveform(), names[::-1], sound, properties=())["nmf_by_class"].flip(0)
    assert sopedu.si_sdr(truth, turned).mean() == pytest.approx(scores[2], abs=3)  # the order of the names is theirs


def test_two_of_a_kind_are_refused():
    with pytest.raises(SopeduError, match="cannot tell two of a kind apart"):
        baselines(sopedu.solo(0, **PLAIN).waveform(), ("tuba", "tuba"), sopedu.preset("tiny").spectrogram)
