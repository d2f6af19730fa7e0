"""The command line: help that lists what there is, mistakes in one line, and a whole journey from solos to a video."""

from __future__ import annotations

import html
import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
import typer
from command import sopedu
from PIL import Image

from sopedu.audio.soundfiles import load_waveform
from sopedu.cli import commands as cli
from sopedu.toyband import INSTRUMENTS, duet, solo
from sopedu.toyband.export import write_scene_video
from sopedu.video.probing import probe
from sopedu.video.reading import read_frames, read_sound

SMALL = """model.audio_channels=4,4,4 model.frame_width=4 model.components=4 model.frame_weights=none
training.batch_size=4 training.precision=float32"""
TRAINING = f"{SMALL} training.steps=4 toyband.solos=12 toyband.empty_scenes=2 toyband.instruments=violin,tuba,xylophone"
TRAINING += " toyband.properties="  # a handful of plain solos tell a filter per class, of lifelike ones they do not
OPTIONS = {
    "demo": "out seed steps json",
    "train": "preset data out set from heads-of resume validation-pairs keep tensorboard root frame-rate find-rate",
    "sweep": "out grid seeds preset data set from heads-of pairs evaluation-seeds processes budget resume json",
    "evaluate": "data pairs sources seed instruments sounds by-class same-class csv localization scenes "
    "listening dictionaries vggss pair-list save-pairs root frame-rate duets regions sheet report device json",
    "separate": "checkpoint out box detector pooling start end normalise keep-rate cells picture-stream sound-stream "
    "device json",
    "import-original": "out frame-net pooling visual-activation audio-activation mask-activation target classes",
    "compare": "plot json",
    "lessons": "open",
    "ratings": "key json",
    "benchmark": "preset steps set data json",
    "weights": "from url",
    "pack": "out size root jobs json",
    "toyband sheet": "out split",
    "toyband render": "out solos split video seconds size seed",
    "toyband film": "pair seed split seconds",
}
FIGURES = """sdr sir sar si_sdr sdr_mixture sdr_improvement sdr_static_mask sdr_ideal_binary_mask sdr_ideal_ratio_mask
sdr_swapped leak_blank leak_absent pairs counted_silent seed protocol"""


@pytest.fixture(scope="module", autouse=True)
def work(tmp_path_factory):
    """A folder with a film, a cache of its own, and one thread, which is faster for nets this small."""
    folder, threads = tmp_path_factory.mktemp("work"), torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("SOPEDU_CACHE", str(folder / "cache"))
        patch.setattr("sopedu.machine.os.sched_getaffinity", lambda _: {0}, raising=False)
        write_scene_video("film.mp4", duet(3, "test", size=(64, 96), times=np.arange(24) / 8, samples=33075), 8.0)
        yield folder
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def checkpoint(work) -> str:
    status, out, _ = sopedu("train --preset tiny --out run", TRAINING)
    assert status == 0 and "14 clips of 3 classes: violin, tuba, xylophone" in out and "done after 4 steps" in out
    return "run/checkpoint"


@pytest.mark.parametrize("command", OPTIONS)
def test_help_lists_every_option(command):
    status, out, err = sopedu(f"{command} --help")
    plain = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", out).split())  # without colours and line breaks
    assert (status, err) == (0, "")
    function = importlib.import_module("sopedu")
    for name in re.search(r"Python: sopedu\.([\w.]+)", plain)[1].split("."):
        function = getattr(function, name)  # the help names a function that is there
    assert callable(function)
    assert {*OPTIONS[command].split(), "help"} <= set(re.findall(r" --([a-z-]+) ", plain))
    assert command.split()[0] in sopedu("--help")[1]


MISTAKES = {
    "train --out o --preset huge": "unknown preset 'huge': choose one of ",
    "train --out o --set model.nothing=1": "cannot set 'model.nothing=1'",
    "train --out o --set toyband.instruments=kazoo": "the toy band has no kazoo",
    "train --out o --data no.csv": "no.csv: the index cannot be read",
    "train --out full": "full: already exists and is not an empty folder",
    "train --out full --find-rate": "full: already exists and is not an empty folder",
    "train --out run --resume --find-rate": "--find-rate begins anew: leave out --resume",
    "sweep --out o --grid model.components": "--grid model.components: write field=value,value,",
    "sweep --out o --grid model.nothing=1": "cannot set 'model.nothing=1'",
    "sweep --out o --seeds one": "'one': write whole numbers with commas",
    "sweep --out o --budget soon": "--budget soon: write hours, minutes or seconds",
    "sweep --out o --resume --seeds 1": "give only --out, --processes and --budget",
    "sweep --out o --resume": "o/sweep.json: no such file, so there is no sweep",
    "sweep --out full --grid model.components=2": "full: already exists and is not an empty folder",
    "sweep --out o --heads-of toyband-tiny --preset tiny": "leave out --preset",
    "sweep --out o --heads-of toyband-tiny --from toyband-tiny": "name only one",
    "train --out o --heads-of toyband-tiny --from toyband-tiny": "name only one",
    "train --out o --heads-of toyband-tiny --set model.frame_width=8": "the trunk of preset tiny does not fit",
    "sweep --out o --heads-of toyband-tiny --grid model.frame_width=8": "the trunk of preset tiny does not fit",
    "evaluate nowhere": "nowhere/config.json: no such file",
    "evaluate run/checkpoint --sounds nowhere": "nowhere: no such folder",
    "evaluate run/checkpoint --pairs 0": "--pairs 0 scores the sound map alone: add --localization",
    "evaluate run/checkpoint --pairs 0 --localization --by-class": "leave out what is about pairs",
    "evaluate run/checkpoint --duets film.mp4 --by-class": "--duets has no references: it goes with --regions",
    "evaluate run/checkpoint --duets nowhere": "nowhere: cannot be listed",
    "evaluate run/checkpoint --duets film.mp4 --regions thirds": "no detector is called 'thirds'",
    "evaluate run/checkpoint --regions halves": "--regions says where the players of --duets are: give both",
    "evaluate run/checkpoint --sheet page.txt": "page.txt: a page for listening is called NAME.html",
    "evaluate run/checkpoint --sheet full/file/page.html": "full/file",
    "evaluate run/checkpoint --localization --pairs 0 --sheet page.html": "leave out --vggss and --pairs 0",
    "evaluate run/checkpoint --duets film.mp4 --report page.html": "leave out --vggss, --duets and --pairs 0",
    "evaluate run/checkpoint --localization --pairs 0 --report page.html": "--report shows separated mixtures",
    "evaluate run/checkpoint --report full/file/page.html": "full/file",
    "ratings film.mp4 --key nokey.json": "nokey.json: no such file",
    "ratings film.mp4 --key run/checkpoint/config.json": "is no key of a listening page",
    "separate no.mp4 --checkpoint run/checkpoint --out o": "no.mp4: no such file",
    "separate film.mp4 --checkpoint run/checkpoint --out o --box a,b,c,d": "--box a,b,c,d: write four numbers",
    "separate film.mp4 --checkpoint run/checkpoint --out o --box 0.5,0,0.2,1": "box 0.5,0,0.2,1: write",
    "separate film.mp4 --checkpoint run/checkpoint --out o --box ../x=0,0,1,1": "region '../x': call it by letters",
    "separate film.mp4 --checkpoint run/checkpoint --out o --box a=0,0,1,1 --box a=0,0,1,1": "another region called a",
    "separate film.mp4 --checkpoint run/checkpoint --out o --start soon": "--start soon: write seconds (90.5) or",
    "separate film.mp4 --checkpoint run/checkpoint --out o --start 1:00": "film.mp4: is 3.00 s long, nothing is there",
    "separate film.mp4 --checkpoint run/checkpoint --out o --end 0": "change --start or --end",
    "separate film.mp4 --checkpoint run/checkpoint --out o --sound-stream 5": "film.mp4: has no sound stream 5; its",
    "separate film.mp4 --checkpoint run/checkpoint --out o --device abacus": "device abacus: cannot be used here",
    "toyband sheet --split dev": "unknown split 'dev'",
    "toyband sheet --out sheet.xyz": "sheet.xyz",
    "toyband render --split dev --out o": "unknown split 'dev'",
    "toyband render --out film.mp4": "film.mp4",
    "toyband film film.mp4 --pair violin": "a duet of 'violin': name two of accordion",
    "toyband film film.mp4 --pair violin,kazoo": "a duet of 'violin, kazoo'",
    "toyband film nowhere/film.mp4": "the folder nowhere does not exist",
    "lessons full": "full: holds other files and no lessons; name a new folder",
    "lessons film.mp4": "film.mp4: already exists and is not an empty folder",
}


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_one_line_and_exit_status_2(command, checkpoint, work):
    (work / "full").mkdir(exist_ok=True)
    (work / "full" / "file").touch()
    status, _, err = sopedu(command)
    assert status == 2 and re.fullmatch(r"sopedu: [^\n]+\n", err) and MISTAKES[command] in err
    assert [path.name for path in (work / "full").iterdir()] == ["file"] and not (work / "o").exists()


def test_a_process_ends_with_that_status_and_without_a_traceback():
    command = [sys.executable, "-m", "sopedu.cli.commands", "train", "--out", "o", "--preset", "huge"]
    done = subprocess.run(command, cwd=Path(cli.__file__).parents[2], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "") and re.fullmatch(r"sopedu: unknown preset [^\n]+\n", done.stderr)


@pytest.mark.parametrize("command", ["", "sing", "evaluate", "evaluate x --pairs 0", "demo --steps many"])
def test_wrong_usage_is_exit_status_2_too(command):
    assert sopedu(command)[0] == 2


def test_interruption_is_said_in_one_line(monkeypatch):
    monkeypatch.setattr("sopedu.demo.run_demo", Mock(side_effect=KeyboardInterrupt))
    assert sopedu("demo") == (130, "", "sopedu: interrupted\n")


def test_a_trained_model_is_judged_and_its_figures_are_written(checkpoint):
    assert {path.name for path in Path("run").iterdir()} == {"checkpoint", "history.jsonl", "resume", "run.json"}
    status, out, _ = sopedu(f"evaluate {checkpoint} --pairs 4 --seed 3 --no-dictionaries --json new/figures.json")
    assert status == 0 and "(violin, tuba, xylophone) for 4 steps" in out
    figures = json.loads(Path("new/figures.json").read_text())
    assert set(FIGURES.split()) <= set(figures)
    assert (figures["pairs"], figures["seed"], figures["instruments"]) == (4, 3, ["violin", "tuba", "xylophone"])
    assert figures["sdr_ideal_ratio_mask"] > figures["sdr_static_mask"] > figures["sdr_mixture"]
    assert re.search(rf"\nmodel +{figures['sdr']:.2f} ", out)
    sopedu(f"evaluate {checkpoint} --pairs 2 --no-dictionaries --instruments violin,tuba --json two.json")
    assert json.loads(Path("two.json").read_text())["leak_absent"] is None  # nobody is left to be absent


def test_an_evaluation_prints_and_writes_what_was_asked_for(checkpoint):
    asked = "--no-dictionaries --pairs 3 --sources 3 --by-class --same-class --csv new/pairs.csv --json more.json"
    status, out, err = sopedu(f"evaluate {checkpoint} {asked}")
    figures = json.loads(Path("more.json").read_text())
    assert status == 0 and (figures["pairs"], figures["sources"], figures["same_class"]["pairs"]) == (3, 3, 3)
    assert "3 solos in each, and 3 of one class, about" in out and "go to new/pairs.csv and more.json" in out
    low, high = figures["intervals"]["model"]["sdr"]
    assert f"{low:.2f} … {high:.2f}" in out
    cells = re.search(r"^tuba +(\S+) +– +(\S+) +(\S+)$", out, re.M).groups()
    values = [figures["by_class"]["tuba"], *figures["by_classes"]["tuba"].values()]
    assert [float(cell) for cell in cells] == [pytest.approx(value, abs=0.051) for value in values]
    assert f"players of one class: the model has {figures['same_class']['sdr']:.2f} dB SDR" in out
    lines = Path("new/pairs.csv").read_text().splitlines()
    assert lines[0].startswith("pair,classes,mixture,static_mask,model,") and len(lines) == 4


def test_a_report_shows_what_was_measured_and_the_curve_of_its_run(checkpoint):
    asked = (
        "--no-dictionaries --pairs 2 --localization --scenes 2 --listening --report pages/report.html --json in.json"
    )
    status, out, _ = sopedu(f"evaluate {checkpoint} {asked}")
    page, figures = Path("pages/report.html").read_text(), json.loads(Path("in.json").read_text())
    assert status == 0 and "go to in.json and pages/report.html" in out and "\nreport: pages/report.html\n" in out
    assert "Learning curve: the loss goes from" in page and "This training left no history" not in page
    text = html.unescape(" ".join(page.split()))
    for measured in (figures, figures["listening"]):
        assert f"Protocol: {measured['protocol']}. Seed 0." in text
    assert f"lies in the player’s box. Chance is {figures['localization']['peak_chance']:.0%}" in text


def test_a_map_scored_alone_has_its_figures_at_the_top_and_where_they_are_beside_pairs(checkpoint):
    status, out, err = sopedu(f"evaluate {checkpoint} --pairs 0 --localization --scenes 2 --json map.json")
    figures = json.loads(Path("map.json").read_text())
    found = figures.pop("localization")
    assert status == 0 and found == figures and found["scenes"] == 2 and "sdr" not in figures
    assert "plan: evaluate run/checkpoint: the map on 2 scenes, about" in out and out.count("protocol: ") == 1
    sopedu(f"evaluate {checkpoint} --pairs 1 --no-dictionaries --localization --scenes 2 --json both.json")
    both = json.loads(Path("both.json").read_text())
    assert both["localization"] == found and "peak_in_player" not in both and "sdr" in both


def test_duets_are_judged_without_references_beside_ways_to_cheat(checkpoint):
    status, out, _ = sopedu(f"evaluate {checkpoint} --duets film.mp4 --json duets.json")
    figures = json.loads(Path("duets.json").read_text())
    assert status == 0 and "on 1 film of film.mp4, 3 s, about" in out and "* reveals this way to cheat" in out
    assert figures["films"] == 1 and figures["table"]["mixture"]["rest"] == 0 and figures["per_film"][0]["rest"] < 0
    assert figures["table"]["model"]["absent"] is None and "note: no absent instrument for 1 of 1 films" in out


def test_a_page_for_listening_is_written_and_its_answers_are_evaluated(checkpoint):
    status, out, _ = sopedu(f"evaluate {checkpoint} --pairs 2 --no-dictionaries --sheet new/page.html")
    key = json.loads(Path("new/page.key.json").read_text())
    assert status == 0 and "go to new/page.html" in out and "ANSWERS.csv --key new/page.key.json" in out
    assert list(key["conditions"]) == ["reference", "mixture", "static_mask", "model", "ideal_ratio_mask"]
    score = dict(zip(key["conditions"], (100, 20, 30, 50, 90), strict=True))
    lines = [
        f"{key['sheet']},me,{trial},{sound},{score[name]}"
        for trial, hidden in key["trials"].items()
        for sound, name in hidden["sounds"].items()
    ]
    Path("answers.csv").write_text("\n".join(["sheet,rater,trial,sound,score", *lines]))
    status, out, _ = sopedu("ratings answers.csv --key new/page.key.json --json ratings.json")
    figures = json.loads(Path("ratings.json").read_text())
    assert status == 0 and {name: row["mean"] for name, row in figures["table"].items()} == score
    assert "plan: join 1 file of answers with new/page.key.json" in out and "model minus mixture (anchor): 30.0" in out
    status, out, _ = sopedu(f"evaluate {checkpoint} --duets film.mp4 --sheet duets.html")
    assert status == 0 and "page for listening: duets.html, 1 trial;" in out
    assert "reference" not in json.loads(Path("duets.key.json").read_text())["conditions"]


#: Every command with a checkpoint, in a cheap form.
CHECKPOINTS = {
    "evaluate": "evaluate {} --pairs 1 --no-dictionaries",
    "separate": "separate film.mp4 --end 0.5 --checkpoint {} --out {}-heard",
    "train": "train --preset tiny --from {} --out {}-tuned",
}


@pytest.mark.parametrize("command", CHECKPOINTS)
def test_every_command_with_a_checkpoint_takes_the_folder_of_a_run(command, checkpoint, work):
    shutil.copytree("run", f"whole-{command}")
    line, values = CHECKPOINTS[command], TRAINING if command == "train" else ""
    status, out, _ = sopedu(line.replace("{}", f"whole-{command}"), values)
    assert status == 0 and (f"weights of whole-{command}\n" in out if values else "for 4 steps" in out)
    shutil.rmtree(f"whole-{command}/checkpoint")
    status, _, err = sopedu(line.replace("{}", f"whole-{command}").replace("-tuned", "-again"), values)
    assert status == 2 and err.endswith(
        f"sopedu: whole-{command}: this run has no complete checkpoint; sopedu train --out whole-{command} --resume "
        "continues it\n"
    )


def test_the_list_of_commands_with_a_checkpoint_is_whole():
    taking = {
        name
        for name, command in typer.main.get_command(cli.app).commands.items()
        if {"checkpoint", "start_from"} & {parameter.name for parameter in command.params}
    }
    assert taking == {*CHECKPOINTS, "sweep", "health"}  # a sweep starts its runs as train does; health has its own test


def test_learning_rates_are_tried_and_drawn_without_a_run():
    status, said, _ = sopedu("train --out rates --find-rate", TRAINING)
    assert status == 0 and {path.name for path in Path("rates").iterdir()} == {
        "learning_rate.json",
        "learning_rate.png",
    }
    found = json.loads(Path("rates/learning_rate.json").read_text())
    assert len(found["rates"]) == len(found["losses"]) <= 100 and found["configured"] == 3e-3
    assert f"suggestion {found['suggestion']:.1e}\n" in said
    assert ("did not rise" in said) == (found["unstable"] is None)
    assert f"--set training.frame_learning_rate={found['suggestion'] / 3:.1e}" in said  # 1e-3 : 3e-3 in preset tiny


@pytest.mark.parametrize("boxes", [[], ["0,0,0.5,1", "0.5,0,1,1", "0.2,0.2,0.4,0.9"]])
def test_a_video_is_taken_apart(boxes, checkpoint):
    out, count, asked = Path(f"separated{len(boxes)}"), len(boxes) or 2, " ".join(f"--box {box}" for box in boxes)
    status, said, _ = sopedu(f"separate film.mp4 --checkpoint {checkpoint} --out {out} --json copy.json {asked}")
    result = json.loads((out / "result.json").read_text())
    assert status == 0 and result == json.loads(Path("copy.json").read_text())
    assert result["hint"] in said and "trained on toyband (violin, tuba, xylophone) for 4 steps" in said
    assert [sound["chosen"] for sound in result["sounds"]] == ["asked for" if boxes else "loudest"] * count
    assert not boxes or [",".join(f"{edge:g}" for edge in sound["box"]) for sound in result["sounds"]] == boxes
    names = {f"region{number}.{kind}" for number in range(1, count + 1) for kind in ("wav", "mp4")}
    assert {path.name for path in out.iterdir()} == names | {
        "sound_map.mp4",
        "mixture.wav",
        "report.html",
        "result.json",
    }
    for sound in result["sounds"]:
        info, heard = probe(out / sound["video"]), load_waveform(out / sound["wav"], 11025)
        assert (info.frame_count, info.has_sound) == (24, True) and abs(len(heard) - 33075) < 1100


def test_when_nothing_is_said_a_numbered_folder_and_the_shipped_model_are_taken():
    for number in (1, 2):
        status, out, _ = sopedu("separate film.mp4 --start 0:01.5 --end 2.5")
        assert status == 0 and f"next: open separated/film-00{number}/report.html in a browser" in out
        assert json.loads(Path(f"separated/film-00{number}/result.json").read_text())["seconds"] == 1.0
    assert "trained on toyband" in out


#: A cheap form of every command, and where its results go as its plan names it.
PLANS = {
    "demo --steps 2 --out planned/demo": "planned/demo",
    "train --out planned/train": "planned/train",
    "train --out run --resume": "run",
    "train --out planned/rates --find-rate": "planned/rates",
    "sweep --grid model.components=2,4 --out planned/sweep --json planned/rows.json": "planned/sweep",
    "evaluate run/checkpoint --pairs 1 --json planned/figures.json": "planned/figures.json",
    "separate film.mp4 --checkpoint run/checkpoint --out planned/separated": "planned/separated",
    "compare run --json planned/rows.json --plot planned/curves.png": "planned/curves.png and planned/rows.json",
    "import-original no.pth no.pth no.pth --out planned/original": "planned/original",
    "benchmark --steps 1 --json planned/speed.json": "planned/speed.json",
    "toyband sheet --out planned.png": "planned.png",
    "toyband render --solos 1 --seconds 1 --size 64 --out planned/solos": "planned/solos",
}


@pytest.mark.parametrize("command", PLANS)
def test_every_command_says_what_it_will_do_and_how_long_and_where_before_it_begins(command, checkpoint, monkeypatch):
    begun = "sopedu.demo.ToyBandClips|sopedu.training.run_folder.train_run"
    begun += "|sopedu.evaluation.separation.evaluate_with_examples"
    begun += "|sopedu.training.run_folder.find_rate|sopedu.experiments.sweep.run_sweep"
    begun += "|sopedu.separation.video.separate_video|sopedu.experiments.compare.compare_runs"
    begun += "|sopedu.model.original.import_original|sopedu.toyband.export.contact_sheet"
    begun += "|sopedu.training.benchmark.run_benchmark|sopedu.toyband.export.render_dataset"
    for work in begun.split("|"):  # the plan is all that is said before the work
        monkeypatch.setattr(work, Mock(side_effect=KeyboardInterrupt))
    values = TRAINING if command.startswith("train") and "resume" not in command else ""
    status, out, err = sopedu(command, values)
    assert status == 130 and err.endswith("sopedu: interrupted\n")
    (plan,) = re.findall(r"^plan: (.+)$", out + err, re.M)
    assert plan.endswith(f" {PLANS[command]}") or f" {PLANS[command]};" in plan
    assert re.search(r"about [\d.]+ (s|min|h|days)\b|seconds", plan)
    assert not re.search(r"\b1 (held-out )?\w{2,}s\b", plan)


def test_figures_may_go_to_standard_output_alone(checkpoint):
    status, out, err = sopedu(f"evaluate {checkpoint} --pairs 1 --no-dictionaries --json -")
    assert status == 0 and json.loads(out)["pairs"] == 1 and "\nmodel " in err and "plan: evaluate" in err
    status, out, err = sopedu("compare run --json -")
    assert status == 0 and json.loads(out)["runs"][0]["steps"] == 4 and "plan: compare run, a few seconds" in err
    assert not Path("-").exists()


def test_the_contact_sheet_shows_every_instrument():
    status, out, err = sopedu("toyband sheet --out sheet.png --split test")
    assert (status, out) == (0, "sheet.png\n") and re.fullmatch(r"plan: [^\n]+ sheet\.png\n", err)
    with Image.open("sheet.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (2 * 11 * 80, 2 * 5 * 80))
        cells = np.asarray(picture.convert("RGB")).reshape(5, 160, 11, 160, 3)
    assert len(INSTRUMENTS) == 11 and (cells.std(axis=(1, 3)).min(axis=-1) > 20).all()


def test_solos_are_written_as_files_and_as_videos():
    render = "toyband render --solos 2 --seconds 1 --size 65 --seed 2 --out"
    assert sopedu(f"{render} set")[:2] == (0, "set/train.csv\n")
    assert sopedu(f"{render} films --video")[:2] == (0, "2 videos in films\n")
    path = "films/train2-000000-accordion.mp4"
    drawn = solo(2_000_000, "train", "accordion", size=65, times=np.arange(25) / 25, samples=11025)
    assert (probe(path).frame_rate, probe(path).frame_count) == (25, 25)
    assert np.abs(read_frames(path, [0.48])[0, :65, :65].astype(int) - drawn.frames[12]).mean() < 8
    heard = read_sound(path, 11025)[:11025]
    assert np.corrcoef(heard, drawn.mixture[: len(heard)])[0, 1] > 0.95


def test_the_benchmark_writes_what_it_measured():
    status, out, _ = sopedu("benchmark --steps 1 --json speed.json", SMALL)
    figures = json.loads(Path("speed.json").read_text())
    assert status == 0 and all(re.search(rf"^{name} +\S", out, re.M) for name in figures)
    assert figures["precision"] == "float32" and min(value for value in figures.values() if type(value) is float) > 0
