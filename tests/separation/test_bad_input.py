"""Bad input to ``sopedu separate``: exit status 2, one line that names it, nothing left behind, nothing else touched.

Files that hold no video or a strange one, options without sense, folders that are taken, checkpoints that are broken,
malicious or absurdly large, a full disk, Ctrl-C, and random options. What can be used is used, and a note says what is
missing. Random configurations and thousands of damaged videos are in `test_damaged_video`.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_damaged_video import (
    REST,
    broken,
    contents,
    fuzzed,
    one_line,
    save_model,
    sopedu,
    tone,
    without_figures,
    works_or_is_refused,
    write_film,
)

from sopedu.errors import SopeduError
from sopedu.folders import folder_written_aside
from sopedu.model.checkpoints import load_checkpoint

FILM = ("film.mkv", *REST)


def refused(*words: str) -> str:
    """Run ``sopedu separate``, which must refuse and leave the folder as it was, byte by byte; give the line."""
    before = contents()
    status, _, err = sopedu("separate", *words)
    line = one_line(err)
    assert status == 2 and contents() == before
    return line


def notes_on(*words: str) -> list[str]:
    """Run ``sopedu separate``, which must go through; give its notes, which standard output must say too."""
    status, said, err = sopedu("separate", *words)
    assert status == 0, err
    notes = json.loads(Path("out/result.json").read_text())["notes"]
    assert all(f"note: {note}\n" in said for note in notes)
    return notes


def write_inputs() -> None:
    """Films, and files that are offered as films."""
    write_film("film.mkv", tone())
    write_film("one.mkv", tone(), 1)
    write_film("short.mkv", tone(0.3, 44100), 3, 44100)
    write_film("front.mp4", tone(6), 48, codecs=("libx264", "aac"), movflags="+faststart")
    write_film("cut.mp4", tone(), codecs=("libx264", "aac"))
    Path("cut.mp4").write_bytes(Path("cut.mp4").read_bytes()[:-500])
    write_film("mute.mkv", None)
    write_film("opus.webm", tone(2, 48000), 0, 48000, codecs=("", "libopus"))
    write_film("silent.mkv", 0 * tone())
    write_film("zero.avi", tone())
    Path("zero.avi").write_bytes(Path("zero.avi").read_bytes().replace(struct.pack("<II", 64, 48), bytes(8)))
    write_film("wide.mkv", tone(), 2, size=(16, 20_000))
    write_film("high.avi", tone(), 2, size=(20_000, 16), codecs=("png", "pcm_f32le"))
    for sample in (float("nan"), float("inf"), 1e30):
        write_film(f"{sample:g}.mkv", tone(sample=sample))
    write_film("rate.mkv", tone(0.5, 100_000), rate=3_999_971)
    write_film("s64.nut", tone(), codecs=("ffv1", "pcm_s64le"))
    Path("empty.mp4").touch()
    Path("text.mp4").write_text("a list of instruments\n" * 20)
    Path("folder.mp4").mkdir()
    soundfile.write("cover.mp3", tone(), 8000)
    Image.new("RGB", (32, 32), "red").save("cover.png")
    cover = b"\0image/png\0\3\0" + Path("cover.png").read_bytes()  # FFmpeg calls it a video stream
    cover = b"APIC" + struct.pack(">IH", len(cover), 0) + cover
    length = bytes(len(cover) >> shift & 127 for shift in (21, 14, 7, 0))
    Path("cover.mp3").write_bytes(b"ID3\3\0\0" + length + cover + Path("cover.mp3").read_bytes())


@pytest.fixture(scope="module", autouse=True)
def place(one_thread, tmp_path_factory):
    """The current folder: films, a model, the results of an earlier run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("place"))
        save_model("model")
        write_inputs()
        assert sopedu("separate", "film.mkv", "--checkpoint", "model", "--out", "kept")[0] == 0
        yield


@pytest.fixture(autouse=True)
def swept(place):
    """What one test makes is gone before the next."""
    before = set(Path().iterdir())
    yield
    for path in set(Path().iterdir()) - before:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


NO_FILMS = {
    "no such file; check the name": "gone.mp4",
    "is a folder; name a file": "folder.mp4",
    "is empty .*; copy or download it again": "empty.mp4",
    "(cannot be read as a video|is a text or picture file).*; ": "text.mp4 cut.mp4",
    "has no sound, .*; choose a video with sound": "mute.mkv",
    "has no picture stream, .*; choose a video with pictures": "opus.webm cover.mp3",
    "its sound is digital silence": "silent.mkv",
    "its pictures are 0×0 px, .*; convert it": "zero.avi",
    "its pictures are (20000×16|16×20000) px, more than the 8192 px .*; scale it down": "wide.mkv high.avi",
    "holds samples that are not numbers .*; export the file again": "nan.mkv inf.mkv",
    "1e\\+30, .*; export": "1e+30.mkv",
    "3999971 Hz.*; convert": "rate.mkv",
    "s64 .*; convert it": "s64.nut",
}


@pytest.mark.parametrize(("name", "says"), [(name, says) for says, names in NO_FILMS.items() for name in names.split()])
def test_a_file_that_is_no_use_is_named_with_what_was_found(name, says):
    assert re.match(rf"sopedu: {re.escape(name)}: .*{says}", refused(name, *REST))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.7, 0.97])
def test_half_a_download_is_used_with_a_note_or_refused(share):
    whole = Path("front.mp4").read_bytes()
    Path("half.mp4").write_bytes(whole[: round(share * len(whole))])
    status, _, err = sopedu("separate", "half.mp4", *REST)
    said = str(json.loads(Path("out/result.json").read_text())["notes"]) if status == 0 else one_line(err)
    assert re.search("missing|damaged" if status == 0 else "^sopedu: half.mp4: .*; ", said)


@pytest.mark.parametrize(
    ("name", "says"),
    [("one.mkv", "one picture only"), ("film.mkv", "8000 samples a second"), ("short.mkv", "0.30 s is less than")],
)
def test_a_film_with_little_in_it_is_used_and_a_note_says_so(name, says):
    assert any(says in note for note in notes_on(name, *REST))


# What is said of several mistakes; THIS stands for the words themselves.
MISTAKES = {
    "THIS: .*write x0,y0,x1,y1": "--box 0,0,1.2,1 | --box -0.1,0,1,1 | --box 0.5,0,0.5,1 | --box 0.8,0,0.2,1",
    "THIS: box .*write x0,y0,x1,y1": "--box nan,0,1,1 | --box inf,0,1,1 | --box 0,0,1",
    "THIS: write four numbers": "--box a,b,c,d | --box left= | --box =",
    "region '.*': call it by letters": "--box ../x=0,0,1,1 | --box mixture=0,0,1,1 | --box =0,0,1,1",
    "another region called a; give each its own name": "--box a=0,0,1,1 --box a=0,0,1,.5",
    "a, A: two of these names": "--box a=0,0,1,1 --box A=0,0,1,.5",
    "17 boxes: at most 16": "--box 0,0,1,1 " * 17,
    "THIS: write seconds": "--start -1 | --start soon | --start nan | --start inf | --end 1:x",
    "film.mkv: is 2.00 s long, nothing is there from 99": "--start 99",
    "film.mkv: .*; change --start or --end": "--end 0 | --start 1.5 --end 1",
    "cells.*(16|integer)": "--cells 17 | --cells many",
    ".*(-stream|nonsense)": "--sound-stream x | --nonsense",
    "film.mkv: has no .* stream -?[017]; .*; choose one": "--sound-stream 7 | --sound-stream 0 | --picture-stream -1",
    "device .*: .*; choose auto, cpu or cuda": "--device nonsense | --device meta | --device hpu",
    "nowhere/config.json: no such file; a checkpoint is a folder": "--checkpoint nowhere",
    "(kept|film.mkv): already exists and is not an empty folder; choose another": "--out kept | --out film.mkv",
    "film.mkv/below: .*film.mkv is a file; choose another": "--out film.mkv/below",
    "xxx: .*; .*choose another": f"--out new/deep/{'x' * 250}",
    "film.mkv/x.json: ": "--json film.mkv/x.json",
}


@pytest.mark.parametrize(("words", "says"), [(w.strip(), says) for says, ws in MISTAKES.items() for w in ws.split("|")])
def test_an_option_that_makes_no_sense_is_named(words, says):
    assert re.match(f"sopedu: .*{says.replace('THIS', words)}", refused(*FILM, *words.split()))


@pytest.mark.parametrize("option", ["--box", "--start", "--end", "--device", "--checkpoint", "--out"])
def test_a_line_break_in_a_value_does_not_break_the_line(option):
    refused(*FILM, option, "film.mkv/\n2")


def test_a_folder_that_another_run_writes_to_is_left_alone():
    with folder_written_aside("out") as unfinished:
        (unfinished / "half").write_text("mine")
        assert "out: another run is writing there; wait for it or choose another" in refused(*FILM)
    assert [path.name for path in Path("out").iterdir()] == ["half"]


def test_what_a_killed_run_left_behind_is_swept_away():
    before = set(os.listdir())
    dies = "from sopedu.folders import *\nwith folder_written_aside('out') as o: open(o / 'x', 'w'), os._exit(9)"
    assert subprocess.run([sys.executable, "-c", dies]).returncode == 9 and Path(".out.unfinished/x").exists()
    notes_on(*FILM)
    assert set(os.listdir()) == before | {"out"} and not Path("out/x").exists()


WRONG_WEIGHTS = {
    "synthesizer.bias: expected (1,), found nothing": lambda t: {k: v for k, v in t.items() if k != "synthesizer.bias"},
    "zebra: expected nothing, found (2,)": lambda t: t | {"zebra": torch.zeros(2)},
    "synthesizer.bias are not finite": lambda t: t | {"synthesizer.bias": torch.tensor([float("nan")])},
    "checkpoint": lambda t: {k: torch.full_like(v, 1e38) if v.is_floating_point() else v for k, v in t.items()},
    "broken": lambda t: {k: v.to(torch.complex64) if v.is_floating_point() else v for k, v in t.items()},
}


@pytest.mark.parametrize("says", WRONG_WEIGHTS)
def test_weights_that_are_no_use_are_named(says):
    assert says in refused("film.mkv", *broken(WRONG_WEIGHTS[says]))


ABSURD = f"""model.components=100000000 model.frame_width=1000000000 model.frame_width="wide" frames.count=1000000
model.audio_channels={[2] * 2000} frames.size=1000000 frames.frame_rate=0 spectrogram.samples=1000000000
spectrogram.samples=100 spectrogram.sample_rate=1000000000 spectrogram.sample_rate=0 spectrogram.n_fft=100000000
spectrogram.n_fft=4 spectrogram.log_frequency_bins=1000000000 spectrogram.log_frequency_bins=13 spectrogram.floor=0
spectrogram.hop_length=1000000000 spectrogram.hop_length=512 spectrogram.hop_length=250 spectrogram.warp="none" """


@pytest.mark.parametrize("setting", ABSURD.replace(", ", ",").split(), ids=lambda setting: setting[:50])
def test_a_configuration_without_sense_is_refused_before_memory_or_time_is_spent(setting):
    (group, _, field), value = setting.split("=")[0].partition("."), json.loads(setting.split("=")[1])
    words = broken(**{f"{group}__{field}": value}, **({"frames__resize": value} if field == "size" else {}))
    with pytest.raises(SopeduError):
        load_checkpoint("broken")
    assert "broken" in refused("film.mkv", *words)


@pytest.mark.parametrize(("name", "value"), [("format_version", 2), ("class_names", 3), ("config", []), ("config", 0)])
def test_notes_of_another_format_are_refused(name, value):
    assert "broken" in refused("film.mkv", *broken(**{name: value}))


def test_a_pickle_is_no_checkpoint_and_is_never_executed():
    class Malicious:
        def __reduce__(self):
            return Path.touch, (Path("executed"),)

    words = broken()
    torch.save({"weights": Malicious()}, "weights.pt")
    for poison in (pickle.dumps(Malicious()), Path("weights.pt").read_bytes()):
        for name in ("broken/model.safetensors", "weights.pkl"):
            Path(name).write_bytes(poison)
        assert "broken/model.safetensors: the weights cannot be read" in refused("film.mkv", *words)
        assert "weights.pkl" in refused("film.mkv", "--checkpoint", "weights.pkl", "--out", "out")
    assert not Path("executed").exists()
    pickle.loads(pickle.dumps(Malicious()))
    assert Path("executed").exists()  # the poison works


STEPS = [f"separation.parts.DiskWaveform.{name}" for name in ("append", "read")]
STEPS += ["audio.resampling.resample", "separation.page.write_page"]
STEPS += [f"video.writing.VideoWriter.{name}" for name in ("__enter__", "add", "__exit__")]


@pytest.mark.parametrize("step", STEPS)
def test_ctrl_c_at_any_step_leaves_nothing(step, monkeypatch):
    before = contents()
    monkeypatch.setattr(f"sopedu.{step}", Mock(side_effect=KeyboardInterrupt))
    status, _, err = sopedu("separate", *FILM)
    assert (status, contents()) == (130, before)
    assert one_line(err) == "sopedu: interrupted"


def in_a_process(code: str) -> subprocess.Popen:
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_a_real_ctrl_c_ends_a_process_in_the_middle_of_a_video():
    before, words = contents(), ["sopedu", "separate", *FILM]
    waits = "def wait(*_): print('ready', flush=True), signal.pause()"
    child = in_a_process(
        f"import signal, sys; from sopedu.cli import commands as cli\n"
        f"from sopedu.video.writing import VideoWriter\n{waits}\n"
        f"VideoWriter.add, sys.argv = wait, {words}\n"
        # Whoever is started in the background of a script inherits that Ctrl-C is ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler); cli.main()"
    )
    while child.stdout.readline() not in (b"ready\n", b""):
        pass
    child.send_signal(signal.SIGINT)
    err = child.communicate(timeout=60)[1].decode()
    assert (child.returncode, one_line(err), contents()) == (130, "sopedu: interrupted", before)


def fill_the_disk() -> None:
    """For a process of its own: no file may grow beyond a byte less than each result needs, in turn."""
    import resource

    torch.set_num_threads(1)
    for words in ([], ["--keep-rate"], ["--cells", "1", "--box", "0,0,1,1"]):
        command = ("separate", "short.mkv", *REST, *words)
        sopedu(*command)
        sizes = {path.stat().st_size for path in Path("out").iterdir()} | {500}
        shutil.rmtree("out")
        for size in sorted(sizes):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, resource.RLIM_INFINITY))
            print(json.dumps(sopedu(*command)), flush=True)
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_a_disk_that_is_full_at_any_file_is_one_line():
    before, here = contents(), Path(__file__)
    code = f"import sys; sys.path.append({str(here.parent)!r}); import {here.stem}; {here.stem}.fill_the_disk()"
    child = in_a_process(code)
    out, err = child.communicate(timeout=300)
    results = [json.loads(line) for line in out.splitlines()]
    assert (child.returncode, err, len(results) > 15, contents()) == (0, b"", True, before)
    for status, _, said in results:
        assert status == 2 and re.search(r"out.*: cannot be written .*; free some space", one_line(said))


NO_TEXT = os.fsdecode(b"caf\xe9")
ODD_NAMES = [f"{NO_TEXT}.mkv", "x" * 300, f"film.mkv --out {NO_TEXT}", f"film.mkv --json {NO_TEXT}"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
@pytest.mark.parametrize("words", ODD_NAMES, ids=["film", "long", "out", "json"])
def test_a_name_that_no_text_or_no_folder_holds_is_no_surprise(words):
    shutil.copy("film.mkv", f"{NO_TEXT}.mkv")
    Path("separated").mkdir()
    status, _, err = sopedu("separate", "--checkpoint", "model", *words.split())
    assert status == 0 or (status == 2 and one_line(err))


def test_a_region_may_be_called_by_the_letters_of_any_script():
    notes_on(*FILM, "--box", "小提琴=0,0,0.5,1")
    assert Path("out/小提琴.wav").exists()


OPTIONS = ["box", "start", "end", "cells", "picture-stream", "sound-stream", "device"]
SENSIBLE = ["box=0,0,.5,1", "box=a=.5,0,1,1", "start=0.5", "end=0:01", "cells=1", "sound-stream=1", "picture-stream=0"]
texts = st.text(st.sampled_from("0123456789.,:=+-einfaxcpu_/ \n\x85é"), max_size=9)
options = st.sampled_from(SENSIBLE) | st.builds("{}={}".format, st.sampled_from(OPTIONS), texts)


@fuzzed
@given(st.lists(options, min_size=1, max_size=3))
def test_any_options_work_or_are_refused(words):
    with without_figures():
        works_or_is_refused(*FILM, *(f"--{word}" for word in words))
