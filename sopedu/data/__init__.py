"""From recordings to batches: clips, pairs of clips, scenes of several players.

Read `mixing` first: mix-and-separate is the whole idea of the training.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "augmentation": ("augment",),
        "batches": (
            "Clip",
            "Unread",
            "Batch",
            "collate",
            "Failures",
            "tolerated",
        ),
        "checks": ("check_classes",),
        "clips": (
            "SampleKey",
            "ClipDataset",
            "ToyBandClips",
        ),
        "index_clips": ("IndexClips",),
        "mixing": (
            "Mixtures",
            "choose_partners",
            "choose_absent",
            "mix",
            "to_device",
        ),
        "opening": ("open_clips",),
        "pasting": (
            "PastedScenes",
            "paste",
        ),
        "prepared": ("read_index",),
        "recordings": ("SoundFolderClips",),
        "sampling": ("TrainingSampler",),
    },
)
