"use strict";
// The page of fer-edge: draws what /api/events says. No library, no other host.

const byId = (id) => document.getElementById(id);
const COLOURS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"];
const FLAWS = { small: "too small", cut: "cut by the border", blurred: "blurred" };
const MINUTE_S = 60;
const cards = new Map(); // number of the face -> { card, points, seen, label }
let labels = [];
let run = null; // of which the faces are
let lastSaid = 0;

const colour = (label) => `var(--${COLOURS.includes(label) ? label : "other"})`;
const percent = (share) => `${Math.round(100 * share)} %`;

function connect() {
  const source = new EventSource("/api/events");
  source.onmessage = (message) => {
    byId("link").textContent = "live";
    byId("link").className = "";
    show(JSON.parse(message.data));
  };
  source.onerror = () => {
    byId("link").textContent = "connection lost, trying again …";
    byId("link").className = "lost";
    picture.restart = true;
    // A refusal ends the source for good; a broken connection it opens again itself.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  };
}

const picture = { restart: false };
function renewPicture() {
  if (!picture.restart) return;
  picture.restart = false;
  byId("picture").src = `/stream.mjpg?again=${Date.now()}`;
}

function show(state) {
  renewPicture();
  if (state.run !== run) {
    run = state.run;
    cards.clear();
    byId("faces").replaceChildren();
  }
  labels = state.labels;
  byId("camera").textContent = state.camera;
  byId("notice").hidden = !state.notice;
  byId("notice").textContent = state.notice;
  byId("fps").textContent = state.fps.toFixed(1);
  byId("age").textContent = `${Math.round(state.age_ms)} ms`;
  byId("dropped").textContent = state.dropped;
  byId("temperature").textContent =
    state.temperature_c === null ? "–" : `${state.temperature_c.toFixed(0)} °C`;
  const now = Date.now() / 1000;
  const skew = state.history ? clockSkew(state, now) : 0;
  for (const [id, points] of Object.entries(state.history ?? {})) {
    const known = cards.get(Number(id)) ?? add(Number(id));
    known.points = points.map(([t, label, score]) => [t + skew, label, score]);
  }
  const here = new Set();
  for (const face of state.faces) {
    if (face.id === null) continue;
    here.add(face.id);
    update(cards.get(face.id) ?? add(face.id), face, now);
  }
  for (const [id, known] of cards) {
    known.card.classList.toggle("gone", !here.has(id));
    const last = known.points.at(-1);
    if (!here.has(id) && (!last || last[0] < now - MINUTE_S)) {
      known.card.remove();
      cards.delete(id);
    } else {
      drawTimeline(known, now);
    }
  }
  byId("count").textContent = here.size ? `(${here.size})` : "";
  byId("nobody").hidden = cards.size > 0;
}

// The clock of a phone may be minutes off that of the device.
const clockSkew = (state, now) => (state.unix_s ? now - state.unix_s : 0);

function add(id) {
  const card = byId("face").content.firstElementChild.cloneNode(true);
  card.querySelector(".name").textContent = `Face ${id}`;
  card.querySelector("caption").textContent = `Emotions of face ${id}`;
  byId("faces").append(card);
  const known = { id, card, points: [], next: 0, label: undefined };
  cards.set(id, known);
  return known;
}

function update(known, face, now) {
  const word = face.label ? `${face.label} ${percent(face.score)}` : FLAWS[face.flaw] ?? "not read yet";
  known.card.querySelector(".word").textContent = word;
  drawBars(known.card, face.scores);
  if (now >= known.next) {
    known.points.push([now, face.label, face.score]);
    known.points = known.points.filter((point) => point[0] > now - MINUTE_S - 1);
    known.next = now + 0.5;
  }
  if (face.label !== known.label) {
    known.label = face.label;
    // Not more often than somebody can listen to.
    if (face.label && now - lastSaid > 2) {
      lastSaid = now;
      byId("said").textContent = `Face ${known.id}: ${face.label}`;
    }
  }
}

function drawBars(card, scores) {
  const body = card.querySelector("tbody");
  if (body.rows.length !== labels.length) {
    body.replaceChildren(...labels.map((label) => {
      const row = document.createElement("tr");
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = label;
      const bar = row.insertCell();
      bar.className = "bar";
      bar.append(document.createElement("span"));
      bar.firstChild.style.background = colour(label);
      row.prepend(head);
      row.insertCell().className = "share";
      return row;
    }));
  }
  const best = scores ? Math.max(...Object.values(scores)) : null;
  labels.forEach((label, at) => {
    const share = scores?.[label];
    const row = body.rows[at];
    row.className = share !== undefined && share === best ? "top" : "";
    row.querySelector(".bar span").style.width = `${100 * (share ?? 0)}%`;
    row.querySelector(".share").textContent = share === undefined ? "–" : percent(share);
  });
}

function drawTimeline(known, now) {
  const svg = known.card.querySelector(".timeline");
  const said = new Map();
  const rects = known.points.map(([t, label], at) => {
    const until = Math.min(now, known.points[at + 1]?.[0] ?? t + 0.6, t + 1.5);
    if (label) said.set(label, (said.get(label) ?? 0) + until - t);
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    rect.setAttribute("x", (MINUTE_S - (now - t)).toFixed(2));
    // A little into the next one, so that no seam is seen.
    rect.setAttribute("width", (Math.max(0, until - t) + 0.1).toFixed(2));
    rect.setAttribute("height", "8");
    rect.style.fill = label ? colour(label) : "transparent";
    return rect;
  });
  svg.replaceChildren(...rects);
  const most = [...said].sort((a, b) => b[1] - a[1]).map(([label, s]) => `${label} ${Math.round(s)} s`);
  svg.setAttribute("aria-label", `The last minute: ${most.join(", ") || "nothing said"}`);
}

async function readPhotograph(file) {
  const said = byId("photo-said");
  said.textContent = `Reading ${file.name} …`;
  byId("photo-faces").replaceChildren();
  byId("photo").hidden = true;
  try {
    const answer = await fetch("/api/photograph", { method: "POST", body: file });
    const read = await answer.json();
    if (!answer.ok) throw new Error(read.error);
    const count = read.faces.length;
    said.textContent = count === 1 ? "1 face" : `${count || "no"} faces`;
    await drawPhotograph(file, read);
    for (const [at, face] of read.faces.entries()) showStill(face, at + 1);
  } catch (error) {
    said.textContent = `${file.name} was not read: ${error.message}`;
  }
}

async function drawPhotograph(file, read) {
  const canvas = byId("photo");
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  const scale = Math.min(1, 1280 / bitmap.width);
  canvas.width = bitmap.width * scale;
  canvas.height = bitmap.height * scale;
  const pen = canvas.getContext("2d");
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const per = canvas.width / read.size_wh[0];
  const unit = Math.max(2, canvas.width / 320);
  pen.lineWidth = unit;
  pen.font = `${8 * unit}px sans-serif`;
  for (const [at, face] of read.faces.entries()) {
    const [x, y, w, h] = face.box_px.map((side) => side * per);
    pen.strokeStyle = "#ffdc50";
    pen.setLineDash(face.flaw ? [3 * unit, 2 * unit] : []);
    pen.strokeRect(x, y, w, h);
    pen.fillStyle = "#ffdc50";
    pen.fillRect(x, y, 9 * unit, 9 * unit);
    pen.fillStyle = "#141414";
    pen.fillText(String(at + 1), x + 2 * unit, y + 7.5 * unit);
  }
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `The photograph with ${read.faces.length} faces marked`);
  canvas.hidden = false;
}

function showStill(face, number) {
  const card = byId("face").content.firstElementChild.cloneNode(true);
  card.querySelector(".name").textContent = `Face ${number}`;
  const score = face.scores && face.label ? face.scores[face.label] : null;
  card.querySelector(".word").textContent =
    score === null ? FLAWS[face.flaw] ?? "not read" : `${face.label} ${percent(score)}`;
  card.querySelector("caption").textContent = `Emotions of face ${number} of the photograph`;
  card.querySelector(".timeline").remove();
  card.querySelector(".axis").remove();
  byId("photo-faces").append(card);
  drawBars(card, face.scores);
}

const drop = byId("drop");
for (const kind of ["dragover", "dragenter"]) {
  document.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  const file = event.dataTransfer.files[0];
  if (file) readPhotograph(file);
});
byId("file").addEventListener("change", (event) => {
  const file = event.target.files[0];
  if (file) readPhotograph(file);
});
byId("picture").addEventListener("error", () => { picture.restart = true; });
connect();
