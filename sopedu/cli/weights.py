"""``sopedu weights`` and ``import-original``: trained models by name, and models that others published or trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sopedu.cli.options import split_names


def weights(
    name: Annotated[str | None, typer.Argument(help="The model to fetch, such as music; without it: a list.")] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="A folder that holds the files already; nothing is downloaded.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Address of a folder with the same files elsewhere; default: the authors'.")
    ] = None,
) -> None:
    """Fetch a model that others published, once; then its name is a checkpoint.

    A download that was stopped continues with the same command. Without a name: which checkpoints there are.

    Python: sopedu.model.fetch_weights("music")
    """
    from sopedu.model import PUBLISHED, fetch_weights, load_checkpoint

    if name is None:
        _list()
        return
    if source is None and name in PUBLISHED:
        published = PUBLISHED[name]
        typer.echo(f"plan: fetch about {published.megabytes} MB once; licence: {published.licence}")
    folder = fetch_weights(name, source, url, say=typer.echo)
    typer.echo(
        f"model: {load_checkpoint(folder).describe()}\n{folder}\nnext: sopedu separate VIDEO --checkpoint {name}"
    )


def _list() -> None:
    """Print every checkpoint that has a name."""
    from sopedu.model import PUBLISHED, load_checkpoint
    from sopedu.shipped import checkpoint_names, fetched_folder

    for name in checkpoint_names():
        typer.echo(f"{name:14}comes with sopedu: {load_checkpoint(name).describe()}")
    for name, published in PUBLISHED.items():
        there = (fetched_folder(name) / "config.json").exists()
        state = f"in {fetched_folder(name)}" if there else f"not here yet: sopedu weights {name} fetches it"
        typer.echo(f"{name:14}{state} (about {published.megabytes} MB): {published.about}")


def import_original(
    frame: Annotated[Path, typer.Argument(help="The frame net's weights, such as frame_best.pth.")],
    sound: Annotated[Path, typer.Argument(help="The sound net's weights, such as sound_best.pth.")],
    synthesizer: Annotated[Path, typer.Argument(help="The synthesizer's weights, such as synthesizer_best.pth.")],
    out: Annotated[Path, typer.Option(help="New folder for the checkpoint.")],
    frame_net: Annotated[str, typer.Option(help="resnet18dilated or resnet18fc.")] = "resnet18dilated",
    pooling: Annotated[str, typer.Option(help="max or mean over frames and cells.")] = "max",
    visual_activation: Annotated[str, typer.Option(help="sigmoid, softmax, relu, tanh or none.")] = "sigmoid",
    audio_activation: Annotated[str, typer.Option(help="sigmoid, softmax, relu, tanh or none.")] = "none",
    mask_activation: Annotated[str, typer.Option(help="sigmoid.")] = "sigmoid",
    target: Annotated[str, typer.Option(help="binary or ratio: the masks it was trained on.")] = "binary",
    classes: Annotated[str, typer.Option(help="The classes it was trained on, with commas.")] = "",
) -> None:
    """Read weights of the original Sound-of-Pixels code.

    Python: sopedu.import_original(frame, sound, synthesizer)
    """
    from sopedu.folders import require_new_folder
    from sopedu.model import import_original as read_original
    from sopedu.model import save_checkpoint

    require_new_folder(out)
    typer.echo(f"plan: read {frame}, {sound} and {synthesizer}, a few seconds; the checkpoint goes to {out}")
    checkpoint = read_original(
        frame, sound, synthesizer, frame_net=frame_net, pooling=pooling, visual_activation=visual_activation,
        audio_activation=audio_activation, mask_activation=mask_activation, target=target,
        class_names=list(split_names(classes)),
    )  # fmt: skip
    model = checkpoint.config.model
    typer.echo(f"K = {model.components}, {len(model.audio_channels)} steps down of {model.audio_channels} channels")
    typer.echo(f"{save_checkpoint(out, checkpoint)}\nnext: sopedu separate VIDEO --checkpoint {out}")
