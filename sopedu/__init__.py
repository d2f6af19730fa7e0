"""Learn audio-visual source separation by doing it, after The Sound of Pixels (Zhao et al., ECCV 2018).

The names in `_NAMES` can be used as `sopedu.name`. Their module is imported at first use, so `import sopedu` is instant
and needs neither torch nor the libraries that only some lessons use.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any

# OpenMP's threads wait for each other by spinning: while anything else runs on the machine, a training step then takes
# several times longer. A short spin keeps nine tenths of the speed on an idle machine and most of it on a busy one. It
# must be set before torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

__version__ = "0.1.0"

# The module that defines each public name, by room. Everything else is imported from its room: sopedu.audio, …
_NAMES: dict[str, tuple[str, ...]] = {
    "errors": ("SopeduError",),
    "shipped": ("sample_path",),
    "config": ("Config", "preset", "with_values"),
    "audio.spectrogram": ("stft", "istft", "warp", "unwarp", "log_magnitude", "row_hertz"),
    "audio.masks": ("ideal_binary_mask", "ideal_ratio_mask", "threshold", "apply_mask"),
    "audio.soundfiles": ("load_waveform", "save_waveform"),
    "audio.player": ("Player",),
    "audio.metrics": ("bss_eval", "si_sdr"),
    "video.reading": ("read_sound", "read_frames"),
    "toyband": ("INSTRUMENTS", "solo", "duet", "scene"),
    "data.clips": ("ToyBandClips",),
    "data.opening": ("open_clips",),
    "data.mixing": ("mix",),
    "model.sound_of_pixels": ("SoundOfPixels", "normalise_frames"),
    "model.modes": ("count_parameters",),
    "model.checkpoints": ("load_checkpoint", "save_checkpoint"),
    "model.original": ("import_original",),
    "training.loop": ("train",),
    "training.setup": ("new_model",),
    "training.run_folder": ("train_run",),
    "training.callbacks": ("LivePlot",),
    "training.benchmark": ("run_benchmark",),
    "localization.pixel_sounds": ("PixelSounds",),
    "objects.registry": ("named_detector",),
    "objects.tracks": ("find_tracks",),
    "separation.video": ("separate_video",),
    "experiments.compare": ("compare_runs", "plot_comparison"),
    "evaluation.pairs": ("predict_masks",),
    "evaluation.separation": ("evaluate",),
    "evaluation.localization": ("evaluate_localization",),
    "evaluation.vggss": ("evaluate_vggss",),
    "plots": ("plot_waveform", "plot_spectrogram", "plot_mask", "plot_history", "plot_frames", "plot_sound_map"),
    "lessons.pixel_probe": ("PixelProbe",),
    "lessons.pixel_page": ("export_html",),
    "demo": ("run_demo",),
}
_EXPORTS = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        try:
            return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
        except ModuleNotFoundError as error:
            from sopedu.errors import SopeduError

            raise SopeduError(
                f"sopedu.{name} needs {error.name}, which is not installed: pip install 'sopedu[notebooks]'"
            ) from error
    if not name.startswith("_") and find_spec(f"{__name__}.{name}"):
        return import_module(f"{__name__}.{name}")  # a room, such as sopedu.toyband
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
