"""``sopedu toyband …``: look at the rendered data set and write it to files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sopedu.cli.options import SeedOption, SplitOption, counted, split_names

app = typer.Typer(help="The rendered data set: draw its instruments, write solos and duets to files.")


@app.command()
def sheet(
    out: Annotated[Path, typer.Option(help="Picture file.")] = Path("toyband.png"), split: SplitOption = "train"
) -> None:
    """Draw all instruments into one picture.

    Python: sopedu.toyband.export.contact_sheet(path)
    """
    from sopedu.toyband.export import contact_sheet, require_picture_name
    from sopedu.toyband.splits import check_split

    check_split(split)
    require_picture_name(out)
    typer.echo(f"plan: draw all instruments, about 10 s; the picture goes to {out}", err=True)
    typer.echo(contact_sheet(out, split=split))


@app.command()
def render(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    solos: Annotated[int, typer.Option(help="How many.", min=1)] = 22,
    split: SplitOption = "train",
    video: Annotated[bool, typer.Option("--video", help="Write mp4 files instead of the data layout.")] = False,
    seconds: Annotated[float, typer.Option(help="Length of a solo.", min=1.0, max=600.0)] = 6.0,
    size: Annotated[int, typer.Option(help="Width and height in pixels.", min=64, max=1024)] = 224,
    seed: SeedOption = 0,
    properties: Annotated[
        str, typer.Option(help="Of the sounds: all, plain, or some by name with commas: tuning,room …")
    ] = "all",
) -> None:
    """Write solos as audio/, frames/ and an index CSV, or as videos.

    Python: sopedu.toyband.export.render_dataset(…)
    """
    from sopedu.cli.plans import rendering_seconds
    from sopedu.files import require_place
    from sopedu.toyband.export import render_dataset, render_videos
    from sopedu.toyband.performance import check_properties
    from sopedu.toyband.splits import check_split
    from sopedu.training.estimate import spoken

    check_split(split)
    named = check_properties(split_names(properties))
    require_place(out / "files")
    duration = spoken(rendering_seconds(solos, seconds, size, 25.0 if video else 8.0))
    what = "videos" if video else "sound, pictures and an index"
    what = f"{counted(solos, 'solo')} of {seconds:g} s as {what}"
    typer.echo(f"plan: render {what}, about {duration}; they go to {out}", err=True)
    if video:
        paths = render_videos(out, solos, split, seconds=seconds, size=size, seed=seed, properties=named)
        typer.echo(f"{len(paths)} videos in {out}")
    else:
        typer.echo(render_dataset(out, solos, split, seconds=seconds, size=size, seed=seed, properties=named))


@app.command()
def film(
    out: Annotated[Path, typer.Argument(help="The video, ends in .mp4; an existing file is replaced.")],
    pair: Annotated[str, typer.Option(help="Two instruments, from left to right, with a comma.")] = "cello,trumpet",
    seed: SeedOption = 14,
    split: SplitOption = "test",
    seconds: Annotated[float, typer.Option(help="Length of the video.", min=1.0, max=600.0)] = 8.0,
) -> None:
    """Write a video of a duet; by default the shipped one.

    Python: sopedu.toyband.export.render_film(…)
    """
    from sopedu.toyband.export import render_film

    typer.echo(render_film(out, [name.strip() for name in pair.split(",")], seed, split, seconds=seconds))
