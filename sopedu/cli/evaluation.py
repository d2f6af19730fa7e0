"""``sopedu evaluate``: a checkpoint's scores beside their baselines, on pairs, scenes, clips of VGG-SS, or duets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sopedu.cli.duets import duets_plan, evaluate_on_duets
from sopedu.cli.listening import listening_plan, show_listening
from sopedu.cli.options import (
    CheckpointArgument,
    DeviceOption,
    JsonOption,
    RateOption,
    RootOption,
    SeedOption,
    counted,
    printer,
    split_names,
    writable,
    write_figures,
)
from sopedu.cli.ratings import SheetOption, write_page_for_raters
from sopedu.errors import SopeduError

if TYPE_CHECKING:
    from torch import Tensor

    from sopedu.evaluation import TestPairs
    from sopedu.model import Checkpoint

_Say = Callable[[str], None]


def evaluate(
    checkpoint: CheckpointArgument,
    data: Annotated[str, typer.Option(help="toyband, or an index CSV; a val.csv beside it is preferred.")] = "toyband",
    pairs: Annotated[
        int | None,
        typer.Option(
            help="How many held-out mixtures; default: 64, or all listed ones; 0 with --localization: the map alone.",
            min=0,
        ),
    ] = None,
    pair_list: Annotated[
        Path | None,
        typer.Option(help="Mix the clips of the index that this list names: the sounds of a pair per line."),
    ] = None,
    save_pairs: Annotated[
        Path | None, typer.Option(help="Also write which clips were mixed to this file.", callback=writable)
    ] = None,
    root: RootOption = None,
    frame_rate: RateOption = None,
    sources: Annotated[int, typer.Option(help="Solos per mixture.", min=2)] = 2,
    seed: SeedOption = 0,
    instruments: Annotated[str, typer.Option(help="Only these, with commas; default: all it was trained on.")] = "",
    sounds: Annotated[
        Path | None, typer.Option(help="Use recordings FOLDER/<class>/*.wav, with the toy band's drawings.")
    ] = None,
    by_class: Annotated[
        bool, typer.Option("--by-class", help="Also print the SDR improvement for every pair of classes.")
    ] = False,
    same_class: Annotated[
        bool, typer.Option("--same-class", help="Also score, apart, mixtures of two players of one class.")
    ] = False,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Also write one line per mixture to this file.", callback=writable)
    ] = None,
    localization: Annotated[
        bool, typer.Option("--localization", help="Also score the sound map and places in it (toy band).")
    ] = False,
    scenes: Annotated[int, typer.Option(help="Scenes for --localization.", min=1)] = 200,
    listening: Annotated[
        bool, typer.Option("--listening", help="Also score what the model keeps of sounds that are not its picture's.")
    ] = False,
    dictionaries: Annotated[
        bool,
        typer.Option(
            "--dictionaries/--no-dictionaries", help="Compare with supervised NMF too; dictionaries are learnt once."
        ),
    ] = True,
    vggss: Annotated[
        Path | None,
        typer.Option(help="Score the map on VGG-SS instead: its vggss.json, with --data FOLDER of clips FILE.mp4."),
    ] = None,
    duets: Annotated[
        Path | None,
        typer.Option(help="Score natural duets instead, without references: a folder of films, or an index of clips."),
    ] = None,
    regions: Annotated[
        str | None, typer.Option(help="Players of --duets: halves (the default), places (the loudest), or a detector.")
    ] = None,
    sheet: SheetOption = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Also write a page with all figures, pictures and sounds, PAGE.html.", callback=writable),
    ] = None,
    device: DeviceOption = "auto",
    json_file: JsonOption = None,
) -> None:
    """Score a checkpoint beside baselines that need no learning.

    Python: sopedu.evaluate(sopedu.load_checkpoint(folder))
    """
    from sopedu.model import load_checkpoint

    of_pairs = by_class or same_class or any(value is not None for value in (csv_file, sounds, pair_list, save_pairs))
    of_pairs = of_pairs or listening or sources != 2
    if vggss is not None and (data == "toyband" or localization or of_pairs):
        raise SopeduError(
            "--vggss needs --data FOLDER of clips, and goes with none of --localization, --listening, --sounds, "
            "--sources, --by-class, --same-class, --csv, --pair-list"
        )
    if duets is None and regions is not None:
        raise SopeduError("--regions says where the players of --duets are: give both")
    if duets is not None and (vggss is not None or localization or of_pairs or pairs is not None or instruments):
        raise SopeduError("--duets has no references: it goes with --regions, --data, --sheet, --seed and --json only")
    if sheet is not None and (vggss is not None or pairs == 0):
        raise SopeduError("--sheet plays separated mixtures or duets: leave out --vggss and --pairs 0")
    if report is not None and (vggss is not None or duets is not None or pairs == 0):
        raise SopeduError("--report shows separated mixtures: leave out --vggss, --duets and --pairs 0")
    if pairs == 0 and vggss is None and (not localization or of_pairs):
        raise SopeduError("--pairs 0 scores the sound map alone: add --localization and leave out what is about pairs")
    say, loaded = printer(json_file), load_checkpoint(checkpoint, device)
    say(f"model: {loaded.describe()}")
    goals = [f"{path}" for path in (csv_file, json_file, save_pairs, sheet, report) if path is not None]
    goal = f"; figures go to {' and '.join(goals)}" if goals else ""
    if vggss is not None:
        say(f"plan: evaluate the map of {checkpoint} on the clips of {vggss} in {data}, about 1 s per clip{goal}")
        figures = _evaluate_on_vggss(loaded, vggss, data, seed, say)
    elif duets is not None:
        layout = {"root": root, "frame_rate": frame_rate}
        say(f"plan: evaluate {checkpoint} on {duets_plan(loaded, duets, **layout)}{goal}")
        asked = {"regions": regions or "halves", "data": data, "seed": seed} | layout
        figures = evaluate_on_duets(loaded, duets, sheet, say, **asked)
    else:
        asked = {"data": data, "pairs": pairs, "seed": seed, "instruments": split_names(instruments)}
        asked |= {"sounds": sounds, "sources": sources, "same_class": same_class, "dictionaries": dictionaries}
        asked |= {"root": root, "frame_rate": frame_rate, "listed": pair_list, "save_pairs": save_pairs}
        scenes = scenes if localization else 0
        more = listening_plan(loaded, asked) if listening else ""
        say(f"plan: evaluate {checkpoint}: {_work(loaded, asked, scenes)}{more}{goal}")
        figures, *examples = _evaluate_on_pairs(loaded, asked, by_class, csv_file, sheet, say) if pairs != 0 else ({},)
        if scenes:
            figures = _evaluate_localization(loaded, scenes, seed, figures, say)
        if listening:
            figures["listening"] = show_listening(loaded, asked, say)
        if report is not None:
            _write_report(report, checkpoint, loaded, figures, *examples)
            say(f"report: {report}")
    say(f"protocol: {figures['protocol']}")
    write_figures(json_file, figures)


def _work(loaded: Checkpoint, asked: dict[str, Any], scenes: int) -> str:
    """What an evaluation is going to do, and how long it takes."""
    from sopedu.cli.plans import LEARNING, evaluation_seconds
    from sopedu.training.estimate import spoken

    data, pairs, sources = asked["data"], asked["pairs"], asked["sources"]
    pairs = (550 if asked["listed"] else 64) if pairs is None else pairs  # a list is not read yet
    mixtures = f"{counted(pairs, 'held-out mixture')} of {asked['sounds'] or data}" if pairs else ""
    mixtures = f"the mixtures of {data} that {asked['listed']} lists" if asked["listed"] else mixtures
    mixtures += f", {sources} solos in each" if sources != 2 else ""
    mixtures += f", and {pairs} of one class" if asked["same_class"] else ""
    work = [text for text in (mixtures, f"the map on {counted(scenes, 'scene')}" if scenes else "") if text]
    seconds = evaluation_seconds(
        loaded,
        pairs * (1 + asked["same_class"]),
        scenes,
        rendered=data == "toyband" and pairs > 0,
        sources=sources,
        dictionaries=asked["dictionaries"],
    )
    more = ""
    if pairs and asked["dictionaries"]:
        classes = asked["instruments"] or loaded.class_names
        more = f", about {spoken(LEARNING * len(classes))} more if dictionaries are not learnt yet"
    return f"{' and '.join(work)}, about {spoken(seconds)}{more}"


def _evaluate_on_vggss(loaded: Checkpoint, vggss: Path, data: str, seed: int, say: _Say) -> dict[str, Any]:
    from sopedu.evaluation import evaluate_vggss, map_table

    figures = evaluate_vggss(loaded, vggss, data, seed=seed)
    for note in figures["notes"]:
        say(f"note: {note}")
    say(f"{map_table(figures['table'])}\n{figures['missing']} clips are missing")
    return figures


def _evaluate_on_pairs(
    loaded: Checkpoint, asked: dict[str, Any], by_class: bool, csv_file: Path | None, sheet: Path | None, say: _Say
) -> tuple[dict[str, Any], TestPairs, dict[str, Tensor]]:
    """Return figures, mixtures and estimates."""
    from sopedu.demo import same_class_line, score_table
    from sopedu.evaluation import class_table, pairs_csv, trials_of_pairs
    from sopedu.evaluation.separation import evaluate_with_examples
    from sopedu.files import written_aside

    figures, mixtures, rows = evaluate_with_examples(loaded, **asked)
    for note in figures.get("notes", []):
        say(f"note: {note}")
    say(score_table(figures))
    if by_class:
        say("\nSDR improvement of the model for the class of each line, mixed with that of each column")
        say(class_table(figures["by_classes"], figures["by_class"]))
    if "same_class" in figures:
        say(f"\n{same_class_line(figures['same_class'])}")
        say(f"protocol: {figures['same_class']['protocol']}")
    if csv_file is not None:
        with written_aside(csv_file, parents=True) as unfinished:
            unfinished.write_text(pairs_csv(figures["per_pair"]), encoding="utf-8")
        say(f"mixtures: {csv_file}")
    if sheet is not None:
        write_page_for_raters(sheet, loaded, trials_of_pairs(mixtures, rows), asked["seed"], say)
    return figures, mixtures, rows


def _write_report(path: Path, name: str, loaded: Checkpoint, figures: dict[str, Any], *examples: Any) -> None:
    """Write the page of a report, with the learning curve if the checkpoint lies in the folder of its run."""
    from sopedu.evaluation import write_report
    from sopedu.shipped import checkpoint_folder
    from sopedu.training.callbacks import read_history

    history = checkpoint_folder(name).parent / "history.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_report(path, loaded, read_history(history) if history.is_file() else [], figures, *examples)


def _evaluate_localization(
    loaded: Checkpoint, scenes: int, seed: int, figures: dict[str, Any], say: _Say
) -> dict[str, Any]:
    """Add the map's figures to those of pairs under ``localization``; without pairs also beside it."""
    from sopedu.evaluation import evaluate_localization, localization_table

    found = evaluate_localization(loaded, scenes, seed)
    say(f"\n{localization_table(found)}")
    if figures:
        say(f"protocol: {found['protocol']}")
    return (figures or found) | {"localization": found}
