// The operator's page. Everything it shows comes over one WebSocket; the stop button goes by a request of its own.
import { Plot } from "/plots.js";

const $ = (id) => document.getElementById(id);
const SILENT_MS = 1500;       // a run that shows nothing new for this long is told to be silent
const LOST_MS = 2000;         // a console that says nothing for this long, of twenty times a second, is lost
const ANEW_MS = 5000;         // and is called anew: a connection may be dead long before the browser notices
const STOP_MS = 1500;         // so long is the answer to one attempt to stop awaited
const PADS_MS = 40;           // while a finger is on a pad, its place is sent this often
let socket = null, about = null, standing = {}, isAlive = false, isStopped = null, driver = null, seen = 0;
let lastHeardMs = 0, lostAt = "", calledMs = 0, lastToldS = 0, lastNewsMs = 0, lastEvent = 0, actions = [], joints = [], push = {}, gripper = null;

// ------------------------------------------------------------------ stopping

let stopping = 0;             // attempts to press that nobody has answered yet
async function stop(body) {
  const isPress = body === "press";
  stopping += isPress;
  show();
  await tell(body);
  stopping -= isPress;
  show();
}
async function tell(body) {
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      const answer = await fetch("/stop", { method: "POST", body, keepalive: true, signal: AbortSignal.timeout(STOP_MS) });
      const told = await answer.json();
      if (!answer.ok) throw new Error(told.error);
      isStopped = told.pressed;
      return;
    } catch (error) {
      if (attempt === 2) toast(`${body === "press" ? "NOT STOPPED" : "not let up"}: ${error.message}. Use the arm's own emergency stop.`, true);
    }
  }
}
$("stop").addEventListener("pointerdown", (event) => { event.preventDefault(); stop("press"); });
$("stop").addEventListener("keydown", (event) => { if (event.key === "Enter") stop("press"); });
$("release").addEventListener("click", () => stop("release"));
addEventListener("keydown", (event) => {
  const isTyping = event.target.tagName === "INPUT" && event.target.type === "text";
  if (event.key === "Escape" || (event.code === "Space" && !isTyping)) { event.preventDefault(); if (!event.repeat) stop("press"); }
});

// ------------------------------------------------------------------ asking

function send(message) {
  if (socket?.readyState !== WebSocket.OPEN) return toast("the console does not answer: nothing was asked", true);
  socket.send(JSON.stringify(message));
}
const ask = (verb, more = {}) => send({ ask: { verb, ...more } });
const asks = { hold: "hold", resume: "resume", take: "take_over", back: "hand_back", "back-here": "hand_back", record: "record",
  "end-recording": "end_recording", discard: "discard", end: "end" };
for (const [id, verb] of Object.entries(asks)) $(id).addEventListener("click", () => ask(verb));
$("keep").addEventListener("click", () => ask("keep", { value: 1 }));
$("keep-failure").addEventListener("click", () => ask("keep", { value: 0 }));
$("acknowledge").addEventListener("click", () => ask("acknowledge", { text: standing.fault }));
$("speed").addEventListener("input", () => { $("speed-told").value = percent($("speed").value); });
$("speed").addEventListener("change", () => ask("speed", { value: Number($("speed").value) }));
$("instructing").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("instruction").value.trim();
  if (text) { ask("instruction", { text }); $("instruction").value = ""; }
});

// ------------------------------------------------------------------ driving

function pad(id, across, along) {
  const element = $(id), knob = element.querySelector("b");
  const place = (event) => {
    const box = element.getBoundingClientRect();
    const clip = (value) => Math.max(-1, Math.min(1, value));
    const right = clip((event.clientX - box.left) / box.width * 2 - 1), up = clip(1 - (event.clientY - box.top) / box.height * 2);
    push[across] = -right;
    push[along] = up;
    knob.style.transform = `translate(${right * 140}%, ${-up * 140}%)`;
    sendPads();
  };
  const leave = (event) => {
    if (!element.hasPointerCapture?.(event.pointerId) && event.type !== "lostpointercapture") return;
    delete push[across];
    delete push[along];
    knob.style.transform = "";
    sendPads();
  };
  element.addEventListener("pointerdown", (event) => { event.preventDefault(); element.setPointerCapture(event.pointerId); place(event); });
  element.addEventListener("pointermove", (event) => { if (element.hasPointerCapture(event.pointerId)) place(event); });
  for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) element.addEventListener(kind, leave);
}
pad("plane", "y", "x");
pad("height", "yaw", "z");
const isHeld = () => Object.keys(push).length > 0;
function sendPads() {
  $("pads").classList.toggle("held", isHeld());
  if (driver === "you" && socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ pads: { ...push, gripper, held: isHeld() || gripping > Date.now(), seen } }));
}
let gripping = 0;             // until when a gripper button counts as a finger on a pad
function grip(opening) { gripper = opening; gripping = Date.now() + 400; sendPads(); }
$("open").addEventListener("pointerdown", () => grip(1));
$("close").addEventListener("pointerdown", () => grip(0));
setInterval(() => { if (isHeld() || gripping > Date.now() - 2 * PADS_MS) sendPads(); }, PADS_MS);
document.addEventListener("visibilitychange", () => { if (document.hidden) { push = {}; sendPads(); } });

// ------------------------------------------------------------------ hearing

function connect() {
  calledMs = performance.now();
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
  socket.binaryType = "arraybuffer";
  socket.onmessage = (event) => { lastHeardMs = performance.now(); return typeof event.data === "string" ? hear(JSON.parse(event.data)) : picture(event.data); };
  socket.onclose = () => { socket = null; show(); setTimeout(connect, 700); };
}

function callAnew() {
  const since = performance.now() - Math.max(lastHeardMs, calledMs);
  if (!socket || since < ANEW_MS) return;
  socket.onclose = socket.onmessage = null;
  socket.close();
  connect();
}

function hear(message) {
  if (message.refused) return toast(message.refused);
  if ("about" in message) { about = message.about; begin(); return; }
  seen = message.number;
  isAlive = message.is_alive;
  isStopped = message.stop;
  driver = message.driver;
  const news = message.standing;
  if (news.told_s !== undefined && news.told_s !== lastToldS) {
    lastToldS = news.told_s;
    lastNewsMs = performance.now();
    standing = news.ended ? { ...standing, ...news } : news;
    remember();
  }
  show();
}

function picture(data) {
  const image = $("cameras").children[new Uint8Array(data, 0, 1)[0]]?.querySelector("img");
  if (!image) return;
  const url = URL.createObjectURL(new Blob([new Uint8Array(data, 1)], { type: new Uint8Array(data, 1, 1)[0] === 0x89 ? "image/png" : "image/jpeg" }));
  image.onload = () => URL.revokeObjectURL(url);
  image.src = url;
}

function begin() {
  for (const id of ["cameras", "actions", "joints", "events", "figures"]) $(id).replaceChildren();
  actions = joints = [];
  lastEvent = lastToldS = 0;
  standing = {};
  if (!about) return;
  for (const camera of about.cameras) {
    const figure = document.createElement("figure"), image = document.createElement("img"), name = document.createElement("figcaption");
    figure.style.flex = camera.width / camera.height;
    figure.style.aspectRatio = camera.width / camera.height;
    image.alt = name.textContent = camera.name;
    image.classList.toggle("small", Math.min(camera.width, camera.height) < 200);
    figure.append(image, name);
    $("cameras").append(figure);
  }
  actions = about.action.map((field) => new Plot($("actions"), `${field.name}, ${field.unit}`, ["asked", "applied"], field.low, field.high));
  joints = about.joints.map((field) => new Plot($("joints"), field.name, ["measured", "applied"], field.low, field.high));
  $("speed").max = about.max_speed;
}

// ------------------------------------------------------------------ showing

function remember() {
  const now = standing.acted_s === undefined ? 0 : standing.told_s;
  const chunk = standing.actor === "policy" ? standing.chunk : null;
  if (standing.applied) actions.forEach((plot, index) => {
    plot.add(now, [standing.asked[index], standing.applied[index]]);
    plot.ahead = chunk ? chunk.map((action) => action[index]) : null;
  });
  if (standing.state && standing.command) joints.forEach((plot, index) => plot.add(now, [standing.state[index], standing.command[index]]));
  for (const event of standing.events || []) {
    if (event.number <= lastEvent) continue;
    lastEvent = event.number;
    const line = document.createElement("li"), time = document.createElement("time");
    time.textContent = new Date(event.time * 1000).toLocaleTimeString("en-GB");
    line.className = event.kind;
    line.append(time, event.text);
    $("events").prepend(line);
    while ($("events").children.length > 200) $("events").lastChild.remove();
  }
}

function show() {
  const isLost = !isConnected(), isSilent = !isLost && isAlive && performance.now() - lastNewsMs > SILENT_MS;
  const mode = isLost && lastHeardMs ? "unknown" : !about ? "no run" : standing.mode ?? "starting";
  lose(isLost);
  $("state").dataset.mode = mode;
  $("state").dataset.actor = isLost ? "" : standing.actor ?? "";
  $("mode").textContent = mode;
  $("actor").textContent = isLost ? "" : { policy: "the policy acts", human: "a human acts", nobody: "nobody acts" }[standing.actor] ?? "";
  $("why").textContent = isSilent ? "the run shows nothing new: press STOP if the arm moves" : standing.why || (standing.reasons || [])[0] || "";
  link(isSilent);
  for (const item of $("modes").children) item.classList.toggle("now", item.dataset.mode === mode);
  $("cameras").classList.toggle("stale", !isAlive || isSilent || isLost);
  $("stop").classList.toggle("pressed", isStopped === true);
  $("stop").firstChild.textContent = stopping ? "STOPPING" : isStopped ? "STOPPED" : "STOP";
  $("fault").hidden = !standing.fault && !isStopped;
  $("fault-name").textContent = standing.fault || (isStopped ? "the stop button is pressed" : "");
  $("release").hidden = !isStopped;
  $("acknowledge").hidden = !standing.fault;
  $("acknowledge").disabled = Boolean(isStopped);
  enable(isAlive && !isLost);
  figures();
  for (const plot of [...actions, ...joints]) plot.draw();
}

const isConnected = () => socket?.readyState === WebSocket.OPEN && performance.now() - lastHeardMs < LOST_MS;

function lose(isLost) {
  if (!isLost || !lastHeardMs) lostAt = "";
  else if (!lostAt) lostAt = new Date().toLocaleTimeString("en-GB");
  $("lost").hidden = !lostAt;
  const text = lostAt && `No word from the console since ${lostAt}: what is shown is old, and STOP may not get through. Use the arm's own emergency stop.`;
  if ($("lost").textContent !== text) $("lost").textContent = text;
}

function link(isSilent) {
  const text = !isConnected() ? (lastHeardMs ? "console lost" : "connecting") : !about ? "waiting for a run" : !isAlive ? "run over" : isSilent ? "run silent" : "live";
  $("link").textContent = text;
  $("link").classList.toggle("bad", text === "console lost" || text === "run silent");
}

function enable(isAlive) {
  const actor = standing.actor, isFree = isAlive && !standing.fault && !isStopped;
  $("hold").disabled = !isAlive || actor === "nobody";
  $("resume").disabled = !isFree || actor !== "nobody";
  $("take").disabled = !isFree || (actor === "human" && driver === "you") || !about?.can_drive;
  $("back").disabled = $("back-here").disabled = !isFree || actor !== "human" || !about?.has_policy;
  $("speed").disabled = $("end").disabled = !isAlive;
  $("pads").hidden = !(isAlive && actor === "human" && driver === "you");
  document.body.classList.toggle("driving", !$("pads").hidden);
  $("instruction-now").textContent = standing.instruction ? `“${standing.instruction}”` : "";
  if (document.activeElement !== $("speed") && standing.speed !== undefined) { $("speed").value = standing.speed; $("speed-told").value = percent(standing.speed); }
  const recording = standing.recording;
  $("recording").hidden = !recording;
  $("recording-told").textContent = { on: `● episode ${standing.episodes}`, ended: "ended: keep it?", off: "off" }[recording] ?? "";
  $("record").disabled = !isAlive || recording !== "off";
  $("end-recording").disabled = !isAlive || recording !== "on";
  for (const id of ["keep", "keep-failure", "discard"]) $(id).disabled = !isAlive || !recording || recording === "off";
}

function figures() {
  if (!about) return;
  const rows = { robot: about.robot, policy: about.policy, step: standing.step, time: standing.acted_s === undefined ? undefined : `${standing.acted_s.toFixed(1)} of ${about.seconds} s`,
    "last prediction": standing.policy_ms == null ? undefined : `${standing.policy_ms.toFixed(0)} ms`,
    "human's share": standing.interventions ? `${percent(standing.human_share)}, ${standing.interventions} times` : undefined };
  if (standing.gap && about.is_shadow) rows.disagreement = about.action.map((field, index) => `${field.name} ${standing.gap[index].toFixed(3)}`).join(" ");
  const shown = Object.entries(rows).filter(([, value]) => value !== undefined && value !== "");
  $("figures").replaceChildren(...shown.flatMap(([name, value]) => {
    const term = document.createElement("dt"), text = document.createElement("dd");
    term.textContent = name;
    text.textContent = value;
    return [term, text];
  }));
}

const percent = (share) => `${Math.round(100 * share)} %`;
let toasted = 0;
function toast(text, isBad = false) {
  $("toast").textContent = text;
  $("toast").classList.toggle("bad", isBad);
  $("toast").hidden = false;
  clearTimeout(toasted);
  toasted = setTimeout(() => { $("toast").hidden = true; }, isBad ? 15000 : 5000);
}

// What a keyboard on the glass covers, where the browser lays it over the page.
visualViewport?.addEventListener("resize", () => {
  const covered = visualViewport.scale > 1.01 ? 0 : Math.max(0, innerHeight - visualViewport.height);
  document.documentElement.style.setProperty("--keyboard", `${covered}px`);
});
setInterval(() => { callAnew(); show(); }, 500);
connect();
show();
