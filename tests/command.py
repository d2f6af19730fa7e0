"""Run a command line of sopedu or of a tool in this process: shared by tests of several rooms."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from types import ModuleType

import pytest

from sopedu.cli import commands as cli
from sopedu.cli import run_command


def sopedu(command: str, values: str = "") -> tuple[int, str, str]:
    """Run a command line in this process; give its exit status, standard output and standard error."""
    changes = [word for value in values.split() for word in ("--set", value)]
    return _run(lambda: cli.main(), ["sopedu", *command.split(), *changes])


def tool(module: ModuleType, command: str) -> tuple[int, str, str]:
    """Run a tool as ``python -m tools.NAME`` does; give its exit status, standard output and standard error."""
    return _run(lambda: run_command(module.app), [module.__name__, *command.split()])


def _run(main: Callable[[], None], arguments: list[str]) -> tuple[int, str, str]:
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        patch.setattr(sys, "argv", arguments)
        try:
            status = main() or 0
        except SystemExit as leaving:
            status = leaving.code or 0
    return status, out.getvalue(), err.getvalue()
