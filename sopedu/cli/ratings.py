"""Blind listening: ``sopedu evaluate --sheet`` writes a page for raters, ``sopedu ratings`` evaluates their answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sopedu.cli.options import JsonOption, counted, goal_of, printer, writable, write_figures

if TYPE_CHECKING:
    from sopedu.evaluation import Trial
    from sopedu.model import Checkpoint


def page_and_key(path: Path | None) -> Path | None:
    """Check before long work begins that a page and its key can be written; a callback of options."""
    from sopedu.evaluation.sheet import key_of

    if path is not None:
        key_of(path)
    return writable(path)


SheetOption = Annotated[
    Path | None,
    typer.Option("--sheet", help="Also write a page for blind listening, PAGE.html.", callback=page_and_key),
]


def write_page_for_raters(
    path: Path, loaded: Checkpoint, trials: Sequence[Trial], seed: int, say: Callable[[str], None]
) -> None:
    """Write a page for blind listening and its key, and say where they are.

    Args:
        path: of the page.
        loaded: the model.
        trials: sounds to rate.
        seed: of the names that hide the conditions.
        say: prints a line.
    """
    from sopedu.evaluation import write_sheet

    key = write_sheet(path, trials, loaded.config.spectrogram, loaded.describe(), seed)
    say(f"page for listening: {path}, {counted(len(trials), 'trial')}; its key, not for raters: {key}")
    say(f"next: let people rate it, then sopedu ratings ANSWERS.csv --key {key}")


def ratings(
    answers: Annotated[list[Path], typer.Argument(help="CSV files that a listening page saved.")],
    key: Annotated[Path, typer.Option(help="PAGE.key.json, which was written beside the page.")],
    json_file: JsonOption = None,
) -> None:
    """Evaluate answers of blind listening: means with intervals.

    Raters who gave the hidden reference less than 90 in more than 15 % of the trials are left out (ITU-R BS.1534-3).

    Python: sopedu.evaluation.evaluate_ratings(answers, key)
    """
    from sopedu.evaluation import evaluate_ratings, ratings_table

    say, count = printer(json_file), counted(len(answers), "file")
    say(f"plan: join {count} of answers with {key}, a few seconds{goal_of(json_file)}")
    figures: dict[str, Any] = evaluate_ratings(answers, key)
    say(ratings_table(figures))
    for note in figures["notes"]:
        say(f"note: {note}")
    say(f"protocol: {figures['protocol']}")
    write_figures(json_file, figures)
