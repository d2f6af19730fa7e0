"""Notes for the user about a separated video: its streams, its length, what is missing or faint."""

from __future__ import annotations

from dataclasses import dataclass, field

from sopedu.audio.loudness import FAINT
from sopedu.config import SpectrogramConfig
from sopedu.data.opening import is_toyband
from sopedu.model.checkpoints import Checkpoint
from sopedu.separation.parts import VideoPart
from sopedu.video.reading import sound_channels

_UNHEARD = 0.02  # share of the energy; if even the loudest cell lets through less, the model recognises nothing


@dataclass
class Decoded:
    """What decoding a part of a video gave; times in seconds from the start of the part.

    Attributes:
        seconds: length of the sound.
        pictures: their number.
        last: time of the last picture.
        damaged_sound: times of damaged packets of sound.
        damaged_pictures: times of damaged packets of pictures.
        left_out: times of pictures that come no later than the one before.
    """

    seconds: float = 0.0
    pictures: int = 0
    last: float = 0.0
    damaged_sound: list[float] = field(default_factory=list)
    damaged_pictures: list[float] = field(default_factory=list)
    left_out: list[float] = field(default_factory=list)


def domain_hint(checkpoint: Checkpoint) -> str:
    """Return one line on what can be expected of a model.

    Args:
        checkpoint: the model.
    """
    data = str(checkpoint.trained_on.get("data"))
    if is_toyband(data):
        heard = "synthesized" if data == "toyband" else "synthesized and sampled"
        return (
            f"this model has seen drawings and heard {heard} instruments only: expect the mechanics, not the quality, "
            "of separation on a filmed video; sopedu weights music fetches a model of filmed instruments, then "
            "--checkpoint music"
        )
    return f"this model knows {', '.join(checkpoint.class_names) or 'its training data'}; other sounds may go anywhere"


def notes_on_video(part: VideoPart, sound: SpectrogramConfig, decoded: Decoded) -> list[str]:
    """Return one line per thing to know about the file.

    Args:
        part: of the video.
        sound: settings of the model's spectrogram.
        decoded: what decoding the part gave.
    """
    return [
        *_on_streams(part),
        *_on_sound(part, sound, decoded.seconds),
        *_on_jumps(part),
        *_on_ends(part, decoded),
        *_on_missing_pictures(decoded),
        *_on_damage(decoded),
    ]


def notes_on_levels(level: float, map_peak: float) -> tuple[list[str], list[str]]:
    """Return at most one line each on a sound that is very faint, and on a model that recognises nothing.

    Args:
        level: of the whole sound, in dB full scale.
        map_peak: share of the sound's energy that the loudest cell of all windows lets through.
    """
    faint, unheard = [], []
    if level < FAINT:
        faint = [f"its sound is very faint ({level:.0f} dB of full scale): the result may be noisy"]
    if map_peak < _UNHEARD:
        unheard = [
            f"even the loudest place lets only {map_peak:.1%} of the sound through: the model recognises nothing here"
        ]
    return faint, unheard


def _on_streams(part: VideoPart) -> list[str]:
    info, notes = part.info, []
    for kind, number in (("sound", info.sound_stream), ("picture", info.picture_stream)):
        others = [stream for stream in info.streams if stream.kind == kind and stream.number != number]
        if others:
            there = "; ".join(f"{stream.number} ({stream.description})" for stream in others)
            notes.append(f"{kind} stream {number} is used; --{kind}-stream chooses another: {there}")
    return notes


def _on_sound(part: VideoPart, sound: SpectrogramConfig, seconds: float) -> list[str]:
    info, notes = part.info, []
    if info.sample_rate < sound.sample_rate:
        notes.append(
            f"its sound has {info.sample_rate} samples a second, so nothing above {info.sample_rate // 2} Hz is there "
            f"to be separated (the model hears up to {sound.sample_rate // 2} Hz)"
        )
    if seconds < sound.seconds - 0.01:
        notes.append(f"{seconds:.2f} s is less than the {sound.seconds:.2f} s that the model hears: silence was added")
    channels = sound_channels(info.path, part.start, part.end, info.sound_stream).note()
    return notes if channels is None else [*notes, channels]


def _on_jumps(part: VideoPart) -> list[str]:
    jumps = [time - part.start for time, _ in part.info.jumps if 0 < time - part.start < part.seconds]
    if not jumps:
        return []
    places = ", ".join(f"{time:.2f} s" for time in jumps[:5]) + (" …" if len(jumps) > 5 else "")
    return [f"its timestamps jump at {places}: the parts are joined, sound and pictures by the same shift"]


def _on_ends(part: VideoPart, decoded: Decoded) -> list[str]:
    info, seconds, last = part.info, decoded.seconds, decoded.last
    picture = 1 / (info.frame_rate or 25)  # seconds for which the last one is shown
    announced = min(info.announced, part.end or float("inf")) - part.start
    if announced - max(part.seconds, seconds, last + picture) > max(0.2, 0.02 * announced):
        ends = f"{max(seconds, last):.2f} s, {announced:.2f} s were announced"
        return [f"its sound and pictures end after {ends}: a part is missing, copy it again"]
    if decoded.pictures > 1 and seconds - last > max(0.4, 3 * picture):
        return [f"its pictures end after {last:.2f} s, before the sound: the last one is shown for the rest"]
    if decoded.pictures > 1 and last + picture - seconds > max(0.4, 3 * picture):
        return [f"its sound ends after {seconds:.2f} s, before the pictures: the rest is silent"]
    return []


def _on_missing_pictures(decoded: Decoded) -> list[str]:
    notes, late = [], decoded.left_out
    if late:
        count = "1 picture comes" if len(late) == 1 else f"{len(late)} pictures come"
        notes.append(f"{count} no later than the one before and cannot be shown, first at {min(late):.2f} s")
    if decoded.pictures == 1:
        notes.append("there is one picture only: it is shown for the whole length")
    return notes


def _on_damage(decoded: Decoded) -> list[str]:
    notes = []
    for kind, times in (("sound", decoded.damaged_sound), ("pictures", decoded.damaged_pictures)):
        if times:
            count = f"{len(times)} damaged packet{'s' if len(times) > 1 else ''}"
            notes.append(f"{count} of its {kind} could not be decoded and are missing, first at {min(times):.2f} s")
    return notes
