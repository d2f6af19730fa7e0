"""``sopedu evaluate --duets``: films of two players, without references."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sopedu.cli.options import counted
from sopedu.cli.ratings import write_page_for_raters

if TYPE_CHECKING:
    from sopedu.model import Checkpoint


def duets_plan(loaded: Checkpoint, place: Path, root: Path | None, frame_rate: float | None) -> str:
    """Return the part of a plan with the films and the estimated duration.

    Args:
        loaded: the model.
        place: a folder of films, or an index.
        root: value of ``--root``.
        frame_rate: value of ``--frame-rate``.
    """
    from sopedu.cli.plans import duets_seconds
    from sopedu.datasets.duet_films import open_duets, total_seconds
    from sopedu.training.estimate import spoken

    films = open_duets(place, loaded.config, root, frame_rate)
    seconds = total_seconds(films)
    return f"{counted(len(films), 'film')} of {place}, {seconds:.0f} s, about {spoken(duets_seconds(loaded, seconds))}"


def evaluate_on_duets(
    loaded: Checkpoint, place: Path, sheet: Path | None, say: Callable[[str], None], **asked: Any
) -> dict[str, Any]:
    """Evaluate on duets, and print the table with what should be known about it.

    Args:
        loaded: the model.
        place: a folder of films, or an index.
        sheet: a page for blind listening to write, too.
        say: prints a line.
        **asked: further arguments of :func:`sopedu.datasets.evaluate_duets`.

    Returns:
        the figures.
    """
    from sopedu.datasets import evaluate_duets, trials_of_duets
    from sopedu.evaluation import duet_table

    figures = evaluate_duets(loaded, place, **asked)
    for line in figures["left_out"]:
        say(f"left out: {line}")
    say(duet_table(figures))
    for note in figures["notes"]:
        say(f"note: {note}")
    if sheet is not None:
        layout = {name: asked[name] for name in ("regions", "root", "frame_rate")}
        write_page_for_raters(sheet, loaded, trials_of_duets(loaded, place, **layout), asked["seed"], say)
    return figures
