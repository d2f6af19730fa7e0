"""Import weights of the original Sound-of-Pixels code and its forks (notebook 13_train_full)."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from sopedu.audio.loudness import BROADCAST_LEVEL
from sopedu.config import Config, from_dict, preset, to_dict
from sopedu.errors import SopeduError
from sopedu.files import require_file
from sopedu.model.checkpoints import Checkpoint
from sopedu.model.sound_of_pixels import SoundOfPixels

# The tensor that identifies the state dict of each net, at any depth in a file.
_KNOWN_BY = {"frame_net": "fc.weight", "audio_net": "bn0.weight", "synthesizer": "bias"}
_CALLED = {"frame_net": "frame net", "audio_net": "sound net", "synthesizer": "synthesizer"}
# Prefixes of names that torch.nn.DataParallel, and saving all three nets as one module, add.
_WRAPPERS = r"((module|net_\w+)\.)*"
_DEEPEST_NESTING = 4
# Options of the original's command line → values of a configuration.
_WORDS = {"maxpool": "max", "avgpool": "mean", "no": "none"}
# The two frame nets have tensors of the same names and shapes: a file does not say which one wrote it.
_DILATIONS = {"resnet18dilated": 2, "resnet18fc": 0}


def import_original(
    frame: str | Path,
    sound: str | Path,
    synthesizer: str | Path,
    *,
    frame_net: str = "resnet18dilated",
    pooling: str = "max",
    visual_activation: str = "sigmoid",
    audio_activation: str = "none",
    mask_activation: str = "sigmoid",
    target: str = "binary",
    class_names: Iterable[str] = (),
) -> Checkpoint:
    """Read the three ``.pth`` files of the original code, or of a fork that kept its nets, as an ordinary checkpoint.

    K, the U-Net's depth and widths, and the kernel of the frame net's head follow from the shapes. The files do not
    hold the rest: arguments give it, in the words of the original's options or of a configuration. The masks are equal
    to those of the original code, with ``align_corners=True`` in the warp and in the U-Net.

    =====================================  =======================================================================
    here                                   there (state dict of the net; ``module.``, ``net_….`` before it allowed)
    =====================================  =======================================================================
    ``frame_net.body.I…``                  ``features.I…``: conv 0, norm 1, layer1 to layer4 are 4 to 7
    ``frame_net.head.…``                   ``fc.…``: weight ``(K, 512, k, k)``, bias ``(K,)``
    ``audio_net.input_norm.…``             ``bn0.…``
    ``audio_net.down.L.weight``            ``BLOCK(L).0.weight`` for L = 0, else ``BLOCK(L).1.weight``
    ``audio_net.down_norm.L.…``            ``BLOCK(L).2.…``, neither for L = 0 nor for the innermost level
    ``audio_net.up.(depth − 1 − L).…``     ``BLOCK(L).4.…`` outermost (with a bias) and innermost, else ``BLOCK(L).6``
    ``audio_net.up_norm.(depth − 1 − L)``  ``BLOCK(L).5.…`` innermost, ``BLOCK(L).7.…`` between, none outermost
    ``synthesizer.scale``                  ``scale`` ``(K,)``; absent in the synthesizer called bias: ones
    ``synthesizer.bias``                   ``bias`` ``(1,)``
    =====================================  =======================================================================

    BLOCK(0) is ``unet_block.model``, BLOCK(1) ``unet_block.model.1.model``, and each further level adds ``.3.model``.
    ``num_batches_tracked``, which files written before torch 0.4.1 lack, becomes 0.

    Args:
        frame: state dict of the frame net; also one of all three nets, or nested as in ``{"state_dict": …}``.
        sound: state dict of the sound net, the U-Net.
        synthesizer: state dict of the synthesizer.
        frame_net: ``resnet18dilated`` (14 × 14 cells for 224 px) or ``resnet18fc`` (7 × 7): the files look the same.
        pooling: ``max`` (``maxpool``) or ``mean`` (``avgpool``) over frames and cells.
        visual_activation: ``sigmoid``, ``softmax``, ``relu``, ``tanh`` or ``none`` (``no``).
        audio_activation: likewise, of the components.
        mask_activation: ``sigmoid``; others are refused.
        target: ``binary`` or ``ratio``, the masks it was trained on.
        class_names: of the classes it was trained on, if known.

    Returns:
        the checkpoint, on the CPU.

    Raises:
        SopeduError: a file is missing, holds more than tensors, or its tensors are not those of the original (a name, a
            shape, a value that is not finite); K differs between the files; an argument is unknown.

    Source: Zhao et al., ECCV 2018, and the code its authors published.

    Notebook: 13_train_full.
    """
    paths = {"frame_net": Path(frame), "audio_net": Path(sound), "synthesizer": Path(synthesizer)}
    if mask_activation != "sigmoid":
        raise SopeduError(f"mask_activation {mask_activation!r}: masks are made by sigmoid here; no other is supported")
    if frame_net not in _DILATIONS:
        raise SopeduError(f"frame_net {frame_net!r}: choose one of {', '.join(_DILATIONS)}")
    choices = {
        "frame_dilation": _DILATIONS[frame_net],
        "pooling": _WORDS.get(pooling, pooling),
        "visual_activation": _WORDS.get(visual_activation, visual_activation),
        "audio_activation": _WORDS.get(audio_activation, audio_activation),
    }
    found = {net: _read(path, net) for net, path in paths.items()}
    config = _inferred_config(found, paths, choices, target)
    with torch.device("meta"):
        model = SoundOfPixels(config)
    names = {name: _original_name(name, len(config.model.audio_channels)) for name in model.state_dict()}
    tensors = {}
    for net, path in paths.items():
        expected = {names[name]: value for name, value in model.state_dict().items() if name.startswith(net)}
        for name, value in expected.items():
            if name.endswith("num_batches_tracked") or (name == "scale" and set(found[net]) == {"bias"}):
                found[net].setdefault(name, torch.ones(value.shape) if name == "scale" else torch.tensor(0))
        _require_same_shapes(expected, found[net], path, net)
        tensors |= {name: found[net][names[name]] for name in names if name.startswith(net)}
    model.to_empty(device="cpu").load_state_dict(tensors)
    for name, value in model.state_dict().items():
        if not bool(torch.isfinite(value).all()):
            path = paths[name.partition(".")[0]]
            raise SopeduError(f"{path}: tensor {names[name]} holds values that are not finite; take another file")
    origin = {net: path.name for net, path in paths.items()}
    model.level_db = BROADCAST_LEVEL
    return Checkpoint(model.eval(), tuple(class_names), {"imported_from_original_code": origin})


def _read(path: Path, net: str) -> dict[str, Any]:
    """Read the named tensors of one net from a file; nothing in it is unpickled but tensors."""
    damaged = f"{path}: is no file of torch.save, or damaged; copy or download it again"
    with require_file(path).open("rb") as file:
        if file.read(1) not in (b"P", b"\x80"):  # of a zip archive and of a pickle; not of a web page
            raise SopeduError(damaged)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of odd archives; they are refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise almost anything
        if "nsupported" in str(error) or "GLOBAL" in str(error):
            raise SopeduError(
                f"{path}: holds more than tensors, and reading that could run foreign code; where it was made, save "
                "the net's state_dict() alone with torch.save"
            ) from error
        raise SopeduError(damaged) from error
    tensors = _find_state_dict(content, re.compile(_WRAPPERS + re.escape(_KNOWN_BY[net])), _DEEPEST_NESTING)
    if not tensors:
        inside = ", ".join(repr(name) for name in list(content)[:4]) if isinstance(content, dict) else "no names"
        raise SopeduError(
            f"{path}: no tensor {_KNOWN_BY[net]} in it, so it is not the original code's {_CALLED[net]} "
            f"(it holds {inside:.200}); give the files in the order frame, sound, synthesizer"
        )
    return tensors


def _find_state_dict(content: Any, known_by: re.Pattern[str], deepest: int) -> dict[str, Any]:
    if not isinstance(content, dict) or deepest == 0:
        return {}
    for name, value in content.items():
        match = known_by.fullmatch(name) if isinstance(name, str) and isinstance(value, torch.Tensor) else None
        if match:
            prefix = re.match(_WRAPPERS, name).group()
            return {str(key).removeprefix(prefix): content[key] for key in content if str(key).startswith(prefix)}
    return next(filter(None, (_find_state_dict(value, known_by, deepest - 1) for value in content.values())), {})


def _inferred_config(
    found: dict[str, dict[str, Any]], paths: dict[str, Path], choices: dict[str, Any], target: str
) -> Config:
    def sizes(net: str, name: str) -> tuple[int, ...]:
        shape = _shape(found[net].get(name))
        if not isinstance(shape, tuple) or len(shape) != 4:
            raise SopeduError(
                f"{paths[net]}: tensor {name}: expected four axes, found {shape}; "
                f"is this the original's {_CALLED[net]}?"
            )
        return shape

    head, channels = sizes("frame_net", "fc.weight"), []
    while not channels or _down_name(len(channels)) in found["audio_net"]:
        channels.append(sizes("audio_net", _down_name(len(channels)))[0])
    counts = {"frame_net": head[0], "audio_net": sizes("audio_net", f"{_block(0)}.4.weight")[0]}
    if "scale" in found["synthesizer"]:
        counts["synthesizer"] = (*(_shape(found["synthesizer"]["scale"]) or ()), 0)[0]
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{count} in {paths[net]}" for net, count in counts.items())
        raise SopeduError(f"K differs: {said}; take three files of one training")
    paper = preset("paper")
    model = replace(
        paper.model,
        components=head[0],
        frame_head_kernel=head[2],
        frame_weights="none",
        audio_channels=tuple(channels),
        **choices,
    )
    loss = replace(paper.loss, target=target, kind="bce" if target == "binary" else "l1")
    try:
        return from_dict(to_dict(replace(paper, model=model, loss=loss)))  # names the field if no model can be built
    except SopeduError as error:
        raise SopeduError(f"{paths['audio_net']} with these arguments makes no model: {error}") from error


def _require_same_shapes(expected: dict[str, torch.Tensor], found: dict[str, Any], path: Path, net: str) -> None:
    wanted = {name: tuple(value.shape) for name, value in expected.items()}
    there = {name: _shape(value) for name, value in found.items()}
    wrong = sorted(name for name in wanted | there if wanted.get(name) != there.get(name))
    if wrong:
        name = wrong[0]
        raise SopeduError(
            f"{path}: {len(wrong)} tensors do not fit the original's {_CALLED[net]}, e.g. {name!r:.120}: "
            f"expected {wanted.get(name, 'nothing')}, found {there.get(name, 'nothing')}; "
            "only nets as the original code builds them can be imported"
        )


def _shape(value: Any) -> tuple[int, ...] | str:
    """Shape of a tensor that is complete, else a description of what is wrong."""
    if not isinstance(value, torch.Tensor):
        return "nothing" if value is None else f"a {type(value).__name__}"
    if value.layout is not torch.strided or value.is_meta or value.is_quantized or value.is_complex():
        return "a tensor of another kind"
    whole = value.untyped_storage().nbytes() >= value.numel() * value.element_size()
    return tuple(value.shape) if whole else "a tensor that claims more numbers than the file holds"


def _original_name(name: str, depth: int) -> str:
    """The original's name of one of our tensors, within the state dict of its net."""
    net, _, rest = name.partition(".")
    if net == "synthesizer":
        return rest
    if net == "frame_net":
        return rest.replace("body.", "features.", 1).replace("head.", "fc.", 1)
    part, *number, leaf = rest.split(".")
    if part == "input_norm":
        return f"bn0.{leaf}"
    level = int(number[0]) if part.startswith("down") else depth - 1 - int(number[0])
    if part == "down":
        return _down_name(level)
    between = 0 < level < depth - 1
    place = {"down_norm": 2, "up": 6 if between else 4, "up_norm": 7 if between else 5}[part]
    return f"{_block(level)}.{place}.{leaf}"


def _down_name(level: int) -> str:
    return f"{_block(level)}.{min(level, 1)}.weight"


def _block(level: int) -> str:
    """Name of a block of the original's U-Net; each holds the next smaller one as one of its layers."""
    return "unet_block.model" + ".1.model" * min(level, 1) + ".3.model" * max(level - 1, 0)
