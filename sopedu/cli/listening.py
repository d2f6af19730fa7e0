"""``sopedu evaluate --listening``: does the model listen, or does it keep whatever it hears?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sopedu.model import Checkpoint

_NOT_HERE = ("same_class", "save_pairs")  # arguments of an evaluation that mean nothing here


def listening_plan(loaded: Checkpoint, asked: dict[str, Any]) -> str:
    """Return the part of a plan about listening, with its estimated duration.

    Args:
        loaded: the model.
        asked: arguments of :func:`sopedu.evaluate`.
    """
    from sopedu.cli.plans import listening_seconds
    from sopedu.training.estimate import spoken

    pairs = asked["pairs"] or (550 if asked["listed"] else 64)  # a list is not read yet
    seconds = listening_seconds(loaded, pairs, asked["sources"], asked["dictionaries"])
    return f", whether it listens to them, about {spoken(seconds)} more"


def show_listening(loaded: Checkpoint, asked: dict[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
    """Measure what a model keeps of sounds, and print it.

    Args:
        loaded: the model.
        asked: arguments of :func:`sopedu.evaluate`.
        say: prints a line.

    Returns:
        what :func:`sopedu.evaluation.evaluate_listening` returns.
    """
    from sopedu.evaluation import evaluate_listening, listening_text

    figures = evaluate_listening(loaded, **{name: value for name, value in asked.items() if name not in _NOT_HERE})
    say(f"\n{listening_text(figures)}\nprotocol: {figures['protocol']}")
    return figures
