"""Random damage to what ``sopedu separate`` is given: it works, or ends with one line and exit status 2.

Of small films 2 000 mutated copies: bytes flipped, overwritten, cut out, doubled and moved, sizes and counts made
absurd, most often in the headers. A process of its own separates them one after another, so that a crash or a hang is
seen and blamed on its seed: ``write`` makes the very file again. SOPEDU_MUTATIONS=20000 in the environment tries more.
Then random configurations of a checkpoint. What `test_bad_input` needs of this is here too.
"""

from __future__ import annotations

import faulthandler
import io
import json
import multiprocessing
import os
import random
import shutil
import struct
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext, redirect_stderr, redirect_stdout
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

import av
import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from typer.main import get_command

from sopedu.cli import commands as cli
from sopedu.config import preset, to_dict, with_values
from sopedu.errors import SopeduError
from sopedu.model import checkpoints
from sopedu.model.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from sopedu.model.sound_of_pixels import SoundOfPixels

COUNT = int(os.environ.get("SOPEDU_MUTATIONS", "2000"))
SECONDS_A_FILE, SECONDS_IN_ALL = 30, 0.3 * COUNT
SIZES = """model.frame_weights=none model.audio_channels=2,2 model.frame_width=2 model.components=2 frames.size=16
spectrogram.samples=8191 spectrogram.n_fft=512 spectrogram.hop_length=256 spectrogram.log_frequency_bins=16"""
CONFIG = with_values(preset("tiny"), SIZES.split())
REST = ("--checkpoint", "model", "--out", "out")
H264, MPEG4 = {"codecs": ("libx264", "aac")}, {"codecs": ("mpeg4", "pcm_s16le")}
# How often each is taken, and how it is written.
FILMS: dict[str, tuple[int, dict[str, Any]]] = {
    "back.mp4": (5, H264),
    "front.mp4": (5, {**H264, "movflags": "+faststart"}),
    "parts.mp4": (2, {**H264, "movflags": "+frag_keyframe+empty_moov"}),
    "sixteen.mp4": (1, {**H264, "layout": "hexadecagonal"}),
    "film.mkv": (2, H264),
    "film.avi": (2, MPEG4),
    "film.mov": (1, MPEG4),
    "film.ts": (1, H264),
    "film.flv": (1, {**H264, "rate": 11025}),
    "film.mpg": (1, {"codecs": ("mpeg1video", "mp2"), "rate": 44100}),
    "film.webm": (1, {"codecs": ("libvpx", "libopus"), "rate": 48000}),
}
ODD = [0, 1, 2, 3, 7, 255, 256, 1000, 0xFFFF, 0x10000, 10**6, 10**8, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]
CHOICES = ["", "--box 0,0,0.5,1", "--box 0,0,0.5,1 --start 0.3", "--end 0.6 --cells 1 --normalise --keep-rate"]
WAYS = ["odd", "odd", "odd", "flip", "flip", "noise", "noise", "cut", "drop", "double", "move", "size", "kind"]
NESTED = dict.fromkeys([b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"udta", b"moof", b"traf"], 8)
NESTED |= {b"meta": 12, b"stsd": 16, b"avc1": 86, b"mp4a": 36}


def sopedu(*words: str) -> tuple[int, str, str]:
    """Run a command line in this process; give its exit status, standard output and standard error."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)  # as strict as a terminal's
    err = io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace", write_through=True)
    with patch.object(sys, "argv", ["sopedu", *words]), redirect_stdout(out), redirect_stderr(err):
        try:
            status = cli.main() or 0
        except SystemExit as leaving:
            status = leaving.code or 0
    return status, out.buffer.getvalue().decode(), err.buffer.getvalue().decode()


def one_line(err: str) -> str:
    """The only line that is no progress bar, which starts with a carriage return."""
    lines = [line for line in err.split("\n") if line and not line.startswith("\r")]
    assert len(lines) == 1 and lines[0].startswith("sopedu: ") and len(lines[0].splitlines()) == 1, err
    return lines[0]


def contents(folder: str = ".") -> dict[str, bytes]:
    """Everything in a folder, hidden things too."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in Path(folder).rglob("*")}


def tone(seconds: float = 2.0, rate: int = 8000, sample: float = 0.0) -> np.ndarray:
    """A sine at half the full scale, (L,) float32; one sample in its middle is another."""
    waveform = 0.5 * np.sin(0.3 * np.arange(round(seconds * rate)))
    waveform[len(waveform) // 2] = sample
    return waveform.astype(np.float32)


def write_film(
    path: str | Path,
    sound: np.ndarray | None,
    pictures: int = 16,
    rate: int = 8000,
    size: tuple[int, int] = (48, 64),
    codecs: tuple[str, str] = ("ffv1", "pcm_f32le"),
    layout: str = "mono",
    **options: str,
) -> None:
    """A film of noise and a tone, or one without pictures or without sound."""
    options["fflags"] = "+bitexact"  # the same bytes every time
    with av.open(str(path), "w", container_options=options) as container:
        if pictures:
            seen = container.add_stream(codecs[0], rate=24 if codecs[0] == "mpeg1video" else 8)
            (seen.height, seen.width), seen.pix_fmt = size, "rgb24" if codecs[0] == "png" else "yuv420p"
        if sound is not None:
            heard = container.add_stream(codecs[1], rate=rate, layout=layout)
        for number in range(pictures):
            picture = np.random.default_rng(number).integers(256, size=(*size, 3), dtype=np.uint8)
            container.mux(seen.encode(av.VideoFrame.from_ndarray(picture)))
        if pictures:
            container.mux(seen.encode(None))
        if sound is not None:
            samples = np.repeat(sound, heard.channels)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="flt", layout=layout)
            frame.sample_rate, frame.pts = rate, 0
            container.mux(heard.encode(frame))
            container.mux(heard.encode(None))


def save_model(folder: str | Path) -> None:
    torch.manual_seed(0)
    save_checkpoint(folder, Checkpoint(SoundOfPixels(CONFIG).eval(), ("violin",), {"data": "toyband", "steps": 1}))


def broken(weights: Any = dict, **values: Any) -> tuple[str, ...]:
    """Words for a model whose weights went through a function, with other fields and notes."""
    shutil.copytree("model", "broken", dirs_exist_ok=True)
    save_file(weights(load_file("model/model.safetensors")), "broken/model.safetensors")
    notes = json.loads(Path("model/config.json").read_text())
    for name, value in values.items():
        group, _, field = name.rpartition("__")
        (notes["config"][group] if group else notes)[field] = value
    Path("broken/config.json").write_text(json.dumps(notes))
    return ("--checkpoint", "broken", "--out", "out")


def without_figures() -> ExitStack:
    """A context in which reports have none: they take longer than all the rest."""
    with ExitStack() as stack:
        for name in ("separation.page.plot_sound_map", "separation.page.plot_levels", "pages.encode_figure"):
            stack.enter_context(patch(f"sopedu.{name}", return_value=b""))
        return stack.pop_all()


def atoms(film: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """(Start, size) of every atom of an mp4 but the samples, nested ones too."""
    while start + 8 <= end:
        size, kind = struct.unpack(">I4s", film[start : start + 8])
        if not 8 <= size <= end - start:
            return
        if kind not in (b"mdat", b"free"):
            yield start, size
        if kind in NESTED:
            yield from atoms(film, start + NESTED[kind], start + size)
        start += size


def mutate(film: bytearray, draw: random.Random, boxed: bool) -> None:
    """Damage a film in place, in one of many ways."""
    known = list(atoms(film, 0, len(film))) if boxed and draw.random() < 0.6 else []
    if known:
        start, length = draw.choice(known)
    else:
        length = draw.choice([len(film), min(len(film), 1200)])
        start = draw.choice([0, 0, len(film) - length])  # headers lie in front, or at the end
    at = start + draw.randrange(length)
    piece = slice(at, at + draw.choice([1, 4, 50, 500]))
    if known and draw.random() < 0.5:
        piece = slice(start, start + length)
    match draw.choice(WAYS):
        case "odd":
            number = draw.choice([*ODD, draw.getrandbits(32), draw.getrandbits(8)])
            at -= (at - start) % draw.choice([1, 4])
            film[at : at + 4] = struct.pack(draw.choice("><") + "I", number)
        case "flip":
            for _ in range(draw.choice([1, 1, 4, 20])):
                film[start + draw.randrange(length)] ^= 1 << draw.randrange(8)
        case "noise":
            film[piece] = draw.choice([draw.randbytes, bytes, lambda count: count * b"\xff"])(len(film[piece]))
        case "cut":
            del film[at:]
        case "drop":
            del film[piece]
        case "double":
            film[piece.start : piece.start] = film[piece]
        case "move":
            moved, to = film[piece], draw.randrange(len(film))
            del film[piece]
            film[to:to] = moved
        case "size":
            film[start : start + 4] = struct.pack(">I", draw.choice([*ODD, 2 * length, length + draw.randint(-8, 16)]))
        case "kind":
            film[start + 4 : start + 8] = draw.choice([b"free", b"mdat", b"moov", b"stbl", b"uuid", b"\0\0\0\0"])


def write(seed: int, films: Path, folder: Path) -> Path:
    """Write the mutated film of a seed into a folder."""
    draw = random.Random(seed)
    (name,) = draw.choices(list(FILMS), [often for often, _ in FILMS.values()])
    film = bytearray((films / name).read_bytes())
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        if len(film) > 8:
            mutate(film, draw, Path(name).suffix in (".mp4", ".mov"))
    path = folder / f"damaged{Path(name).suffix}"
    path.write_bytes(film)
    return path


def outcome(seed: int, films: Path) -> int:
    """Separate the film of a seed and check what comes of it; give the exit status."""
    film = write(seed, films, Path())
    try:
        status, _, err = sopedu("separate", film.name, "--out", "out", *CHOICES[seed % len(CHOICES)].split())
        if status == 0:
            result = json.loads(Path("out/result.json").read_text(encoding="utf-8"))
            wanted = {"sound_map.mp4", "mixture.wav", "result.json", "report.html"}
            wanted |= {entry[kind] for entry in result["sounds"] for kind in ("wav", "video")}
            assert set(os.listdir("out")) == wanted - {None} and result["seconds"] > 0
            shutil.rmtree("out")
        else:
            assert (status, one_line(err).startswith(f"sopedu: {film.name}: ")) == (2, True), err
    finally:
        film.unlink()
    assert os.listdir() == []
    return status


def work(connection: Connection, films: Path, folder: Path, log: Path) -> None:
    """Answer every seed with its outcome or a traceback; for a process of its own."""
    os.chdir(folder)
    with open(log, "wb") as printed:
        os.dup2(printed.fileno(), 2)  # what C libraries print
        faulthandler.enable()
        warnings.simplefilter("error")
        torch.set_num_threads(1)
        # Nothing that a damaged video has no part in is done two thousand times.
        loaded, cli.app = load_checkpoint(films / "model"), get_command(cli.app)
        checkpoints.load_checkpoint = lambda *_: loaded
        connection.send("ready")
        while (seed := connection.recv()) is not None:
            try:
                with without_figures() if seed % 100 else nullcontext():
                    said: Any = outcome(seed, films)
                assert log.stat().st_size == 0, "something else was printed"
            except BaseException:
                said = traceback.format_exc()
            connection.send(said)


def test_no_damaged_video_ends_in_a_crash_a_hang_or_a_traceback(tmp_path):
    begun, films, folder, log = time.monotonic(), tmp_path / "films", tmp_path / "here", tmp_path / "log"
    save_model(films / "model")
    for name, (_, how) in FILMS.items():
        write_film(films / name, tone(1, how.get("rate", 8000)), 8, **how)
    context, worker, trouble, statuses = multiprocessing.get_context("spawn"), None, [], []
    for seed in range(COUNT):
        if worker is None:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            ours, theirs = context.Pipe()
            worker = context.Process(target=work, args=(theirs, films, folder, log), daemon=True)
            worker.start()
            theirs.close()
            assert ours.poll(20 * SECONDS_A_FILE) and ours.recv() == "ready"
        try:
            ours.send(seed)
            said = ours.recv() if ours.poll(SECONDS_A_FILE) else f"no answer after {SECONDS_A_FILE} s"
        except (EOFError, OSError):
            worker.join()
            said = f"the process ended with {worker.exitcode}: {log.read_text()}"
        statuses.append(said)
        if isinstance(said, str):
            trouble.append(f"seed {seed}: {said}")
            worker.kill()
            worker.join()
            worker = None
            if len(trouble) == 20:
                break
    if worker is not None:
        ours.send(None)
        worker.join()
    assert not trouble, f"{len(trouble)} of {COUNT}:\n" + "\n".join(trouble[:5])
    assert 0.1 < np.mean(np.array(statuses) == 2) < 0.9  # the damage is neither fatal nor harmless
    assert time.monotonic() - begun < SECONDS_IN_ALL


@pytest.fixture(scope="module")
def film(one_thread, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patches, without_figures():
        patches.chdir(tmp_path_factory.mktemp("film"))
        save_model("model")
        write_film("film.mkv", tone())
        yield "film.mkv"


def works_or_is_refused(*words: str) -> None:
    status, _, err = sopedu("separate", *words)
    assert status in (0, 2) and (status == 0 or one_line(err))
    shutil.rmtree("out", ignore_errors=True)


fuzzed = settings(derandomize=True, deadline=None, max_examples=100, database=None)
NAMES = ["area", "small", "resnet18", "mean", "softmax", "relu", "none", "sigmoid", "ratio", "binary", "a\nb"]
SCALARS = st.integers(-2, 300) | st.floats() | st.sampled_from([2**31, 10**9, 10**30, None, True, *NAMES]) | st.text()
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.text(), SCALARS, max_size=2)
PLACES = [("config", group, name) for group, part in to_dict(CONFIG).items() if group != "name" for name in part]
PLACES += [("format_version",), ("class_names",), ("trained_on", "data"), ("config", "name"), ("config",)]


@fuzzed
@given(st.lists(st.tuples(st.sampled_from(PLACES), VALUES, st.sampled_from(["set", "set", "drop", "add"])), max_size=4))
@example([(("class_names",), ["\ud800"], "set")])
@example([(("trained_on", "data"), "\ud800", "set")])
def test_any_configuration_works_or_is_refused(film, changes):
    words, notes = broken(), json.loads(Path("model/config.json").read_text())
    for (*groups, name), value, how in changes:
        part = notes
        for group in groups:
            part = part.get(group) if isinstance(part, dict) else None
        if isinstance(part, dict):
            part.pop(name, None)
            part |= {} if how == "drop" else {name if how == "set" else f"{name}2": value}
    Path("broken/config.json").write_text(json.dumps(notes))
    try:
        sound = load_checkpoint("broken").config.spectrogram
    except SopeduError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assume(sound.samples < 50_000 and sound.time_frames * sound.log_frequency_bins < 50_000)  # more takes long
    works_or_is_refused(film, *words)
