"""Named configurations: of the paper and of a re-implementation (2021), and small ones for the toy band."""

from __future__ import annotations

from dataclasses import replace

from sopedu.config.fields import (
    Config,
    FramesConfig,
    LossConfig,
    MixingConfig,
    ModelConfig,
    SpectrogramConfig,
    ToyBandConfig,
    TrainingConfig,
)
from sopedu.errors import SopeduError

# An epoch of the paper is 100 passes over the list of 536 MUSIC solos in batches of 80, and there are 100 epochs.
_PAPER_STEPS = 100 * (100 * 536 // 80)

_PAPER = Config(training=TrainingConfig(steps=_PAPER_STEPS))
_ADAMW = TrainingConfig(
    optimizer="adamw",
    learning_rate=3e-3,
    frame_learning_rate=1e-3,
    weight_decay=0.01,
    schedule="cosine",
    warmup_share=0.1,
    clip_gradient=5.0,
    batch_size=16,
)
_SMALL_MIXING = MixingConfig(silent_share=0.08, absent=1)

PRESETS: dict[str, Config] = {
    "paper": _PAPER,
    "music-k16": replace(_PAPER, name="music-k16", model=replace(_PAPER.model, components=16)),
    # Empty, silent scenes among the solos, as in a row of the re-implementation; they need a class folder "silence".
    "music-silence": replace(
        _PAPER,
        name="music-silence",
        model=replace(_PAPER.model, components=16),
        mixing=MixingConfig(silent_share=0.1),
    ),
    "music-l2": replace(_PAPER, name="music-l2", loss=LossConfig(target="ratio", kind="l2")),
    # The paper's nets and data with a faster recipe: AdamW, warm-up, cosine, averaged weights, usual initialisation.
    "fast": replace(
        _PAPER,
        name="fast",
        spectrogram=SpectrogramConfig(floor=1e-4),
        model=replace(_PAPER.model, initialisation="default"),
        training=TrainingConfig(
            steps=_PAPER_STEPS,
            optimizer="adamw",
            learning_rate=1e-3,
            frame_learning_rate=1e-4,
            weight_decay=0.01,
            schedule="cosine",
            warmup_share=0.02,
            clip_gradient=5.0,
            average_decay=0.999,
        ),
    ),
    "vggsound-k32": replace(_PAPER, name="vggsound-k32", training=TrainingConfig(steps=7_000_000 // 80)),
    "tiny": Config(
        name="tiny",
        spectrogram=SpectrogramConfig(
            samples=32 * 512 - 1, hop_length=512, log_frequency_bins=128, warp="area", floor=1e-4
        ),
        frames=FramesConfig(size=64, resize=70, count=1),
        model=ModelConfig(
            frame_net="small",
            frame_width=16,
            frame_weights="procedural",
            audio_channels=(12, 24, 48, 64, 64),
            initialisation="default",
        ),
        mixing=_SMALL_MIXING,
        loss=LossConfig(target="ratio", kind="bce"),
        training=replace(_ADAMW, steps=1400),
        toyband=ToyBandConfig(solos=3000, empty_scenes=200),
    ),
    "laptop": Config(
        name="laptop",
        spectrogram=SpectrogramConfig(
            samples=128 * 256 - 1, hop_length=256, log_frequency_bins=128, warp="area", floor=1e-4
        ),
        frames=FramesConfig(size=112, resize=122, count=2, stride=8),
        model=ModelConfig(
            frame_net="small",
            frame_width=32,
            frame_weights="none",
            audio_channels=(24, 48, 96, 128, 128, 128),
            initialisation="default",
        ),
        mixing=_SMALL_MIXING,
        loss=LossConfig(target="ratio", kind="bce"),
        training=replace(_ADAMW, steps=6000, learning_rate=2e-3),
        toyband=ToyBandConfig(solos=4000, empty_scenes=300),
    ),
}

# The shipped checkpoint "toyband": finer spectrograms, half of K, wider deep layers, and pasted scenes with a smaller
# receptive field, so that single cells separate. It begins with plain sounds and a narrower audio net (`make toyband`):
# lifelike ones alone teach the frame net slowly.
PRESETS["toyband"] = replace(
    PRESETS["tiny"],
    name="toyband",
    spectrogram=replace(PRESETS["tiny"].spectrogram, n_fft=2046, log_frequency_bins=256),
    model=replace(
        PRESETS["tiny"].model,
        components=16,
        audio_channels=(32, 64, 128, 192, 256),
        frame_dilation=1,
        frame_head_kernel=1,
        region_pooling="energy",
    ),
    mixing=replace(_SMALL_MIXING, pasted_share=0.3),
    training=replace(
        PRESETS["tiny"].training,
        steps=12_000,
        learning_rate=2e-3,
        frame_learning_rate=5e-4,
        warmup_share=0.05,
        average_decay=0.999,
        validate_every=1000,
        precision="float32",
    ),
    toyband=ToyBandConfig(solos=16_000, empty_scenes=800),
)


def preset(name: str) -> Config:
    """Return a preset by name.

    Args:
        name: a key of :data:`PRESETS`.

    Raises:
        SopeduError: there is no such preset.
    """
    if name not in PRESETS:
        raise SopeduError(f"unknown preset {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
