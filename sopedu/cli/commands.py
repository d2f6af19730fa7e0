"""The command line: ``sopedu --help``. Every command is one or two lines in Python too, named in its help."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from sopedu.cli.terminal import Told, ends_tidily, patient_streams, restart_where_names_are_no_text
from sopedu.config import PRESETS
from sopedu.errors import SopeduError

app = typer.Typer(
    help="Learn audio-visual source separation by doing it: train on solos, separate videos, see what sounds.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
toyband_app = typer.Typer(help="The rendered data set: look at it, write it to files, make the warm start.")
app.add_typer(toyband_app, name="toyband", no_args_is_help=True)


def _place_for_figures(path: Path | None) -> Path | None:
    """Look before long work begins whether its figures can be written."""
    from sopedu.files import require_place

    return path if path is None else require_place(path)


def _speaker(json_file: Path | None) -> Callable[[str], None]:
    """What to say lines with: standard output, or standard error if the figures go to standard output (--json -)."""
    return partial(typer.echo, err=json_file == _STANDARD_OUTPUT)


_STANDARD_OUTPUT = Path("-")
JsonOption = Annotated[
    Path | None,
    typer.Option("--json", help="Also write the figures to this JSON file, or - .", callback=_place_for_figures),
]
SeedOption = Annotated[int, typer.Option(help="Decides everything that is random.", min=0)]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="Change a field: model.components=16")]
DeviceOption = Annotated[str, typer.Option(help="auto (a GPU if there is one), cpu or cuda.")]
# Text and not a path: ./toyband is a folder, toyband may be the name of a checkpoint that comes with sopedu.
CheckpointArgument = Annotated[str, typer.Argument(help="A checkpoint's folder, a run's, or toyband or toyband-tiny.")]


@app.command()
def demo(
    out: Annotated[Path | None, typer.Option(help="New folder of the run; default: the next runs/demo-NNN.")] = None,
    seed: SeedOption = 0,
    steps: Annotated[int | None, typer.Option(help="Training steps; default: that of preset tiny.", min=1)] = None,
    json_file: JsonOption = None,
) -> None:
    """Train live on the toy band, separate, localize, write a report. Python: sopedu.run_demo()"""
    from sopedu.demo import run_demo
    from sopedu.machine import usable_cores

    figures = run_demo(out, seed, steps, workers=usable_cores(), say=_speaker(json_file))
    _write_figures(json_file, figures)


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="New folder of the run, or with --resume the one to go on with.")],
    preset: Annotated[str | None, typer.Option(help=f"{', '.join(PRESETS)}; default: tiny.")] = None,
    data: Annotated[str | None, typer.Option(help="toyband (the default), or an index CSV of prepared clips.")] = None,
    changes: SetOption = None,
    start_from: Annotated[
        str | None, typer.Option("--from", help="Begin with this checkpoint's weights: its folder or name.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped or killed.")] = False,
    validation_pairs: Annotated[int | None, typer.Option(help="Mixtures of a validation; default: 32.", min=1)] = None,
    keep: Annotated[
        int | None, typer.Option(help="States to resume from that stay on disk; default: 2.", min=1)
    ] = None,
    tensorboard: Annotated[
        bool | None, typer.Option("--tensorboard", help="Also write what TensorBoard shows.")
    ] = None,
) -> None:
    """Train a model, here or on many GPUs (accelerate launch -m sopedu train …). Python: sopedu.train_run(folder)"""
    from sopedu.cli.plans import spoken, training_seconds
    from sopedu.config import preset as preset_named
    from sopedu.config import with_values
    from sopedu.training.resume import RESUME_STATUS, newest_step
    from sopedu.training.run_folder import requested, require_new_run, train_run

    start = requested(out).config if resume and not preset else preset_named(preset or "tiny")
    config = with_values(start, changes or [])
    if os.environ.get("RANK", "0") == "0":
        done, what = (newest_step(out / "resume"), requested(out).data) if resume else (0, data or "toyband")
        if not resume and os.environ.get("WORLD_SIZE", "1") == "1":  # of several, no process may leave the others
            require_new_run(out)
        steps, batch = max(0, config.training.steps - done), config.training.batch_size
        typer.echo(
            f"plan: train preset {config.name} on {what}, {steps} steps of {batch} mixtures, "
            f"{spoken(training_seconds(config, steps))} once the clips are read; results go to {out}"
        )
    run = train_run(out, config, data, start_from, resume, validation_pairs, keep, tensorboard, say=typer.echo)
    if os.environ.get("RANK", "0") == "0":
        stopped = "told to end" if run.terminated else "interrupted" if run.interrupted else "done"
        typer.echo(f"{stopped} after {run.step} steps, {run.seconds:.0f} s ({run.precision} on {run.device})")
        again = f"sopedu train --out {shlex.quote(str(out))} --resume"
        beside = " ".join(map(shlex.quote, (str(out / "checkpoint"), "--data", requested(out).data)))
        judge = f"sopedu evaluate {beside}"
        typer.echo(f"{out / 'checkpoint'}\nnext: {again if run.stop else judge}")
    if run.interrupted:
        raise typer.Exit(130)
    if run.terminated:
        raise typer.Exit(RESUME_STATUS)


@app.command()
def evaluate(
    checkpoint: CheckpointArgument,
    data: Annotated[str, typer.Option(help="toyband, or an index CSV (a val.csv beside it is taken).")] = "toyband",
    pairs: Annotated[int, typer.Option(help="Held-out mixtures of two.", min=1)] = 64,
    seed: SeedOption = 0,
    instruments: Annotated[str, typer.Option(help="Only these, with commas; default: all it was trained on.")] = "",
    sounds: Annotated[
        Path | None, typer.Option(help="Judge on sounds FOLDER/<class>/*.wav, with the toy band's drawings.")
    ] = None,
    localization: Annotated[
        bool, typer.Option("--localization", help="Also judge the map and places in it (toy band).")
    ] = False,
    scenes: Annotated[int, typer.Option(help="Scenes for --localization.", min=1)] = 200,
    vggss: Annotated[
        Path | None,
        typer.Option(help="Judge the map on VGG-SS instead: its vggss.json, with --data FOLDER of clips FILE.mp4."),
    ] = None,
    device: DeviceOption = "auto",
    json_file: JsonOption = None,
) -> None:
    """Judge a checkpoint beside what needs no learning. Python: sopedu.evaluate(sopedu.load_checkpoint(folder))"""
    from sopedu.cli.plans import evaluation_seconds, spoken
    from sopedu.demo import score_table
    from sopedu.evaluation.localization import evaluate_localization, localization_table, map_table
    from sopedu.evaluation.separation import evaluate as judge
    from sopedu.evaluation.vggss import evaluate_vggss
    from sopedu.model.checkpoints import load_checkpoint

    if vggss is not None and (data == "toyband" or localization or sounds is not None):
        raise SopeduError("--vggss wants --data FOLDER of clips, and neither --localization nor --sounds beside it")
    say, goal = _speaker(json_file), "" if json_file is None else f"; figures go to {json_file}"
    loaded = load_checkpoint(checkpoint, device)
    say(f"model: {loaded.describe()}")
    if vggss is not None:
        say(f"plan: judge the map of {checkpoint} on the clips of {vggss} in {data}, about 1 s per clip{goal}")
        figures = evaluate_vggss(loaded, vggss, data, seed=seed)
        for note in figures["notes"]:
            say(f"note: {note}")
        say(f"{map_table(figures['table'])}\n{figures['missing']} clips are missing")
        say(f"protocol: {figures['protocol']}")
        _write_figures(json_file, figures)
        return
    names = tuple(name.strip() for name in instruments.split(",") if name.strip())
    guess = spoken(evaluation_seconds(loaded, pairs, scenes if localization else 0, rendered=data == "toyband"))
    and_map = f" and the map on {scenes} scenes" if localization else ""
    say(f"plan: judge {checkpoint} on {pairs} held-out mixtures of {sounds or data}{and_map}, {guess}{goal}")
    figures = judge(loaded, data, pairs, seed, names, sounds)
    for note in figures.get("notes", []):
        say(f"note: {note}")
    say(score_table(figures))
    if localization:
        figures["localization"] = evaluate_localization(loaded, scenes, seed)
        say(f"\n{localization_table(figures['localization'])}")
        say(f"protocol: {figures['localization']['protocol']}")
    say(f"protocol: {figures['protocol']}")
    _write_figures(json_file, figures)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders that train wrote, or files of histories.")],
    plot: Annotated[
        Path | None, typer.Option(help="Also draw the learning curves into this PNG file.", callback=_place_for_figures)
    ] = None,
    json_file: JsonOption = None,
) -> None:
    """Put runs side by side: settings that differ, losses, SDR, speed. Python: sopedu.compare_runs(folders)"""
    from sopedu.plots import save_figure
    from sopedu.training.compare import compare_runs, comparison_table, plot_comparison

    say, goals = _speaker(json_file), [f"{path}" for path in (plot, json_file) if path is not None]
    goal = f"; results go to {' and '.join(goals)}" if goals else ""
    say(f"plan: compare {', '.join(map(str, runs))}, a few seconds{goal}")
    rows = compare_runs(runs)
    say(comparison_table(rows))
    if plot is not None:
        say(f"learning curves: {save_figure(plot, plot_comparison(runs))}")
    _write_figures(json_file, {"runs": rows})


@app.command()
def separate(
    video: Annotated[Path, typer.Argument(help="A video with picture and sound, of any format and length.")],
    checkpoint: Annotated[
        str | None, typer.Option(help="A checkpoint's folder, a run's, or toyband (the default) or toyband-tiny.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="New folder for the results; default: the next separated/VIDEO-NNN.")
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(help="Region x0,y0,x1,y1 in fractions of width and height, or name=x0,y0,x1,y1; repeat for more."),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(help="Find objects: toyband, faster-rcnn, owlv2:violin,piano, or a .json or .csv file of boxes."),
    ] = None,
    pooling: Annotated[
        str | None, typer.Option(help="How a region's cells answer: features, energy or area (soft in wide boxes).")
    ] = None,
    start: Annotated[str, typer.Option(help="Where to begin, in seconds or as [h:]m:s.")] = "0",
    end: Annotated[str | None, typer.Option(help="Where to end; default: the end of the video.")] = None,
    normalise: Annotated[bool, typer.Option("--normalise", help="Make the regions add up to the whole sound.")] = False,
    keep_rate: Annotated[bool, typer.Option("--keep-rate", help="Write WAV at the video's own sample rate.")] = False,
    cells: Annotated[int, typer.Option(help="Also write so many of the loudest cells as WAV.", min=0, max=16)] = 0,
    picture_stream: Annotated[int | None, typer.Option(help="Number of the picture stream, if there are more.")] = None,
    sound_stream: Annotated[int | None, typer.Option(help="Number of the sound stream, if there are more.")] = None,
    device: DeviceOption = "auto",
    json_file: JsonOption = None,
) -> None:
    """Hear regions of a video, see where its sound comes from. Python: sopedu.separate_video(video, checkpoint, out)"""
    from sopedu.cli.plans import separation_seconds, spoken
    from sopedu.files import next_free_folder, printable
    from sopedu.model.checkpoints import SHIPPED, load_checkpoint
    from sopedu.separation.parts import VideoPart
    from sopedu.separation.video import separate_video
    from sopedu.video.reading import probe

    say = _speaker(json_file)
    boxes = _parsed_boxes(box or [])
    span = {"start": _parsed_time("--start", start), "end": None if end is None else _parsed_time("--end", end)}
    loaded = load_checkpoint(checkpoint or SHIPPED, device)
    say(f"model: {loaded.describe()}")
    out = out or next_free_folder(Path("separated"), printable(video.stem)[:80])
    part = VideoPart(probe(video, picture_stream, sound_stream), **span)
    regions = len(boxes) or 2
    what = "the objects that a detector finds" if detector else f"{regions} region{'s' if regions > 1 else ''}"
    guess = spoken(separation_seconds(part.info, part.seconds, 1 + regions))
    say(f"plan: separate {what} of {part.seconds:.1f} s of {printable(str(video))}, {guess}; results go to {out}")
    result = separate_video(
        video, loaded, out, boxes, normalise=normalise, keep_rate=keep_rate, cells=cells, detector=detector,
        pooling=pooling, picture_stream=picture_stream, sound_stream=sound_stream, **span,
    )  # fmt: skip
    for note in (result["hint"], *result["notes"]):
        say(f"note: {note}")
    for name in sorted(path.name for path in out.iterdir()):
        say(f"  {out / name}")
    say(f"next: open {out / 'report.html'} in a browser")
    _write_figures(json_file, result)


@app.command()
def samples(
    folder: Annotated[Path, typer.Argument(help="New folder to copy them to.")] = Path("sopedu-samples"),
) -> None:
    """Copy the sample film duet.mp4 and the notebooks into a folder. Python: sopedu.sample_path("duet.mp4")"""
    from sopedu.shipped import copy_samples

    copied = copy_samples(folder)
    film, first = (next(path for path in copied if path.suffix == kind) for kind in (".mp4", ".ipynb"))
    typer.echo(
        f"{len(copied)} files in {folder}\nnext: sopedu separate {shlex.quote(str(film))}\n"
        f"      jupyter lab {shlex.quote(str(first))}"
    )


@app.command()
def import_original(
    frame: Annotated[Path, typer.Argument(help="The frame net's weights, e.g. frame_best.pth.")],
    sound: Annotated[Path, typer.Argument(help="The sound net's weights, e.g. sound_best.pth.")],
    synthesizer: Annotated[Path, typer.Argument(help="The synthesizer's weights, e.g. synthesizer_best.pth.")],
    out: Annotated[Path, typer.Option(help="New folder for the checkpoint.")],
    frame_net: Annotated[str, typer.Option(help="resnet18dilated or resnet18fc.")] = "resnet18dilated",
    pooling: Annotated[str, typer.Option(help="max or mean over frames and cells.")] = "max",
    visual_activation: Annotated[str, typer.Option(help="sigmoid, softmax, relu, tanh or none.")] = "sigmoid",
    audio_activation: Annotated[str, typer.Option(help="sigmoid, softmax, relu, tanh or none.")] = "none",
    mask_activation: Annotated[str, typer.Option(help="sigmoid.")] = "sigmoid",
    target: Annotated[str, typer.Option(help="binary or ratio: what its masks were trained to be.")] = "binary",
    classes: Annotated[str, typer.Option(help="What it was trained to tell apart, with commas.")] = "",
) -> None:
    """Read weights of the original Sound-of-Pixels code. Python: sopedu.import_original(frame, sound, synthesizer)"""
    from sopedu.files import require_new_folder
    from sopedu.model.checkpoints import save_checkpoint
    from sopedu.model.original import import_original as read_original

    require_new_folder(out)
    typer.echo(f"plan: read {frame}, {sound} and {synthesizer}, a few seconds; the checkpoint goes to {out}")
    names = [name.strip() for name in classes.split(",") if name.strip()]
    checkpoint = read_original(
        frame, sound, synthesizer, frame_net=frame_net, pooling=pooling, visual_activation=visual_activation,
        audio_activation=audio_activation, mask_activation=mask_activation, target=target, class_names=names,
    )  # fmt: skip
    model = checkpoint.config.model
    typer.echo(f"K = {model.components}, {len(model.audio_channels)} steps down of {model.audio_channels} channels")
    typer.echo(f"{save_checkpoint(out, checkpoint)}\nnext: sopedu separate VIDEO --checkpoint {out}")


@app.command()
def benchmark(
    preset: Annotated[str, typer.Option(help="Which preset's training to measure.")] = "tiny",
    data: Annotated[str | None, typer.Option(help="An index CSV to read from; default: rendered solos.")] = None,
    steps: Annotated[int, typer.Option(help="How often to measure what is compared, turn by turn.", min=1)] = 5,
    everything: Annotated[bool, typer.Option("--all", help="Also each measure, rendering and scoring.")] = False,
    changes: SetOption = None,
    json_file: JsonOption = None,
) -> None:
    """Measure loader and training step on this machine. Python: sopedu.run_benchmark(config)"""
    from sopedu.cli.plans import benchmark_seconds, spoken
    from sopedu.config import preset as preset_named
    from sopedu.config import with_values
    from sopedu.training.benchmark import run_benchmark as measure

    say, config = _speaker(json_file), with_values(preset_named(preset), changes or [])
    goal = "" if json_file is None else f"; figures go to {json_file}"
    guess = spoken(benchmark_seconds(steps, everything))
    say(f"plan: measure loader and training step of preset {config.name} on this machine, {guess}{goal}")
    figures = measure(config, steps, data, everything)
    for name, value in figures.items():
        say(f"{name:36}{value}")
    _write_figures(json_file, figures)


@toyband_app.command("sheet")
def toyband_sheet(
    out: Annotated[Path, typer.Option(help="Picture file.")] = Path("toyband.png"),
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "train",
) -> None:
    """Draw all instruments into one picture. Python: sopedu.toyband.export.contact_sheet(path)"""
    from sopedu.toyband.export import contact_sheet, require_picture_name
    from sopedu.toyband.splits import check_split

    check_split(split)
    require_picture_name(out)
    typer.echo(f"plan: draw all instruments, about 10 s; the picture goes to {out}", err=True)
    typer.echo(contact_sheet(out, split=split))


@toyband_app.command("render")
def toyband_render(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    solos: Annotated[int, typer.Option(help="How many.", min=1)] = 22,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "train",
    video: Annotated[bool, typer.Option("--video", help="Write mp4 files instead of the data layout.")] = False,
    seconds: Annotated[float, typer.Option(help="Length of a solo.", min=1.0, max=600.0)] = 6.0,
    size: Annotated[int, typer.Option(help="Pixels on a side.", min=64, max=1024)] = 224,
    seed: SeedOption = 0,
) -> None:
    """Write solos as audio/, frames/ and an index CSV, or as videos. Python: sopedu.toyband.export.render_dataset(…)"""
    from sopedu.cli.plans import rendering_seconds, spoken
    from sopedu.files import require_place
    from sopedu.toyband.export import render_dataset, render_videos
    from sopedu.toyband.splits import check_split

    check_split(split)
    require_place(out / "files")
    guess = spoken(rendering_seconds(solos, seconds, size, 25.0 if video else 8.0))
    what = "videos" if video else "sound, pictures and an index"
    typer.echo(f"plan: render {solos} solos of {seconds:g} s as {what}, {guess}; they go to {out}", err=True)
    if video:
        paths = render_videos(out, solos, split, seconds=seconds, size=size, seed=seed)
        typer.echo(f"{len(paths)} videos in {out}")
    else:
        typer.echo(render_dataset(out, solos, split, seconds=seconds, size=size, seed=seed))


@toyband_app.command("film")
def toyband_film(
    out: Annotated[Path, typer.Argument(help="The film, a new file or one to replace, ends in .mp4.")],
    pair: Annotated[str, typer.Option(help="Two instruments, from left to right, with a comma.")] = "cello,trumpet",
    seed: SeedOption = 2,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    seconds: Annotated[float, typer.Option(help="Length of the film.", min=1.0, max=600.0)] = 8.0,
) -> None:
    """Write a film of a duet; by default the shipped one. Python: sopedu.toyband.export.render_film(…)"""
    from sopedu.toyband.export import render_film

    names = [name.strip() for name in pair.split(",")]
    typer.echo(render_film(out, names, seed, split, seconds=seconds))


@toyband_app.command("sampled")
def toyband_sampled(
    soundfont: Annotated[Path, typer.Option(help="A General MIDI SoundFont, .sf2 or .sf3.")],
    out: Annotated[Path, typer.Option(help="New folder for OUT/<class>/*.wav.")],
    solos: Annotated[int, typer.Option(help="How many, of the eleven instruments in turn.", min=1)] = 132,
    seconds: Annotated[float, typer.Option(help="Length of a solo.", min=1.0, max=600.0)] = 6.0,
    seed: SeedOption = 0,
) -> None:
    """Play held-out melodies on sampled instruments. Python: tools.sampled_instruments.render_with_soundfont(…)"""
    from sopedu.files import require_file, require_new_folder
    from tools.sampled_instruments import render_with_soundfont

    require_file(soundfont), require_new_folder(out)
    typer.echo(f"plan: play {solos} solos of {seconds:g} s by {soundfont}, seconds to minutes; they go to {out}")
    render_with_soundfont(out, soundfont, solos, seconds, seed)
    typer.echo(f"{out}\nnext: sopedu evaluate CHECKPOINT --sounds {out}")


@toyband_app.command("pretrain")
def toyband_pretrain(
    out: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Weights file; default: the one that is shipped.")
    ] = None,
    preset: Annotated[str, typer.Option(help="Whose small frame net to train.")] = "tiny",
    pictures: Annotated[int, typer.Option(help="Random objects to draw.", min=100)] = 20_000,
    steps: Annotated[int, typer.Option(help="Training steps of 32 pictures.", min=10)] = 5_000,
    seed: SeedOption = 0,
) -> None:
    """Make the warm start: teach the small frame net random objects, no instruments. Python: sopedu.pretrain()"""
    from sopedu.cli.plans import pretraining_seconds, spoken
    from sopedu.config import preset as preset_named
    from sopedu.model.warm_start import WARM_START, pretrain, save_warm_start

    out = out or WARM_START
    guess = spoken(pretraining_seconds(preset_named(preset), pictures, steps))
    typer.echo(f"plan: draw {pictures} pictures and train {steps} steps, {guess}; the weights go to {out}")

    def report(step: int, loss: float, accuracy: float) -> None:
        typer.echo(f"step {step}/{steps}  loss {loss:.2f}  accuracy {accuracy:.0%}")

    net, accuracy = pretrain(preset_named(preset), pictures, steps, seed=seed, report=report)
    typer.echo(f"{accuracy:.1%} of 500 new objects named rightly\n{save_warm_start(net, out)}")


@toyband_app.command("detector")
def toyband_detector(
    out: Annotated[Path, typer.Option(help="New folder for weights and config.json.")],
    scenes: Annotated[int, typer.Option(help="Scenes to render, two pictures each.", min=4)] = 4000,
    steps: Annotated[int, typer.Option(help="Training steps of 32 pictures.", min=10)] = 2000,
    seed: SeedOption = 0,
) -> None:
    """Train the detector of the toy band's players. Python: tools.detector_training.train_toyband_detector()"""
    from sopedu.cli.plans import detector_seconds, spoken
    from sopedu.files import require_new_folder
    from sopedu.objects.toyband_detector import save_toyband_detector
    from tools.detector_training import judge_toyband_detector, train_toyband_detector

    require_new_folder(out)
    guess = spoken(detector_seconds(scenes, steps))
    typer.echo(f"plan: render {scenes} scenes and train {steps} steps, {guess}; the detector goes to {out}")
    detector = train_toyband_detector(scenes, steps, seed=seed)
    figures = judge_toyband_detector(detector)
    notes = {"trained_on": {"data": "toyband", "scenes": scenes, "steps": steps, "seed": seed}, "metrics": figures}
    typer.echo(
        f"mean average precision {figures['map_50']:.3f} on {figures['pictures']} held-out pictures (IoU 0.5), "
        f"{figures['named']:.1%} of the players found are named rightly\n{save_toyband_detector(out, detector, notes)}"
    )


def _parsed_boxes(texts: list[str]) -> dict[str, tuple[float, ...]]:
    from sopedu.localization.places import check_box

    boxes: dict[str, tuple[float, ...]] = {}
    for number, text in enumerate(texts, 1):
        name, named, edges = text.rpartition("=")
        name = name.strip() if named else f"region{number}"
        if name in boxes:
            raise SopeduError(f"--box {text}: there is another region called {name}; give each a name of its own")
        try:
            boxes[name] = check_box(tuple(float(part) for part in edges.split(",")))
        except SopeduError as error:
            raise SopeduError(f"--box {text}: {error}") from None
        except ValueError:
            raise SopeduError(
                f"--box {text}: write four numbers x0,y0,x1,y1 as fractions of width and height"
            ) from None
    return boxes


def _parsed_time(option: str, text: str) -> float:
    """Seconds, or h:m:s, as seconds."""
    try:
        seconds = sum(float(part) * 60**place for place, part in enumerate(reversed(text.split(":"))))
    except (ValueError, OverflowError):
        seconds = -1.0
    if not 0 <= seconds < 1e7:
        raise SopeduError(f"{option} {text}: write seconds (90.5) or minutes and seconds (1:30.5)")
    return seconds


def _write_figures(path: Path | None, figures: dict[str, Any]) -> None:
    if path == _STANDARD_OUTPUT:
        typer.echo(json.dumps(figures, indent=2, allow_nan=False))
    elif path is not None:
        from sopedu.files import write_json

        write_json(path, figures)
        typer.echo(f"figures: {path}")


def main() -> None:
    """Run the command line; a mistake that can be put right is one line and exit status 2."""
    restart_where_names_are_no_text()
    with patient_streams():
        _run()


def _run() -> None:
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_MININTERVAL", "10")  # a log file wants a line now and then, not ten a second
    try:
        with ends_tidily():
            status = app(standalone_mode=False)
    except Told as told:
        _leave(f"ended by {told.name}; what was unfinished is removed", int(told.code))
    except SopeduError as error:
        _leave(str(error), 2)
    except Exception as error:
        if not hasattr(error, "format_message"):  # what Typer says of wrong usage has it
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            sys.exit(2)
        _leave(f"{error.format_message()} (sopedu --help says more)", 2)
    if status == 75:  # RESUME_STATUS
        sys.exit(75)
    if status == 130:  # what Typer makes of Ctrl-C, without a word
        _leave("interrupted", 130)


def _leave(said: str, status: int) -> NoReturn:
    """Say one line, whatever line breaks a name may hold, and end."""
    print("sopedu:", *said.split(), file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
