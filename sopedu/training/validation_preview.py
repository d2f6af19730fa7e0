"""One held-out pair to follow a training: the model's masks and sounds beside the true ones.

Notebook: 13_train_full.
"""

from __future__ import annotations

import torch
from matplotlib.figure import Figure, FigureBase

from sopedu.audio.masks import Spectra, mask_from_values
from sopedu.audio.spectrogram import stft, warp
from sopedu.data.clips import ClipDataset
from sopedu.evaluation.pairs import TestPairs, held_out_pairs, predict_masks
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.plots import plot_mask, plot_separation, plot_spectrogram


class ValidationPreview:
    """A held-out mixture of two solos, always the same.

    Args:
        clips: held-out clips, of which a pair is drawn, or pairs, of which the first is taken.
    """

    def __init__(self, clips: ClipDataset | TestPairs) -> None:
        pairs = held_out_pairs(clips, 1) if isinstance(clips, ClipDataset) else clips
        self.mixture, self.sources, self.frames = pairs.mixture[:1], pairs.sources[:1], pairs.frames[:1]
        self.names = [pairs.class_names[label] for label in pairs.labels[0]]

    def draw_masks(self, model: SoundOfPixels, figure: FigureBase) -> None:
        """Draw the mixture, and of both sources the true and the predicted mask, in a row.

        Args:
            model: in any mode.
            figure: to draw into.
        """
        sound, panels = model.config.spectrogram, figure.subplots(1, 5, sharey=True)
        mixture, true, predicted = self._masks(model)
        plot_spectrogram(mixture[0], sound, panels[0], "mixture", colour_bar=False)
        for number, name in enumerate(self.names):
            for column, kind, masks in ((1, "true", true), (2, "predicted", predicted)):
                plot_mask(masks[number], sound, panels[2 * number + column], f"{name}: {kind}", colour_bar=False)
        for axes in panels:
            axes.tick_params(labelsize=8)
            axes.title.set_fontsize(10)
        for axes in panels[1:]:
            axes.set_ylabel("")

    def draw_separation(self, model: SoundOfPixels) -> tuple[Figure, torch.Tensor]:
        """Draw the mixture and its true and estimated sources.

        Args:
            model: in any mode.

        Returns:
            the figure, and the estimated waveforms ``(2, L)``.
        """
        sound = model.config.spectrogram
        mixture, true, predicted = self._masks(model)
        estimates = model.separate(predict_masks(model, self.mixture, self.frames)[0], stft(self.mixture, sound))
        sources, estimated = (warp(stft(waves, sound).abs(), sound) for waves in (self.sources[0], estimates))
        pictures, names = self.frames[0, :, 0], self.names
        return plot_separation(mixture[0], sources, estimated, pictures, true, predicted, sound, names), estimates

    def _masks(self, model: SoundOfPixels) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Magnitude of the mixture ``(1, Q, T)``, true and predicted masks ``(2, Q, T)``, not complex."""
        spectra = Spectra.of_sources(self.sources, model.config.spectrogram)
        true = mask_from_values(model.mask_kind.target(spectra)[0], model.mask_kind)
        predicted = predict_masks(model, self.mixture, self.frames)[0]
        return spectra.mixture[0], *(mask.abs() if mask.is_complex() else mask for mask in (true, predicted))
