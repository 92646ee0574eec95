"use strict";
// The filters of a list of episodes. What stands before `if (typeof document` needs no page.

const NOTHING = { task: "", outcome: "", stage: "", words: "", sort: "order", episode: "", flags: [] };
const OUTCOMES = ["succeeded", "failed", "error"];
const FLAGS = ["timed_out", "moved_another", "filmed"];

// "#task=stack&failed" to choices; what is not known is left out.
function readHash(hash) {
  const chosen = { ...NOTHING, flags: [] };
  for (const part of hash.replace(/^#/, "").split("&")) {
    const [name, ...rest] = part.split("=");
    let value = rest.join("=");
    try { value = decodeURIComponent(value.replace(/\+/g, " ")); } catch { continue; }
    if (OUTCOMES.includes(name)) chosen.outcome = name;
    else if (FLAGS.includes(name)) chosen.flags.push(name);
    else if (["task", "stage", "words", "sort", "episode", "outcome"].includes(name)) chosen[name] = value;
  }
  return chosen;
}

// Choices to the shortest hash that stands for them.
function writeHash(chosen) {
  const parts = ["task", "stage", "words", "sort", "episode"]
    .filter((name) => chosen[name] && chosen[name] !== NOTHING[name])
    .map((name) => `${name}=${encodeURIComponent(chosen[name])}`);
  if (chosen.outcome) parts.push(chosen.outcome);
  return [...parts, ...chosen.flags].join("&");
}

// Whether an episode is shown: `row` has the data attributes, `words` (lower case) and `filmed`.
function matches(row, chosen) {
  const flags = row.flags.split(" ");
  if (row.filmed) flags.push("filmed");
  return (!chosen.task || row.task === chosen.task)
    && (!chosen.outcome || row.outcome === chosen.outcome)
    && (!chosen.stage || row.stage === chosen.stage)
    && (!chosen.episode || row.key === chosen.episode)
    && chosen.flags.every((flag) => flags.includes(flag))
    && chosen.words.toLowerCase().split(/\s+/).every((word) => row.words.includes(word));
}

// Negative if one row comes before another.
function compareRows(one, other, sort) {
  const number = (row, name) => (row[name] === "" ? -Infinity : Number(row[name]));
  const last = number(one, "order") - number(other, "order");
  if (sort === "seed") return number(one, "seed") - number(other, "seed") || last;
  if (sort === "steps") return number(other, "steps") - number(one, "steps") || last;
  if (sort === "entropy") {
    const [a, b] = [number(one, "entropy"), number(other, "entropy")];
    return (a === b ? 0 : b - a) || last;
  }
  if (sort === "failures") {
    const rank = (row) => ["failed", "error", "succeeded"].indexOf(row.outcome);
    return rank(one) - rank(other) || last;
  }
  return last;
}

if (typeof document !== "undefined") {
  const form = document.getElementById("filters");
  const lists = [...document.querySelectorAll("[data-list]")].map((list) => ({
    list,
    rows: [...list.querySelectorAll("[data-key]")].map((element) => ({
      ...element.dataset, element, words: element.textContent.toLowerCase(),
    })),
  }));
  const filmed = new Set(lists.filter(({ list }) => list.dataset.list === "films")
    .flatMap(({ rows }) => rows.map((row) => row.key)));
  for (const { rows } of lists) for (const row of rows) row.filmed = filmed.has(row.key);

  const show = (chosen) => {
    const counts = {};
    for (const { list, rows } of lists) {
      const shown = rows.filter((row) => matches(row, chosen));
      counts[list.dataset.list] = [shown.length, rows.length];
      const isShown = new Set(shown);
      for (const row of rows) row.element.hidden = !isShown.has(row);
      for (const row of [...rows].sort((a, b) => compareRows(a, b, chosen.sort))) list.append(row.element);
    }
    const [shown, all] = counts.rows;
    const films = counts.films ? `, ${counts.films[0]} of ${counts.films[1]} filmed` : "";
    document.getElementById("shown").textContent = `${shown} of ${all} episodes${films}`;
    document.getElementById("only").hidden = !chosen.episode;
  };

  const fill = (chosen) => {
    for (const name of ["task", "outcome", "stage", "words", "sort"]) {
      const field = form.elements[name];
      field.value = chosen[name];
      // A choice that the list does not offer: nothing fits, and the field says so by being empty.
    }
    for (const flag of FLAGS) form.elements[flag].checked = chosen.flags.includes(flag);
  };

  const read = () => ({
    ...NOTHING,
    ...Object.fromEntries(["task", "outcome", "stage", "words", "sort"].map((name) => [name, form.elements[name].value])),
    flags: FLAGS.filter((flag) => form.elements[flag].checked),
  });

  const follow = (isFirst) => {
    const chosen = readHash(location.hash);
    fill(chosen);
    show(chosen);
    if (writeHash(chosen)) document.getElementById("episodes").scrollIntoView({ block: "start" });
    const film = chosen.episode ? document.getElementById(`film-${chosen.episode}`) : null;
    if (film?.querySelector(".decisions")) film.querySelector(".decisions").open = true;
    if (!isFirst) film?.focus();
  };

  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    const chosen = read();
    show(chosen);
    history.replaceState(null, "", `#${writeHash(chosen)}`);
  });
  form.addEventListener("reset", () => setTimeout(() => {
    history.replaceState(null, "", "#");
    fill(NOTHING);
    show(NOTHING);
  }));
  document.getElementById("only").addEventListener("click", () => form.reset());
  addEventListener("hashchange", () => follow(false));
  follow(true);
}

if (typeof module !== "undefined") module.exports = { readHash, writeHash, matches, compareRows };
