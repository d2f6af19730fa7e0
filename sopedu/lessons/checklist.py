"""A checklist that ticks itself: each line is computed from files and variables (notebook 20_project).

    >>> tasks = Checklist()
    >>> tasks.add("a page that can be passed on", Path("duet/page.html"), "export it with probe.export_html(…)")
    >>> tasks.add("a conclusion", lambda: len(conclusion.split()) >= 30, "write thirty words or more")
    >>> tasks
    ✓ a page that can be passed on
    ○ a conclusion: write thirty words or more
    1 of 2 are done.

What a learner only claims does not count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sopedu.errors import SopeduError


@dataclass(frozen=True)
class Task:
    """One line of a checklist.

    Attributes:
        name: what is to be done.
        done: whether it is.
        missing: what is missing; empty if it is done.
    """

    name: str
    done: bool
    missing: str

    def __str__(self) -> str:
        """The line with its mark."""
        return f"✓ {self.name}" if self.done else f"○ {self.name}: {self.missing}"


class Checklist:
    """Tasks with a tick where something shows that they are done.

    Attributes:
        tasks: in the order in which they were added.

    Notebook: 20_project.
    """

    def __init__(self) -> None:
        self.tasks: list[Task] = []

    def add(self, name: str, done: bool | Path | Callable[[], bool], missing: str) -> None:
        """Add a task and look whether it is done.

        Args:
            name: what is to be done.
            done: a truth value; a file that must exist and not be empty; or a function without arguments that returns a
                truth value. An error in the function leaves the task open and names the error.
            missing: what to do if it is not done.

        Raises:
            SopeduError: there is a task of that name.
        """
        if any(task.name == name for task in self.tasks):
            raise SopeduError(f"the checklist has a task {name!r}: choose another name")
        try:
            ticked = _is_done(done)
        except Exception as error:  # a cell above has not been run, or stopped
            ticked, missing = False, f"{missing} ({type(error).__name__}: {error})"
        self.tasks.append(Task(name, ticked, "" if ticked else missing))

    @property
    def open(self) -> list[str]:
        """Names of the tasks that are not done."""
        return [task.name for task in self.tasks if not task.done]

    def __repr__(self) -> str:
        """One line per task, and their number."""
        done = len(self.tasks) - len(self.open)
        return "\n".join([*map(str, self.tasks), f"{done} of {len(self.tasks)} are done."])


def _is_done(done: bool | Path | Callable[[], bool]) -> bool:
    if isinstance(done, Path):
        return done.is_file() and done.stat().st_size > 0
    return bool(done() if callable(done) else done)
