"""Scores on held-out pairs during training: the same pairs each time, divided among the processes.

Notebook: 13_train_full.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from accelerate.utils import broadcast

from sopedu.audio.masks import MASK_KINDS, Spectra
from sopedu.audio.metrics import bss_eval_rows
from sopedu.data.clips import ClipDataset
from sopedu.evaluation.pairs import held_out_pairs, separate_pairs
from sopedu.model.modes import evaluating
from sopedu.model.sound_of_pixels import SoundOfPixels, normalise_frames
from sopedu.training.loss import shown_loss
from sopedu.training.optimizer import training_mode

if TYPE_CHECKING:
    from sopedu.training.loop import Trainer


class Validation:
    """Scores a model on fixed pairs of held-out solos.

    The loss is the training's own, :func:`sopedu.training.loss.shown_loss`, on pairs with a gain of ½ each and without
    augmentation, in evaluation mode; a picture of an absent instrument is shown where the training shows some.

    Args:
        clips: a validation split, see :func:`sopedu.data.clips.open_clips`.
        pairs: number of mixtures.
        seed: chooses them.
    """

    def __init__(self, clips: ClipDataset, pairs: int = 32, seed: int = 0) -> None:
        self.pairs = held_out_pairs(clips, pairs, seed)

    @torch.inference_mode()
    def scores(self, model: SoundOfPixels, process: int = 0, processes: int = 1) -> torch.Tensor:
        """Compute loss and SDR of each ``processes``-th pair.

        Args:
            model: in any mode.
            process: number of this process.
            processes: how many share the pairs.

        Returns:
            ``(n, 2)`` float32, SDR in dB; as many rows in each process, NaN where no pair is left.
        """
        rows = torch.full((math.ceil(len(self.pairs.mixture) / processes), 2), torch.nan)
        sources, mixture, frames = (
            part[process::processes] for part in (self.pairs.sources, self.pairs.mixture, self.pairs.frames)
        )
        if len(mixture):
            estimates = separate_pairs(model, mixture, frames, as_is=True)
            references = sources[..., : model.config.spectrogram.counted_samples]
            found = bss_eval_rows(references, {"model": estimates})["model"]
            rows[: len(mixture), 0] = torch.stack(
                [self._loss(model, i) for i in range(process, len(self.pairs.mixture), processes)]
            )
            rows[: len(mixture), 1] = torch.from_numpy(found.sdr).nanmean(1)
        return rows

    def _loss(self, model: SoundOfPixels, index: int) -> torch.Tensor:
        """Loss of one pair."""
        config, device = model.config, next(model.parameters()).device
        spectra = Spectra.of_sources(self.pairs.sources[index : index + 1].to(device), config.spectrogram)
        target, clips = MASK_KINDS[config.loss.target].target(spectra), self.pairs.frames[index]
        shown = list(range(len(clips)))
        if config.mixing.absent and self.pairs.absent is not None:
            shown.append(len(clips))
            clips = torch.cat([clips, self.pairs.absent[index : index + 1]])
        with evaluating(model):
            frames = normalise_frames(clips.to(device))
            return shown_loss(model, spectra, target, frames, torch.tensor([shown], device=device), config).cpu()


def validate(trainer: Trainer) -> None:
    """Score the model of a training, and add loss and SDR to the newest entry of its history.

    Args:
        trainer: with a validation.
    """
    run = trainer.run
    run.result.eval()
    for buffer in run.result.buffers():  # running statistics of the process whose model is kept
        broadcast(buffer)
    scores = trainer.validation.scores(run.result, trainer.accelerator.process_index, run.processes)
    scores = scores.to(trainer.device)
    sums = torch.stack([scores.nansum(0), (~scores.isnan()).sum(0).float()])
    total, count = trainer.accelerator.reduce(sums, "sum")
    loss, sdr = (total / count).tolist()
    if run.result is run.model:
        training_mode(run.model, trainer.frozen)
    run.history[-1] |= {"validation_loss": loss, "validation_sdr": sdr}
    if not run.best or sdr > run.best["validation_sdr"]:
        run.best = {"step": run.step, "validation_sdr": sdr}
