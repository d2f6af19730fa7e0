"""Learn audio-visual source separation by doing it, after The Sound of Pixels (Zhao et al., ECCV 2018).

Names listed in `_EXPORTS` can be used as `sopedu.name`; their module is imported at first use, so that
`import sopedu` is instant and needs neither torch nor the libraries that only some lessons use.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

# OpenMP's threads wait for each other by spinning, and while anything else runs on the machine a training step then
# takes several times longer. A short spin keeps nine tenths of the speed on an idle machine and most of it on a busy
# one. It counts only if set before torch loads.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

__version__ = "0.1.0"

# Public name → the module of this package that defines it.
_EXPORTS: dict[str, str] = {
    name: module
    for module, names in {
        "errors": ("SopeduError",),
        "shipped": ("sample_path",),
        "config": ("Config", "SpectrogramConfig", "preset", "with_values"),
        "audio.spectrogram": ("stft", "istft", "warp", "unwarp", "log_magnitude", "row_hertz"),
        "audio.masks": ("ideal_binary_mask", "ideal_ratio_mask", "threshold", "apply_mask"),
        "audio.soundfiles": ("load_waveform", "save_waveform", "resample"),
        "audio.player": ("Player",),
        "video.reading": ("probe", "read_sound", "read_frames"),
        "video.writing": ("VideoWriter", "write_video"),
        "toyband": ("INSTRUMENTS", "solo", "duet", "scene"),
        "data.clips": ("open_clips", "ToyBandClips", "IndexClips"),
        "data.mixing": ("mix",),
        "model.sound_of_pixels": ("SoundOfPixels", "count_parameters", "normalise_frames"),
        "training.losses": ("mask_loss", "mask_targets"),
        "model.checkpoints": ("Checkpoint", "load_checkpoint", "save_checkpoint"),
        "model.original": ("import_original",),
        "audio.metrics": ("bss_eval", "batched_bss_eval", "si_sdr"),
        "training.loop": ("train", "new_model"),
        "training.run_folder": ("train_run",),
        "training.callbacks": (
            "Progress",
            "KeepCheckpoint",
            "LivePlot",
            "JsonLinesHistory",
            "TensorBoard",
            "read_history",
        ),
        "training.compare": ("compare_runs", "plot_comparison"),
        "model.warm_start": ("pretrain",),
        "evaluation.pairs": ("evaluate", "predict_masks"),
        "evaluation.localization": ("evaluate_localization",),
        "evaluation.vggss": ("evaluate_vggss", "read_vggss", "score_vggss"),
        "localization.pixel_sounds": ("PixelSounds",),
        "objects.detection": ("Detections", "named_detector", "suppress_overlaps"),
        "objects.tracks": ("find_tracks",),
        "separation.video": ("separate_video",),
        "lessons.pixel_probe": ("PixelProbe",),
        "lessons.pixel_page": ("export_html",),
        "plots": ("plot_waveform", "plot_spectrogram", "plot_mask", "plot_history", "plot_frames", "plot_sound_map"),
        "training.benchmark": ("run_benchmark",),
        "demo": ("run_demo",),
    }.items()
    for name in names
}


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
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
