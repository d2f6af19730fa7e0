"""Run a command line of sopedu in this process: shared by tests of several rooms."""

from __future__ import annotations

import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

import pytest

from sopedu.cli import commands as cli


def sopedu(command: str, values: str = "") -> tuple[int, str, str]:
    """Run a command line in this process; give its exit status, standard output and standard error."""
    changes = [word for value in values.split() for word in ("--set", value)]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        patch.setattr(sys, "argv", ["sopedu", *command.split(), *changes])
        try:
            status = cli.main() or 0
        except SystemExit as leaving:
            status = leaving.code or 0
    return status, out.getvalue(), err.getvalue()
