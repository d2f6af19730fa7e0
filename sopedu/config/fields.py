"""Every number that a run depends on, as frozen dataclasses; the defaults are the paper's.

Any field can be changed by its name, on the command line (``--set model.components=16``), in a widget or in Python:

    >>> with_values(preset("tiny"), ["model.components=16"]).model.components
    16

Notebook: 05_mix_and_separate, 09_train_live.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


def added(default: Any, before: Any = None) -> Any:
    """Declare a field that older checkpoints do not have; they are read with ``before``, if given, or its default."""
    return field(default=default, metadata={"added": default if before is None else before})


@dataclass(frozen=True)
class SpectrogramConfig:
    """From waveform to spectrogram. Notebook: 01_sound_and_spectrograms."""

    sample_rate: int = 11025  #: hertz
    samples: int = 65535  #: length of a clip
    n_fft: int = 1022  #: gives n_fft // 2 + 1 = 512 linear bins
    hop_length: int = 256
    log_frequency_bins: int = 256
    warp: Literal["bilinear", "area"] = "bilinear"  #: "bilinear" as in the paper; "area" uses every linear bin
    floor: float = 1e-10  #: added before the logarithm

    @property
    def linear_bins(self) -> int:
        """F, the number of linear frequency bins."""
        return self.n_fft // 2 + 1

    @property
    def time_frames(self) -> int:
        """T, the number of time frames."""
        return 1 + self.samples // self.hop_length

    @property
    def counted_samples(self) -> int:
        """Number of samples that the inverse STFT restores exactly: up to the centre of the last frame."""
        return (self.time_frames - 1) * self.hop_length

    @property
    def seconds(self) -> float:
        """Length of a clip in seconds."""
        return self.samples / self.sample_rate


@dataclass(frozen=True)
class FramesConfig:
    """Which video frames of a clip the frame net gets."""

    size: int = 224  #: pixels, height and width
    resize: int = 246  #: size before the random crop in training
    count: int = 3  #: frames per clip
    stride: int = 24  #: distance between two of them, in video frames
    frame_rate: float = 8.0  #: video frames per second in prepared data

    def times(self, centre: float) -> list[float]:
        """Return the times in seconds of the frames of a clip whose middle is at ``centre`` seconds."""
        return [centre + (i - (self.count - 1) / 2) * self.stride / self.frame_rate for i in range(self.count)]


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and choices of the three nets; ``components`` is K."""

    components: int = 32  #: K
    frame_net: Literal["resnet18", "small"] = "resnet18"
    frame_width: int = 64  #: channels of the first stage of the small frame net
    frame_dilation: int = 2  #: of the last stage, instead of a stride; 0: use the stride
    frame_head_kernel: int = 3
    frame_weights: Literal["imagenet", "procedural", "none"] = "imagenet"  #: "procedural": shipped, for "small" only
    pooling: Literal["max", "mean"] = "max"  #: over frames and cells
    # Pooling of a region when separating. "features": as in training; "energy": mean of masks weighted by their energy.
    region_pooling: Literal["features", "energy"] = added("features")
    visual_activation: Literal["sigmoid", "softmax", "relu", "tanh", "none"] = "sigmoid"  #: of model.nets.ACTIVATIONS
    audio_channels: tuple[int, ...] = (64, 128, 256, 512, 512, 512, 512)
    audio_activation: Literal["sigmoid", "softmax", "relu", "tanh", "none"] = "none"
    synthesizer: Literal["product", "attention"] = added("product")  #: of model.attention.SYNTHESIZERS
    initialisation: Literal["paper", "default"] = "paper"  #: "paper": audio net N(0, 0.001); "default": torch's


@dataclass(frozen=True)
class MixingConfig:
    """How solos become training mixtures."""

    sources: int = 2  #: N
    pairing: Literal["in-batch", "independent"] = "in-batch"  #: a solo is in N mixtures, or in only one
    gain_low: float = 0.5
    gain_high: float = 1.5
    silent_share: float = 0.0  #: share of the solos that are empty, silent scenes
    absent: int = 0  #: pictures of absent instruments per mixture, whose target mask is zero
    flip: bool = True  #: mirror half of the clips
    colour_jitter: float = 0.0
    pasted_share: float = added(0.0)  #: share of the steps that paste the sources of a mixture into one picture


@dataclass(frozen=True)
class LossConfig:
    """Target masks and loss function."""

    target: Literal["binary", "ratio"] = "binary"  #: the names in sopedu.audio.masks.MASK_KINDS
    kind: Literal["bce", "l1", "l2"] = "bce"  #: the names in sopedu.training.loss.LOSSES
    weighted: bool = True  #: by the mixture's log magnitude
    # Loss terms of pasted scenes: pooled features of a strip, one loud cell, noisy-OR of its cells, silence elsewhere.
    pasted_terms: tuple[Literal["pooled", "cell", "any", "silence"], ...] = added(("pooled", "cell", "any", "silence"))


@dataclass(frozen=True)
class TrainingConfig:
    """Optimizer, schedule, number of steps."""

    steps: int = 600  #: overridden by the presets
    batch_size: int = 80  #: mixtures per step, over all processes
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = 1e-3  #: audio net, synthesizer, last layer of the frame net
    frame_learning_rate: float = 1e-4
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 1e-4
    schedule: Literal["steps", "cosine"] = "steps"  #: "steps": ×0.1 at 40 % and 80 % of the steps
    warmup_share: float = 0.0
    clip_gradient: float = 0.0  #: largest gradient norm; 0: no clipping
    average_decay: float = added(0.0)  #: of the moving average of the weights, which becomes the model; 0: none
    freeze: tuple[str, ...] = added(())  #: parameters whose names begin so are not trained, e.g. frame_net.body
    precision: Literal["auto", "float32", "bf16"] = "auto"  #: "auto": bf16 on GPUs that have it, else float32
    # Mode of torch.compile. "reduce-overhead" uses CUDA graphs; "auto" compiles long trainings on one GPU.
    compile: Literal["auto", "none", "default", "reduce-overhead"] = added("auto")
    sync_batchnorm: bool = added(False)  #: statistics over the batches of all GPUs
    save_every: int = added(500)  #: steps between two states to resume from
    validate_every: int = added(0)  #: steps between two validations; 0: none
    workers: int | str = "auto"  #: processes that load clips, per GPU; "auto": 0 on the CPU
    seed: int = 0


@dataclass(frozen=True)
class ToyBandConfig:
    """The rendered data set: which instruments, and how many solos are rendered for training."""

    instruments: tuple[str, ...] = ()  #: empty: all eleven
    solos: int = 2000
    empty_scenes: int = 100
    properties: tuple[str, ...] = added(("all",), before=())  #: of the sounds: names in toyband.PROPERTIES
    plain_share: float = added(0.0)  #: of the solos for training; they sound plain, without these properties


@dataclass(frozen=True)
class Config:
    """A whole configuration; ``name`` is the preset that it started from."""

    name: str = "paper"
    spectrogram: SpectrogramConfig = field(default_factory=SpectrogramConfig)
    frames: FramesConfig = field(default_factory=FramesConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    mixing: MixingConfig = field(default_factory=MixingConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    toyband: ToyBandConfig = field(default_factory=ToyBandConfig)
