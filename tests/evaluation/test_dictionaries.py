"""Supervised NMF equals scikit-learn's, separates what can be separated, and is learnt only once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import non_negative_factorization
from sklearn.metrics import accuracy_score

from sopedu.audio.masks import ideal_ratio_mask
from sopedu.audio.metrics import bss_eval_rows, si_sdr
from sopedu.audio.spectrogram import istft, stft
from sopedu.config import preset, with_values
from sopedu.data.batches import Clip
from sopedu.data.clips import ClipDataset
from sopedu.evaluation import dictionaries as module
from sopedu.evaluation.baselines import same_class_frames
from sopedu.evaluation.dictionaries import (
    Dictionaries,
    choose_dictionaries,
    classes_seen,
    dictionary_rows,
    find_activations,
    learn_spectra,
)
from sopedu.evaluation.pairs import held_out_pairs
from sopedu.evaluation.separation import evaluate
from sopedu.model.checkpoints import Checkpoint
from sopedu.model.sound_of_pixels import SoundOfPixels

NAMES = ("low", "middle", "high")
VALUES = """model.frame_weights=none model.audio_channels=4,4,4 model.frame_width=4 model.components=4
spectrogram.samples=8191 toyband.instruments=tuba,xylophone,violin toyband.properties="""  # six solos tell little
CONFIG = with_values(preset("tiny"), VALUES.split())
SOUND = CONFIG.spectrogram


class Tones(ClipDataset):
    """Clips of one of a few tones of the class's own register; a clip's colour tells its class, with some variation."""

    def __init__(self, labels: list[int], first: int = 0) -> None:
        super().__init__(CONFIG, NAMES, np.array(labels))
        self.first, self.read = first, []

    def __getitem__(self, index: int) -> Clip:
        self.read.append(index)
        label, number = int(self.labels[index]), self.first + index
        hertz = (300, 1100, 3000)[label] * (1, 1.2, 1.5)[number % 3]
        waveform = 0.3 * torch.sin(2 * torch.pi * hertz * torch.arange(SOUND.samples) / SOUND.sample_rate + number)
        frames = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
        frames[:, label] = 150 + number % 100
        return Clip(waveform, frames, label)


@pytest.fixture(autouse=True)
def small_dictionaries(one_thread, tmp_path, monkeypatch):
    monkeypatch.setenv("SOPEDU_CACHE", str(tmp_path / "cache"))
    for name, value in {"_ATOMS": 6, "_LEARNING": 15, "_UPDATES": 30, "_PILOT": 3}.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(module, "_OTHER_STFTS", ((2046, 512),))


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    return Checkpoint(SoundOfPixels(CONFIG).eval(), NAMES)


def divergence(magnitude: np.ndarray, model: np.ndarray) -> float:
    return float((magnitude * np.log(magnitude / model) - magnitude + model).sum())


def test_learning_is_that_of_scikit_learn_from_the_same_start():
    generator = np.random.default_rng(0)
    magnitude, spectra, activations = (generator.uniform(0.1, 2, shape) for shape in ((30, 50), (30, 6), (6, 50)))
    how = {"init": "custom", "solver": "mu", "beta_loss": "kullback-leibler", "tol": 0, "max_iter": 60}
    theirs = non_negative_factorization(magnitude, W=spectra.copy(), H=activations.copy(), n_components=6, **how)
    start = (torch.from_numpy(array).float() for array in (magnitude, spectra, activations))
    mine = [tensor.double().numpy() for tensor in module._update_both(*start, updates=60)]
    np.testing.assert_allclose(mine[0].sum(0), 1, rtol=1e-5)
    np.testing.assert_allclose(mine[0], theirs[0] / theirs[0].sum(0), rtol=0.01, atol=1e-4)
    ours, reference = (divergence(magnitude, W @ H) for W, H in (mine, theirs[:2]))
    assert ours == pytest.approx(reference, rel=1e-4)
    assert reference < 0.2 * divergence(magnitude, spectra @ activations)


def test_activations_are_those_of_scikit_learn():
    generator = np.random.default_rng(1)
    spectra = generator.uniform(0, 1, (2, 30, 6)).astype(np.float32)
    spectra /= spectra.sum(1, keepdims=True)
    noise = 0.01 * generator.uniform(0, 1, (2, 30, 20))
    magnitude = (spectra @ generator.uniform(0, 3, (2, 6, 20)) + noise).astype(np.float32)
    found = find_activations(torch.from_numpy(magnitude), torch.from_numpy(spectra), 150)
    how = {"init": "custom", "solver": "mu", "beta_loss": "kullback-leibler", "tol": 0, "max_iter": 150}
    for ours, cells, dictionary in zip(found.numpy(), magnitude, spectra, strict=True):
        theirs = non_negative_factorization(cells.T, H=dictionary.T, n_components=6, update_H=False, **how)[0]
        np.testing.assert_allclose(ours, theirs.T, rtol=0.01, atol=1e-3)


def test_each_update_of_the_activations_lowers_the_divergence():
    generator = np.random.default_rng(2)
    magnitude, spectra = (generator.uniform(0.1, 1, shape).astype("f4") for shape in ((40, 25), (40, 5)))
    spectra /= spectra.sum(0)
    steps = [find_activations(torch.from_numpy(magnitude), torch.from_numpy(spectra), n).numpy() for n in range(1, 12)]
    values = [divergence(magnitude.astype(float), (spectra @ step).astype(float)) for step in steps]
    assert all(later <= earlier + 1e-3 for earlier, later in zip(values, values[1:], strict=False))
    assert values[-1] < values[0] - 0.1


def test_the_start_is_seeded_and_spectra_add_up_to_one():
    magnitude = torch.rand(20, 30, generator=torch.Generator().manual_seed(0))
    first, again, other = (learn_spectra(magnitude, 4, 10, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.allclose(first, other, atol=1e-3)
    torch.testing.assert_close(first.sum(0), torch.ones(4))
    silent = learn_spectra(torch.zeros(20, 30), 4, 10)
    assert torch.equal(silent, torch.zeros(20, 4))


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("power", [1, 2])
def test_registers_that_do_not_overlap_are_separated_and_estimates_add_up_to_the_mixture(count, power):
    own, _, _ = choose_dictionaries(Tones([0, 1, 2] * 6))
    clips, labels = Tones([0, 1, 2] * 6, first=30), np.array([[0, 1, 2], [2, 0, 1]])[:, :count]
    sources = torch.stack([torch.stack([clips[int(label)].waveform for label in row]) for row in labels]) / count
    length = SOUND.counted_samples
    way = Dictionaries(own.spectra, own.sound, power)
    estimates = way.separate(sources.sum(1), labels, length)
    assert estimates.shape == (2, count, length) and estimates.dtype == torch.float32
    assert np.nanmin(si_sdr(sources[..., :length].numpy(), estimates.numpy())) > 25
    torch.testing.assert_close(estimates.sum(1), sources.sum(1)[:, :length], atol=1e-4, rtol=0)
    masks, heard = way.masks(sources.sum(1), labels), stft(sources.sum(1), SOUND)[:, None]
    torch.testing.assert_close(masks.sum(1), torch.ones_like(masks[:, 0]))
    again, inside = istft(masks * heard, SOUND), length - SOUND.n_fft  # what lies behind the end is heard by one alone
    torch.testing.assert_close(again[..., :inside], estimates[..., :inside], atol=1e-4, rtol=0)


@pytest.mark.parametrize("n_fft, hop", [(1022, 512), (1022, 256), (2046, 512), (4094, 512)])
def test_ideal_dictionaries_of_single_moments_come_close_to_ideal_masks(n_fft, hop):
    # A dictionary that holds each column of the source's own spectrogram can describe it exactly.
    generator = torch.Generator().manual_seed(3)
    sources = torch.stack([Tones([0, 1])[0].waveform, 0.1 * torch.randn(SOUND.samples, generator=generator)])[None]
    sound = with_values(CONFIG, [f"spectrogram.n_fft={n_fft}", f"spectrogram.hop_length={hop}"]).spectrogram
    padded = torch.nn.functional.pad(sources, (0, n_fft))
    magnitude, length = stft(padded, sound).abs()[0], SOUND.counted_samples
    columns = magnitude.mean(2, keepdim=True)
    way = Dictionaries(columns / columns.sum(1, keepdim=True), sound)
    mixture = stft(padded.sum(1), sound)[:, None]
    ideal = istft(ideal_ratio_mask(magnitude[None], mixture.abs()).clamp(max=1) * mixture, sound)[..., :length]
    rows = {"nmf": way.separate(sources.sum(1), np.array([[0, 1]]), length), "ideal": ideal}
    scores = {name: found.sdr.mean() for name, found in bss_eval_rows(sources[..., :length], rows).items()}
    assert scores["ideal"] > scores["nmf"] > 10


def test_two_sources_named_alike_share_the_mixture():
    own, _, _ = choose_dictionaries(Tones([0, 1] * 6))
    mixture = Tones([0, 1], first=30)[0].waveform[None]
    estimates = own.separate(mixture, np.array([[0, 0]]), SOUND.counted_samples)
    torch.testing.assert_close(estimates[:, 0], estimates[:, 1])
    torch.testing.assert_close(estimates[0, 0], mixture[0, : SOUND.counted_samples] / 2, atol=1e-4, rtol=0)


def test_dictionaries_are_learnt_once_and_a_damaged_file_is_replaced(tmp_path, monkeypatch):
    labels = [0, 1, 2] * 6
    first = choose_dictionaries(Tones(labels))
    files = {path: path.read_bytes() for path in (tmp_path / "cache").iterdir()}
    assert len(files) == 3  # of two lengths of windows, and the choice
    with monkeypatch.context() as patch:
        for name in ("_learn", "_pilot"):
            patch.setattr(module, name, pytest.fail)
        again = choose_dictionaries(Tones(labels))
    assert torch.equal(first[1].spectra, again[1].spectra) and first[2] == again[2] and first[1].power == again[1].power
    for path, content in files.items():
        path.write_bytes(content[: len(content) // 2])
        mended = choose_dictionaries(Tones(labels))
        assert path.read_bytes() == content and torch.equal(mended[0].spectra, first[0].spectra)
    choose_dictionaries(Tones(labels, first=1))  # other sounds
    assert len(list((tmp_path / "cache").iterdir())) == 6


def test_the_best_way_is_chosen_on_solos_that_no_dictionary_was_learnt_from(monkeypatch):
    read = {"_learn": [], "_pilot": []}
    for name, places in read.items():
        work = getattr(module, name)

        def noted(clips, *how, work=work, places=places):
            clips.read.clear()
            result = work(clips, *how)
            places.append(sorted(set(clips.read)))
            return result

        monkeypatch.setattr(module, name, noted)
    own, best, scores = choose_dictionaries(Tones([0] * 10 + [1] * 5 + [2]))
    assert read["_learn"] == 2 * [[*range(8), *range(10, 14), 15]]
    assert len(read["_pilot"]) == 1 and set(read["_pilot"][0]) <= {8, 9, 14}
    stfts = ("1022/512", "1022/256", "2046/512")
    assert set(scores) == {f"{stft}, power {power}" for stft in stfts for power in (1, 2)}
    name = max(scores, key=scores.get)
    assert name == f"{best.sound.n_fft}/{best.sound.hop_length}, power {best.power}"
    assert (own.sound, own.power) == (SOUND, 2)


def test_without_solos_to_spare_the_first_way_is_taken():
    own, best, scores = choose_dictionaries(Tones([0, 1, 2]))
    assert best == own and scores == {}


def test_classes_are_read_from_pictures_and_wrong_ones_cost_what_they_should(checkpoint, monkeypatch):
    known, pairs = Tones([0, 1, 2] * 6), held_out_pairs(Tones([0, 1, 2] * 4, first=50), 6)
    seen = classes_seen(checkpoint, known, pairs.frames)
    assert accuracy_score(pairs.labels.ravel(), seen.ravel()) == 1
    rows, figures = dictionary_rows(checkpoint, pairs, known)
    assert set(rows) == {"nmf_by_class", "nmf_seen", "nmf_by_class_best", "nmf_seen_best"}
    assert torch.equal(rows["nmf_seen"], rows["nmf_by_class"]) and figures["class_accuracy_seen"] == 1
    wrong = seen.copy()
    wrong[2] = wrong[2, ::-1]  # exchanged in one mixture
    monkeypatch.setattr(module, "classes_seen", lambda *_: wrong)
    rows, figures = dictionary_rows(checkpoint, pairs, known)
    assert figures["class_accuracy_seen"] == pytest.approx(10 / 12, abs=1e-3)
    told, read = rows["nmf_by_class_best"], rows["nmf_seen_best"]
    torch.testing.assert_close(read[2], told[2].flip(0), atol=1e-5, rtol=0)
    others = torch.arange(6) != 2
    assert torch.equal(read[others], told[others])


def test_another_picture_of_a_class_is_never_the_same_clip():
    clips = Tones([0, 1, 2] * 4)
    pairs = held_out_pairs(clips, 6)
    others = same_class_frames(clips, pairs)
    assert others.shape == pairs.frames.shape and others.dtype == torch.uint8
    assert (others != pairs.frames).flatten(2).any(2).all()
    assert torch.equal(others.amax((2, 4, 5)).argmax(2), torch.from_numpy(pairs.labels))  # the colour of the class
    assert torch.equal(others, same_class_frames(clips, pairs)) and not torch.equal(
        others, same_class_frames(clips, pairs, 1)
    )
    lonely = Tones([0, 1, 1])
    assert same_class_frames(lonely, held_out_pairs(lonely, 2)) is None


def test_evaluation_has_the_rows_and_can_do_without(checkpoint, monkeypatch):
    monkeypatch.setattr(module, "_SOLOS", 6)
    monkeypatch.setattr(module, "usable_cores", lambda: 1)
    monkeypatch.setattr("sopedu.evaluation.baselines._SOLOS_PER_CLASS", 6)
    toys = Checkpoint(checkpoint.model, ("tuba", "xylophone", "violin"))
    figures, without = evaluate(toys, pairs=3), evaluate(toys, pairs=3, dictionaries=False)
    added = {f"sdr_nmf_{row}" for row in ("by_class", "seen", "by_class_best", "seen_best")}
    assert set(figures) - set(without) == added | {"nmf_best", "nmf_pilot", "class_accuracy_seen"}
    assert all(figures[key] == figures["table"][key.removeprefix("sdr_")]["sdr"] for key in added)
    assert set(figures["nmf_best"]) == {"n_fft", "hop_length", "power"}
    assert figures["sdr_ideal_ratio_mask"] > figures["sdr_nmf_by_class"] > figures["sdr_mixture"]
    assert (
        figures["sdr_same_class_picture"]
        == without["sdr_same_class_picture"]
        == figures["table"]["same_class_picture"]["sdr"]
    )
