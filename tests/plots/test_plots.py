"""Figures say what they should: units, ticks where theory puts them, colours over a fixed range, nothing left open."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from contrast import contrast
from matplotlib import pyplot
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from sopedu import plots
from sopedu.audio.spectrogram import row_hertz, stft, warp
from sopedu.config import preset
from sopedu.errors import SopeduError
from sopedu.plots.figures import BLUE

PAPER = preset("paper").spectrogram
TINY = preset("tiny").spectrogram
NYQUIST_OF_LAST_ROW = PAPER.sample_rate * (PAPER.n_fft // 2) / PAPER.n_fft
HISTORY = [{"step": 10 * i, "loss": 1 / i, "learning_rate": 1e-3, "seconds": 0.5 * i} for i in range(1, 101)]


@pytest.fixture(autouse=True)
def nothing_left_open():
    before = pyplot.get_fignums()
    yield
    assert pyplot.get_fignums() == before


def sine(hertz: float, config=PAPER) -> torch.Tensor:
    return torch.sin(2 * math.pi * hertz * torch.arange(config.samples) / config.sample_rate)


def log_magnitude_rows(hertz: float, config=PAPER) -> torch.Tensor:
    return warp(stft(sine(hertz, config), config).abs(), config)


def test_rows_of_frequencies_follow_the_warp_of_the_paper() -> None:
    # Row q lies at (21^(q / (Q - 1)) - 1) / 20 of the highest frequency; solved for q.
    for hertz in (100, 440, 1000, 5000):
        theory = (PAPER.log_frequency_bins - 1) * math.log(1 + 20 * hertz / NYQUIST_OF_LAST_ROW) / math.log(21)
        assert plots.hertz_to_row(hertz, PAPER) == pytest.approx(theory, abs=0.01)


@pytest.mark.parametrize("hertz", [440, 1000, 2500])
def test_a_sine_shines_at_its_frequency(hertz: float) -> None:
    axes = plots.plot_spectrogram(log_magnitude_rows(hertz), PAPER).axes[0]
    picture = axes.images[0].get_array()
    brightest = int(picture[:, PAPER.time_frames // 2].argmax())
    assert brightest == pytest.approx(plots.hertz_to_row(hertz, PAPER), abs=1)
    if hertz == 1000:
        tick = next(tick for tick in axes.get_yticklabels() if tick.get_text() == "1000")
        assert tick.get_position()[1] == pytest.approx(brightest, abs=1)


def test_spectrogram_names_its_units_and_puts_ticks_at_their_rows() -> None:
    figure = plots.plot_spectrogram(log_magnitude_rows(440), PAPER, title="a $440 sine$")
    axes, bar = figure.axes
    assert axes.get_xlabel() == "time in s" and axes.get_ylabel() == "frequency in Hz" and bar.get_ylabel() == "dB"
    assert axes.get_title() == "a $440 sine$" and not axes.title.get_parse_math()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["100", "200", "500", "1000", "2000", "5000"]
    centres = row_hertz(PAPER)[np.round(axes.get_yticks()).astype(int)]
    np.testing.assert_allclose(centres, [100, 200, 500, 1000, 2000, 5000], rtol=0.04)
    assert axes.images[0].origin == "lower"
    assert axes.images[0].get_cmap().name == "magma"


def test_masks_side_by_side_are_drawn_like_one_with_one_colour_bar() -> None:
    masks = dict(zip(("one", "two"), np.random.default_rng(0).random((2, TINY.log_frequency_bins, 4)), strict=True))
    *panels, bar = plots.plot_masks(masks, TINY).axes
    assert [axes.get_title() for axes in panels] == ["one", "two"] and bar.get_ylabel() == "share let through"
    for axes, mask in zip(panels, masks.values(), strict=True):
        alone = plots.plot_mask(mask, TINY).axes[0]
        np.testing.assert_array_equal(axes.images[0].get_array(), alone.images[0].get_array())


def test_spectrograms_side_by_side_take_a_reference_from_outside() -> None:
    magnitude = np.full((TINY.log_frequency_bins, 4), 2.0)
    *panels, _ = plots.plot_spectrograms({"loud": magnitude, "soft": magnitude / 10}, TINY, -60, reference=4).axes
    levels = [float(axes.images[0].get_array().max()) for axes in panels]
    assert levels == pytest.approx([20 * np.log10(0.5), 20 * np.log10(0.05)])


def test_spectrogram_is_in_decibels_below_its_loudest_cell() -> None:
    magnitude = np.full((TINY.log_frequency_bins, 4), 1e-9)
    magnitude[5, 1], magnitude[7, 2] = 8.0, 0.8
    image = plots.plot_spectrogram(magnitude, TINY).axes[0].images[0]
    assert image.get_array()[5, 1] == pytest.approx(0)
    assert image.get_array()[7, 2] == pytest.approx(-20)
    assert image.get_array().min() == pytest.approx(-80) and image.get_clim() == (-80, 0)
    shared = plots.plot_spectrogram(magnitude, TINY, reference=80.0, floor_db=-60).axes[0].images[0]
    assert shared.get_array()[5, 1] == pytest.approx(-20) and shared.get_clim() == (-60, 0)


def test_silence_is_drawn_as_the_floor_without_a_warning() -> None:
    image = plots.plot_spectrogram(torch.zeros(TINY.log_frequency_bins, 4), TINY).axes[0].images[0]
    assert np.all(image.get_array() == -80)


def test_linear_spectrogram_has_hertz_and_seconds_on_its_axes() -> None:
    axes = plots.plot_spectrogram(stft(sine(440), PAPER).abs(), PAPER, log_frequency=False).axes[0]
    left, right, bottom, top = axes.images[0].get_extent()
    bin_width = PAPER.sample_rate / PAPER.n_fft
    assert (bottom, top) == pytest.approx((-bin_width / 2, PAPER.sample_rate / 2 + bin_width / 2))
    # The last frame is centred at (T - 1) hops and reaches half a hop further.
    hop = PAPER.hop_length / PAPER.sample_rate
    assert (left, right) == pytest.approx((-hop / 2, (PAPER.time_frames - 0.5) * hop))
    brightest = int(axes.images[0].get_array()[:, 100].argmax())
    assert brightest * bin_width == pytest.approx(440, abs=bin_width / 2)


def test_wrong_rows_are_named() -> None:
    with pytest.raises(SopeduError, match=r"Q = 256.*\(512, 256\).*warp"):
        plots.plot_spectrogram(np.ones((512, 256)), PAPER)
    with pytest.raises(SopeduError, match="Q = 128"):
        plots.plot_mask(np.ones((12, 3)), TINY)


def test_mask_goes_from_nothing_to_all() -> None:
    figure = plots.plot_mask(torch.rand(TINY.log_frequency_bins, 9) / 3, TINY)
    axes, bar = figure.axes
    assert axes.images[0].get_clim() == (0, 1) and axes.images[0].get_cmap().name == "cividis"
    assert bar.get_ylabel() == "share let through"


def test_drawing_into_given_axes_returns_their_figure() -> None:
    mine = Figure()
    axes = mine.subplots(1, 4)
    assert plots.plot_waveform(sine(440, TINY), TINY.sample_rate, axes[0]) is mine
    assert plots.plot_mask(np.zeros((TINY.log_frequency_bins, 3)), TINY, axes[1]) is mine
    assert plots.plot_history(HISTORY, axes[2]) is mine
    assert plots.plot_scores({"model": {"sdr": 1.0}}, axes[3]) is mine
    assert axes[2].get_xlabel() == "step"


def test_waveform_is_drawn_over_seconds() -> None:
    axes = plots.plot_waveform(sine(440, TINY), TINY.sample_rate).axes[0]
    times, values = axes.lines[0].get_data()
    assert times[-1] == pytest.approx((TINY.samples - 1) / TINY.sample_rate) and np.abs(values).max() <= 1
    assert axes.get_xlabel() == "time in s" and axes.get_ylabel() == "amplitude"


def test_history_shows_loss_its_mean_and_the_learning_rate() -> None:
    loss, rate = plots.plot_history(HISTORY).axes
    recorded, smoothed = loss.lines
    np.testing.assert_allclose(recorded.get_ydata(), [entry["loss"] for entry in HISTORY])
    # Five of a hundred records are averaged; the first mean stands at the fifth step.
    assert smoothed.get_xdata()[0] == 50
    assert smoothed.get_ydata()[0] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 5) / 5)
    np.testing.assert_allclose(rate.lines[0].get_ydata(), 1e-3)
    assert "0.01 at step 1000" in loss.get_title() and rate.get_xlabel() == "step"
    assert plots.plot_history(HISTORY[:1]).axes[0].lines[0].get_ydata() == [1.0]
    with pytest.raises(SopeduError, match="empty"):
        plots.plot_history([])


def rates_found(**changed) -> dict[str, object]:
    """What a range test of 41 steps finds whose loss falls to 0.1 at 1e-3 and rises afterwards."""
    rates = np.geomspace(1e-5, 1e-1, 41)
    losses = (0.1 + 0.01 * np.log10(rates / 1e-3) ** 2).tolist()
    found = {"rates": rates.tolist(), "losses": losses, "smooth": losses, "configured": 3e-3, "unstable": 1e-2}
    return found | {"suggestion": 1e-3} | changed


def test_a_range_test_is_drawn_over_its_rates_with_three_of_them_marked() -> None:
    found = rates_found()
    axes = plots.plot_rates(found).axes[0]
    each, smooth, *marks = axes.lines
    np.testing.assert_allclose(each.get_xdata(), found["rates"])
    np.testing.assert_allclose(smooth.get_ydata(), found["smooth"])
    assert [mark.get_xdata()[0] for mark in marks] == [3e-3, 1e-3, 1e-2]
    assert axes.get_xscale() == "log" and (axes.get_xlabel(), axes.get_ylabel()) == ("learning rate", "loss")


def test_a_range_test_without_an_unstable_rate_marks_none_and_says_so() -> None:
    axes = plots.plot_rates(rates_found(unstable=None)).axes[0]
    assert [mark.get_xdata()[0] for mark in axes.lines[2:]] == [3e-3, 1e-3]
    assert axes.get_title().endswith("the loss does not rise by 10 %")


def test_a_range_test_that_ended_in_infinity_is_drawn_up_to_there() -> None:
    losses = [*rates_found()["losses"][:-1], None]
    each, smooth, *_ = plots.plot_rates(rates_found(losses=losses, smooth=losses[:-1])).axes[0].lines
    assert np.isnan(each.get_ydata()[-1]) and len(smooth.get_xdata()) == 40


def test_frames_may_have_their_channels_first_or_last() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3)).astype(np.uint8)
    last = plots.plot_frames(frames, titles=["a", "b", "c"])
    first = plots.plot_frames(torch.from_numpy(frames.transpose(0, 3, 1, 2).copy()))
    for one, other, frame in zip(last.axes, first.axes, frames, strict=True):
        np.testing.assert_array_equal(one.images[0].get_array(), frame)
        np.testing.assert_array_equal(other.images[0].get_array(), frame)
    assert last.axes[2].get_title() == "c"
    with pytest.raises(SopeduError, match=r"\(3, 4, 20, 30\)"):
        plots.plot_frames(np.zeros((3, 4, 20, 30), np.uint8))


def test_boxes_lie_where_their_fractions_say() -> None:
    frames = np.zeros((1, 20, 40, 3), np.uint8)
    axes = plots.plot_frames(frames, boxes=np.array([[[0.25, 0.5, 0.75, 1.0], [0, 0, 1, 0.5]]])).axes[0]
    black, white = axes.patches[:2]
    assert white.get_bbox().extents == pytest.approx((9.5, 9.5, 29.5, 19.5))  # pixel centres have whole numbers
    assert (to_hex(black.get_edgecolor()), to_hex(white.get_edgecolor())) == ("#000000", "#ffffff")
    assert [text.get_text() for text in axes.texts] == ["1", "2"]
    with pytest.raises(SopeduError, match="box 0.5,0,1.2,1"):
        plots.plot_frames(frames, boxes=[[(0.5, 0, 1.2, 1)]])


def test_sound_map_is_scaled_to_its_loudest_cell_and_says_what_it_shows() -> None:
    frame, sound_map = np.full((32, 32, 3), 128, np.uint8), np.zeros((4, 4))
    sound_map[0, 3] = 0.4
    figure = plots.plot_sound_map(frame, sound_map, [(0, 0, 0.5, 0.5)], title="map")
    axes, bar = figure.axes
    brightness = axes.images[0].get_array().sum(-1)
    row, column = np.unravel_index(brightness.argmax(), brightness.shape)
    assert row < 8 and column >= 24
    assert bar.get_ylabel() == "share of the mixture's energy"
    assert bar.get_ylim() == (0, 0.4)


def test_scores_are_written_on_their_bars() -> None:
    shown = ("mixture", "static_mask", "model", "ideal_binary_mask", "ideal_ratio_mask", "swapped")
    table = {name: {"sdr": value} for name, value in zip(shown, (0.3, 2, 5.456, 12, 13, -4.25), strict=True)}
    axes = plots.plot_scores(table).axes[0]
    assert [text.get_text() for text in axes.texts] == ["0.30", "2.00", "5.46", "12.00", "13.00", "−4.25"]
    assert [bar.get_width() for bar in axes.patches] == [0.3, 2, 5.456, 12, 13, -4.25]
    assert [label.get_text() for label in axes.get_yticklabels()] == [plots.ROW_NAMES[name] for name in shown]
    colours = {to_hex(bar.get_facecolor()) for index, bar in enumerate(axes.patches) if index != 2}
    assert len(colours) == 1 and to_hex(axes.patches[2].get_facecolor()) not in colours
    assert axes.get_xlabel() == "SDR in dB"


def test_intervals_lie_on_their_bars_and_beside_no_number() -> None:
    some = ("mixture", "static_mask", "model", "ideal_binary_mask", "ideal_ratio_mask", "swapped")
    table = {name: {"sdr": value} for name, value in zip(some, (0.3, 2, 5.456, 12, 13, -4.25), strict=True)}
    intervals = {name: {"sdr": [row["sdr"] - 1, row["sdr"] + 2]} for name, row in table.items()}
    intervals["static_mask"]["sdr"] = [None, None]  # of one mixture alone
    figure = plots.plot_scores(table, intervals=intervals)
    axes = figure.axes[0]
    drawn = {line.get_ydata()[0]: tuple(line.get_xdata()) for line in axes.lines if len(set(line.get_ydata())) == 1}
    assert drawn == {i: (row["sdr"] - 1, row["sdr"] + 2) for i, row in enumerate(table.values()) if i != 1}
    figure.draw_without_rendering()
    for number, text in enumerate(axes.texts):
        box = axes.transData.inverted().transform(text.get_window_extent())
        low, high = drawn.get(number, (2, 2))
        assert box[0, 0] > high or box[1, 0] < low


def test_thresholds_begin_with_everything_and_end_with_nothing_and_gaps_stay_gaps():
    row = {"own": [0.9, 0.5, None], "others": [0.4, 0.1, None], "sdr": [3.0, 5.0, None]}
    shares, scores = plots.plot_thresholds({"thresholds": [0.2, 0.5, 0.8], "model": row, "static_mask": row}).axes
    model = next(line for line in shares.lines if line.get_label() == "model")
    np.testing.assert_allclose(model.get_xydata(), [(100, 100), (40, 90), (10, 50), (np.nan, np.nan), (0, 0)])
    assert [text.get_text() for text in shares.texts] == ["0.2", "0.5"]
    np.testing.assert_allclose(scores.lines[0].get_xydata(), [(0.2, 3), (0.5, 5), (0.8, np.nan)])


def test_every_pair_of_classes_has_its_number_and_every_class_its_mean() -> None:
    values = np.array([[np.nan, 12.34, -2.0], [0.5, np.nan, 6.0], [np.nan, np.nan, np.nan]])
    figure = plots.plot_classes(
        ["acoustic_guitar", "tuba", "$x{$"], values, {"acoustic_guitar": 5.17, "tuba": 3.25, "$x{$": None}
    )
    axes, bar = figure.axes
    assert {text.get_position(): text.get_text() for text in axes.texts} == {
        (1, 0): "12.3", (2, 0): "−2.0", (0, 1): "0.5", (2, 1): "6.0"
    }  # fmt: skip
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "acoustic guitar   5.2",
        "tuba   3.2",
        "$x{$   –",
    ]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["acoustic guitar", "tuba", "$x{$"]
    assert axes.images[0].get_cmap().name == "cividis" and axes.images[0].get_clim() == (-2, 12.34)
    assert bar.get_ylabel() == "dB" and axes.get_xlabel() == "mixed with"
    for text in axes.texts:  # dark on bright, bright on dark
        column, row = text.get_position()
        shade = axes.images[0].to_rgba(values)[row, column, :3].mean()
        assert (text.get_color() == "black") == (shade > 0.45)
    nothing = plots.plot_classes(["a", "b"], np.full((2, 2), np.nan), {"a": None, "b": None})
    assert not nothing.axes[0].texts


def test_separation_shares_one_scale_and_explains_it() -> None:
    rows, generator = (TINY.log_frequency_bins, TINY.time_frames), torch.Generator().manual_seed(0)
    sources = torch.rand(2, *rows, generator=generator)
    frames = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    mixture = sources.sum(0)
    figure = plots.plot_separation(mixture, sources, sources / 2, frames, sources, sources, TINY, ["a", "$b"])
    titles = [axes.get_title() for axes in figure.axes]
    assert [titles.count(title) for title in ("mixture", "a", "$b", "reference", "estimate")] == [1, 1, 1, 2, 2]
    reference = figure.axes[titles.index("reference")].images[0].get_array()
    estimate = figure.axes[titles.index("estimate")].images[0].get_array()
    loud = estimate > -79
    np.testing.assert_allclose((reference - estimate)[loud], 20 * math.log10(2), rtol=1e-4)
    assert reference.max() < 0  # 0 dB is the mixture's loudest cell
    bars = [artist.get_xlabel() for artist in figure.findobj(lambda artist: hasattr(artist, "get_xlabel"))]
    assert "masks: share let through" in bars and "spectrograms: dB" in bars
    assert len(plots.encode_figure(figure)) < 200_000


def test_a_notebook_shows_a_figure_and_a_report_can_hold_it() -> None:
    figure = plots.plot_history(HISTORY)
    assert isinstance(figure, plots.NotebookFigure)
    png, webp = figure._repr_png_(), plots.encode_figure(figure)
    # 8 × 4 inches: 90 pixels an inch in a notebook, which has to stay small, and 110 in a report.
    for encoded, kind, size in ((png, "PNG", (720, 360)), (webp, "WEBP", (880, 440))):
        with Image.open(io.BytesIO(encoded)) as picture:
            assert picture.format == kind and picture.size == size
    assert max(len(png), len(webp)) < 20_000  # fourteen of them and eleven players stay below 400 kB


def test_nothing_is_cut_off() -> None:
    """The outermost pixels of a figure are blank: no label runs over its border."""
    table = {name: {"sdr": 10.0} for name in plots.ROW_NAMES}
    magnitude = log_magnitude_rows(440, TINY)
    names = ["acoustic_guitar", "saxophone", "tuba"]
    classes = plots.plot_classes(names, 10 * np.eye(3), dict.fromkeys(names, 1.0))
    others = (plots.plot_history(HISTORY), plots.plot_spectrogram(magnitude, TINY), plots.plot_rates(rates_found()))
    for figure in (plots.plot_scores(table), classes, *others):
        with Image.open(io.BytesIO(plots.encode_figure(figure, "png"))) as picture:
            opacity = np.asarray(picture.convert("RGBA"))[..., 3]
        assert max(edge.max() for edge in (opacity[0], opacity[-1], opacity[:, 0], opacity[:, -1])) == 0


@pytest.mark.parametrize("page", ["#ffffff", "#111111"], ids=["light", "dark"])
def test_text_and_lines_can_be_read_on_a_page(page: str) -> None:
    """No colour reaches 4.5 on both grounds: their own contrast is 18.9, whose root is 4.35."""
    assert contrast("white", "black") == pytest.approx(21)
    assert contrast(plots.INK, page) >= 4.2
    figure = plots.plot_history([entry | {"validation_loss": 1.0} for entry in HISTORY])
    figure.axes[0].text(0.5, 0.5, "a learner's own words", color="black")
    figure.axes[0].axhline(0.5, color="black")
    with Image.open(io.BytesIO(plots.encode_figure(figure, "png"))) as picture:
        pixels = np.asarray(picture.convert("RGBA")).reshape(-1, 4)
    colours = {tuple(pixel[:3] / 255) for pixel in pixels[pixels[:, 3] > 250]}
    assert len(colours) > 3 and min(contrast(colour, page) for colour in colours) >= 3  # WCAG: graphical objects
    assert (pixels[:, 3] == 0).mean() > 0.7  # the page shows through


def test_what_lies_on_a_picture_keeps_its_colour() -> None:
    figure = plots.plot_frames(np.full((1, 40, 60, 3), 200, np.uint8), [[(0.1, 0.1, 0.9, 0.9)]], ["title"])
    figure.axes[0].text(5, 5, "on the picture", color="black")
    plots.encode_figure(figure)
    axes = figure.axes[0]
    assert (axes.texts[-1].get_color(), axes.title.get_color()) == ("black", plots.INK)
    assert to_hex(axes.patches[0].get_edgecolor()) == "#000000"


def test_colours_of_axes_that_were_chosen_stay() -> None:
    axes = plots.plot_waveform(sine(440, TINY), TINY.sample_rate).axes[0]
    axes.tick_params(axis="y", labelcolor=BLUE)
    axes.xaxis.label.set_color(BLUE)
    plots.encode_figure(axes.figure)
    assert {label.get_color() for label in axes.get_yticklabels()} == {BLUE} == {axes.xaxis.label.get_color()}
    assert {label.get_color() for label in axes.get_xticklabels()} == {plots.INK} == {axes.yaxis.label.get_color()}


def test_a_palette_keeps_colours_and_opacity() -> None:
    """What a notebook keeps differs from the exact drawing by no more than a palette's steps."""
    figure = plots.plot_sound_map(np.full((32, 48, 3), 90, np.uint8), np.random.default_rng(0).random((4, 6)))
    exact = io.BytesIO()
    plots.encode_figure(figure)  # the first drawing settles the layout
    kept = plots.encode_figure(figure, "png", dpi=90)
    figure.savefig(exact, format="png", dpi=90, transparent=True)
    one, other = (np.asarray(Image.open(data).convert("RGBA")).astype(int) for data in (exact, io.BytesIO(kept)))
    assert np.abs(one[..., 3] - other[..., 3]).max() < 32
    assert np.abs(one - other)[one[..., 3] == 255].mean() < 4


def test_a_file_stands_on_white(tmp_path) -> None:
    path = plots.save_figure(tmp_path / "curve.png", plots.plot_history(HISTORY))
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGBA"))
    assert pixels[..., 3].min() == 255 and tuple(pixels[0, 0]) == (255, 255, 255, 255)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.005, "1.00"), (-3.2, "−3.20"), (100, "100.00"), (math.nan, "–"), (-0.002, "0.00"), (np.float32(0.5), "0.50")],
)
def test_numbers_have_two_digits(value: float, text: str) -> None:
    assert plots.two_digits(value) == text


def test_several_maps_share_one_scale_and_one_frame():
    frame, maps = np.full((1, 32, 48, 3), 60, np.uint8), np.zeros((3, 2, 3))
    maps[1, 0, 2], maps[2, 1, 0] = 0.5, 0.25
    figure = plots.plot_sound_maps(frame, maps, titles=["a", "b", "c"], boxes=[[], [(0.5, 0, 1, 0.5)], []], columns=2)
    panels, bar = figure.axes[:4], figure.axes[-1]
    assert [axes.get_title() for axes in panels] == ["a", "b", "c", ""] and not panels[3].images
    drawn = np.stack([axes.images[0].get_array() for axes in panels[:3]]).astype(int)
    assert drawn[1, 4, 44].sum() > drawn[2, 28, 4].sum() > drawn[0].max((0, 1)).sum()  # twice as loud is brighter
    assert bar.get_ylim() == pytest.approx((0, 0.5))
    assert bar.get_ylabel().replace("\n", " ") == "share of the mixture's energy"  # wrapped, or it would be cut off
    assert len(panels[1].patches) == 2 and not panels[0].patches
    with pytest.raises(SopeduError, match="2 frames for 3 maps"):
        plots.plot_sound_maps(np.repeat(frame, 2, 0), maps)


def test_colours_of_sounds_have_a_legend_and_leave_quiet_places_grey():
    frame, colours = np.full((32, 48, 3), 100, np.uint8), np.zeros((2, 3, 3))
    colours[0, 0], colours[1, 2] = (0, 114 / 255, 178 / 255), (213 / 255, 94 / 255, 0)
    figure = plots.plot_sound_colours(frame, colours)
    legend = figure.axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["one sound", "another", "between"]
    picture = figure.axes[0].images[0].get_array().astype(int)
    blue, vermilion, quiet = picture[2, 2], picture[-3, -3], picture[2, -3]
    assert blue[2] > blue[0] + 80 and vermilion[0] > vermilion[2] + 80
    assert np.ptp(quiet) == 0
    swatches = [to_hex(patch.get_facecolor()).upper() for patch in legend.get_patches()]
    assert swatches == ["#0072B2", "#D55E00", "#F0F0F0"]


def test_an_ablation_shows_means_and_the_range_of_the_seeds():
    runs = {"full": {"sdr": [6.0, 7.0, 8.0]}, "less": {"sdr": [-1.0, -2.0, -6.0]}}
    figure = plots.plot_ablation(runs, {"full": "all of it", "less": "a part"}, {"sdr": "SDR in dB"})
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([7, -3])
    assert [list(line.get_xdata()) for line in axes.lines[:3]] == [[6, 8], [-6, -1], [7, 7]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["all of it", "a part"]
    assert axes.yaxis_inverted() and axes.get_title() == "SDR in dB"
    with pytest.raises(SopeduError, match="no scores of less sir"):
        plots.plot_ablation(runs, {"less": "a part"}, {"sir": "SIR"})


def test_every_cell_has_its_mask_with_low_frequencies_at_the_bottom():
    masks = np.zeros((2, 3, 4, 5))
    masks[1, 2, 0] = 1  # the lowest frequency of the cell in row 1, column 2
    left, right, _ = plots.plot_cell_masks(np.full((16, 24, 3), 60, np.uint8), masks).axes
    drawn = np.asarray(right.images[0].get_array())
    assert drawn.shape == (8, 15) and np.array_equal(np.argwhere(drawn), [(7, column) for column in range(10, 15)])
    assert list(right.get_xticks()) == [2, 7, 12] and list(right.get_yticks()) == [1.5, 5.5]  # the cells' middles
    assert list(left.get_xticks(minor=True)) == [7.5, 15.5] and list(left.get_yticks(minor=True)) == [7.5]


def test_spectrograms_side_by_side_share_one_scale_and_one_colour_bar():
    magnitude = log_magnitude_rows(440)
    figure = plots.plot_spectrograms({"loud": magnitude, "soft": magnitude / 10}, PAPER, floor_db=-50)
    loud, soft, bar = figure.axes
    assert (loud.get_title(), soft.get_title(), bar.get_ylabel()) == ("loud", "soft", "dB")
    assert loud.images[0].get_array().max() == pytest.approx(0)
    assert soft.images[0].get_array().max() == pytest.approx(-20)
    assert {axes.images[0].get_clim() for axes in (loud, soft)} == {(-50, 0)}


def test_partners_meet_on_a_circle_in_the_order_of_the_mixtures():
    names = ("flute", "violin", "tuba", "erhu")
    axes = plots.plot_partners([[2, 0], [3, 1], [0, 2], [1, 3]], names).axes[0]
    arrows = [text for text in axes.texts if not text.get_text()]
    at = {text.get_text(): np.array(text.get_position()) / (1.12, 1.14) for text in axes.texts if text.get_text()}
    assert np.allclose([at[name] for name in ("tuba", "erhu", "flute", "violin")], [(1, 0), (0, 1), (-1, 0), (0, -1)])
    ends = [(arrow.xyann, arrow.xy) for arrow in arrows]
    assert np.allclose(ends[0], (at["tuba"], at["flute"]))
    assert np.allclose(ends[3], (at["violin"], at["erhu"]))


def test_bars_of_means_show_every_value():
    figure = plots.plot_means({"a": [1.0, 3.0], "b": [-2.0]}, "gain in dB", "title", {"a": "#0072B2"})
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [2, -2]
    assert [list(line.get_xdata()) for line in axes.lines[:2]] == [[1, 3], [-2]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"] and axes.get_xlabel() == "gain in dB"
    assert to_hex(axes.patches[0].get_facecolor()) == "#0072b2" != to_hex(axes.patches[1].get_facecolor())


def test_pairs_of_bars_do_not_overlap_and_are_named():
    figure = plots.plot_bar_pairs({"told": [1.0, 2.0], "guessed": [0.5, -1.0]}, ["x", "y"], "gain in dB")
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [1, 2, 0.5, -1]
    spans = sorted((bar.get_y(), bar.get_y() + bar.get_height()) for bar in axes.patches)
    assert all(end <= start for (_, end), (start, _) in zip(spans, spans[1:], strict=False))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["told", "guessed"]


def test_components_are_drawn_over_frequency_and_over_time():
    spectra, activations = np.zeros((TINY.linear_bins, 3), np.float32), np.zeros((3, 8))
    spectra[5, 0] = spectra[9, 1] = 2.0
    activations[1, 4] = 5.0
    left, right, _ = plots.plot_components(torch.from_numpy(spectra), activations, TINY).axes
    shares = np.asarray(right.images[0].get_array())
    assert shares.max() == 1 and np.argwhere(shares).tolist() == [[1, 4]]
    assert right.images[0].get_extent()[1] == pytest.approx(8 * TINY.hop_length / TINY.sample_rate)
    columns = np.asarray(left.images[0].get_array())
    assert columns[:, 0].argmax() < columns[:, 1].argmax() and not columns[:, 2].any()  # silent: no division by zero


@pytest.mark.parametrize("upwards", [False, True])
def test_every_channel_has_its_small_map_with_its_own_values(upwards: bool) -> None:
    maps = np.random.default_rng(0).uniform(-1, 1, (11, 4, 6))
    figure = plots.plot_channels(maps, "scale", limits=(-2, 2), title="eleven", upwards=upwards)
    drawn = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in drawn] == [str(k) for k in range(11)]
    for axes, cells in zip(drawn, maps, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), cells)
        assert axes.images[0].get_clim() == (-2, 2)
        assert (axes.get_ylim()[0] < axes.get_ylim()[1]) == upwards, "where the first row lies"
    assert figure.axes[-1].get_ylabel() == "scale"


def test_channels_have_one_title_each() -> None:
    with pytest.raises(SopeduError, match="2 titles for 3 maps: give one title per map"):
        plots.plot_channels(np.zeros((3, 2, 2)), "scale", titles=["a", "b"])


def test_gains_over_components_show_every_start_their_mean_and_the_ideal_mask() -> None:
    gains = {"first": [[1.0, 3.0], [5.0, 9.0], [4.0, 4.0]], "second": [[0.0, 0.0], [1.0, 2.0], [2.0, 2.0]]}
    figure = plots.plot_over_components((4, 8, 16), gains, {"first": 12.0, "second": 7.0}, "grouped")
    (axes,) = figure.axes
    drawn = [tuple(line.get_ydata()) for line in axes.lines]
    assert (2.0, 7.0, 4.0) in drawn and (0.0, 1.5, 2.0) in drawn, "means"
    assert (1.0, 5.0, 4.0) in drawn and (3.0, 9.0, 4.0) in drawn, "starts"
    assert (12.0, 12.0) in drawn and (7.0, 7.0) in drawn, "ideal masks"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(gains)
    assert len({line.get_marker() for line in axes.lines} - {"None"}) == len(gains), "not by colour alone"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["4", "8", "16"]
