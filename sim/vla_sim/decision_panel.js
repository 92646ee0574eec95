"use strict";
// What a policy decided, beside the film that it belongs to: both stand at the same step.

// The last chunk that was decided on at or before a step; -1 before the first.
function chunkAt(chunks, step) {
  let found = -1;
  while (found + 1 < chunks.length && chunks[found + 1].step <= step) found += 1;
  return found;
}

// A film's time to the step it shows, and back: every frame is a step, and the last one is held.
const stepAt = (time, framesPerSecond, steps) => Math.min(steps, Math.floor(time * framesPerSecond + 1e-6));
const timeOf = (step, framesPerSecond) => (step + 0.5) / framesPerSecond;

if (typeof document !== "undefined") {
  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const percent = (p) => `${(100 * p).toFixed(p > 0.995 || p < 0.1 ? 1 : 0)} %`;

  // The tokens of a chunk: a row a step and a column a field where that is what they are, else one after the other.
  const drawTokens = (box, trace, index, step) => {
    const chunk = trace.chunks[index];
    const told = chunk && chunk.ids ? `${chunk.ids.length} tokens, decided on at step ${chunk.step}` : "no tokens";
    box.querySelector(".which").textContent = told;
    const grid = box.querySelector(".grid");
    grid.replaceChildren();
    if (!chunk || !chunk.ids) return;
    const title = (i) => `token ${chunk.ids[i]}, probability ${percent(chunk.p[i])}, entropy ${chunk.entropy[i]} nats`;
    if (!trace.token_fields) {
      const chips = element("div", "", { class: "chips" });
      chunk.ids.forEach((id, i) => {
        const chip = element("span", `${id} · ${percent(chunk.p[i])}`, { title: title(i) });
        chip.style.setProperty("--p", chunk.p[i]);
        chips.append(chip);
      });
      grid.append(chips);
      return;
    }
    const table = document.createElement("table");
    const head = table.createTHead().insertRow();
    head.append(element("th", "for step"), ...trace.token_fields.map((name) => element("th", name)));
    const body = table.createTBody();
    chunk.actions.forEach((action, row) => {
      const line = body.insertRow();
      if (chunk.step + row === step) line.className = "current";
      line.append(element("th", String(chunk.step + row)));
      trace.token_fields.forEach((_, column) => {
        const i = row * trace.token_fields.length + column;
        const cell = element("td", String(action[column]), { title: title(i) });
        cell.append(" ", element("small", `#${chunk.ids[i]} ${percent(chunk.p[i])}`));
        cell.style.setProperty("--p", chunk.p[i]);
        line.append(cell);
      });
    });
    grid.append(table);
  };

  for (const panel of document.querySelectorAll(".decisions")) {
    const video = panel.closest("figure").querySelector("video");
    const framesPerSecond = Number(panel.dataset.framesPerSecond);
    const steps = Number(panel.dataset.steps);
    const range = panel.querySelector("input[type=range]");
    const output = panel.querySelector("output");
    const tokens = panel.querySelector(".tokens");
    let trace = null;
    let shown = -1;

    const show = () => {
      if (!panel.open) return;
      const step = stepAt(video.currentTime, framesPerSecond, steps);
      if (step === shown) return;
      shown = step;
      trace ??= JSON.parse(panel.querySelector(".trace").textContent);
      output.textContent = step;
      range.value = step;
      for (const now of panel.querySelectorAll(".now")) { now.setAttribute("x1", step); now.setAttribute("x2", step); }
      if (tokens) drawTokens(tokens, trace, chunkAt(trace.chunks, step), step);
    };
    const seek = (step) => {
      video.pause();
      video.currentTime = timeOf(Math.max(0, Math.min(steps, step)), framesPerSecond);
    };
    const follow = () => {
      show();
      if (panel.open) requestAnimationFrame(follow);
    };
    panel.addEventListener("toggle", () => { shown = -1; follow(); });
    range.addEventListener("input", () => seek(Number(range.value)));
    for (const plot of panel.querySelectorAll(".seekable")) {
      plot.addEventListener("click", (event) => {
        const box = plot.getBoundingClientRect();
        seek(Math.floor(((event.clientX - box.left) / box.width) * steps));
      });
    }
    for (const button of panel.querySelectorAll("[data-step]")) {
      button.addEventListener("click", () => seek(Number(button.dataset.step)));
    }
  }
}

if (typeof module !== "undefined") module.exports = { chunkAt, stepAt, timeOf };
