"""``sopedu weights``: trained models by name, and fetching those that others published."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


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
