"""From recordings to batches: clips, pairs of clips, scenes of several players.

Read `mixing` first: mix-and-separate is the whole idea of the training.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "batches": ("Clip",),
        "clips": ("ClipDataset", "SampleKey", "ToyBandClips"),
        "index_clips": ("IndexClips",),
        "mixing": ("NOBODY", "mix"),
        "opening": ("open_clips",),
        "recordings": ("SoundFolderClips",),
        "sampling": ("TrainingSampler",),
    },
)
