import { axes, choice, make, nearestIndex, numberText, refill, roundSteps } from "./format.js";
import { LinePlot, spansDecades } from "./plot.js";
import { haveLayers, naturally, placeOf } from "./rows.js";

/** OKLab's lightness, chroma and hue in degrees as red, green and blue of 0 to 255. */
function colourOf(lightness, chroma, hue) {
  const a = chroma * Math.cos((hue * Math.PI) / 180), b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3, m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3,
    s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const linear = [4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s, -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s];
  return linear.map((v) => Math.round(255 * Math.min(1, Math.max(0, v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055))));
}

/** A colour for t in [0, 1]: lightness rises evenly from dark blue to yellow, so that it reads in grey and without red or green. */
export function heatColour(t) { return colourOf(0.27 + 0.66 * t, 0.11 + 0.05 * Math.sin(Math.PI * t), 275 - 175 * t); }

/** A colour for t in [0, 1] where one half stands for zero: near the ground there, blue below and orange above. */
export function signedColour(t, dark) {
  const size = Math.abs(2 * t - 1);
  return colourOf(dark ? 0.34 + 0.44 * size : 0.92 - 0.4 * size, 0.015 + 0.135 * size, t < 0.5 ? 255 : 55);
}

/** How a table's numbers become shades, given the first of their row, and how a legend writes a shade's number. On a logarithmic scale what is not above 0 has none. */
function scaleOf(values, relative, log) {
  const finite = values.flat().filter((value) => value !== null);
  if (relative) return { logarithmic: true, shade: (value, first) => Math.log(value / first), text: (shade) => `×\u202f${numberText(Math.exp(shade), 3)}` };
  if (log || spansDecades(finite)) return { logarithmic: true, shade: Math.log, text: (shade) => numberText(Math.exp(shade), 3) };
  return { shade: (value) => value, text: (shade) => numberText(shade, 3), signed: finite.some((value) => value < 0) && finite.some((value) => value > 0) };
}

/** A table: its rows under each other, its values as colours against the board's axis; a row opens as a curve below. */
export class HeatMap {
  constructor(board) {
    this.board = board;
    this.order = "kind";
    this.cell = null;
    this.opened = null;
    this.canvas = make("canvas", { tabindex: 0, role: "img", onkeydown: (event) => this.onKey(event) });
    this.canvas.addEventListener("pointermove", (event) => this.point(event.offsetX, event.offsetY));
    this.canvas.addEventListener("pointerleave", () => { this.cell = null; this.draw(); });
    this.canvas.addEventListener("click", (event) => this.open(this.rows?.[Math.floor(event.offsetY / this.layout().rowHeight)]));
    this.scaleBar = make("canvas", { class: "scale", "aria-hidden": true });
    this.lowest = make("span");
    this.highest = make("span");
    this.readout = make("p", { class: "readout", "aria-live": "polite" });
    this.rowsBy = choice("rows by", [["kind", "kind, then layer"], ["layer", "layer, then kind"]], this.order, (value) => { this.order = value; this.arrange(); });
    this.colour = choice("colour", [], "", (value) => { this.relative = value === "true"; this.arrange(); });
    this.rowName = make("h3");
    this.rowPlot = new LinePlot(board, "The row’s curve");
    const close = make("button", { type: "button", onclick: () => { this.open(null); this.canvas.focus(); } }, "close");
    this.row = make("div", { class: "row", hidden: true }, make("header", {}, this.rowName, make("span", { class: "buttons" }, close)), this.rowPlot.element);
    this.controls = [this.rowsBy, this.colour];
    this.element = make("div", { class: "heatmap" },
      make("div", { class: "legend" }, this.lowest, this.scaleBar, this.highest), this.readout, this.canvas, this.row);
    new ResizeObserver(() => { this.draw(); this.showRow(); }).observe(this.element);
  }

  /** `table` as the source gives it, `about` as aboutRows() does, `tint` one of the runs' colours. */
  show(name, table, about, tint) {
    if (name !== this.name) {
      this.relative = about.relative;
      this.cell = this.opened = null;
    }
    Object.assign(this, { name, table, about, tint });
    this.arrange();
  }

  /** Rows in order, their values as they are coloured, and the bounds of these. */
  arrange() {
    const { names, values } = this.table, { about } = this;
    const positive = about.log || values.every((row) => row.every((value) => value === null || value > 0)), grouped = haveLayers(names);
    refill(this.colour, positive ? [["true", "change since the first record"], ["false", about.unit]] : [], String(this.relative));
    this.rowsBy.hidden = !grouped;
    this.scale = scaleOf(values, positive && this.relative, about.log);
    const before = (a, b) => (this.order === "kind" ? naturally(a.kind, b.kind) || a.layer - b.layer : a.layer - b.layer || naturally(a.kind, b.kind));
    this.rows = names.map((name, index) => {
      const can = (value) => value !== null && (value > 0 || !this.scale.logarithmic), first = values[index].find(can);
      return { name, ...placeOf(name), values: values[index], shade: values[index].map((value) => (can(value) ? this.scale.shade(value, first) : null)) };
    }).sort((a, b) => (grouped ? before(a, b) : naturally(a.name, b.name)));
    for (const row of this.rows) row.group = !grouped ? row.name : this.order === "kind" || row.layer < 0 ? row.kind : `layer ${row.layer}`;
    let low = Infinity, high = -Infinity;
    for (const row of this.rows) for (const value of row.shade) if (value !== null) { low = Math.min(low, value); high = Math.max(high, value); }
    if (this.scale.signed) low = -(high = Math.max(-low, high));
    const air = this.scale.logarithmic || low === 0 ? 0.01 : Math.abs(low) / 100;
    this.bounds = high > low ? [low, high] : [low - air, low + air];
    [this.lowest, this.highest].forEach((label, i) => { label.textContent = Number.isFinite(low) ? this.scale.text(this.bounds[i]) : ""; });
    this.canvas.setAttribute("aria-label", `${about.title}: ${names.length} rows against ${axes[this.board.axis].label}; arrow keys read single values, Enter opens a row`);
    if (!this.rows.some((row) => row.name === this.opened)) this.opened = null;
    this.draw();
    this.showRow();
  }

  layout() {
    const width = Math.max(this.element.clientWidth, 240), gutter = width < 520 ? 96 : 170, foot = 36;
    const rowHeight = Math.max(3, Math.min(this.rows.length > 16 ? 14 : 20, Math.floor(520 / Math.max(this.rows.length, 1))));
    const xs = this.table[this.board.axis], range = this.board.range, last = xs.at(-1) ?? 1;
    const from = range ? range.min : Math.min(xs[0] ?? 0, last), to = range ? range.max : last;
    const right = width - 14, scale = (right - gutter) / (to - from || 1);
    return { width, gutter, right, foot, rowHeight, height: rowHeight * this.rows.length + foot, xs, from, to, x: (value) => gutter + (value - from) * scale, value: (x) => from + (x - gutter) / scale };
  }

  paint(t) { return `rgb(${(this.scale.signed ? signedColour(t, this.board.palette.name === "dark") : heatColour(t)).join(" ")})`; }

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
    ctx.rect(at.gutter, 0, at.right - at.gutter, at.height - at.foot);
    ctx.clip();
    const edges = at.xs.map((x, i) => at.x(i === 0 ? x : (x + at.xs[i - 1]) / 2));
    edges.push(at.x(at.xs.at(-1) ?? 0) + (edges.length > 1 ? edges.at(-1) - edges.at(-2) : at.width));
    this.rows.forEach((row, index) => row.shade.forEach((value, column) => {
      if (value === null) return;
      ctx.fillStyle = this.paint((value - this.bounds[0]) / (this.bounds[1] - this.bounds[0]));
      ctx.fillRect(edges[column], index * at.rowHeight, edges[column + 1] - edges[column] + 0.5, at.rowHeight - (at.rowHeight > 6 ? 1 : 0));
    }));
    ctx.restore();
    this.drawLabels(ctx, at, palette, axis);
    const opened = this.rows.findIndex((row) => row.name === this.opened);
    if (opened >= 0) this.outline(ctx, at, opened, at.gutter, at.right);
    if (this.cell) this.outline(ctx, at, this.cell.row, edges[this.cell.column], Math.min(Math.max(edges[this.cell.column + 1], edges[this.cell.column] + 3), at.right));
    this.drawScale();
    this.read();
  }

  /** A frame that stands out from every colour: dark and light lines beside each other where there is room. */
  outline(ctx, at, row, left, right) {
    const { strong, ground } = this.board.palette, top = row * at.rowHeight;
    ctx.strokeStyle = strong;
    ctx.strokeRect(left - 0.5, top - 0.5, right - left + 1, at.rowHeight + 1);
    if (at.rowHeight < 8 || right - left < 8) return;
    ctx.strokeStyle = ground;
    ctx.strokeRect(left + 0.5, top + 0.5, right - left - 1, at.rowHeight - 1);
  }

  drawLabels(ctx, at, palette, axis) {
    ctx.fillStyle = palette.text;
    ctx.font = palette.font;
    ctx.textBaseline = "middle";
    ctx.textAlign = "right";
    const groups = [];
    this.rows.forEach((row, index) => {
      if (groups.at(-1)?.label === row.group) groups.at(-1).end = index + 1;
      else groups.push({ label: row.group, begin: index, end: index + 1 });
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
    for (const value of roundSteps(at.from, at.to, at.width < 520 ? 3 : 8)) {
      const text = axes[axis].tick(value);
      ctx.fillText(text, Math.min(at.x(value), at.width - ctx.measureText(text).width / 2), at.height - 24);
    }
    ctx.fillText(axes[axis].label, (at.gutter + at.right) / 2, at.height - 7);
  }

  drawScale() {
    const ctx = this.scaleBar.getContext("2d");
    this.scaleBar.width = 128;
    this.scaleBar.height = 1;
    for (let i = 0; i < 128; ++i) {
      ctx.fillStyle = this.paint(i / 127);
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
    this.readout.classList.toggle("hint", !row);
    this.readout.textContent = !row ? "The mouse or arrow keys read values; a click or Enter opens a row."
      : `${row.name} · ${axes[axis].label} ${axes[axis].text(this.table[axis][this.cell.column])} · ${this.about.unit} ${numberText(row.values[this.cell.column], 4)}`;
  }

  onKey(event) {
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    if (!this.rows?.length) return;
    if (event.key in moves) {
      const [down, right] = moves[event.key], columns = this.table.step.length;
      const { row, column } = this.cell ?? { row: 0, column: columns - 1 - right };
      this.cell = { row: Math.min(Math.max(row + down, 0), this.rows.length - 1), column: Math.min(Math.max(column + right, 0), columns - 1) };
      this.draw();
    } else if (event.key === "Enter" || event.key === " ") this.open(this.rows[this.cell?.row ?? 0]);
    else if (event.key === "Escape") this.open(null);
    else return;
    event.preventDefault();
  }

  // ---- the opened row ------------------------------------------------------------------------------------------------

  /** Shows the row's curve; none, or the one that is open already, closes it. */
  open(row) {
    this.opened = !row || row.name === this.opened ? null : row.name;
    this.draw();
    this.showRow();
  }

  showRow() {
    const row = this.rows?.find((one) => one.name === this.opened);
    this.row.hidden = !row;
    if (!row) return;
    const { board } = this, axis = axes[board.axis], at = this.layout(), there = (list) => list.filter((_, i) => row.values[i] !== null);
    const ys = there(row.values);
    this.rowName.textContent = row.name;
    this.rowPlot.show({
      x: { ...axis, range: at.to > at.from ? [at.from, at.to] : [at.from - 1, at.to + 1], select: (range) => board.setRange(range), sync: "isotrope" },
      y: { label: this.about.unit, log: spansDecades(ys), size: at.gutter - 18 },
      lines: [{ name: this.about.unit, xs: there(at.xs), ys, stroke: board.palette.runs[this.tint % 8], dash: [], width: 1.75 }],
    });
  }
}

/** The text, cut at its beginning to fit. */
function fit(ctx, text, width) {
  if (ctx.measureText(text).width <= width) return text;
  let cut = text;
  while (cut.length > 1 && ctx.measureText(`…${cut}`).width > width) cut = cut.slice(1);
  return `…${cut}`;
}
