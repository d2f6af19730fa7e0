"""The warm start: weights of the small frame net, trained on pictures without instruments.

The paper starts from a ResNet trained on ImageNet. The small frame net starts from one that learned to recognise random
procedural objects (mugs, keys, trees …); `make warm-start` trains it. Notebook: 07_eyes.ipynb.
"""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from sopedu.errors import SopeduError
from sopedu.model.nets import FrameNet
from sopedu.shipped import shipped_path

WARM_START = shipped_path("data_samples/warm_start/frame_net_tiny.safetensors")


def load_warm_start(net: FrameNet, path: str | Path = WARM_START) -> None:
    """Load the body of a small frame net, trained on random objects; its head keeps its random start.

    Args:
        net: gets the weights; as wide as that of preset ``tiny`` for the shipped file.
        path: weights in half precision; default: the shipped ones.

    Raises:
        SopeduError: the file is missing, or was made for a net of another width.
    """
    if not Path(path).exists():
        raise SopeduError(
            f"{path}: no warm start there; make it with `make warm-start`, "
            "or start without: --set model.frame_weights=none"
        )
    try:
        net.body.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    except (RuntimeError, OSError, SafetensorError) as error:
        raise SopeduError(
            f"{path}: no warm start for this net: it fits the frame net of preset tiny only; make another with "
            "`python -m tools.warm_start --preset …` or use --set model.frame_weights=none"
        ) from error
