// Draws the lab, plays its sounds and passes on what people choose; everything that is computed comes from lab.py.

const SIDES = { a: "#0072B2", b: "#D55E00" }; // Okabe and Ito, as in lab_figures.py
const RANGE = [-5, 15]; // of the axis of SDR improvements, in dB
const PATIENCE = 15000; // milliseconds until somebody is told that Python does not answer
const KEYS = [
  ["P", "play or pause"],
  ["A, B", "hear A, hear B"],
  ["M", "hear the mixture"],
  ["T", "hear the true source"],
  ["S", "the other source"],
  ["Left, Right on the time line", "step through the sound"],
];

function svg(name, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  node.append(...children);
  return node;
}

const bytes = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
const minus = (text) => String(text).replace("-", "−");
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** Plays several sounds of one length in step; one of them is heard, so that switching keeps the place. */
class Deck {
  constructor(rate, seconds) {
    Object.assign(this, { rate, seconds, sounds: {}, playing: null, offset: 0, heard: "a", loop: true });
  }

  set(name, view) {
    const samples = new Int16Array(bytes(view).slice().buffer);
    this.sounds[name] = Float32Array.from(samples, (sample) => sample / 32767);
    if (this.playing) this.begin(name);
  }

  drop(name) {
    delete this.sounds[name];
    if (this.playing) this.end(name);
  }

  get position() {
    if (!this.playing) return this.offset;
    const since = this.context.currentTime - this.playing.since;
    return this.loop ? ((since % this.seconds) + this.seconds) % this.seconds : since;
  }

  async play() {
    if (!this.context) {
      this.context = new AudioContext();
      this.meter = this.context.createAnalyser();
      this.meter.connect(this.context.destination);
      this.values = new Float32Array(this.meter.fftSize);
    }
    await this.context.resume();
    if (this.offset >= this.seconds - 0.02) this.offset = 0;
    this.playing = { since: this.context.currentTime - this.offset, sources: {}, gains: {} };
    for (const name of Object.keys(this.sounds)) this.begin(name);
  }

  pause() {
    this.offset = clamp(this.position, 0, this.seconds);
    if (!this.playing) return;
    for (const name of Object.keys(this.playing.sources)) this.end(name);
    this.playing = null;
  }

  seek(seconds) {
    const playing = this.playing;
    this.pause();
    this.offset = clamp(seconds, 0, this.seconds);
    if (playing) this.play();
  }

  hear(name) {
    this.heard = name;
    if (!this.playing) return;
    const now = this.context.currentTime;
    for (const [other, gain] of Object.entries(this.playing.gains)) gain.gain.setTargetAtTime(Number(other === name), now, 0.004);
  }

  begin(name) {
    this.end(name);
    const buffer = this.context.createBuffer(1, this.sounds[name].length, this.rate);
    buffer.copyToChannel(this.sounds[name], 0);
    const source = this.context.createBufferSource();
    const gain = this.context.createGain();
    source.buffer = buffer;
    source.loop = this.loop;
    gain.gain.value = Number(name === this.heard);
    source.connect(gain).connect(this.meter);
    source.start(0, clamp(this.position, 0, buffer.duration));
    Object.assign(this.playing.sources, { [name]: source });
    Object.assign(this.playing.gains, { [name]: gain });
  }

  end(name) {
    const source = this.playing.sources[name];
    if (!source) return;
    source.stop();
    this.playing.gains[name].disconnect();
    delete this.playing.sources[name];
    delete this.playing.gains[name];
  }

  /** Level of what is heard now, 0 to 1. */
  level() {
    if (!this.playing) return 0;
    this.meter.getFloatTimeDomainData(this.values);
    return this.values.reduce((top, value) => Math.max(top, Math.abs(value)), 0);
  }
}

function render({ model, el }) {
  const fixed = model.get("_fixed");
  const colours = { magma: bytes(fixed.magma), cividis: bytes(fixed.cividis) };
  const deck = new Deck(fixed.rate, fixed.seconds);
  const unique = `sopedu-lab-${Math.random().toString(36).slice(2)}`;
  const urls = new Map(); // of each picture's place
  const cleanups = [];
  const heads = []; // lines that follow the sound
  let impatient = 0;
  let named = 0; // controls with a name of their own, so far

  // Controls -------------------------------------------------------------------------------------------------------
  const button = (text, act, more = {}) => make("button", { type: "button", onclick: act, ...more }, text);

  function radios(title, options, act) {
    const name = `${unique}-${title.replace(/\W/g, "")}`;
    const box = make("fieldset", { class: "radios" }, make("legend", {}, title));
    const inputs = options.map(([value, text]) => {
      const input = make("input", { type: "radio", name, value, onchange: () => act(value) });
      box.append(make("label", {}, input, make("span", {}, text)));
      return input;
    });
    return {
      box,
      inputs,
      set: (value) => inputs.forEach((input) => (input.checked = input.value === String(value))),
      text: (value, text) => (inputs.find((input) => input.value === value).nextSibling.textContent = text),
    };
  }

  function chooser(label, options, act) {
    const id = `${unique}-${(named += 1)}`;
    const list = make("select", { id, onchange: () => act(list.value) });
    const fill = (entries) => list.replaceChildren(...entries.map(([value, text]) => make("option", { value }, text)));
    fill(options);
    return { box: make("div", { class: "chooser" }, make("label", { for: id }, label), list), list, fill };
  }

  function ask(question) {
    model.send(question);
    clearTimeout(impatient);
    impatient = setTimeout(() => say("No answer from Python: is the kernel running, or busy?"), PATIENCE);
  }

  function say(text) {
    trouble.textContent = text ? `⚠ ${text}` : "";
    trouble.hidden = !text;
  }

  const move = (name, value) => (model.set(name, Number(value)), model.save_changes());
  const pairs = radios("Held-out mixture", fixed.pairs.map((name, i) => [String(i), name]), (value) => move("pair", value));
  const source = radios("Look at", [["0", ""], ["1", ""]], (value) => move("source", value));
  const heard = radios("Hear", [["a", "A"], ["b", "B"], ["mixture", "mixture"], ["true", "true source"]], hear);
  const playButton = button("▶ Play", toggle, { class: "play", title: "key P" });
  const line = make("input", {
    type: "range", min: "0", max: String(fixed.seconds), step: "0.05", value: "0", "aria-label": "time in seconds",
    oninput: () => (deck.seek(Number(line.value)), follow()),
  });
  const clock = make("output", {});
  const again = make("input", { type: "checkbox", checked: true, onchange: () => ((deck.loop = again.checked), deck.seek(deck.position)) });
  const meter = make("meter", { min: "0", max: "1", value: "0", "aria-label": "level of the sound" });
  const trouble = make("p", { class: "trouble", role: "alert", hidden: true });

  // Panels ---------------------------------------------------------------------------------------------------------
  function cells(title, palette, follows = true) {
    const image = make("canvas", { role: "img", "aria-label": title, width: 1, height: 1 });
    const head = make("div", { class: "head" });
    if (follows) heads.push(head);
    const ticks = fixed.ticks.map(([hertz, at]) =>
      make("span", { style: `bottom: ${100 * at}%` }, hertz >= 1000 ? `${hertz / 1000}k` : String(hertz)),
    );
    const caption = make("figcaption", {}, title);
    const plot = make("div", { class: "plot" }, image, follows ? head : "");
    const figure = make("figure", {}, caption, make("div", { class: "axes" }, make("div", { class: "hertz" }, ...ticks), plot));
    figure.append(make("div", { class: "seconds" }, make("span", {}, "0"), make("span", {}, "time in s"), make("span", {}, fixed.seconds.toFixed(2))));
    return { figure, image, caption, palette };
  }

  function paint({ image, palette }, view, spoken) {
    const levels = bytes(view);
    const [height, width] = [fixed.rows, levels.length / fixed.rows];
    const pixels = new ImageData(width, height);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const level = 3 * levels[y * width + x];
        pixels.data.set([...colours[palette].subarray(level, level + 3), 255], 4 * ((height - 1 - y) * width + x));
      }
    }
    [image.width, image.height] = [width, height];
    image.getContext("2d").putImageData(pixels, 0, 0);
    image.setAttribute("aria-label", spoken);
  }

  function photo(title) {
    const image = make("img", { alt: "", draggable: "false" });
    const caption = make("figcaption", {}, title);
    return { figure: make("figure", { class: "photo" }, caption, image), image, caption };
  }

  function expose(panel, view, spoken) {
    if (urls.has(panel)) URL.revokeObjectURL(urls.get(panel));
    urls.set(panel, URL.createObjectURL(new Blob([bytes(view)], { type: "image/webp" })));
    panel.image.src = urls.get(panel);
    panel.image.alt = spoken;
  }

  // A side ---------------------------------------------------------------------------------------------------------
  const sides = Object.fromEntries(Object.keys(SIDES).map((key) => [key, side(key)]));

  function side(key) {
    const letter = key.toUpperCase();
    const choose = (values) => ask({ kind: "choose", side: key, values });
    const lists = fixed.choices.map(({ name, label, options }) => ({ name, options, ...chooser(label, options, (value) => choose({ [name]: value })) }));
    const runs = chooser("run", [], (run) => ask({ kind: "run", side: key, run }));
    runs.box.classList.add("wide");
    const title = make("strong", {});
    const scores = make("div", { class: "scores" });
    const said = make("p", { class: "said", "aria-live": "polite" });
    const missing = make("div", { class: "missing", hidden: true });
    missing.append(
      make("p", {}, "No finished run has these choices. Train one, or change a choice."),
      button("Train it: about 10 s", () => start(key, model.get(`_${key}`).values, "heads"), { class: "primary train" }),
      button("Back to the usual choices", () => choose(fixed.usual)),
    );
    const reason = make("p", {});
    const silence = make("div", { class: "silence", hidden: true }, make("p", {}, make("strong", {}, "This run is silent. ")), reason);
    const cure = button("Leave out empty rooms and absent pictures", () => choose({ empty_rooms: "0", absent_pictures: "0" }), { class: "cure" });
    silence.append(cure);
    const [map, sound, predicted, truth] = [photo("sound map"), cells("estimate", "magma"), cells("predicted mask", "cividis"), cells("true mask", "cividis")];
    const panels = make("div", { class: "panels" }, map.figure, sound.figure, predicted.figure, truth.figure);
    const section = make("section", { class: `side ${key}`, "aria-label": `run ${letter}` });
    section.append(
      make("h4", {}, make("span", { class: "letter" }, letter), title),
      make("div", { class: "choices" }, ...lists.map((list) => list.box), runs.box),
      missing, scores, said, panels, silence,
    );
    return { key, letter, section, lists, runs, title, scores, said, missing, silence, reason, cure, map, sound, predicted, truth, panels };
  }

  function drawSide(key) {
    const [state, parts] = [model.get(`_${key}`), sides[key]];
    const number = model.get("source");
    for (const { name, options, list } of parts.lists) {
      options.forEach(([value, text], i) => {
        const there = value === state.values[name] || state.offered[name].includes(value);
        list.options[i].textContent = there ? text : `${text} (train it)`;
      });
      list.value = state.values[name];
    }
    parts.runs.fill(state.runs);
    parts.runs.list.value = state.run;
    parts.runs.list.disabled = !state.runs.length;
    const there = Boolean(state.name);
    parts.title.textContent = there ? state.name : "no run yet";
    parts.missing.hidden = there;
    for (const node of [parts.panels, parts.scores, parts.said]) node.hidden = !there;
    parts.silence.hidden = !state.silent;
    parts.reason.textContent = state.reason || "Its masks are 0 everywhere.";
    parts.cure.hidden = !state.reason;
    heard.inputs.find((input) => input.value === key).disabled = !there;
    if (!there) {
      deck.drop(key);
      return deck.heard === key && hear("mixture");
    }
    const name = model.get("_mixture").names[number];
    parts.scores.replaceChildren(scoreAxis(state.scores, key));
    parts.said.textContent = `${state.said}. On this mixture, ${name}: ${state.here[number]} dB.`;
    const shown = state.shown;
    expose(parts.map, shown.maps[number], `sound map of ${parts.letter} over the picture of the ${name}`);
    parts.map.caption.textContent = `${name}: sound map`;
    paint(parts.sound, shown.spectrograms[number], `spectrogram of the estimate of ${parts.letter}: ${name}`);
    parts.sound.caption.textContent = `estimate (${shown.levels[number]} dB)`;
    paint(parts.predicted, shown.masks[number], `predicted mask of ${parts.letter}: ${name}`);
    paint(parts.truth, shown.true_masks[number], `true ${state.target} mask of the ${name}`);
    parts.truth.caption.textContent = `true ${state.target} mask`;
    deck.set(key, shown.sounds[number]);
  }

  function scoreAxis(scores, key) {
    const [width, height] = [400, 46];
    const at = (value) => 12 + ((clamp(value, ...RANGE) - RANGE[0]) / (RANGE[1] - RANGE[0])) * (width - 24);
    const label = `SDR improvements in dB: ${scores.map(([value]) => value.toFixed(1)).join(", ")}`;
    const plot = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
    plot.append(svg("line", { x1: 12, x2: width - 12, y1: 24, y2: 24, class: "axis" }));
    for (const value of [-5, 0, 5, 10, 15]) {
      plot.append(svg("line", { x1: at(value), x2: at(value), y1: 24, y2: 28, class: "axis" }));
      plot.append(svg("text", { x: at(value), y: 40, "text-anchor": "middle" }, minus(value)));
    }
    plot.append(svg("text", { x: width, y: 20, "text-anchor": "end" }, "dB"));
    const mean = scores.reduce((sum, [value]) => sum + value, 0) / scores.length;
    if (scores.length) plot.append(svg("line", { x1: at(mean), x2: at(mean), y1: 3, y2: 24, stroke: SIDES[key], "stroke-width": 3 }));
    scores.forEach(([value, chosen], number) => {
      const place = { fill: chosen ? SIDES[key] : "none", stroke: SIDES[key], "stroke-width": 2 };
      const [x, y] = [at(value), 7 + (number % 3) * 5];
      plot.append(key === "a" ? svg("circle", { cx: x, cy: y, r: 4.5, ...place }) : svg("rect", { x: x - 4, y: y - 4, width: 8, height: 8, ...place }));
      if (value < RANGE[0]) plot.append(svg("text", { x: x + 10, y: 14 }, number ? "" : `← ${minus(value.toFixed(0))} dB`));
    });
    return plot;
  }

  // Sounds ---------------------------------------------------------------------------------------------------------
  function drawMixture() {
    const mixture = model.get("_mixture");
    pairs.set(model.get("pair"));
    mixture.names.forEach((name, i) => source.text(String(i), name));
    drawSource();
  }

  function drawSource() {
    const [mixture, number] = [model.get("_mixture"), model.get("source")];
    source.set(number);
    heard.text("true", `true ${mixture.names[number]}`);
    deck.set("mixture", mixture.mixture);
    deck.set("true", mixture.sources[number]);
    for (const key of Object.keys(SIDES)) drawSide(key);
  }

  function hear(name) {
    heard.set(name);
    deck.hear(name);
    for (const key of Object.keys(SIDES)) sides[key].section.classList.toggle("heard", key === name);
  }

  async function toggle() {
    if (deck.playing) deck.pause();
    else await deck.play().catch((error) => say(`The sound cannot be played: ${error.message}`));
    follow();
  }

  let frame = 0;
  function follow() {
    if (deck.playing && !deck.loop && deck.position >= deck.seconds) deck.pause();
    const place = deck.position;
    line.value = String(place);
    clock.textContent = `${place.toFixed(2)} of ${deck.seconds.toFixed(2)} s`;
    playButton.textContent = deck.playing ? "❚❚ Pause" : "▶ Play";
    meter.value = deck.level();
    for (const head of heads) head.style.left = `${(100 * place) / deck.seconds}%`;
    Object.assign(el.dataset, { heard: deck.heard, position: place.toFixed(3), at: String(performance.now()), playing: String(Boolean(deck.playing)) });
    cancelAnimationFrame(frame);
    if (deck.playing) frame = requestAnimationFrame(follow);
  }

  // Training -------------------------------------------------------------------------------------------------------
  const wished = { ...fixed.usual, components: "32" };
  const wishes = fixed.choices.map(({ name, label, options }) => ({ name, ...chooser(label, options, (value) => (wished[name] = value)) }));
  const seed = make("input", { type: "number", min: "0", max: "9999", step: "1", value: "0" });
  const steps = make("input", { type: "number", min: "20", max: "2000", step: "10", value: String(fixed.steps.heads) });
  const trained = radios(
    "Train",
    [["heads", `new heads on the trained trunk (${fixed.steps.heads} steps, about 10 s)`], ["scratch", `from scratch (${fixed.steps.scratch} steps, about a minute)`]],
    (value) => (steps.value = String(fixed.steps[value])),
  );
  const showAs = radios("Show it as", [["a", "A"], ["b", "B"]], () => {});
  const startButton = button("Start", () => start(showAs.inputs[0].checked ? "a" : "b", wished, trained.inputs[1].checked ? "scratch" : "heads", Number(steps.value)), { class: "primary start" });
  const stopButton = button("Stop", () => ask({ kind: "stop" }), { class: "stop" });
  const bar = make("progress", { max: "1", value: "0", "aria-label": "share of the training that is done" });
  const progress = make("p", { class: "progress", role: "status" });
  const note = make("div", { class: "silence", hidden: true }, make("strong", {}, "This run is silent. "), make("span", {}));
  note.append(button("Train again without empty rooms and absent pictures", () => startCured(), { class: "cure" }));
  const previews = [0, 1].map(() => ({ map: photo(""), mask: cells("", "cividis", false) }));
  const previewTitle = make("h5", {});
  const preview = make("div", { class: "preview", hidden: true }, previewTitle);
  preview.append(make("div", { class: "panels" }, ...previews.flatMap(({ map, mask }) => [map.figure, mask.figure])));
  const charts = make("div", { class: "charts" });
  const legend = make("ul", { class: "legend" });

  function start(key, values, how, count = fixed.steps[how]) {
    for (const { name, list } of wishes) list.value = wished[name] = values[name];
    trained.set(how);
    steps.value = String(count);
    showAs.set(key);
    panel.open = true;
    ask({ kind: "start", side: key, values: { ...values }, seed: Number(seed.value), trained: how, steps: count });
  }

  function startCured() {
    const values = { ...model.get("_training").values, empty_rooms: "0", absent_pictures: "0" };
    start(showAs.inputs[0].checked ? "a" : "b", values, trained.inputs[1].checked ? "scratch" : "heads", Number(steps.value));
  }

  function drawTraining() {
    const state = model.get("_training");
    progress.textContent = (state.alert ? "⚠ " : "") + (state.text || "Choose, then press Start.");
    progress.classList.toggle("alert", state.alert);
    bar.value = state.done;
    startButton.disabled = state.running;
    stopButton.disabled = !state.running;
    for (const node of el.querySelectorAll(".train, .silence .cure")) if (node.closest(".training, .missing")) node.disabled = state.running;
    note.hidden = !state.note;
    note.children[1].textContent = state.note;
  }

  function drawPreview() {
    const seen = model.get("_preview");
    preview.hidden = !seen.names;
    if (!seen.names) return;
    previewTitle.textContent = `${model.get("_training").name}: at step ${seen.step}`;
    previews.forEach(({ map, mask }, i) => {
      expose(map, seen.maps[i], `sound map of the run in training over the picture of the ${seen.names[i]}`);
      map.caption.textContent = `${seen.names[i]}: sound map`;
      paint(mask, seen.masks[i], `mask of the run in training: ${seen.names[i]}`);
      mask.caption.textContent = `${seen.names[i]}: predicted mask`;
    });
  }

  function drawCurves() {
    const curves = model.get("_curves");
    const dashes = ({ dashes }) => dashes.join(" ");
    charts.replaceChildren(
      chart("loss divided by its first value", curves.map((curve) => [curve, curve.losses])),
      chart("SDR improvement of live runs, in dB", curves.map((curve) => [curve, curve.improvements])),
    );
    const sample = (curve) => svg("svg", { viewBox: "0 0 44 10", "aria-hidden": "true" }, svg("line", { x1: 0, x2: 44, y1: 5, y2: 5, stroke: curve.colour, "stroke-width": 2.5, "stroke-dasharray": dashes(curve) }));
    legend.replaceChildren(...curves.map((curve) => make("li", {}, sample(curve), curve.name)));
  }

  function chart(title, series) {
    const [width, height, left, bottom] = [420, 190, 40, 34];
    const points = series.flatMap(([, values]) => values);
    const plot = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}, over steps` });
    const figure = make("figure", {}, make("figcaption", {}, title), plot);
    if (!points.length) {
      plot.append(svg("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, "train a run to see its curve"));
      return figure;
    }
    const most = Math.max(...points.map(([x]) => x));
    const ys = points.map(([, y]) => y);
    const ticks = niceTicks(Math.min(0, ...ys), Math.max(1, ...ys));
    const [low, high] = [ticks[0], ticks.at(-1)];
    const atX = (x) => left + (x / most) * (width - left - 12);
    const atY = (y) => height - bottom - ((y - low) / (high - low)) * (height - bottom - 10);
    for (const tick of ticks) {
      plot.append(svg("line", { x1: left, x2: width - 12, y1: atY(tick), y2: atY(tick), class: "grid" }));
      plot.append(svg("text", { x: left - 5, y: atY(tick) + 4, "text-anchor": "end" }, minus(tick)));
    }
    for (const tick of niceTicks(0, most)) {
      if (tick <= most) plot.append(svg("text", { x: atX(tick), y: height - bottom + 15, "text-anchor": "middle" }, tick));
    }
    plot.append(svg("text", { x: (left + width) / 2, y: height - 3, "text-anchor": "middle" }, "step"));
    for (const [curve, values] of series) {
      const path = values.map(([x, y]) => `${atX(x)},${atY(y)}`).join(" ");
      plot.append(svg("polyline", { points: path, fill: "none", stroke: curve.colour, "stroke-width": 2, "stroke-dasharray": curve.dashes.join(" ") }));
      if (values.length === 1) plot.append(svg("circle", { cx: atX(values[0][0]), cy: atY(values[0][1]), r: 3, fill: curve.colour }));
    }
    return figure;
  }

  function niceTicks(low, high) {
    const rough = (high - low) / 4;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
    const ticks = [];
    for (let i = Math.floor(low / step); (i - 1) * step < high; i++) ticks.push(Number((i * step).toFixed(6)));
    return ticks.filter((tick, i) => i === 0 || ticks[i - 1] < high);
  }

  // The page -------------------------------------------------------------------------------------------------------
  const help = make("details", { class: "keys" }, make("summary", {}, "Keys"));
  help.append(make("dl", {}, ...KEYS.flatMap(([key, what]) => [make("dt", {}, key), make("dd", {}, what)])));
  const field = (text, input) => {
    input.id = `${unique}-${(named += 1)}`;
    return make("div", { class: "chooser" }, make("label", { for: input.id }, text), input);
  };
  const panel = make("details", { class: "training", open: true }, make("summary", {}, "Train a run yourself"));
  panel.append(
    make("div", { class: "choices" }, ...wishes.map(({ box }) => box), field("seed", seed), field("steps", steps)),
    trained.box, showAs.box,
    make("div", { class: "row" }, startButton, stopButton, bar),
    progress, note, preview, charts, legend,
  );
  el.classList.add("sopedu-lab");
  el.setAttribute("data-lm-suppress-shortcuts", "true"); // JupyterLab leaves the keys to us
  el.setAttribute("role", "group");
  el.setAttribute("aria-label", "Lab: two runs side by side");
  el.replaceChildren(
    make("div", { class: "top" }, pairs.box, source.box),
    make("div", { class: "row transport" }, playButton, heard.box, line, clock, meter, make("label", {}, again, " repeat")),
    trouble,
    make("div", { class: "columns" }, sides.a.section, sides.b.section),
    help,
    panel,
  );
  for (const { name, list } of wishes) list.value = wished[name];
  trained.set("heads");
  showAs.set("b");

  function pressed(event) {
    event.stopPropagation();
    const typing = event.target.matches("select, input[type=number]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const acts = {
      p: toggle, a: () => hear("a"), b: () => hear("b"), m: () => hear("mixture"), t: () => hear("true"),
      s: () => move("source", 1 - model.get("source")),
    };
    const act = acts[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    const input = heard.inputs.find((one) => one.value === event.key.toLowerCase());
    if (!input?.disabled) act();
  }
  el.addEventListener("keydown", pressed);
  for (const name of ["keyup", "keypress"]) el.addEventListener(name, (event) => event.stopPropagation());

  const answered = () => (clearTimeout(impatient), say(model.get("_said").text ?? ""));
  const listeners = [
    ["change:_mixture change:pair", drawMixture], ["change:source", drawSource], ["change:_said", answered],
    ["change:_a", () => drawSide("a")], ["change:_b", () => drawSide("b")],
    ["change:_training", drawTraining], ["change:_preview", drawPreview], ["change:_curves", drawCurves],
  ];
  for (const [names, act] of listeners) {
    for (const name of names.split(" ")) {
      model.on(name, act);
      cleanups.push(() => model.off(name, act));
    }
  }
  drawMixture();
  drawTraining();
  drawPreview();
  drawCurves();
  hear("a");
  follow();

  return () => {
    cleanups.forEach((cleanup) => cleanup());
    clearTimeout(impatient);
    cancelAnimationFrame(frame);
    deck.pause();
    deck.context?.close();
    urls.forEach((url) => URL.revokeObjectURL(url));
  };
}

export default { render };
