"""The result does not hang on the recording's level: only what the nets hear is made louder, and pauses stay pauses."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sopedu.audio.loudness import (
    BROADCAST_LEVEL,
    block_size,
    hearing_gain,
    level_of,
)
from sopedu.audio.masks import mask_power
from sopedu.audio.metrics import si_sdr
from sopedu.audio.soundfiles import load_waveform
from sopedu.audio.spectrogram import log_magnitude
from sopedu.config import preset, with_values
from sopedu.data.clips import ToyBandClips
from sopedu.evaluation.pairs import predict_masks
from sopedu.localization.long_clips import LongClip
from sopedu.localization.pixel_sounds import MAP_KINDS, PixelSounds
from sopedu.model.checkpoints import SHIPPED, Checkpoint, load_checkpoint
from sopedu.separation.parts import DiskWaveform, VideoPart
from sopedu.separation.regions import regions_asked_for
from sopedu.separation.video import separate_video
from sopedu.separation.windows import VideoWalk
from sopedu.toyband.scenes import Scene, scene
from sopedu.training.level import training_level
from sopedu.training.setup import new_model
from sopedu.video.probing import probe
from sopedu.video.writing import write_video

SOUND = preset("tiny").spectrogram
RATE, FRAME_RATE, SECONDS = SOUND.sample_rate, 8, 3
LEVELS = (-10, -20, -30, -40, -60)  # dB


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint(SHIPPED)


@pytest.fixture(scope="module")
def duet() -> Scene:
    times = [i / FRAME_RATE for i in range(SECONDS * FRAME_RATE)]
    # Players of the shipped film, whom the checkpoint separates well.
    return scene(["cello", "trumpet"], 9, "test", size=(64, 96), times=times, samples=SECONDS * RATE)


@pytest.fixture(scope="module")
def film(duet, tmp_path_factory) -> VideoPart:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_video(path, duet.frames, FRAME_RATE, duet.waveform().numpy(), RATE)
    return VideoPart(probe(path))


def clip_of(duet: Scene) -> tuple[torch.Tensor, torch.Tensor]:
    """Sound and one frame of the length that the model hears."""
    return duet.waveform()[: SOUND.samples], duet.frames_tensor()[5:6]


def separated(part: VideoPart, checkpoint: Checkpoint, waveform: np.ndarray, folder: Path, boxes) -> tuple:
    """What `separate_video` hears in boxes, ``(n, L)``, and its maps, for any sound."""
    mixture = DiskWaveform(folder / "mixture")
    mixture.append(waveform)
    walk = VideoWalk(part, checkpoint, mixture)
    heard = walk.listen(regions_asked_for(boxes), folder, look=True)
    return np.stack([spool.read(0, spool.length) for spool in heard]), np.stack(walk.maps)


@settings(deadline=None)
@given(st.floats(-60, 0), st.integers(1, 5), st.integers(0, 2**32))
def test_a_level_is_that_of_the_sound_between_silences(level, blocks, seed):
    length = blocks * block_size(SOUND)
    noise = torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, length))
    noise *= 10 ** (level / 20) / noise.square().mean().sqrt()
    assert level_of(noise, SOUND).item() == pytest.approx(level, abs=1e-6)
    rests = torch.nn.functional.pad(noise, (3 * block_size(SOUND), 2 * block_size(SOUND) + 17))
    assert level_of(rests, SOUND).item() == pytest.approx(level, abs=1e-6)
    assert level_of(torch.stack([rests, rests / 10]), SOUND).tolist() == pytest.approx([level, level - 20], abs=1e-6)


def test_full_scale_is_0_db_and_silence_has_no_level():
    assert level_of(torch.ones(RATE // 10 * 10), SOUND).item() == pytest.approx(0, abs=0.02)
    assert level_of(torch.zeros(RATE), SOUND).item() == -np.inf
    assert hearing_gain(torch.zeros(RATE), SOUND, -23.0).isfinite()


def test_everything_is_heard_at_the_training_level_but_pauses_and_rounding():
    def gain(level: float, recording: float | None = None) -> float:
        tone = torch.full((block_size(SOUND),), 10 ** (level / 20), dtype=torch.float64)
        return 20 * np.log10(float(hearing_gain(tone, SOUND, -23.0, recording)))

    assert [gain(level) for level in (0, -23, -60, -85)] == pytest.approx([-23, 0, 37, 62], abs=1e-4)
    assert gain(-100) == gain(-120) == pytest.approx(-23 + 20 * np.log10(32768), abs=1e-4)
    assert gain(-40, -30) == pytest.approx(17, abs=1e-4)  # a soft passage
    assert gain(-80, -30) == gain(-90, -30) == pytest.approx(47, abs=1e-4)  # pauses, as if at −70 dB


def test_a_gain_of_one_and_an_untrained_model_change_no_bit(checkpoint, duet):
    mixture, frames = clip_of(duet)
    as_is = load_checkpoint(SHIPPED).model
    as_is.level_db = None
    assert new_model(as_is.config).level_db is None and hearing_gain(mixture, SOUND, None) == 1
    before = PixelSounds(as_is, mixture, frames)
    with torch.inference_mode():
        heard = as_is.components(log_magnitude(before.magnitude, SOUND)[None, None])
    as_is.level_db = float(level_of(mixture, SOUND))
    same = PixelSounds(as_is, mixture, frames)
    assert torch.equal(before.components, heard) and torch.equal(same.components, heard)
    for kind in MAP_KINDS:
        np.testing.assert_array_equal(same.sound_map(kind), before.sound_map(kind))
    pair = mixture[None], frames[None, None]
    assert torch.equal(predict_masks(checkpoint.model, *pair, as_is=True), predict_masks(as_is, *pair))


@pytest.mark.parametrize("level", LEVELS)
def test_a_clip_is_heard_alike_at_every_level(checkpoint, duet, level):
    (mixture, frames), gain = clip_of(duet), 10 ** (level / 20)
    loud, soft = (PixelSounds(checkpoint.model, wave, frames) for wave in (mixture, gain * mixture))
    for kind in MAP_KINDS:
        np.testing.assert_allclose(soft.sound_map(kind), loud.sound_map(kind), atol=0.01)
    point, box = (0.3, 0.5), (0.1, 0.1, 0.5, 0.9)
    for pooling in ("features", "energy"):
        here, there = loud.separate_all([box, point], pooling=pooling), soft.separate_all([box, point], pooling=pooling)
        assert (si_sdr(here.numpy(), there.numpy() / gain) > 60).all()
    masks = [predict_masks(checkpoint.model, wave[None], frames[None, None]) for wave in (mixture, gain * mixture)]
    assert torch.allclose(*masks, atol=0.01)


def test_a_film_is_separated_alike_at_every_level(checkpoint, duet, film, tmp_path):
    boxes = [tuple(box) for box in duet.boxes.mean(1).clip(0, 1).tolist()]
    waveform, stems = duet.waveform().numpy(), duet.stem_waveforms().numpy()
    reference, maps = separated(film, checkpoint, waveform, tmp_path, boxes)
    scores = si_sdr(stems, reference)
    assert (scores > si_sdr(stems, np.stack([waveform] * 2)) + 3).all()  # else being equal would say little
    for level in LEVELS:
        gain = np.float32(10 ** (level / 20))
        heard, seen = separated(film, checkpoint, gain * waveform, tmp_path, boxes)
        np.testing.assert_allclose(si_sdr(stems, heard / gain), scores, atol=0.1)
        np.testing.assert_allclose(seen, maps, atol=0.01)


def test_a_soft_film_of_16_bits_is_separated_like_the_loud_one(checkpoint, duet, tmp_path):
    # What rounding adds 48 dB below the music is heard a little: 0.5 dB of 14 were found.
    boxes = {name: tuple(box) for name, box in zip(duet.labels, duet.boxes.mean(1).clip(0, 1).tolist(), strict=True)}
    stems, scores = duet.stem_waveforms().numpy(), []
    for name, gain in (("loud", 1.0), ("soft", 10 ** (-30 / 20))):
        write_lossless(tmp_path / f"{name}.mkv", duet.frames, np.round(duet.mixture * gain))
        result = separate_video(tmp_path / f"{name}.mkv", checkpoint, tmp_path / name, boxes, progress=False)
        assert not any("faint" in note for note in result["notes"])
        assert result["level_db"] == pytest.approx(-22.2 + 20 * np.log10(gain), abs=0.5)
        heard = [read(tmp_path / name / f"{label}.wav", stems.shape[1]) for label in duet.labels]
        scores.append(si_sdr(stems, np.stack(heard)))
    np.testing.assert_allclose(scores[1], scores[0], atol=0.65)


def write_lossless(path: Path, pictures: np.ndarray, samples: np.ndarray) -> None:
    """A film whose sound is the 16-bit samples ``(L,)`` themselves; MP4s are coded again."""
    with av.open(str(path), "w") as container:
        video, sound = container.add_stream("libx264", rate=FRAME_RATE), container.add_stream("pcm_s16le", rate=RATE)
        video.height, video.width, video.pix_fmt, sound.layout = *pictures.shape[1:3], "yuv420p", "mono"
        for picture in pictures:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(samples.astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))


def read(path: Path, length: int) -> np.ndarray:
    samples = load_waveform(path, RATE)[:length]
    return np.pad(samples, (0, length - len(samples)))


def test_a_very_faint_film_is_told(checkpoint, duet, tmp_path):
    write_lossless(tmp_path / "faint.mkv", duet.frames, np.round(duet.mixture * 10 ** (-45 / 20)))
    result = separate_video(tmp_path / "faint.mkv", checkpoint, tmp_path / "out", progress=False)
    assert any("very faint" in note for note in result["notes"])


def loudest_cell(pixels: PixelSounds) -> float:
    """Share of the energy that the loudest cell lets through, noise or not; the map itself is dark for noise."""
    power = pixels.heard.square()
    shares = [mask_power(masks).mul(power).sum((1, 2)).max() / power.sum() for masks in pixels.rows_of_masks(0)]
    return float(max(shares))


def test_less_noise_passes_in_a_pause_than_before(checkpoint):
    # Players rest while noise is heard, 60 dB below the music: the mean of the loudest cells over eight scenes falls
    # from 0.41 to 0.29, single ones spread by 0.25, all with the same pictures.
    model, before, generator = checkpoint.model, load_checkpoint(SHIPPED).model, np.random.default_rng(1)
    before.level_db, music, loudest = None, model.level_db, []
    for number in range(8):
        pair = [checkpoint.class_names[i] for i in generator.permutation(11)[:2]]
        frames = scene(pair, 2000 + number, "test", samples=1, size=64, times=[0.74]).frames_tensor()
        noise = 10 ** ((music - 60) / 20) * torch.from_numpy(generator.normal(size=SOUND.samples)).float()
        clips = PixelSounds(before, noise, frames), PixelSounds(model, noise, frames, level=music)
        loudest.append([loudest_cell(clip) for clip in clips])
        assert not any(clip.sound_map().any() or clip.sound_map("log").any() for clip in clips)
    as_it_was, now = np.mean(loudest, axis=0)
    assert now < as_it_was - 0.05 and now < 0.35


@pytest.mark.parametrize("level", [-80, -60, -45, -30])
def test_hiss_before_players_lights_nothing_at_any_level(checkpoint, duet, level):
    _, frames = clip_of(duet)
    for seed in range(4):
        noise = torch.from_numpy(np.random.default_rng(seed).normal(0, 10 ** (level / 20), SOUND.samples)).float()
        pixels = PixelSounds(checkpoint.model, noise, frames)
        assert not pixels.sound_map().any() and not pixels.sound_map("log").any() and loudest_cell(pixels) > 0


def test_a_film_of_hiss_is_dark_and_told(checkpoint, duet, tmp_path):
    hiss = np.random.default_rng(0).normal(0, 33, len(duet.mixture))  # −60 dB of full scale
    write_lossless(tmp_path / "hiss.mkv", duet.frames, np.round(hiss))
    result = separate_video(tmp_path / "hiss.mkv", checkpoint, tmp_path / "out", progress=False)
    assert any("the loudest place lets only 0." in note for note in result["notes"])


@pytest.mark.parametrize("below", [60, np.inf])
def test_a_film_s_pause_is_heard_as_a_pause(checkpoint, duet, tmp_path, below):
    music = duet.waveform().numpy()
    pause = np.random.default_rng(0).normal(0, 10 ** (-below / 20) * music.std(), len(music))
    mixture, frames = DiskWaveform(tmp_path / "mixture"), np.concatenate([duet.frames, duet.frames])
    mixture.append(np.concatenate([music, pause]))
    write_video(tmp_path / "film.mp4", frames, FRAME_RATE, np.zeros(len(frames) * RATE // FRAME_RATE), RATE)
    windows = list(VideoWalk(VideoPart(probe(tmp_path / "film.mp4")), checkpoint, mixture).windows())
    film, there = mixture.level(SOUND), checkpoint.model.level_db
    assert film == pytest.approx(level_of(torch.from_numpy(music), SOUND).item(), abs=0.5)
    for window in windows:
        own = level_of(torch.from_numpy(mixture.read(window.start, SOUND.samples)), SOUND).item()
        gain = 20 * np.log10(float((window.pixels.heard.sum() + 1e-30) / (window.pixels.magnitude.sum() + 1e-30)))
        silent = window.pixels.magnitude.sum() == 0
        assert gain == pytest.approx(0 if silent else there - max(own, film - 40), abs=1e-3)
        assert not silent or window.pixels.sound_map().max() == 0
    assert windows[-1].pixels.magnitude.sum() < 0.01 * windows[0].pixels.magnitude.sum()


def test_a_long_recording_and_the_padding_of_its_end_keep_their_level(checkpoint, duet, tmp_path):
    waveform = duet.waveform().numpy()
    spool = DiskWaveform(tmp_path / "spool")
    for block in np.array_split(np.tile(waveform, 10), 7):
        spool.append(block)
    whole = level_of(torch.from_numpy(np.tile(waveform, 10)), SOUND).item()
    assert spool.level(SOUND) == pytest.approx(whole, abs=1e-6)
    # The last of its clips is half silence that was added.
    stretch = LongClip(checkpoint, waveform[: SOUND.counted_samples + 3000], duet.frames[:1], [0])
    gains = [float((clip.heard / clip.magnitude.clamp_min(1e-9)).max()) for clip in stretch.clips]
    levels = [level_of(torch.from_numpy(waveform[start:][: SOUND.counted_samples // 2 + 3000]), SOUND)
              for start in stretch.starts]  # fmt: skip
    assert 20 * np.log10(gains[-1]) == pytest.approx(checkpoint.model.level_db - levels[-1].item(), abs=0.3)


@pytest.fixture
def clips(tmp_path, monkeypatch) -> ToyBandClips:
    monkeypatch.setenv("SOPEDU_CACHE", str(tmp_path / "cache"))
    values = "toyband.solos=24 toyband.empty_scenes=4 toyband.instruments=violin,tuba,xylophone training.batch_size=8"
    return ToyBandClips(with_values(preset("tiny"), values.split()))


def test_the_training_level_is_that_of_its_mixtures_and_draws_nothing_from_torch(clips, checkpoint):
    before = torch.get_rng_state()
    found = training_level(clips)
    assert torch.equal(torch.get_rng_state(), before)
    assert training_level(clips) == found
    # Two solos of −20 dB, each halved: −23 dB and what the gains between 0.5 and 1.5 add; the median of 64.
    assert found == pytest.approx(checkpoint.model.level_db, abs=1.5)
    for number in range(len(clips)):
        clips.rendered.waveforms[number][:] //= 10
    assert training_level(clips) == pytest.approx(found - 20, abs=0.2)


def test_clips_that_are_all_silent_give_the_usual_level(clips):
    for number in range(len(clips)):
        clips.rendered.waveforms[number][:] = 0
    assert training_level(clips) == BROADCAST_LEVEL
