import { axes, countText, make, nearestIndex, numberText } from "./format.js";
import { airyRange, axisStyle, legendItem, logarithmicTicks } from "./plot.js";

/* global uPlot */

// What is drawn where. `keys` are columns of the run log; a chart without data in any run is left out.
const known = [
  { title: "Loss", unit: "nats per token", wide: true, smooth: true, keys: [["loss", "training"], ["eval.nll", "validation"]] },
  { title: "Compression", unit: "bits per byte", keys: [["eval.bits_per_byte", "validation"]] },
  { title: "Accuracy", unit: "share of targets", smooth: true,
    keys: [["accuracy", "training"], ["eval.accuracy", "validation"], ["pair_accuracy", "pairs"], ["eval.pair_accuracy", "pairs, validation"]] },
  { title: "Parts of the loss", unit: "nats", smooth: true,
    keys: [["token_loss", "tokens"], ["eval.token_loss", "tokens, validation"], ["pair_loss", "pairs"], ["eval.pair_loss", "pairs, validation"],
      ["backward_loss", "token before"], ["eval.backward_loss", "token before, validation"]] },
  { title: "Learning rate", unit: "per step", keys: [["lr", ""]] },
  { title: "Gradient norm", unit: "L2, before clipping", smooth: true, log: true, keys: [["grad_norm", ""]] },
  { title: "Throughput", unit: "tokens per second", smooth: true, fromZero: true, tick: (v) => countText(v, 3), keys: [["tokens_per_second", ""]] },
  { title: "Time of an update", unit: "ms", scale: 1e3, fromZero: true, keys: [["optimizer_seconds", ""]] },
  { title: "Memory", unit: "resident, MB", scale: 1e-6, fromZero: true, keys: [["memory_bytes", ""]] },
  { title: "Weights", unit: "‖W‖ RMS by class", log: true,
    keys: [["weights.matrix", "matrices"], ["weights.embedding", "embedding"], ["weights.head", "head"], ["weights.vector", "vectors"]] },
];
const elsewhere = new Set(["tokens", "seconds", "eval.perplexity", "eval.tokens", "eval.bytes", "eval.seconds"]);
const dashes = [[], [6, 4], [2, 3], [9, 3, 2, 3]];

/** The specifications of all charts for the curves that there are; curves that nobody foresaw get one each. */
export function chartSpecs(keys) {
  const there = new Set(keys);
  const specs = known.map((spec) => ({ ...spec, keys: spec.keys.filter(([key]) => there.has(key)) })).filter((spec) => spec.keys.length > 0);
  const foreseen = new Set(known.flatMap((spec) => spec.keys.map(([key]) => key)));
  for (const key of [...there].sort())
    if (!foreseen.has(key) && !elsewhere.has(key)) specs.push({ title: key, unit: "as logged", keys: [[key, ""]] });
  return specs;
}

/** Exponential means over `span` of the axis from either side, averaged: smooth, and not behind the curve. */
export function smoothed(xs, ys, span) {
  const pass = (indices) => {
    const result = new Array(ys.length).fill(null);
    let mean = null, last = 0;
    for (const i of indices) {
      if (ys[i] === null) continue;
      mean = mean === null ? ys[i] : mean + (1 - Math.exp(-Math.abs(xs[i] - last) / span)) * (ys[i] - mean);
      last = xs[i];
      result[i] = mean;
    }
    return result;
  };
  const indices = [...ys.keys()], forth = pass(indices), back = pass(indices.reverse());
  return forth.map((value, i) => (value === null ? null : (value + back[i]) / 2));
}

/** One chart: uPlot, its heading, the values at the cursor, and a table of the same on demand. `board` holds what all charts share. */
export class Chart {
  constructor(board, spec) {
    this.board = board;
    this.spec = spec;
    this.log = Boolean(spec.log);
    this.drawn = [];
    this.title = make("h2", {}, spec.title);
    this.values = make("ul", { class: "values", "aria-live": "off" });
    this.logButton = make("button", { type: "button", "aria-pressed": this.log, title: "Logarithmic axis (L)", onclick: () => this.toggleLog() }, "log");
    this.tableButton = make("button", { type: "button", "aria-pressed": false, title: "Values as a table (T)", onclick: () => this.toggleTable() }, "table");
    this.plot = make("div", { class: "plot", tabindex: 0, role: "group", "aria-roledescription": "chart" });
    this.spoken = make("p", { class: "spoken", "aria-live": "polite" });
    this.table = make("div", { class: "table", hidden: true });
    this.element = make("article", { class: spec.wide ? "chart wide" : "chart" },
      make("header", {}, this.title, make("span", { class: "unit" }, spec.unit), make("span", { class: "buttons" }, this.logButton, this.tableButton)),
      this.values, this.plot, this.spoken, this.table);
    this.plot.addEventListener("keydown", (event) => this.onKey(event));
    this.plot.addEventListener("dblclick", () => board.setRange(null));
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(this.plot);
  }

  // ---- data ----------------------------------------------------------------------------------------------------------

  /** Every line of the chart: a run's key with its points on the board's axis. */
  lines() {
    const { axis, runs } = this.board, lines = [];
    const several = runs.filter((run) => run.shown).length > 1, keys = this.spec.keys;
    for (const run of runs) {
      if (!run.shown) continue;
      keys.forEach(([key, label], index) => {
        const series = run.curves[key];
        if (!series || series.value.length === 0) return;
        const values = (from) => from.value.map((y) => (y === null || (this.log && y <= 0) ? null : y * (this.spec.scale ?? 1)));
        const byColour = !several && keys.length > 2;  // a single run's classes are told apart by colour, runs by colour before dashes
        lines.push({
          run, key, label, colour: byColour ? index : run.colour, dash: byColour ? dashes[index % 4] : dashes[(index + 2 * Math.floor(run.index / 8)) % 4],
          points: key.startsWith("eval."), xs: series[axis], ys: values(series),
          meanXs: series.mean ? series.mean[axis] : series[axis], meanYs: values(series.mean ?? series),
        });
      });
    }
    return lines;
  }

  extent() {
    const range = this.board.range;
    if (range) return [range.min, range.max];
    const last = Math.max(0, ...this.board.runs.filter((run) => run.shown).map((run) => run.reach(this.board.axis)));
    return [0, last > 0 ? last : 1];
  }

  /** Draws anew when what is drawn has changed its shape, else only hands over new numbers. */
  update() {
    const lines = this.lines(), { palette, smoothing } = this.board, tables = [], drawn = [];
    const [left, right] = this.extent();
    for (const line of lines) {
      const smooth = smoothing > 0 && this.spec.smooth && !line.points;
      tables.push([line.xs, line.ys]);
      drawn.push({ ...line, stroke: palette.runs[line.colour % 8], faint: smooth });
      if (!smooth) continue;
      tables.push([line.meanXs, smoothed(line.meanXs, line.meanYs, smoothing * (right - left))]);
      drawn.push({ ...line, stroke: palette.runs[line.colour % 8], smooth });
    }
    this.drawn = drawn;
    const data = tables.length > 0 ? uPlot.join(tables, tables.map((table) => table.map(() => 1))) : [[]];
    const shape = JSON.stringify([this.log, this.board.axis, palette.name, drawn.map((line) => [line.run.index, line.key, line.faint, line.smooth, line.stroke])]);
    if (shape !== this.shape) this.draw(data);
    else this.uplot.setData(data, true);
    this.shape = shape;
    this.showValues();
    this.describe(lines);
    if (!this.table.hidden) this.fillTable();
  }

  draw(data) {
    this.uplot?.destroy();
    const { palette, axis } = this.board, spec = this.spec, narrow = this.plot.clientWidth < 520;
    const style = axisStyle(palette);
    this.uplot = new uPlot({
      width: Math.max(this.plot.clientWidth, 200), height: this.height(), padding: [8, 14, 0, 0], pxAlign: true,
      legend: { show: false },
      focus: { alpha: 1 },
      scales: {
        x: { time: false, range: () => this.extent() },
        y: { distr: this.log ? 3 : 1, range: this.log ? undefined : (_, low, high) => this.yRange(low, high) },
      },
      axes: [
        { ...style, label: axes[axis].label, size: 28, space: narrow ? 64 : 80, values: (_, ticks) => ticks.map(axes[axis].tick), incrs: axis === "seconds" ? timeSteps : undefined },
        { ...style, label: spec.unit, size: 58, space: 32, ...(this.log ? logarithmicTicks(style) : {}),
          values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : spec.tick ? spec.tick(tick) : numberText(tick, 4))) },
      ],
      cursor: {
        sync: { key: "isotrope", scales: ["x", null] }, drag: { x: true, y: false, setScale: false }, points: { size: 7 },
        dataIdx: (u, series, index) => nearestFilled(u.data[series], index),
      },
      hooks: {
        setCursor: [() => this.showValues()],
        setSelect: [(u) => this.select(u)],
        draw: [(u) => this.drawMarks(u)],
      },
      series: [{}, ...this.drawn.map((line) => ({
        stroke: line.faint ? line.stroke + "4d" : line.stroke, width: line.faint ? 1 : 1.75, dash: line.dash, spanGaps: false,
        points: { show: line.points && line.xs.length <= 60, size: 5, fill: line.stroke },
      }))],
    }, data, this.plot);
  }

  height() { return this.spec.wide ? (this.plot.clientWidth < 520 ? 260 : 320) : 220; }

  /** From zero where the size itself is what matters. */
  yRange(low, high) { return airyRange(this.spec.fromZero && low > 0 ? 0 : low, high); }

  resize() {
    if (this.uplot && this.plot.clientWidth > 0) this.uplot.setSize({ width: this.plot.clientWidth, height: this.height() });
  }

  redraw() {
    this.shape = null;
    this.update();
  }

  // ---- the cursor ----------------------------------------------------------------------------------------------------

  select(u) {
    const { left, width } = u.select;
    u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    if (width > 4) this.board.setRange({ min: u.posToVal(left, "x"), max: u.posToVal(left + width, "x") });
  }

  /** The values at the cursor, or the last ones: also the chart's legend. */
  showValues() {
    const u = this.uplot;
    if (!u) return;
    const at = u.cursor.left >= 0 ? u.posToVal(u.cursor.left, "x") : null;
    const several = this.board.runs.filter((run) => run.shown).length > 1, items = [];
    if (at !== null) items.push(make("li", { class: "place" }, `${axes[this.board.axis].label} ${axes[this.board.axis].text(at)}`));
    for (const line of this.drawn) {
      if (line.faint) continue;
      const index = at === null ? line.ys.findLastIndex((y) => y !== null) : nearestIndex(line.xs, at);
      const name = [several ? line.run.name : null, line.label || null].filter(Boolean).join(" · ");
      items.push(legendItem(line, name, this.valueText(index < 0 ? null : line.ys[index]), line.run.name));
    }
    this.values.replaceChildren(...items);
  }

  valueText(value) { return numberText(value, 5); }

  onKey(event) {
    const u = this.uplot;
    if (!u || event.altKey || event.ctrlKey || event.metaKey) return;
    const width = u.bbox.width / devicePixelRatio, pixels = event.shiftKey ? 20 : 2, at = u.cursor.left >= 0 ? u.cursor.left : width / 2;
    const moves = { ArrowLeft: at - pixels, ArrowRight: at + pixels, Home: 0, End: width - 1 };
    const [left, right] = this.extent(), centre = u.posToVal(at, "x");
    const zoom = (factor) => this.board.setRange({ min: centre - (centre - left) * factor, max: centre + (right - centre) * factor });
    if (event.key in moves) {
      u.setCursor({ left: Math.min(Math.max(moves[event.key], 0), width - 1), top: u.bbox.height / devicePixelRatio / 2 }, true, true);
      this.spoken.textContent = [...this.values.children].map((item) => item.textContent).join(", ");
    } else if (event.key === "+" || event.key === "=") zoom(0.5);
    else if (event.key === "-") zoom(2);
    else if (event.key === "Escape" || event.key === "0") this.board.setRange(null);
    else if (event.key === "l" || event.key === "L") this.toggleLog();
    else if (event.key === "t" || event.key === "T") this.toggleTable();
    else return;
    event.preventDefault();
  }

  toggleLog() {
    this.log = !this.log;
    this.logButton.setAttribute("aria-pressed", this.log);
    this.redraw();
  }

  // ---- marks and words -----------------------------------------------------------------------------------------------

  /** Checkpoints as notches at the foot, skipped steps as notches and warnings as squares at the top, resumes as lines. */
  drawMarks(u) {
    const { ctx } = u, { palette, axis } = this.board, { left, top, width, height } = u.bbox, pixel = devicePixelRatio;
    ctx.save();
    for (const run of this.board.runs) {
      if (!run.shown) continue;
      for (const event of run.events) {
        const style = palette.marks[event.type];
        if (!style || event[axis] === undefined) continue;
        const x = Math.round(u.valToPos(event[axis], "x", true));
        if (x < left || x > left + width) continue;
        ctx.strokeStyle = ctx.fillStyle = style;
        ctx.lineWidth = pixel;
        ctx.globalAlpha = 0.7;
        ctx.beginPath();
        if (event.type === "resume") {
          ctx.setLineDash([2 * pixel, 4 * pixel]);
          ctx.moveTo(x, top);
          ctx.lineTo(x, top + height);
          ctx.stroke();
        } else if (event.type === "warning") {
          ctx.fillRect(x - 2.5 * pixel, top, 5 * pixel, 5 * pixel);
        } else {
          const [foot, tip] = event.type === "checkpoint" ? [top + height, top + height - 6 * pixel] : [top, top + 7 * pixel];
          ctx.moveTo(x - 3.5 * pixel, foot);
          ctx.lineTo(x, tip);
          ctx.lineTo(x + 3.5 * pixel, foot);
          ctx.fill();
        }
      }
    }
    ctx.restore();
  }

  describe(lines) {
    const said = lines.map((line) => {
      const filled = line.ys.filter((y) => y !== null);
      return filled.length === 0 ? "" : `${line.run.name} ${line.label}: last ${this.valueText(filled.at(-1))}, lowest ${this.valueText(filled.reduce((a, b) => Math.min(a, b)))}`;
    });
    this.plot.setAttribute("aria-label", `${this.spec.title}, ${this.spec.unit}, against ${axes[this.board.axis].label}. ${said.filter(Boolean).join(". ")}`);
  }

  toggleTable() {
    this.table.hidden = !this.table.hidden;
    this.tableButton.setAttribute("aria-pressed", !this.table.hidden);
    if (!this.table.hidden) this.fillTable();
  }

  /** Forty places over the visible range, and every line's value nearest to each. */
  fillTable() {
    const [left, right] = this.extent(), axis = this.board.axis, lines = this.drawn.filter((line) => !line.faint), places = new Set();
    const longest = lines.reduce((best, line) => (line.xs.length > best.length ? line.xs : best), []).filter((x) => x >= left && x <= right);
    for (let i = 0; i < 40; ++i) if (longest.length > 0) places.add(longest[Math.round((i * (longest.length - 1)) / 39)]);
    const heads = lines.map((line) => make("th", { scope: "col" }, [line.run.name, line.label].filter(Boolean).join(" ")));
    const rows = [...places].map((x) => make("tr", {}, make("th", { scope: "row" }, axes[axis].text(x)),
      ...lines.map((line) => make("td", {}, this.valueText(line.ys[nearestIndex(line.xs, x)])))));
    this.table.replaceChildren(make("table", {}, make("caption", {}, `${this.spec.title}, ${this.spec.unit}`),
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, axes[axis].label), ...heads)), make("tbody", {}, ...rows)));
  }
}

const timeSteps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];

/** The index nearest to `index` at which the column has a value. */
function nearestFilled(column, index) {
  for (let away = 0; away < column.length; ++away)
    for (const at of [index - away, index + away])
      if (at >= 0 && at < column.length && column[at] !== null && column[at] !== undefined) return at;
  return index;
}
