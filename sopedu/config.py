"""Every number that a run depends on, as frozen dataclasses with named presets.

A configuration is stored as JSON beside every checkpoint, and any single field can be changed by its name, from the
command line (``--set model.components=16``), a widget or Python:

    >>> with_values(preset("tiny"), ["model.components=16"]).model.components
    16
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sopedu.errors import SopeduError


@dataclass(frozen=True)
class SpectrogramConfig:
    """From waveform to the picture of sound that the network sees (notebook 01_sound_and_spectrograms)."""

    sample_rate: int = 11025  # hertz
    samples: int = 65535  # length of one clip
    n_fft: int = 1022  # gives n_fft // 2 + 1 = 512 linear bins
    hop_length: int = 256
    log_frequency_bins: int = 256
    warp: str = "bilinear"  # "bilinear" as in the paper, "area" lets every linear bin count
    floor: float = 1e-10  # added before the logarithm

    @property
    def linear_bins(self) -> int:
        return self.n_fft // 2 + 1

    @property
    def time_frames(self) -> int:
        return 1 + self.samples // self.hop_length

    @property
    def counted_samples(self) -> int:
        """Samples that an inverse STFT restores exactly: up to the centre of the last frame."""
        return (self.time_frames - 1) * self.hop_length

    @property
    def seconds(self) -> float:
        return self.samples / self.sample_rate


@dataclass(frozen=True)
class FramesConfig:
    """Which pictures of a clip the network sees."""

    size: int = 224  # pixels, height and width of what the network gets
    resize: int = 246  # size before the random crop of training
    count: int = 3  # frames a clip
    stride: int = 24  # video frames between two of them
    frame_rate: float = 8.0  # video frames a second in prepared data

    def times(self, centre: float) -> list[float]:
        """Times in seconds of the frames of a clip whose middle is at ``centre`` seconds."""
        offsets = range(self.count)
        return [centre + (i - (self.count - 1) / 2) * self.stride / self.frame_rate for i in offsets]


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and choices of the three nets; K = ``components`` is the number to turn first."""

    components: int = 32
    frame_net: str = "resnet18"  # or "small"
    frame_width: int = 64  # channels of the first stage of the small frame net
    frame_dilation: int = 2  # of the last stage, which keeps its resolution; 0: it halves it, undilated
    frame_head_kernel: int = 3
    frame_weights: str = "imagenet"  # "imagenet" (resnet18), "procedural" (small, shipped) or "none"
    pooling: str = "max"  # over frames and cells: "max" or "mean"
    region_pooling: str = "features"  # of a region when separating: "features" as trained, or masks by "energy"
    visual_activation: str = "sigmoid"  # "sigmoid", "softmax", "relu", "tanh" or "none"
    audio_channels: tuple[int, ...] = (64, 128, 256, 512, 512, 512, 512)
    audio_activation: str = "none"
    initialisation: str = "paper"  # "paper": conv N(0, 0.001); "default": torch's own


@dataclass(frozen=True)
class MixingConfig:
    """How solos become training mixtures."""

    sources: int = 2
    pairing: str = "in-batch"  # every solo serves in N mixtures; "independent": in one
    gain_low: float = 0.5
    gain_high: float = 1.5
    silent_share: float = 0.0  # share of the solos that are empty, silent scenes
    absent: int = 0  # pictures of others shown beside each mixture, whose target is silence
    flip: bool = True
    colour_jitter: float = 0.0
    pasted_share: float = 0.0  # share of the steps that show the sources of a mixture pasted into one picture


@dataclass(frozen=True)
class LossConfig:
    """What the masks are compared with, and how."""

    target: str = "binary"  # or "ratio"
    kind: str = "bce"  # "bce", "l1" or "l2"
    weighted: bool = True  # by the mixture's log magnitude
    # Of pasted scenes: pooled features of a strip, one loud cell, noisy-OR of all its cells, silence elsewhere.
    pasted_terms: tuple[str, ...] = ("pooled", "cell", "any", "silence")


@dataclass(frozen=True)
class TrainingConfig:
    """Optimizer, schedule, budget."""

    steps: int = 100 * 6  # overridden by the presets
    batch_size: int = 80  # mixtures a step, over all processes
    optimizer: str = "sgd"  # or "adamw"
    learning_rate: float = 1e-3  # audio net, synthesizer, last layer of the frame net
    frame_learning_rate: float = 1e-4
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 1e-4
    schedule: str = "steps"  # ×0.1 at 40 % and 80 % of the steps; or "cosine"
    warmup_share: float = 0.0
    clip_gradient: float = 0.0  # largest gradient norm, 0: no clipping
    average_decay: float = 0.0  # of the moving average of the weights that is kept as the result; 0: none
    freeze: tuple[str, ...] = ()  # beginnings of parameter names that do not learn, e.g. frame_net.body
    precision: str = "auto"  # "float32", "bf16" or "auto": bf16 on GPUs that have it, float32 on the CPU
    # torch.compile: "none", "default", "reduce-overhead" (CUDA graphs), or "auto": long trainings on one GPU
    compile: str = "auto"
    sync_batchnorm: bool = False  # statistics over all GPUs' batches
    save_every: int = 500  # steps between two states to resume from
    validate_every: int = 0  # steps between two validations, 0: none
    workers: int | str = "auto"  # processes that load clips, per GPU; "auto": 0 on the CPU
    seed: int = 0


@dataclass(frozen=True)
class ToyBandConfig:
    """The rendered data set: who plays, and how many solos are rendered for training."""

    instruments: tuple[str, ...] = ()  # empty: all eleven
    solos: int = 2000
    empty_scenes: int = 100


@dataclass(frozen=True)
class Config:
    """The whole of it; ``name`` says which preset it started from."""

    name: str = "paper"
    spectrogram: SpectrogramConfig = field(default_factory=SpectrogramConfig)
    frames: FramesConfig = field(default_factory=FramesConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    mixing: MixingConfig = field(default_factory=MixingConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    toyband: ToyBandConfig = field(default_factory=ToyBandConfig)


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
    "music-k16": dataclasses.replace(_PAPER, name="music-k16", model=dataclasses.replace(_PAPER.model, components=16)),
    # Empty, silent scenes among the solos, as in the article's third row; they need a class folder "silence".
    "music-silence": dataclasses.replace(
        _PAPER,
        name="music-silence",
        model=dataclasses.replace(_PAPER.model, components=16),
        mixing=MixingConfig(silent_share=0.1),
    ),
    "music-l2": dataclasses.replace(_PAPER, name="music-l2", loss=LossConfig(target="ratio", kind="l2")),
    # The paper's nets and data with what learns faster: AdamW, warm-up, cosine, averaged weights, usual initialisation.
    "fast": dataclasses.replace(
        _PAPER,
        name="fast",
        spectrogram=SpectrogramConfig(floor=1e-4),
        model=dataclasses.replace(_PAPER.model, initialisation="default"),
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
    "vggsound-k32": dataclasses.replace(_PAPER, name="vggsound-k32", training=TrainingConfig(steps=7_000_000 // 80)),
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
        training=dataclasses.replace(_ADAMW, steps=1400),
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
        training=dataclasses.replace(_ADAMW, steps=6000, learning_rate=2e-3),
        toyband=ToyBandConfig(solos=4000, empty_scenes=300),
    ),
}

# The shipped checkpoint "toyband": fine-tuned from toyband-tiny on pasted scenes, with cells that see less around them.
PRESETS["toyband"] = dataclasses.replace(
    PRESETS["tiny"],
    name="toyband",
    model=dataclasses.replace(PRESETS["tiny"].model, frame_dilation=1, frame_head_kernel=1, region_pooling="energy"),
    mixing=dataclasses.replace(_SMALL_MIXING, pasted_share=0.5),
    training=dataclasses.replace(
        PRESETS["tiny"].training,
        steps=16_000,
        learning_rate=1.5e-3,
        warmup_share=0.05,
        average_decay=0.999,
        validate_every=1000,
        precision="float32",
    ),
    toyband=ToyBandConfig(solos=8000, empty_scenes=500),
)

_CHOICES: dict[str, tuple[str, ...]] = {
    "spectrogram.warp": ("bilinear", "area"),
    "model.frame_net": ("resnet18", "small"),
    "model.frame_weights": ("imagenet", "procedural", "none"),
    "model.pooling": ("max", "mean"),
    "model.visual_activation": ("sigmoid", "softmax", "relu", "tanh", "none"),
    "model.audio_activation": ("sigmoid", "softmax", "relu", "tanh", "none"),
    "model.initialisation": ("paper", "default"),
    "mixing.pairing": ("in-batch", "independent"),
    "loss.target": ("binary", "ratio"),
    "loss.kind": ("bce", "l1", "l2"),
    "loss.pasted_terms": ("pooled", "cell", "any", "silence"),
    "training.optimizer": ("sgd", "adamw"),
    "training.schedule": ("steps", "cosine"),
    "training.precision": ("auto", "float32", "bf16"),
    "training.compile": ("auto", "none", "default", "reduce-overhead"),
    "model.region_pooling": ("features", "energy"),
}

#: Fields that checkpoints of the first version lack: there their defaults hold.
_ADDED = {"average_decay", "compile", "freeze", "pasted_share", "pasted_terms", "region_pooling"}
_ADDED |= {"save_every", "sync_batchnorm", "validate_every"}


def preset(name: str) -> Config:
    """Return a preset by name: see :data:`PRESETS` for their names and what they are for."""
    if name not in PRESETS:
        raise SopeduError(f"unknown preset {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def to_dict(config: Config) -> dict[str, Any]:
    """Return the configuration as nested dictionaries that JSON can hold."""
    return dataclasses.asdict(config)


def from_dict(values: Mapping[str, Any]) -> Config:
    """Build a configuration from nested dictionaries; a missing, unknown or ill-typed field is an error by name."""
    config = _build(Config, values, "")
    sound, depth = config.spectrogram, len(config.model.audio_channels)
    for wrong, what in (
        (not 16 <= sound.n_fft <= 2**16, "an n_fft between 16 and 65536"),
        # Windows further apart hardly overlap, and between them the inverse would divide by nothing.
        (not 1 <= sound.hop_length <= sound.n_fft // 2 + 1, "a hop_length of at most half of n_fft"),
        (not 1 <= sound.sample_rate <= 768_000, "a sample_rate between 1 and 768000"),
        (not sound.n_fft <= sound.samples <= 2**24, "samples between n_fft and 16777216"),
        (not 2 <= sound.log_frequency_bins <= 2**12, "log_frequency_bins between 2 and 4096"),
        (sound.floor <= 0, "a spectrogram.floor above 0, for the logarithm"),
        (not 8 <= config.frames.size <= 2048, "a frames.size between 8 and 2048"),
        (not 1 <= config.frames.count <= 64, "a frames.count between 1 and 64"),
        (not config.frames.size <= config.frames.resize <= 4096, "frames.resize between frames.size and 4096"),
        (config.frames.frame_rate <= 0, "frames.frame_rate above 0"),
        (config.model.components < 1 or config.model.frame_width < 1, "components ≥ 1 and frame_width ≥ 1"),
        (not 2 <= depth <= 12 or min(config.model.audio_channels) < 1, "2 to 12 audio_channels"),
        (
            depth <= 12 and (sound.log_frequency_bins % 2**depth or sound.time_frames % 2**depth),
            f"log_frequency_bins and time frames (1 + samples // hop_length) that can be halved {depth} times",
        ),
        (config.model.frame_head_kernel % 2 == 0, "an odd frame_head_kernel"),
        (config.mixing.sources < 2, "mixing.sources ≥ 2"),
        (config.mixing.gain_low > config.mixing.gain_high, "mixing.gain_low ≤ gain_high"),
        (config.mixing.silent_share > 0.9, "mixing.silent_share ≤ 0.9"),
        (config.training.batch_size < config.mixing.sources, "training.batch_size ≥ mixing.sources"),
        (config.training.steps < 1 or config.training.save_every < 1, "training.steps ≥ 1 and save_every ≥ 1"),
        (config.training.average_decay >= 1, "training.average_decay below 1"),
        (config.mixing.pasted_share > 1, "mixing.pasted_share ≤ 1"),
        (not set(config.loss.pasted_terms) - {"silence"}, "loss.pasted_terms with pooled, cell or any"),
        (config.mixing.pasted_share > 0 and config.loss.kind != "bce", "loss.kind=bce where scenes are pasted"),
    ):
        if wrong:
            raise SopeduError(f"configuration: these values fit no model or training; needed: {what}")
    return config


def with_values(config: Config, assignments: Iterable[str]) -> Config:
    """Change fields by name, e.g. ``["model.components=16", "loss.kind=bce"]``; values are JSON or plain words.

    Raises:
        SopeduError: if an assignment has no ``=``, names no field, or its value does not fit the field.
    """
    values = to_dict(config)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        section, _, key = name.strip().partition(".")
        if not equals or not key or not isinstance(values.get(section), dict) or key not in values[section]:
            fields = [f"{s}.{k}" for s, part in values.items() if isinstance(part, dict) for k in part]
            raise SopeduError(f"cannot set {assignment!r}: write field=value with one of {', '.join(fields)}")
        many = isinstance(values[section][key], (tuple, list)) and not text.lstrip().startswith("[")
        words = [word for word in text.split(",") if word.strip()]
        values[section][key] = [_parsed(word) for word in words] if many else _parsed(text)
    return from_dict(values)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text.strip()


def _build(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise SopeduError(f"configuration: {where or 'the whole'} must be a group of fields, not {value!r}")
        hints = typing.get_type_hints(kind)
        unknown, missing = set(value) - set(hints), set(hints) - set(value) - _ADDED
        for state, wrong in (("unknown", unknown), ("missing", missing)):
            if wrong:
                names = " ".join(", ".join(sorted(where + w for w in wrong)).split())
                raise SopeduError(f"configuration: {state} field {names:.200}")
        parts = {name: _build(hints[name], value[name], f"{where}{name}.") for name in hints if name in value}
        return kind(**parts)
    name = where.rstrip(".")
    if kind == int | str:  # a number, or the word "auto"
        if value == "auto":
            return value
        kind = int
    if isinstance(typing.get_origin(kind), type) and issubclass(typing.get_origin(kind), tuple):
        item = typing.get_args(kind)
        if not isinstance(value, (list, tuple)) or (item[-1] is not Ellipsis and len(value) != len(item)):
            raise SopeduError(f"configuration: {name} must be a list, not {value!r}")
        return tuple(_build(item[0], entry, where) for entry in value)
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()  # a number of NumPy or torch
    if kind is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) <= 10**9:
        value = float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise SopeduError(f"configuration: {name} must be {kind.__name__}, not {value!r}")
    if name in _CHOICES and value not in _CHOICES[name]:
        raise SopeduError(f"configuration: {name} must be one of {', '.join(_CHOICES[name])}, not {value!r}")
    if kind in (int, float) and not (0 <= value <= 1e9):
        raise SopeduError(f"configuration: {name} must lie between 0 and a billion, not {value!r}")
    return value
