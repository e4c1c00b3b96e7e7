import { axes, choice, make, nearestIndex, numberText, roundSteps } from "./format.js";

/** layer and kind of a tensor name: `model.layers.3.mlp.up_proj.weight` is 3, `mlp.up_proj`. */
export function placeOf(name) {
  const parts = name.replace(/\.weight$/, "").match(/^(?:.*?\.)?(\d+)\.(.+)$/);
  return parts ? { layer: Number(parts[1]), kind: parts[2] } : { layer: -1, kind: name.replace(/\.weight$/, "") };
}

/** A colour for t in [0, 1]: lightness rises evenly from dark blue to yellow (OKLab), so that it reads in grey and without red or green. */
export function heatColour(t) {
  const lightness = 0.27 + 0.66 * t, chroma = 0.11 + 0.05 * Math.sin(Math.PI * t), hue = ((275 - 175 * t) * Math.PI) / 180;
  const a = chroma * Math.cos(hue), b = chroma * Math.sin(hue);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3, m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3,
    s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const linear = [4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s, -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s];
  return linear.map((v) => Math.round(255 * Math.min(1, Math.max(0, v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055))));
}

/** ‖W‖_RMS of every matrix, a row each, against the board's axis. */
export class HeatMap {
  constructor(board) {
    this.board = board;
    this.order = "kind";
    this.relative = true;
    this.cell = null;
    this.canvas = make("canvas", { tabindex: 0, role: "img", onkeydown: (event) => this.onKey(event) });
    this.canvas.addEventListener("pointermove", (event) => this.point(event.offsetX, event.offsetY));
    this.canvas.addEventListener("pointerleave", () => { this.cell = null; this.draw(); });
    this.scaleBar = make("canvas", { class: "scale", "aria-hidden": true });
    this.lowest = make("span");
    this.highest = make("span");
    this.readout = make("p", { class: "readout", "aria-live": "polite" }, "\u00a0");
    this.element = make("div", { class: "heatmap" },
      make("div", { class: "tools" },
        choice("rows by", [["kind", "kind, then layer"], ["layer", "layer, then kind"]], this.order, (value) => { this.order = value; this.arrange(); }),
        choice("colour", [["true", "change since the first record"], ["false", "‖W‖ RMS"]], this.relative, (value) => { this.relative = value === "true"; this.arrange(); })),
      make("div", { class: "legend" }, this.lowest, this.scaleBar, this.highest), this.readout, this.canvas);
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  show(matrices) {
    this.matrices = matrices;
    this.arrange();
  }

  /** Rows in order, values as they are coloured (natural logarithms), and their bounds. */
  arrange() {
    const { names, rms } = this.matrices;
    const key = (row) => (this.order === "kind" ? [row.kind, row.layer] : [row.layer, row.kind]);
    const before = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
    this.rows = names.map((name, index) => {
      const first = rms[index].find((value) => value > 0);
      return { name, ...placeOf(name), rms: rms[index], shade: rms[index].map((value) => (value > 0 ? Math.log(value / (this.relative ? first : 1)) : null)) };
    }).sort((a, b) => before(key(a)[0], key(b)[0]) || before(key(a)[1], key(b)[1]));
    let low = Infinity, high = -Infinity;
    for (const row of this.rows) for (const value of row.shade) if (value !== null) { low = Math.min(low, value); high = Math.max(high, value); }
    this.bounds = high > low ? [low, high] : [low - 0.01, low + 0.01];
    const text = (value) => (this.relative ? `×\u202f${numberText(Math.exp(value), 3)}` : numberText(Math.exp(value), 3));
    this.lowest.textContent = Number.isFinite(low) ? text(this.bounds[0]) : "";
    this.highest.textContent = Number.isFinite(low) ? text(this.bounds[1]) : "";
    this.canvas.setAttribute("aria-label", `Root mean square of each of ${names.length} matrices against ${axes[this.board.axis].label}; arrow keys read single values`);
    this.draw();
  }

  layout() {
    const width = Math.max(this.element.clientWidth, 240), gutter = width < 520 ? 96 : 170, foot = 36;
    const rowHeight = Math.max(3, Math.min(14, Math.floor(520 / Math.max(this.rows.length, 1))));
    const xs = this.matrices[this.board.axis], range = this.board.range, last = xs.at(-1) ?? 1;
    const from = range ? range.min : Math.min(xs[0] ?? 0, last), to = range ? range.max : last;
    const scale = (width - gutter - 8) / (to - from || 1);
    return { width, gutter, foot, rowHeight, height: rowHeight * this.rows.length + foot, xs, from, to, x: (value) => gutter + (value - from) * scale, value: (x) => from + (x - gutter) / scale };
  }

  draw() {
    if (!this.rows || this.element.clientWidth === 0) return;
    const at = this.layout(), { palette, axis } = this.board, pixel = devicePixelRatio, { canvas } = this;
    canvas.width = at.width * pixel;
    canvas.height = at.height * pixel;
    canvas.style.width = `${at.width}px`;
    canvas.style.height = `${at.height}px`;
    const ctx = canvas.getContext("2d");
    ctx.scale(pixel, pixel);
    ctx.save();
    ctx.beginPath();
    ctx.rect(at.gutter, 0, at.width - at.gutter - 8, at.height - at.foot);
    ctx.clip();
    const edges = at.xs.map((x, i) => at.x(i === 0 ? x : (x + at.xs[i - 1]) / 2));
    edges.push(at.x(at.xs.at(-1) ?? 0) + (edges.length > 1 ? edges.at(-1) - edges.at(-2) : at.width));
    this.rows.forEach((row, index) => row.shade.forEach((value, column) => {
      if (value === null) return;
      const [r, g, b] = heatColour((value - this.bounds[0]) / (this.bounds[1] - this.bounds[0]));
      ctx.fillStyle = `rgb(${r} ${g} ${b})`;
      ctx.fillRect(edges[column], index * at.rowHeight, edges[column + 1] - edges[column] + 0.5, at.rowHeight - (at.rowHeight > 6 ? 1 : 0));
    }));
    ctx.restore();
    this.drawLabels(ctx, at, palette, axis);
    if (this.cell) {
      ctx.strokeStyle = palette.text;
      ctx.strokeRect(edges[this.cell.column] - 0.5, this.cell.row * at.rowHeight - 0.5, Math.max(edges[this.cell.column + 1] - edges[this.cell.column], 3) + 1, at.rowHeight + 1);
    }
    this.drawScale();
    this.read();
  }

  drawLabels(ctx, at, palette, axis) {
    ctx.fillStyle = palette.text;
    ctx.font = palette.font;
    ctx.textBaseline = "middle";
    ctx.textAlign = "right";
    const groups = [];
    this.rows.forEach((row, index) => {
      const label = this.order === "kind" ? row.kind : row.layer < 0 ? row.kind : `layer ${row.layer}`;
      if (groups.at(-1)?.label === label) groups.at(-1).end = index + 1;
      else groups.push({ label, begin: index, end: index + 1 });
    });
    let free = 0;
    for (const group of groups) {
      const y = Math.max(7, ((group.begin + group.end) / 2) * at.rowHeight);
      if (group.begin > 0) {
        ctx.fillStyle = palette.ground;
        ctx.fillRect(at.gutter, group.begin * at.rowHeight - 1, at.width - at.gutter, 1);
        ctx.fillStyle = palette.text;
      }
      if (y - 6 < free) continue;  // no room: the cursor names it
      ctx.fillText(fit(ctx, group.label, at.gutter - 10), at.gutter - 8, y);
      free = y + 7;
    }
    ctx.textAlign = "center";
    for (const value of roundSteps(at.from, at.to, at.width < 520 ? 3 : 8)) ctx.fillText(axes[axis].tick(value), Math.min(at.x(value), at.width - 18), at.height - 24);
    ctx.fillText(axes[axis].label, (at.gutter + at.width - 8) / 2, at.height - 7);
  }

  drawScale() {
    const ctx = this.scaleBar.getContext("2d");
    this.scaleBar.width = 128;
    this.scaleBar.height = 1;
    for (let i = 0; i < 128; ++i) {
      ctx.fillStyle = `rgb(${heatColour(i / 127).join(" ")})`;
      ctx.fillRect(i, 0, 1, 1);
    }
  }

  point(x, y) {
    if (!this.rows?.length) return;
    const at = this.layout(), row = Math.floor(y / at.rowHeight);
    this.cell = x >= at.gutter && row >= 0 && row < this.rows.length ? { row, column: nearestIndex(at.xs, at.value(x)) } : null;
    this.draw();
  }

  read() {
    const row = this.cell && this.rows[this.cell.row], axis = this.board.axis;
    this.readout.textContent = !row ? "\u00a0" : `${row.name} · ${axes[axis].label} ${axes[axis].text(this.matrices[axis][this.cell.column])} · ‖W‖ RMS ${numberText(row.rms[this.cell.column], 4)}`;
  }

  onKey(event) {
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    if (!(event.key in moves) || !this.rows?.length) return;
    const [down, right] = moves[event.key], columns = this.matrices.step.length;
    const { row, column } = this.cell ?? { row: 0, column: columns - 1 - right };
    this.cell = { row: Math.min(Math.max(row + down, 0), this.rows.length - 1), column: Math.min(Math.max(column + right, 0), columns - 1) };
    this.draw();
    event.preventDefault();
  }
}

/** The text, cut at its beginning to fit. */
function fit(ctx, text, width) {
  if (ctx.measureText(text).width <= width) return text;
  let cut = text;
  while (cut.length > 1 && ctx.measureText(`…${cut}`).width > width) cut = cut.slice(1);
  return `…${cut}`;
}
