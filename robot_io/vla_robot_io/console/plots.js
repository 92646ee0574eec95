// Small plots on a canvas: the last seconds of a few curves on one scale, and what is still ahead.
const PAST_S = 20, AHEAD_SHARE = 0.2;
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export class Plot {
  constructor(parent, name, curves, low, high) {
    this.name = name;
    this.curves = curves;          // names of colours, the last drawn on top
    this.bounds = [low, high];
    this.points = [];              // [time, value of each curve]
    this.ahead = null;             // values after now, one each control step
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", name);
    parent.append(this.canvas);
  }

  add(time, values) {
    if (this.points.length && time < this.points.at(-1)[0]) this.points = [];
    this.points.push([time, ...values]);
    while (this.points.length && this.points[0][0] < time - PAST_S) this.points.shift();
  }

  draw(stepS) {
    const ratio = devicePixelRatio || 1, width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    if (!width) return;
    if (this.canvas.width !== Math.round(width * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
    }
    const pen = this.canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const [low, high] = this.range();
    const now = this.points.length ? this.points.at(-1)[0] : 0;
    const nowX = this.ahead ? width * (1 - AHEAD_SHARE) : width - 2;
    const x = (time) => nowX + (time - now) / PAST_S * nowX;
    const y = (value) => 16 + (height - 20) * (1 - (value - low) / (high - low));
    this.axes(pen, width, height, nowX, low, high, y);
    this.curves.forEach((colour, index) => this.line(pen, colour, this.points.map((point) => [x(point[0]), y(point[index + 1])])));
    if (this.ahead) {
      const step = (width - nowX) / Math.max(1, this.ahead.length);
      pen.setLineDash([3, 2]);
      this.line(pen, "ahead", this.ahead.map((value, index) => [nowX + (index + 0.5) * step, y(value)]));
      pen.setLineDash([]);
    }
    this.label(pen, width);
  }

  range() {
    const values = this.points.flatMap((point) => point.slice(1)).concat(this.ahead || []).filter(Number.isFinite);
    const low = Math.min(...values), high = Math.max(...values);
    if (!values.length) return this.bounds;
    const least = (this.bounds[1] - this.bounds[0]) / 50, middle = (low + high) / 2, half = Math.max((high - low) / 2 * 1.1, least);
    return [middle - half, middle + half];
  }

  axes(pen, width, height, nowX, low, high, y) {
    pen.fillStyle = style("plot");
    pen.fillRect(0, 14, width, height - 14);
    pen.strokeStyle = style("line");
    pen.lineWidth = 1;
    pen.beginPath();
    if (low < 0 && high > 0) { pen.moveTo(0, y(0)); pen.lineTo(width, y(0)); }
    if (this.ahead) { pen.moveTo(nowX, 14); pen.lineTo(nowX, height); }
    pen.stroke();
  }

  line(pen, colour, points) {
    pen.strokeStyle = style(colour);
    pen.lineWidth = 1.6;
    pen.beginPath();
    let open = false;
    for (const [x, y] of points) {
      if (!Number.isFinite(y)) { open = false; continue; }
      if (open) pen.lineTo(x, y); else pen.moveTo(x, y);
      open = true;
    }
    pen.stroke();
  }

  label(pen, width) {
    pen.font = "11px system-ui, sans-serif";
    pen.fillStyle = style("quiet");
    pen.textAlign = "left";
    pen.fillText(this.name, 1, 10);
    const last = this.points.length ? this.points.at(-1).at(-1) : NaN;
    pen.fillStyle = style("ink");
    pen.textAlign = "right";
    if (Number.isFinite(last)) pen.fillText(last.toFixed(3), width - 1, 10);
  }
}
