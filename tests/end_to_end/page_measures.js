// What is measured of the operator's page, in the browser: an object of functions, the value of this file's expression.
({
  // Places of the stop button where something else lies, or which are off the screen.
  covered() {
    const box = document.getElementById("stop").getBoundingClientRect(), shares = [0.1, 0.5, 0.9];
    const places = shares.flatMap((x) => shares.map((y) => [box.left + x * box.width, box.top + y * box.height]));
    return places.filter(([x, y]) => !document.elementFromPoint(x, y)?.closest("#stop"));
  },

  controls() {
    return [...document.querySelectorAll("button, input")].filter((each) => each.checkVisibility());
  },

  // Controls that are narrower or lower than this, with their sizes.
  small(least) {
    const sizes = this.controls().map((each) => [each, each.getBoundingClientRect()]);
    const small = sizes.filter(([, box]) => box.width < least || box.height < least);
    return small.map(([each, box]) => [each.id || each.textContent, box.width, box.height]);
  },

  // Controls that another thing covers even where they were scrolled to; leaves the page scrolled to its end.
  unreached() {
    const isFree = (each) => {
      each.scrollIntoView({ block: "center", behavior: "instant" });
      const box = each.getBoundingClientRect();
      const top = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
      return top?.closest("button, input") === each;
    };
    return this.controls().filter((each) => !isFree(each)).map((each) => each.id || each.textContent);
  },

  // Text whose contrast is below this, in any state, with all shown that is ever shown.
  faint(least) {
    const $ = (id) => document.getElementById(id);
    for (const id of ["fault", "lost", "toast", "pads"]) $(id).hidden = false;
    $("lost").textContent = $("toast").textContent = "text";
    for (const kind of ["fault", "refused"]) $("events").insertAdjacentHTML("beforeend", `<li class="${kind}">text</li>`);
    const found = [];
    for (const mode of ["configured", "armed", "running", "human", "hold", "fault", "unknown"]) {
      $("state").dataset.mode = mode === "human" ? "running" : mode;
      $("state").dataset.actor = mode === "human" ? "human" : "policy";
      for (const item of $("modes").children) item.classList.toggle("now", item.dataset.mode === mode);
      $("link").classList.toggle("bad", mode === "unknown");
      $("toast").classList.toggle("bad", mode === "fault");
      for (const each of document.querySelectorAll("body *")) {
        const hasText = [...each.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
        if (!hasText || !each.checkVisibility() || each.closest("button:disabled, figure")) continue;
        const ratio = this.contrast(each);
        if (ratio < least) found.push([mode, each.id || each.className || each.tagName, each.textContent, ratio]);
      }
    }
    return found;
  },

  // Of WCAG 2.2: (lighter + 0.05) / (darker + 0.05), by relative luminance.
  contrast(each) {
    const below = this.ground(each), text = this.over(this.parts(getComputedStyle(each).color), below);
    const [dark, light] = [this.luminance(below), this.luminance(text)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  },
  parts(colour) {
    const [r, g, b, a = 1] = colour.match(/[0-9.]+/g).map(Number);
    return { rgb: [r, g, b], a };
  },
  over: (top, below) => top.rgb.map((value, index) => value * top.a + below[index] * (1 - top.a)),
  ground(each) {
    if (!each) return [255, 255, 255];
    const colour = this.parts(getComputedStyle(each).backgroundColor);
    return colour.a === 1 ? colour.rgb : this.over(colour, this.ground(each.parentElement));
  },
  luminance(rgb) {
    const linear = rgb.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  },
})
