"""The one exception that sopedu raises for what a user can put right."""

from __future__ import annotations


class SopeduError(ValueError):
    """A user's mistake or a bad file: one line that says what is wrong, where, and what to do.

    The command line prints the line without a traceback and exits with status 2.
    """
