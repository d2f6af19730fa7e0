// Draws a PixelProbe and passes on what people do; everything that is computed comes from pixel_probe.py.

const KEPT = ["#E69F00", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"]; // Okabe and Ito
const CHOSEN = "#56B4E9";
const DARK = 0.1; // a map whose loudest cell lets less through than this stays dark
const PATIENCE = 15000; // milliseconds until somebody is told that Python does not answer
const MAPS = { maps: "whole clip", maps_now: "this moment", none: "off" };
const KEYS = [
  ["Arrow keys", "move the cursor over the cells"],
  ["Shift + arrow keys", "grow a box from the cursor"],
  ["Space", "paint the cell under the cursor, or wipe it"],
  ["Enter", "listen to the painted cells, the box or the cell"],
  ["1 to 9", "listen to a numbered box"],
  ["A", "compare with the mixture"],
  ["P", "play or pause"],
  ["K", "keep the region"],
  ["M", "change the map"],
  ["Page Up, Page Down", "go to another moment"],
  ["Escape", "clear box and paint"],
];

function make(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key in node && typeof value !== "string") node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

const bytes = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
const floats = (view) => new Float32Array(bytes(view).slice().buffer);
const percent = (share) => `${share >= 0.095 || share === 0 ? Math.round(100 * share) : (100 * share).toFixed(1)} %`;
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function render({ model, el }) {
  const scene = model.get("_scene");
  const [rows, columns] = scene.grid;
  const colours = { magma: bytes(scene.magma), cividis: bytes(scene.cividis) };
  const maps = { maps: floats(scene.maps), maps_now: floats(scene.maps_now) };
  // Each moment has the whole scale of colours, which the legend tells: a quiet moment would be dark beside a loud one.
  const now = (kind) => maps[kind].subarray(model.get("moment") * rows * columns, (model.get("moment") + 1) * rows * columns);
  const top = (kind) => now(kind).reduce((a, b) => Math.max(a, b), DARK);
  const urls = new Set();
  const cleanups = [];

  let mapKind = "maps";
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
    image.src = link(view, "image/webp");
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
  const button = (text, act, more = {}) => make("button", { type: "button", onclick: act, ...more }, text);
  const boxTool = button("Point or box", () => choose("box"));
  const brushTool = button("Brush", () => choose("brush"));
  const mapButton = button("", nextMap, { title: "key M" });
  const slider = make("input", {
    type: "range",
    min: "0",
    max: String(scene.times.length - 1),
    "aria-label": "moment",
    disabled: scene.times.length < 2,
    oninput: () => goTo(Number(slider.value)),
  });
  const sliderText = make("output", {});
  const title = make("strong", { class: "title" });
  const loudness = make("span", { class: "loudness" });
  const player = make("audio", { controls: true, preload: "auto", class: "player", "aria-label": "what is heard" });
  const compare = button("", toggleMixture, { title: "key A" });
  const keepButton = button("Keep this region", () => ask({ kind: "keep" }), { title: "key K" });
  const spectrogram = panel("spectrogram", "magma", `${scene.floor} dB`.replace("-", "−"), "0 dB");
  const mask = panel("mask: what is let through", "cividis", "0 %", "100 %");
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
        make("div", { class: "row scrub" }, make("span", {}, "Moment"), slider, sliderText),
        make("div", { class: "row" }, boxTool, brushTool, mapButton),
        status,
      ),
      make(
        "div",
        { class: "right" },
        make("p", { class: "heard" }, title, loudness),
        player,
        make("div", { class: "row" }, compare, keepButton),
        spectrogram.figure,
        mask.figure,
      ),
    ),
    kept,
    help,
  );

  function panel(name, palette, low, high) {
    const image = make("canvas", { role: "img", "aria-label": name, width: 1, height: 1 });
    const head = make("div", { class: "playhead" });
    const ticks = scene.ticks.map(([hertz, at]) =>
      make("span", { style: `bottom: ${100 * at}%` }, hertz >= 1000 ? `${hertz / 1000}k` : String(hertz)),
    );
    const seconds = make("div", { class: "seconds" }, make("span", {}, "0"), make("span", {}, "time in s"));
    seconds.append(make("span", {}, scene.seconds.toFixed(1)));
    const figure = make("figure", {}, make("figcaption", {}, make("span", {}, name, " (Hz)"), scale(palette, low, high)));
    const plot = make("div", { class: "plot" }, image, head);
    figure.append(make("div", { class: "axes" }, make("div", { class: "hertz", title: "Hz" }, ...ticks), plot), seconds);
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

  function hear(which, from = player.currentTime, playing = !player.paused) {
    hearing = which;
    player.src = which === "mixture" ? mixtureUrl : regionUrl;
    player.addEventListener("loadedmetadata", () => (player.currentTime = Math.min(from, player.duration)), { once: true });
    if (playing) play(player);
    title.textContent = which === "mixture" ? "The mixture" : answer().name;
    loudness.textContent = which === "mixture" ? "" : answer().text.slice(answer().name.length);
    compare.textContent = which === "mixture" ? "A/B: hear the region" : "A/B: hear the mixture";
    compare.disabled = keepButton.disabled = !answer();
  }

  function toggleMixture() {
    if (!answer()) return say("Listen to a place first.");
    hear(hearing === "mixture" ? "region" : "mixture");
    say(hearing === "mixture" ? "Now the mixture." : `Now ${answer().name}.`);
  }

  function answered() {
    const shown = answer();
    if (regionUrl) unlink(regionUrl);
    regionUrl = shown ? link(shown.sound, "audio/wav") : null;
    hear(shown ? "region" : "mixture", 0, false);
    for (const part of [spectrogram, mask]) part.figure.hidden = !shown;
    if (shown) {
      paint(spectrogram, shown.spectrogram);
      paint(mask, shown.mask);
      spectrogram.image.setAttribute("aria-label", `spectrogram of ${shown.text}`);
      mask.image.setAttribute("aria-label", `mask of ${shown.name}`);
      if (shown.request === asked) play(player);
    }
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
    for (const sound of el.querySelectorAll("audio")) sound.pause();
    if (stop) return;
    for (const sound of sounds) {
      sound.currentTime = 0;
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
    const mark = make("span", { class: "mark", style: `background: ${KEPT[number]}; color: ${inkOn(number)}` }, String(number + 1));
    const item = make("li", {}, mark, make("span", { class: "name" }, region.text), sound, start, mute, volume, remove);
    item.fromPython = fromPython;
    return item;
  }

  const inkOn = (number) => (KEPT[number] === "#0072B2" ? "#fff" : "#000");

  // Drawing --------------------------------------------------------------------------------------------------------
  const small = make("canvas", { width: columns, height: rows });
  const shareAt = (row, column) => {
    return now(mapKind === "none" ? "maps" : mapKind)[row * columns + column];
  };
  const spoken = (row, column) => `row ${row + 1}, column ${column + 1}: ${percent(shareAt(row, column))}`;

  function draw() {
    const picture = pictures[model.get("moment")];
    if (!picture.naturalWidth || !canvas.clientWidth) return;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = true;
    context.drawImage(picture, 0, 0, width, height);
    if (mapKind !== "none") {
      drawMap();
      context.drawImage(small, 0, 0, width, height);
    }
    const outline = (box, colour, thick, label = "", dashes = []) => {
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
      context.fillStyle = colour;
      context.fillRect(x0 + 2 * inset, y0 + 2 * inset, across, 18 * ratio);
      context.fillStyle = colour === "#0072B2" ? "#fff" : "#000";
      context.fillText(label, x0 + 2 * inset + 4 * ratio, y0 + 2 * inset + 14 * ratio);
    };
    const cell = (row, column) => [column / columns, row / rows, (column + 1) / columns, (row + 1) / rows];
    const cellAt = (index) => cell(Math.floor(index / columns), index % columns);
    const place = (region, colour, thick, label) => {
      if (region.cells.length) region.cells.forEach((index, i) => outline(cellAt(index), colour, thick, i ? "" : label));
      else if (region.place.length === 4) outline(region.place, colour, thick, label);
      else dot(region.place, colour, label);
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
      context.fillStyle = colour === "#0072B2" ? "#fff" : "#000";
      context.fillText(label, x * width - context.measureText(label).width / 2, y * height + 4 * ratio);
    };
    scene.boxes.forEach(({ box }, i) => outline(box, "#fff", 1.2, String(i + 1), [5, 4]));
    if (answer()) place(answer(), CHOSEN, 2.5, "");
    model.get("_shelf").forEach((region, i) => place(region, KEPT[i], 2.5, String(i + 1)));
    context.fillStyle = `${CHOSEN}99`;
    for (const index of painted) {
      const [x0, y0, x1, y1] = cellAt(index);
      context.fillRect(x0 * width, y0 * height, (x1 - x0) * width, (y1 - y0) * height);
    }
    if (drag && tool === "box") outline(dragged(), "#fff", 2);
    if (anchor) outline(keyboardBox(), "#fff", 2, "", [6, 3]);
    if (document.activeElement === canvas || canvas.matches(":focus")) outline(cell(cursor.row, cursor.column), "#fff", 2);
    for (const { head } of [spectrogram, mask])
      head.style.left = `${(100 * clamp(player.currentTime / scene.seconds, 0, 1)).toFixed(2)}%`;
  }

  function drawMap() {
    const pixels = new ImageData(columns, rows);
    const [shares, loudest] = [now(mapKind), top(mapKind)];
    for (let i = 0; i < rows * columns; i++) {
      const share = shares[i] / loudest;
      const level = Math.round(255 * clamp(share, 0, 1));
      pixels.data.set(colours.magma.subarray(3 * level, 3 * level + 3), 4 * i);
      pixels.data[4 * i + 3] = 255 * (0.25 + 0.55 * (level / 255));
    }
    small.getContext("2d").putImageData(pixels, 0, 0);
  }

  function showMap() {
    mapButton.textContent = `Map: ${MAPS[mapKind]}`;
    const bar = mapKind === "none" ? ["no map"] : ["share of the energy", scale("magma", "0 %", percent(top(mapKind)))];
    legend.replaceChildren(...bar, under);
    draw();
  }

  function nextMap() {
    const kinds = Object.keys(MAPS);
    mapKind = kinds[(kinds.indexOf(mapKind) + 1) % kinds.length];
    showMap();
    say(`Map: ${MAPS[mapKind]}`);
  }

  function choose(wanted) {
    tool = wanted;
    boxTool.setAttribute("aria-pressed", String(tool === "box"));
    brushTool.setAttribute("aria-pressed", String(tool === "brush"));
  }

  function goTo(moment) {
    model.set("moment", clamp(moment, 0, scene.times.length - 1));
    model.save_changes();
  }

  function showMoment() {
    const moment = model.get("moment");
    const time = `${scene.times[moment].toFixed(2)} s`.replace("-", "−");
    slider.value = String(moment);
    slider.setAttribute("aria-valuetext", `${time}, picture ${moment + 1} of ${scene.times.length}`);
    sliderText.textContent = `${time} (${moment + 1} of ${scene.times.length})`;
    showMap();
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
    " ": () => {
      const index = cursor.row * columns + cursor.column;
      const there = painted.delete(index) || !painted.add(index);
      say(`${spoken(cursor.row, cursor.column)}, ${there ? "wiped" : "painted"}`);
    },
    Escape: () => {
      [anchor, painted, drag] = [null, new Set(), null];
      say("cleared");
    },
    a: toggleMixture,
    p: () => (player.paused ? play(player) : player.pause()),
    k: () => ask({ kind: "keep" }),
    m: nextMap,
    PageUp: () => goTo(model.get("moment") - 1),
    PageDown: () => goTo(model.get("moment") + 1),
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
  for (const name of ["timeupdate", "seeked", "play"]) player.addEventListener(name, draw);
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
  showMoment();
  answered();
  fillShelf();
  said();

  return () => {
    for (const [event, act] of Object.entries(watched)) model.off(event, act);
    clearTimeout(impatient);
    resized.disconnect();
    urls.forEach((url) => URL.revokeObjectURL(url));
  };
}

export default { render };
