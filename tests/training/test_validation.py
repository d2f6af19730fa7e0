"""The validation loss is the training loss: on one mixture, in evaluation mode, both are the same number."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sopedu.config import preset, with_values
from sopedu.data.clips import ToyBandClips
from sopedu.model.modes import evaluating
from sopedu.training.loss import mixture_loss
from sopedu.training.setup import new_model
from sopedu.training.validation import Validation

SMALL = """model.audio_channels=8,8,8 model.frame_width=8 model.components=4 model.frame_weights=none
toyband.instruments=violin,tuba,xylophone mixing.pairing=independent mixing.silent_share=0
mixing.flip=false mixing.gain_low=1 mixing.gain_high=1 training.batch_size=2"""


@pytest.mark.parametrize("values", ["", "loss.target=binary", "loss.kind=l1 loss.weighted=false", "model.pooling=mean"])
@pytest.mark.parametrize("region_pooling", ["features", "energy"])
@pytest.mark.parametrize("absent", [0, 1])
def test_one_mixture_has_one_loss(values, region_pooling, absent, tmp_path, monkeypatch):
    monkeypatch.setenv("SOPEDU_CACHE", str(tmp_path))
    changes = [*SMALL.split(), *values.split(), f"model.region_pooling={region_pooling}", f"mixing.absent={absent}"]
    config = with_values(preset("tiny"), changes)
    validation = Validation(ToyBandClips(config, "validation", 6), 3)
    pairs, (model, generator) = validation.pairs, (new_model(config), np.random.default_rng(0))
    solos, frames, labels = 2 * pairs.sources[0], pairs.frames[0], pairs.labels[0]
    if absent:
        # A third clip is in the batch only to be shown: with two sources of three clips there is one mixture.
        other = ({0, 1, 2} - set(labels.tolist())).pop()
        monkeypatch.setattr("sopedu.data.mixing.choose_partners", lambda *_: (np.array([[0, 1]]), 0), raising=True)
        solos, labels = torch.cat([solos, torch.zeros_like(solos[:1])]), np.append(labels, other)
        frames = torch.cat([frames, pairs.absent[:1]])
    with evaluating(model), torch.no_grad():
        expected, mixtures = mixture_loss(model, solos, frames, labels, config, generator)
    assert len(mixtures.members) == 1 and mixtures.absent.shape == (1, absent)
    found = validation.scores(model)
    assert found.shape == (3, 2)
    assert found[0, 0].item() == pytest.approx(expected.item(), rel=1e-5)
