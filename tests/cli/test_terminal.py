"""A command whose output is lost goes on, and one that the system ends leaves nothing unfinished behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from sopedu.cli import commands as cli
from sopedu.cli.terminal import Terminated, signals_raise
from sopedu.separation import video as separation
from sopedu.toyband import duet
from sopedu.toyband.export import write_scene_video

SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


@pytest.fixture(scope="module", autouse=True)
def place(one_thread, own_cache, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("place"))
        patch.setattr("sopedu.machine.usable_cores", lambda: 1)
        write_scene_video("film.mp4", duet(3, "test", size=(32, 48), times=np.arange(4) / 8, samples=5512), 8.0)
        yield


@pytest.fixture(autouse=True)
def signals_arrive():
    """Let signals end the process, as in a terminal, even if the tests run under nohup, which ignores SIGHUP."""
    ignored = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


def sopedu(command: str) -> tuple[int, str]:
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()), redirect_stderr(StringIO()) as err:
        patch.setattr(sys, "argv", ["sopedu", *command.split()])
        try:
            status = cli.main() or 0
        except SystemExit as leaving:
            status = leaving.code or 0
    return status, err.getvalue()


#: A command, and what it calls when it is in the middle of its work.
COMMANDS = {
    "separate film.mp4 --out new": "sopedu.separation.video.write_separation_page",
    "demo --out new": "sopedu.training.benchmark.measure_step",
    "train --out new": "sopedu.data.clips.rendered_set",
    "toyband sheet --out new.png": "sopedu.toyband.export.written_aside",
    "toyband render --out new --solos 1 --video": "sopedu.video.writing.VideoWriter.add",
    "import-original a b c --out new": "sopedu.model.original.import_original",
}


@pytest.mark.parametrize(
    ("command", "number"), [(command, SIGNALS[place % len(SIGNALS)]) for place, command in enumerate(COMMANDS)]
)
def test_a_command_that_is_told_to_end_leaves_nothing_behind(monkeypatch, command, number):
    before = signal.getsignal(number)
    monkeypatch.setattr(COMMANDS[command], end_by(number))
    status, err = sopedu(command)
    assert status == 128 + number
    assert err.splitlines()[-1] == f"sopedu: ended by {signal.Signals(number).name}; unfinished files are removed"
    assert signal.getsignal(number) is before
    left = sorted(str(path) for path in Path().rglob("*"))
    assert left == (["film.mp4", "new"] if command.startswith(("demo", "toyband render")) else ["film.mp4"])
    if "new" in left:
        Path("new").rmdir()  # it is empty


def end_by(number: int):
    def told(*_, **__):
        os.kill(os.getpid(), number)

    return told


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_does_not_stop_the_tidying_and_an_ignored_one_stays_ignored(number):
    tidied = False
    with pytest.raises(Terminated) as told, signals_raise():
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), number)
            tidied = True
    assert tidied and told.value.code == 128 + number
    before = signal.signal(number, signal.SIG_IGN)  # as nohup does
    try:
        with signals_raise():
            os.kill(os.getpid(), number)
            assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


PROGRAM = """
import sys
from sopedu.cli.terminal import tolerant_streams

with tolerant_streams():
    for number in range(2000):
        print("output", number)
        print("message", number, file=sys.stderr)
    open("done", "w").close()
"""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    ("ending", "status", "said"),
    [
        ("2>&-", 0, "output 1999"), ("2>/dev/full", 0, "output 1999"), ("2>/dev/null | head -1", 0, "output 0"),
        (">&-", 0, "message 1999"), (">/dev/full", 1, "standard output was lost (No space left on device)"),
        (">/dev/full 2>/dev/full", 1, ""), (">&- 2>&- <&-", 0, ""),
    ],
)  # fmt: skip
def test_work_is_done_whatever_becomes_of_what_is_said(tmp_path, ending, status, said):
    environment = os.environ | {"PYTHONPATH": str(Path(separation.__file__).parents[2]), "PROGRAM": PROGRAM}
    command = f'"{sys.executable}" -c "$PROGRAM" {ending}'
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == status and (tmp_path / "done").exists()
    assert "Traceback" not in done.stderr and said in done.stdout + done.stderr


def test_names_that_are_not_ascii_work_where_the_system_speaks_ascii(tmp_path):
    environment = os.environ | {
        "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0",
        "PYTHONPATH": str(Path(separation.__file__).parents[2]),
    }  # fmt: skip
    command = [sys.executable, "-m", "sopedu", "toyband", "sheet", "--out", "Bögen 文.gif"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True)
    assert done.returncode == 2 and "Bögen 文.gif: a picture file ends in .png" in done.stderr.decode()
