"""What several commands share: options, reading what a user typed, and writing figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from sopedu.errors import SopeduError

_STANDARD_OUTPUT = Path("-")


def writable(path: Path | None) -> Path | None:
    """Check before long work begins that a file of results can be written; a callback of options."""
    from sopedu.files import require_place

    return path if path is None else require_place(path)


JsonOption = Annotated[
    Path | None,
    typer.Option("--json", help="Also write the figures to this JSON file; - prints them.", callback=writable),
]
SeedOption = Annotated[int, typer.Option(help="Seed of everything that is random.", min=0)]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Change a setting: model.components=16; repeat for more.")
]
RootOption = Annotated[
    Path | None, typer.Option(help="The folder in which the paths of the index begin; default: it is found.")
]
RateOption = Annotated[
    float | None,
    typer.Option("--frame-rate", help="Frames per second of the data; default: found from counts and sounds.", min=0.1),
]
DeviceOption = Annotated[str, typer.Option(help="auto (a GPU if there is one), cpu or cuda.")]
SplitOption = Annotated[str, typer.Option(help="train, validation or test.")]
# Text instead of a path: ./toyband is a folder, but toyband may be the name of a shipped checkpoint.
CheckpointArgument = Annotated[
    str, typer.Argument(help="A checkpoint's folder, a run's, or toyband, toyband-tiny, music.")
]


def printer(json_file: Path | None) -> Callable[[str], None]:
    """Return a function that prints a line: to standard error if the figures go to standard output.

    Args:
        json_file: value of ``--json``.
    """
    return partial(typer.echo, err=json_file == _STANDARD_OUTPUT)


def goal_of(json_file: Path | None) -> str:
    """Return the end of a plan's line, which says where the figures go.

    Args:
        json_file: value of ``--json``.
    """
    return "" if json_file is None else f"; figures go to {json_file}"


def write_figures(json_file: Path | None, figures: dict[str, Any] | Iterable[str]) -> None:
    """Write figures as JSON to a file or to standard output.

    Args:
        json_file: value of ``--json``; None: nothing is written.
        figures: values that JSON can hold; or JSON in pieces.

    Raises:
        SopeduError: the file cannot be written.
    """
    pieces = [json.dumps(figures, indent=2, allow_nan=False)] if isinstance(figures, dict) else figures
    if json_file == _STANDARD_OUTPUT:
        for piece in pieces:
            typer.echo(piece, nl=False)
        typer.echo()
    elif json_file is not None:
        from sopedu.files import written_aside

        with written_aside(json_file, parents=True) as unfinished, open(unfinished, "w", encoding="utf-8") as file:
            file.writelines(pieces)
            file.write("\n")
        typer.echo(f"figures: {json_file}")


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 step``, ``2 steps``.

    Args:
        number: how many.
        noun: in the singular; its plural ends in s.
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def split_names(text: str) -> tuple[str, ...]:
    """Return the names in a list with commas.

    Args:
        text: what the user typed; blanks around names do not count.
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())


def parse_boxes(texts: list[str]) -> dict[str, tuple[float, ...]]:
    """Read the values of ``--box``.

    Args:
        texts: each ``x0,y0,x1,y1`` in fractions of width and height, or ``name=x0,y0,x1,y1``.

    Returns:
        Boxes by name; those without one are called region1, region2 …

    Raises:
        SopeduError: a text is no box, or two have one name.
    """
    from sopedu.localization import check_box

    boxes: dict[str, tuple[float, ...]] = {}
    for number, text in enumerate(texts, 1):
        name, named, edges = text.rpartition("=")
        name = name.strip() if named else f"region{number}"
        if name in boxes:
            raise SopeduError(f"--box {text}: there is another region called {name}; give each its own name")
        try:
            boxes[name] = check_box(tuple(float(part) for part in edges.split(",")))
        except SopeduError as error:
            raise SopeduError(f"--box {text}: {error}") from None
        except ValueError:
            raise SopeduError(
                f"--box {text}: write four numbers x0,y0,x1,y1 as fractions of width and height"
            ) from None
    return boxes


def parse_time(option: str, text: str) -> float:
    """Read a time.

    Args:
        option: the option's name, for the error.
        text: seconds (``90.5``) or ``[h:]m:s`` (``1:30.5``).

    Returns:
        The time in seconds.

    Raises:
        SopeduError: the text is no time.
    """
    try:
        seconds = sum(float(part) * 60**place for place, part in enumerate(reversed(text.split(":"))))
    except (ValueError, OverflowError):
        seconds = -1.0
    if not 0 <= seconds < 1e7:
        raise SopeduError(f"{option} {text}: write seconds (90.5) or minutes and seconds (1:30.5)")
    return seconds
