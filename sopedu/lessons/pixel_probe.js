// Draws a PixelProbe and passes on what people do; everything that is computed comes from pixel_probe.py.
// The clock is the position of the sound: while it plays, picture, map and cursors are drawn for it again and again.

const SOURCES = ["#E69F00", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"]; // Okabe and Ito
const KEPT = [...SOURCES].reverse();
const NOBODY = "#BBBBBB";
const CHOSEN = "#56B4E9";
const DARK = 0.1; // a map whose loudest cell lets less through than this stays dark
const PATIENCE = 15000; // milliseconds until somebody is told that Python does not answer
const MAPS = { maps: "whole clip", now: "this moment", who: "who sounds", none: "off" };
const KEYS = [
  ["Arrow keys", "move the cursor over the cells"],
  ["Shift + arrow keys", "grow a box from the cursor"],
  ["Space", "play or pause"],
  ["B", "paint the cell under the cursor, or wipe it"],
  ["Enter", "listen to the painted cells, the box or the cell"],
  ["1 to 9", "listen to a numbered box"],
  ["A", "compare with the mixture"],
  ["K", "keep the region"],
  ["M", "change the map"],
  ["Page Up, Page Down", "go one picture back or on"],
  ["Home, End", "go to the beginning or the end"],
  ["Escape", "clear box and paint"],
  ["In the time line", "left and right go one picture back or on, Home, End and Space as above"],
];

const colourOf = (number) => SOURCES[number] ?? NOBODY;
const inkOn = (colour) => (colour === "#0072B2" ? "#fff" : "#000");

const bytes = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
const decibels = (value) => `${Math.round(value)} dB`.replace("-", "−");
const red_green_blue = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
const percent = (share) => `${share >= 0.095 || share === 0 ? Math.round(100 * share) : (100 * share).toFixed(1)} %`;
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function render({ model, el }) {
  const scene = model.get("_scene");
  const [rows, columns] = scene.grid;
  const colours = { magma: bytes(scene.magma), cividis: bytes(scene.cividis) };
  const cells = rows * columns;
  const sources = scene.boxes.length;
  const [maps, loudness, levels, who] = ["maps", "loudness", "levels", "who"].map((name) => bytes(scene[name]));
  // One scale for all pictures, so that loud and quiet moments differ.
  const top = Math.max(DARK, maps.reduce((a, b) => Math.max(a, b), 0) ** 2 / 255 ** 2);
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
  const urls = new Set();
  const cleanups = [];

  let shown = model.get("moment"); // number of the picture that is drawn; Python is told when the sound pauses
  let mapKind = "maps";
  let mapChosen = false; // until somebody chooses a map, playing and seeking turn to that of the moment
  let ticking = 0;
  let awaited = shown ? Math.max(0, scene.times[shown]) : 0; // position of a sound that is still loading, else null
  let tool = "box";
  let cursor = { row: Math.floor(rows / 2), column: Math.floor(columns / 2) };
  let anchor = null; // the cell from which a box grows by keyboard
  let painted = new Set();
  let drag = null; // from and to, in fractions, while a pointer is down
  let asked = -1; // number of this view's last question; what Python asks itself has 0
  let impatient = 0;
  let hearing = "mixture";

  const link = (view, type) => {
    const url = URL.createObjectURL(new Blob([bytes(view)], { type }));
    urls.add(url);
    return url;
  };
  const unlink = (url) => (URL.revokeObjectURL(url), urls.delete(url));
  const pictures = scene.pictures.map((view) => {
    const image = new Image();
    image.onload = draw;
    image.src = link(view, "image/jpeg");
    return image;
  });
  const mixtureUrl = link(scene.mixture, "audio/wav");
  let regionUrl = null;

  // The page -------------------------------------------------------------------------------------------------------
  const unique = `sopedu-${Math.random().toString(36).slice(2)}`;
  const canvas = make("canvas", {
    class: "picture",
    tabindex: "0",
    role: "application",
    "aria-roledescription": "picture with sound map",
    "aria-label": `${rows} rows and ${columns} columns of cells. Arrow keys move, Enter listens, Escape clears.`,
    "aria-describedby": `${unique}-status`,
  });
  const status = make("p", { class: "status", id: `${unique}-status`, role: "status", "aria-live": "polite" });
  const legend = make("div", { class: "legend" });
  const under = make("span", { class: "under", "aria-hidden": "true" });
  const button = (text, act, more = {}, ...rest) => make("button", { type: "button", onclick: act, ...more }, text, ...rest);
  const boxTool = button("Point or box", () => choose("box"));
  const brushTool = button("Brush", () => choose("brush"));
  const mapButton = button("", nextMap, { title: "key M" });
  const slider = make("input", {
    type: "range",
    min: "0",
    max: String(scene.times.length - 1),
    "aria-label": "time line",
    disabled: scene.times.length < 2,
    oninput: () => goTo(Number(slider.value)),
    onkeydown: (event) => event.key === " " && (event.preventDefault(), playOrPause()),
  });
  const sliderText = make("output", {});
  const title = make("strong", { class: "title" });
  const loudnessText = make("span", { class: "loudness" });
  const player = make("audio", { controls: true, preload: "auto", class: "player", "aria-label": "what is heard" });
  const compare = button("", toggleMixture, { title: "key A" });
  const keepButton = button("Keep this region", () => ask({ kind: "keep" }), { title: "key K" });
  const strip = make("canvas", { class: "strip", "aria-hidden": "true", width: 60, height: scene.rows });
  const spectrogram = panel("spectrogram", "magma", decibels(scene.floor), "0 dB");
  const mask = panel("mask: what is let through", "cividis", "0 %", "100 %", strip);
  const meters = scene.boxes.map(({ name, box }, i) => meter(name, i, () => listen(box)));
  const band = make("div", { class: "row band", role: "group", "aria-label": "sources: hear one" }, ...meters.map((m) => m.button));
  band.hidden = !sources;
  const shelf = make("ol", { class: "shelf" });
  const together = button("Play all kept together", playTogether);
  const kept = make("section", { class: "kept", "aria-label": "kept regions" }, together, shelf);
  const help = make("details", { class: "keys" }, make("summary", {}, "Keys in the picture"));
  help.append(make("dl", {}, ...KEYS.flatMap(([key, what]) => [make("dt", {}, key), make("dd", {}, what)])));

  el.classList.add("sopedu-probe");
  el.setAttribute("data-lm-suppress-shortcuts", "true"); // JupyterLab leaves the keys to us
  el.setAttribute("role", "group");
  el.setAttribute("aria-label", "PixelProbe: hear what sounds at a place of the picture");
  el.replaceChildren(
    make(
      "div",
      { class: "columns" },
      make(
        "div",
        { class: "left" },
        make("div", { class: "stage" }, canvas),
        legend,
        make("div", { class: "row scrub" }, make("span", {}, "Time"), slider, sliderText),
        band,
        make("div", { class: "row" }, boxTool, brushTool, mapButton),
        status,
      ),
      make(
        "div",
        { class: "right" },
        make("p", { class: "heard" }, title, loudnessText),
        player,
        make("div", { class: "row" }, compare, keepButton),
        spectrogram.figure,
        mask.figure,
      ),
    ),
    kept,
    help,
  );

  function meter(name, i, hearIt) {
    const bar = make("span", { class: "level" });
    const said = make("span", { class: "said" });
    const mark = make("span", { class: "mark", style: `background: ${colourOf(i)}; color: ${inkOn(colourOf(i))}` }, String(i + 1));
    const meterBar = make("span", { class: "meter", "aria-hidden": "true" }, bar);
    bar.style.background = colourOf(i);
    return { button: button(mark, hearIt, { "aria-label": `hear ${name}`, title: `key ${i + 1}` }, name, meterBar, said), bar, said };
  }

  function panel(name, palette, low, high, beside) {
    const image = make("canvas", { role: "img", "aria-label": name, width: 1, height: 1 });
    const head = make("div", { class: "playhead" });
    const ticks = scene.ticks.map(([hertz, at]) =>
      make("span", { style: `bottom: ${100 * at}%` }, hertz >= 1000 ? `${hertz / 1000}k` : String(hertz)),
    );
    const seconds = make("div", { class: "seconds" }, make("span", {}, "0"), make("span", {}, "time in s"));
    seconds.append(make("span", {}, scene.seconds.toFixed(1)));
    const figure = make("figure", {}, make("figcaption", {}, make("span", {}, name, " (Hz)"), scale(palette, low, high)));
    const plot = make("div", { class: "plot", title: "drag to seek" }, image, head);
    const seekTo = (event) => {
      const frame = plot.getBoundingClientRect();
      seek((scene.seconds * (event.clientX - frame.left)) / frame.width);
    };
    plot.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !event.isPrimary) return;
      plot.setPointerCapture(event.pointerId);
      seekTo(event);
    });
    plot.addEventListener("pointermove", (event) => plot.hasPointerCapture(event.pointerId) && seekTo(event));
    const axes = make("div", { class: "axes" }, make("div", { class: "hertz", title: "Hz" }, ...ticks), plot);
    if (beside) (axes.classList.add("beside"), axes.append(beside));
    figure.append(axes, seconds);
    return { figure, image, head, palette };
  }

  function scale(palette, low, high) {
    const steps = [];
    for (let i = 0; i <= 8; i++) steps.push(rgb(palette, Math.round((255 * i) / 8)));
    const bar = make("span", { class: "bar", style: `background: linear-gradient(to right, ${steps.join(",")})` });
    return make("span", { class: "scale" }, low, bar, high);
  }

  function rgb(palette, level) {
    return `rgb(${colours[palette].slice(3 * level, 3 * level + 3).join(",")})`;
  }

  function say(text, alert = false) {
    status.textContent = alert ? `⚠ ${text}` : text;
    status.classList.toggle("alert", alert);
  }

  // Asking Python --------------------------------------------------------------------------------------------------
  function ask(question) {
    asked = 1 + Math.floor(Math.random() * 1e9);
    model.send({ ...question, request: asked });
    if (question.kind === "listen") say("Listening …");
    clearTimeout(impatient);
    impatient = setTimeout(() => say("No answer from Python: is the kernel running, or busy?", true), PATIENCE);
  }
  const listen = (place) => ask({ kind: "listen", place });

  function listenHere() {
    if (painted.size) ask({ kind: "listen", cells: [...painted] });
    else if (anchor) listen(keyboardBox());
    else listen([(cursor.column + 0.5) / columns, (cursor.row + 0.5) / rows]);
  }

  function said() {
    const { text, alert, request } = model.get("_said");
    if (request === asked) clearTimeout(impatient);
    say(text, alert);
  }

  // Sounds ---------------------------------------------------------------------------------------------------------
  const answer = () => model.get("_shown");

  async function play(sound) {
    for (const other of el.querySelectorAll("audio")) if (other !== sound) other.pause();
    try {
      await sound.play();
    } catch (error) {
      if (error.name === "NotAllowedError") say("The browser wants a press on Play before it sounds.");
      else if (error.name !== "AbortError") say(`This sound cannot be played: ${error.message}`, true);
    }
  }

  function playOrPause() {
    const sound = sounding();
    if (sound) return sound.pause();
    play(player);
  }

  // The sound that plays, if any: the main one, or those of the kept regions together.
  const sounding = () => [...el.querySelectorAll("audio")].find((sound) => !sound.paused && !sound.ended);
  const position = () => awaited ?? (sounding() ?? player).currentTime;

  // The last picture that begins not later; browsers round positions to some microseconds.
  function pictureAt(time) {
    let [low, high] = [0, scene.times.length - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (scene.times[middle] <= time + 1e-3) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  function seek(time) {
    const to = clamp(time, 0, scene.seconds);
    for (const sound of el.querySelectorAll("audio")) sound.currentTime = to;
    if (awaited !== null) awaited = to;
    turnToMoment();
    shown = pictureAt(to);
    showPicture();
    tellPython();
  }

  function tellPython() {
    if (model.get("moment") === shown) return;
    model.set("moment", shown);
    model.save_changes();
  }

  function tick() {
    follow();
    ticking = sounding() ? requestAnimationFrame(tick) : 0;
  }

  function follow() {
    const now = pictureAt(position());
    // Who prefers reduced motion sees the picture of the place where the sound was paused.
    if (now === shown || (calm.matches && sounding())) {
      // Twenty times per second are enough for cursors; each time costs a layout and a painting of the page.
      if (sounding() && performance.now() - headsMoved < 50) return;
      return moveHeads();
    }
    shown = now;
    showPicture();
  }

  function started() {
    turnToMoment();
    if (!ticking) ticking = requestAnimationFrame(tick);
  }

  function stopped() {
    if (awaited !== null || sounding()) return;
    follow();
    tellPython();
  }

  function turnToMoment() {
    if (mapChosen) return;
    [mapKind, mapChosen] = ["now", true];
    showMap();
  }

  function hear(which, from = position(), playing = !player.paused) {
    hearing = which;
    awaited = from >= scene.seconds - 0.05 ? 0 : from;
    player.src = which === "mixture" ? mixtureUrl : regionUrl;
    player.addEventListener("loadedmetadata", () => ([player.currentTime, awaited] = [awaited ?? 0, null]), { once: true });
    if (playing) play(player);
    title.textContent = which === "mixture" ? "The mixture" : answer().name;
    loudnessText.textContent = which === "mixture" ? "" : answer().text.slice(answer().name.length);
    compare.textContent = which === "mixture" ? "A/B: hear the region" : "A/B: hear the mixture";
    compare.disabled = keepButton.disabled = !answer();
    paint(spectrogram, which === "mixture" ? scene.spectrogram : answer().spectrogram);
    spectrogram.image.setAttribute("aria-label", `spectrogram of ${which === "mixture" ? "the mixture" : answer().text}`);
  }

  function toggleMixture() {
    if (!answer()) return say("Listen to a place first.");
    hear(hearing === "mixture" ? "region" : "mixture");
    say(hearing === "mixture" ? "Now the mixture." : `Now ${answer().name}.`);
  }

  function answered() {
    const place = answer();
    if (regionUrl) unlink(regionUrl);
    regionUrl = place ? link(place.sound, "audio/wav") : null;
    hear(place ? "region" : "mixture", position(), false);
    mask.figure.hidden = !place;
    if (place) {
      paint(mask, place.mask);
      mask.image.setAttribute("aria-label", `mask of ${place.name}`);
      if (place.request === asked) play(player);
    }
    stripColumn = -1;
    draw();
  }

  function paint({ image, palette }, view) {
    const levels = bytes(view);
    const [height, width] = [scene.rows, levels.length / scene.rows];
    const pixels = new ImageData(width, height);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const at = 4 * ((height - 1 - y) * width + x); // low frequencies below
        const level = 3 * levels[y * width + x];
        pixels.data.set([...colours[palette].subarray(level, level + 3), 255], at);
      }
    }
    [image.width, image.height] = [width, height];
    image.getContext("2d").putImageData(pixels, 0, 0);
  }

  function playTogether() {
    const sounds = [...shelf.querySelectorAll("audio")];
    const stop = sounds.some((sound) => !sound.paused);
    const from = player.ended || position() >= scene.seconds - 0.05 ? 0 : position();
    for (const sound of el.querySelectorAll("audio")) sound.pause();
    if (stop) return;
    for (const sound of sounds) {
      sound.currentTime = from;
      sound.play().catch((error) => say(error.message, true));
    }
  }

  let shelved = [];
  function fillShelf() {
    const focused = shelf.contains(document.activeElement);
    shelved.forEach(unlink);
    shelved = [];
    const entries = model.get("_shelf");
    shelf.replaceChildren(...entries.map(entry));
    kept.hidden = !entries.length;
    if (focused) canvas.focus();
    draw();
  }

  function entry(region, number) {
    const url = link(region.sound, "audio/wav");
    shelved.push(url);
    const sound = make("audio", { src: url, preload: "auto" });
    const name = `region ${number + 1}`;
    const start = button("Play", () => (sound.paused ? play(sound) : sound.pause()), { "aria-label": `play ${name}` });
    const mute = button("Mute", () => setMuted(!sound.muted), { "aria-pressed": "false", "aria-label": `mute ${name}` });
    const volume = make("input", { type: "range", min: "0", max: "100", "aria-label": `volume of ${name}` });
    const remove = button("Remove", () => ask({ kind: "drop", number }), { "aria-label": `remove ${name}` });
    const setMuted = (muted) => {
      sound.muted = muted;
      mute.setAttribute("aria-pressed", String(muted));
      tell();
    };
    const tell = () => {
      sound.volume = volume.value / 100;
      const volumes = [...model.get("volumes")];
      volumes[number] = sound.muted ? 0 : sound.volume;
      model.set("volumes", volumes);
      model.save_changes();
    };
    const fromPython = () => {
      const level = model.get("volumes")[number] ?? 1;
      if (sound.muted && level === 0) return;
      sound.muted = false;
      mute.setAttribute("aria-pressed", "false");
      sound.volume = level;
      volume.value = String(Math.round(100 * level));
    };
    fromPython();
    volume.addEventListener("input", tell);
    for (const event of ["play", "pause", "ended"])
      sound.addEventListener(event, () => (start.textContent = sound.paused ? "Play" : "Pause"));
    sound.addEventListener("play", started);
    for (const event of ["pause", "ended"]) sound.addEventListener(event, () => keepPosition(sound));
    const mark = make("span", { class: "mark", style: `background: ${KEPT[number]}; color: ${inkOn(KEPT[number])}` }, String(number + 1));
    const item = make("li", {}, mark, make("span", { class: "name" }, region.text), sound, start, mute, volume, remove);
    item.fromPython = fromPython;
    return item;
  }

  // The cursors stay where a kept region was paused.
  function keepPosition(sound) {
    if (!sounding()) player.currentTime = sound.currentTime;
    stopped();
  }

  // Drawing --------------------------------------------------------------------------------------------------------
  const small = make("canvas", { width: columns, height: rows });
  const level = (coded) => scene.quietest * (1 - coded / 255);
  function spoken(row, column) {
    const [cell, at] = [row * columns + column, shown * cells + row * columns + column];
    const here = `row ${row + 1}, column ${column + 1}: `;
    if (mapKind === "maps" || mapKind === "none") return here + percent((maps[at] / 255) ** 2);
    const loud = loudness[at] ? decibels(level(loudness[at])) : `below ${decibels(scene.quietest)}`;
    if (mapKind === "now" || !loudness[at]) return here + loud;
    const parts = scene.boxes.map(({ name }, i) => [who[(shown * sources + i) * cells + cell] / 255, name]);
    return `${here}${loud}, ${parts.filter((part) => part[0] >= 0.05).map((part) => `${part[1]} ${percent(part[0])}`).join(", ")}`;
  }

  function draw() {
    const picture = pictures[shown];
    if (!picture.naturalWidth || !canvas.clientWidth) return;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = true;
    context.filter = mapKind === "none" ? "none" : "grayscale(1)"; // beside a map, colour means sound
    context.drawImage(picture, 0, 0, width, height);
    context.filter = "none";
    if (mapKind !== "none") {
      drawMap();
      context.drawImage(small, 0, 0, width, height);
    }
    // Labels of the sources stand above to the left, those of kept regions below to the right, one beside the other.
    const outline = (box, colour, thick, label = "", dashes = [], kept = null) => {
      const [x0, y0, x1, y1] = [box[0] * width, box[1] * height, box[2] * width, box[3] * height];
      const inset = thick * ratio;
      for (const [ink, line, dash] of [["#000", 2 * thick * ratio, []], [colour, thick * ratio, dashes]]) {
        context.setLineDash(dash.map((length) => length * ratio));
        [context.strokeStyle, context.lineWidth] = [ink, line];
        context.strokeRect(x0 + inset, y0 + inset, Math.max(1, x1 - x0 - 2 * inset), Math.max(1, y1 - y0 - 2 * inset));
      }
      if (!label) return;
      context.font = `bold ${13 * ratio}px system-ui, sans-serif`;
      const across = context.measureText(label).width + 8 * ratio;
      const left = kept === null ? x0 + 2 * inset : x1 - 2 * inset - across * (kept + 1);
      const above = kept === null ? y0 + 2 * inset : y1 - 2 * inset - 18 * ratio;
      context.fillStyle = colour;
      context.fillRect(left, above, across, 18 * ratio);
      context.fillStyle = inkOn(colour);
      context.fillText(label, left + 4 * ratio, above + 14 * ratio);
    };
    const cell = (row, column) => [column / columns, row / rows, (column + 1) / columns, (row + 1) / rows];
    const cellAt = (index) => cell(Math.floor(index / columns), index % columns);
    const place = (region, colour, label = "", kept = 0) => {
      if (region.cells.length) region.cells.forEach((index, i) => outline(cellAt(index), colour, 2.5, i ? "" : label, [], kept));
      else if (region.place.length === 4) outline(region.place, colour, 2.5, label, [], kept);
      else dot([region.place[0] + (20 * ratio * kept) / width, region.place[1]], colour, label);
    };
    const dot = ([x, y], colour, label) => {
      for (const [ink, radius] of [["#000", label ? 11 : 9], [colour, label ? 9 : 6]]) {
        context.beginPath();
        context.arc(x * width, y * height, radius * ratio, 0, 7);
        context.fillStyle = ink;
        context.fill();
      }
      if (!label) return;
      context.font = `bold ${12 * ratio}px system-ui, sans-serif`;
      context.fillStyle = inkOn(colour);
      context.fillText(label, x * width - context.measureText(label).width / 2, y * height + 4 * ratio);
    };
    scene.boxes.forEach(({ name, box }, i) => outline(box, colourOf(i), 1.6, `${i + 1} ${name}`, [5, 4]));
    if (answer()) place(answer(), CHOSEN);
    const shelved = model.get("_shelf");
    const where = ({ place, cells }) => `${place}; ${cells}`;
    shelved.forEach((region, i) => {
      const before = shelved.slice(0, i).filter((other) => where(other) === where(region));
      place(region, KEPT[i], String(i + 1), before.length);
    });
    context.fillStyle = `${CHOSEN}99`;
    for (const index of painted) {
      const [x0, y0, x1, y1] = cellAt(index);
      context.fillRect(x0 * width, y0 * height, (x1 - x0) * width, (y1 - y0) * height);
    }
    if (drag && tool === "box") outline(dragged(), "#fff", 2);
    if (anchor) outline(keyboardBox(), "#fff", 2, "", [6, 3]);
    if (document.activeElement === canvas || canvas.matches(":focus")) outline(cell(cursor.row, cursor.column), "#fff", 2);
    moveHeads();
  }

  let stripColumn = -1;
  let headsMoved = 0; // when, in milliseconds
  function moveHeads() {
    headsMoved = performance.now();
    let share = clamp(position() / scene.seconds, 0, 1);
    if (calm.matches && sounding()) share = Math.floor(2 * share * scene.seconds) / 2 / scene.seconds;
    for (const { head } of [spectrogram, mask]) head.style.left = `${(100 * share).toFixed(2)}%`;
    if (answer()) drawStrip(share);
  }

  // The mask's column of this moment: a bar per row.
  function drawStrip(share) {
    const values = bytes(answer().mask);
    const width = values.length / scene.rows;
    const column = Math.min(width - 1, Math.round(share * (width - 1)));
    if (column === stripColumn) return;
    stripColumn = column;
    const context = strip.getContext("2d");
    context.clearRect(0, 0, strip.width, strip.height);
    for (let row = 0; row < scene.rows; row++) {
      const value = values[row * width + column];
      context.fillStyle = rgb("cividis", value);
      context.fillRect(0, scene.rows - 1 - row, (strip.width * value) / 255, 1);
    }
  }

  function drawMap() {
    const pixels = new ImageData(columns, rows);
    const set = (i, colour, opacity) => (pixels.data.set(colour, 4 * i), (pixels.data[4 * i + 3] = 255 * opacity));
    for (let i = 0; i < cells; i++) {
      const at = shown * cells + i;
      if (mapKind === "who") {
        set(i, mixed(i), loudness[at] ? 0.35 + 0.55 * (loudness[at] / 255) : 0.25);
        continue;
      }
      const value = mapKind === "now" ? loudness[at] / 255 : clamp((maps[at] / 255) ** 2 / top, 0, 1);
      const step = 3 * Math.round(255 * value);
      set(i, colours.magma.subarray(step, step + 3), 0.25 + 0.55 * value);
    }
    small.getContext("2d").putImageData(pixels, 0, 0);
  }

  // The sources' colours, mixed as they share what the cell lets through; what is nobody's is grey.
  function mixed(cell) {
    if (!loudness[shown * cells + cell]) return [0, 0, 0];
    const colour = [0, 0, 0];
    let rest = 1;
    const add = (part, ink) => red_green_blue(ink).forEach((value, i) => (colour[i] += part * value));
    for (let i = 0; i < sources; i++) {
      const part = who[(shown * sources + i) * cells + cell] / 255;
      add(part, colourOf(i));
      rest -= part;
    }
    add(Math.max(0, rest), NOBODY);
    return colour;
  }

  function showMap() {
    mapButton.textContent = `Map: ${MAPS[mapKind]}`;
    const bars = {
      none: ["no map"],
      maps: ["share of the energy", scale("magma", "0 %", percent(top))],
      now: ["loudness now", scale("magma", decibels(scene.quietest), "0 dB: the mixture at its loudest")],
      who: [`colour: who sounds; bright: loud, down to ${decibels(scene.quietest)}; grey: nobody’s`],
    };
    legend.replaceChildren(...bars[mapKind], under);
    draw();
  }

  function nextMap() {
    const kinds = Object.keys(MAPS).filter((kind) => sources || kind !== "who");
    mapChosen = true;
    mapKind = kinds[(kinds.indexOf(mapKind) + 1) % kinds.length];
    showMap();
    say(`Map: ${MAPS[mapKind]}`);
  }

  function choose(wanted) {
    tool = wanted;
    boxTool.setAttribute("aria-pressed", String(tool === "box"));
    brushTool.setAttribute("aria-pressed", String(tool === "brush"));
  }

  const goTo = (moment) => seek(scene.times[clamp(moment, 0, scene.times.length - 1)]);

  function showPicture() {
    draw(); // before the texts: it measures the canvas, and the whole page would be laid out again for that
    const time = `${scene.times[shown].toFixed(2)} s`.replace("-", "−");
    slider.value = String(shown);
    slider.setAttribute("aria-valuetext", `${time}, picture ${shown + 1} of ${scene.times.length}`);
    sliderText.textContent = `${time} (${shown + 1} of ${scene.times.length})`;
    meters.forEach(({ bar, said }, i) => {
      const coded = levels[shown * sources + i];
      bar.style.width = `${(100 * coded) / 255}%`;
      said.textContent = coded ? decibels(level(coded)) : "silent";
    });
  }

  // Python chose a picture; what this view told Python itself is shown already.
  function showMoment() {
    if (model.get("moment") !== shown) goTo(model.get("moment"));
  }

  // Pointers: mouse, pen and touch ---------------------------------------------------------------------------------
  const at = (event) => {
    const frame = canvas.getBoundingClientRect();
    return [clamp((event.clientX - frame.left) / frame.width, 0, 1), clamp((event.clientY - frame.top) / frame.height, 0, 1)];
  };
  const cellUnder = ([x, y]) => ({ row: Math.min(Math.floor(y * rows), rows - 1), column: Math.min(Math.floor(x * columns), columns - 1) });
  const dragged = () => {
    const [[ax, ay], [bx, by]] = [drag.from, drag.to];
    return [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
  };
  const brush = (point) => {
    const { row, column } = cellUnder(point);
    painted.add(row * columns + column);
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary) return;
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    drag = { from: at(event), to: at(event), x: event.clientX, y: event.clientY, moved: false };
    [anchor, painted] = [null, new Set()];
    cursor = cellUnder(drag.from);
    if (tool === "brush") brush(drag.from);
    draw();
  });
  canvas.addEventListener("pointermove", (event) => {
    const point = at(event);
    const { row, column } = cellUnder(point);
    under.textContent = spoken(row, column);
    if (!drag) return;
    if (tool === "brush") {
      const steps = Math.ceil(2 * Math.hypot((point[0] - drag.to[0]) * columns, (point[1] - drag.to[1]) * rows)) + 1;
      for (let i = 1; i <= steps; i++)
        brush([0, 1].map((axis) => drag.to[axis] + ((point[axis] - drag.to[axis]) * i) / steps));
    }
    drag.to = point;
    drag.moved ||= Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > (event.pointerType === "mouse" ? 4 : 10);
    draw();
  });
  canvas.addEventListener("pointerup", () => {
    if (!drag) return;
    const box = dragged();
    const drawn = drag.moved && box[2] > box[0] && box[3] > box[1];
    const point = drag.from;
    drag = null;
    if (tool === "brush") {
      ask({ kind: "listen", cells: [...painted] });
      painted = new Set();
    } else listen(drawn ? box : point);
    draw();
  });
  canvas.addEventListener("pointercancel", () => ([drag, painted] = [null, new Set()], draw()));
  canvas.addEventListener("pointerleave", () => (under.textContent = ""));

  // Keys -----------------------------------------------------------------------------------------------------------
  const keyboardBox = () => [
    Math.min(anchor.column, cursor.column) / columns,
    Math.min(anchor.row, cursor.row) / rows,
    (Math.max(anchor.column, cursor.column) + 1) / columns,
    (Math.max(anchor.row, cursor.row) + 1) / rows,
  ];
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const acts = {
    Enter: listenHere,
    b: () => {
      const index = cursor.row * columns + cursor.column;
      const there = painted.delete(index) || !painted.add(index);
      say(`${spoken(cursor.row, cursor.column)}, ${there ? "wiped" : "painted"}`);
    },
    Escape: () => {
      [anchor, painted, drag] = [null, new Set(), null];
      say("cleared");
    },
    a: toggleMixture,
    " ": playOrPause,
    k: () => ask({ kind: "keep" }),
    m: nextMap,
    PageUp: () => goTo(shown - 1),
    PageDown: () => goTo(shown + 1),
    Home: () => goTo(0),
    End: () => goTo(scene.times.length - 1),
  };

  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key in steps) {
      anchor = event.shiftKey ? (anchor ?? { ...cursor }) : null;
      cursor.row = clamp(cursor.row + steps[key][0], 0, rows - 1);
      cursor.column = clamp(cursor.column + steps[key][1], 0, columns - 1);
      const here = spoken(cursor.row, cursor.column);
      const [tall, wide] = anchor ? [Math.abs(anchor.row - cursor.row) + 1, Math.abs(anchor.column - cursor.column) + 1] : [];
      say(anchor ? `box of ${tall} × ${wide} cells, to ${here}` : here);
    } else if (key in acts) acts[key]();
    else if (/^[1-9]$/.test(key) && scene.boxes[key - 1]) listen(scene.boxes[key - 1].box);
    else return;
    event.preventDefault();
    draw();
  });
  // Jupyter's own shortcuts would cut the cell while somebody types x, or move on to the next one.
  for (const name of ["keydown", "keyup", "keypress"]) el.addEventListener(name, (event) => event.stopPropagation());
  for (const name of ["focus", "blur"]) canvas.addEventListener(name, draw);
  player.addEventListener("play", started);
  for (const name of ["pause", "ended", "seeked"]) player.addEventListener(name, stopped);
  player.addEventListener("play", () => shelf.querySelectorAll("audio").forEach((sound) => sound.pause()));

  const aspect = new Image();
  aspect.onload = () => {
    canvas.style.aspectRatio = `${aspect.naturalWidth} / ${aspect.naturalHeight}`;
    // A tall picture is no taller than the screen, a small one is enlarged.
    canvas.style.maxWidth = `min(100%, calc(75vh * ${aspect.naturalWidth / aspect.naturalHeight}))`;
    draw();
  };
  aspect.src = pictures[0].src;
  const resized = new ResizeObserver(draw);
  resized.observe(canvas);

  const watched = {
    "change:moment": showMoment,
    "change:_said": said,
    "change:_shown": answered,
    "change:_shelf": fillShelf,
    "change:volumes": () => [...shelf.children].forEach((item) => item.fromPython()),
  };
  for (const [event, act] of Object.entries(watched)) model.on(event, act);
  choose("box");
  showMap();
  showPicture();
  answered();
  fillShelf();
  said();

  return () => {
    for (const [event, act] of Object.entries(watched)) model.off(event, act);
    clearTimeout(impatient);
    cancelAnimationFrame(ticking);
    resized.disconnect();
    urls.forEach((url) => URL.revokeObjectURL(url));
  };
}

export default { render };
