import { make, nearestIndex, numberText } from "./format.js";

/* global uPlot */

/** What the axes of every plot look like. */
export function axisStyle(palette) {
  return { stroke: palette.text, font: palette.font, labelFont: palette.font, labelGap: 2, labelSize: 18, ticks: { stroke: palette.grid, width: 1, size: 4 },
    grid: { stroke: palette.grid, width: 1 } };
}

/** On a logarithmic axis only powers of ten get a line, and 2 and 5 besides where there is room for them. */
export function logarithmicTicks(style) {
  const filter = (u, splits) => {
    const { min, max } = u.scales.y, decades = Math.log10(max / min), every = Math.ceil(decades / 8);
    return splits.map((value) => {
      const power = Math.floor(Math.log10(value) + 1e-9), digit = Math.round(value / 10 ** power);
      return ((digit === 1 || digit === 10) && power % every === 0) || (decades < 2.5 && (digit === 2 || digit === 5)) ? value : null;
    });
  };
  return { filter, grid: { ...style.grid, filter }, ticks: { ...style.ticks, filter } };
}

/** A little air above and below the values. */
export function airyRange(low, high) {
  if (!Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  const air = high > low ? 0.06 * (high - low) : Math.abs(high) * 0.1 || 1;
  return [low - (low >= 0 && low - air < 0 ? low : air), high + air];
}

/** Of ticks on the x axis those that have room for a label. */
function apart(u, splits) {
  let free = -Infinity;
  return splits.map((value) => {
    const place = u.valToPos(value, "x");
    if (place < free) return null;
    free = place + 46;
    return value;
  });
}

/** Whether numbers are better read on a logarithmic axis: all above 0, and more than two decades apart. */
export function spansDecades(values) {
  let low = Infinity, high = 0;
  for (const value of values) {
    if (value === null) continue;
    if (value <= 0) return false;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return high > 100 * low;
}

/** The marked name of a line with its value, for a list of class `values`. */
export function legendItem(line, name, text, title = name) {
  const swatch = make("span", { class: "line" });
  swatch.style.borderTopColor = line.stroke;
  swatch.style.borderTopStyle = line.dash.length === 0 ? "solid" : line.dash[0] < 4 ? "dotted" : "dashed";
  return make("li", {}, swatch, name ? make("span", { class: "name", title }, name) : null, make("b", {}, text));
}

/** A few lines over one axis, with their values at the cursor: what panels show below their controls. */
export class LinePlot {
  constructor(board, label, height = null) {
    this.board = board;
    this.label = label;
    this.fixedHeight = height;
    this.values = make("ul", { class: "values", "aria-live": "off" });
    this.plot = make("div", { class: "plot", tabindex: 0, role: "group", "aria-roledescription": "chart", "aria-label": label, onkeydown: (event) => this.onKey(event) });
    this.spoken = make("p", { class: "spoken", "aria-live": "polite" });
    this.element = make("div", { class: "line-plot" }, this.values, this.plot, this.spoken);
    new ResizeObserver(() => { if (this.uplot && this.plot.clientWidth > 0) this.uplot.setSize({ width: this.plot.clientWidth, height: this.height() }); }).observe(this.plot);
  }

  height() { return this.fixedHeight ?? (this.plot.clientWidth < 520 ? 200 : 240); }

  /** `view`: title (said before the values), x {label, tick, text, range, select, sync, splits, log}, y {label, log, range, size}, lines [{name, xs, ys, stroke, dash,
   *  width}]. Without `y.range` the axis follows the values; `x.select` hears of a range that was drawn with the mouse, null for the whole one; `x.splits` are
   *  the only places that get a tick. Lines of one name are one in the legend, with the mean of their values. A line may have `points` (whether its values are marked), `rest` (the index
   *  of the value that the legend gives without a cursor, else the last), `spread` (a bar up and down from each value), `ended` (a cross at its last value) and `lost` (places that get a cross at the top, for values that there are not). */
  show(view) {
    this.view = view;
    for (const line of view.lines) line.ys = line.ys.map((y) => (y === null || (view.y.log && y <= 0) ? null : y));
    const data = view.lines.length > 0 ? uPlot.join(view.lines.map((line) => [line.xs, line.ys])) : [[]];
    const shape = JSON.stringify([view.x.label, view.x.log, view.y.label, view.y.log, view.y.size, this.board.palette.name, view.lines.map((line) => [line.stroke, line.dash, line.width, line.points ?? line.xs.length <= 60])]);
    if (shape !== this.shape) this.draw(data);
    else this.uplot.setData(data, true);
    this.shape = shape;
    this.plot.setAttribute("aria-label", `${view.title ?? this.label}. ${this.legend(null).map(([line, value]) => `${line.name}: last ${numberText(value, 5)}`).join("; ")}. Arrow keys read values.`);
    this.showValues();
  }

  draw(data) {
    this.uplot?.destroy();
    const style = axisStyle(this.board.palette), { x, y, lines } = this.view;
    const yRange = (_, low, high) => {
      const [from, to] = this.view.y.range ?? [low, high];
      return this.view.y.log && from > 0 ? uPlot.rangeLog(from, to, 10, false) : airyRange(from, to);
    };
    this.uplot = new uPlot({
      width: Math.max(this.plot.clientWidth, 200), height: this.height(), padding: [8, 14, 0, 0], pxAlign: true, legend: { show: false }, focus: { alpha: 1 },
      scales: { x: { time: false, distr: x.log ? 3 : 1, range: () => this.view.x.range }, y: { distr: y.log ? 3 : 1, range: yRange } },
      axes: [
        { ...style, label: x.label, size: 28, space: this.plot.clientWidth < 520 ? 64 : 80, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : x.tick(tick))),
          ...(x.splits ? { splits: () => this.view.x.splits, filter: apart } : {}) },
        { ...style, label: y.label, size: y.size ?? 58, space: 32, ...(y.log ? logarithmicTicks(style) : {}),
          values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : numberText(tick, 4))) },
      ],
      cursor: { ...(x.sync ? { sync: { key: x.sync, scales: ["x", null] } } : {}), drag: { x: Boolean(x.select), y: false, setScale: false }, points: { size: 7 } },
      hooks: { setCursor: [() => this.showValues()], setSelect: [(u) => this.select(u)], draw: [(u) => this.drawMarks(u)] },
      series: [{}, ...lines.map((line) => ({ stroke: line.stroke, width: line.width, dash: line.dash, spanGaps: false, points: { show: line.points ?? line.xs.length <= 60, size: 5, fill: line.stroke } }))],
    }, data, this.plot);
    this.plot.ondblclick = x.select ? () => x.select(null) : null;
  }

  select(u) {
    const { left, width } = u.select, pick = this.view.x.select;
    if (!pick || width === 0) return;
    u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    if (width > 4) pick({ min: u.posToVal(left, "x"), max: u.posToVal(left + width, "x") });
  }

  /** Bars and crosses: what show() says of lines. */
  drawMarks(u) {
    const { ctx } = u, { left, top, width, height } = u.bbox, pixel = devicePixelRatio, within = (value, low, size) => Math.min(Math.max(value, low), low + size);
    const at = (x, y) => [u.valToPos(x, "x", true), within(y === null ? top : u.valToPos(y, "y", true), top, height)];
    const stroke = (...points) => { ctx.beginPath(); points.forEach(([x, y], i) => (i % 2 === 0 ? ctx.moveTo(x, y) : ctx.lineTo(x, y))); ctx.stroke(); };
    ctx.save();
    for (const { stroke: colour, xs, ys, spread, ended, lost } of this.view.lines) {
      ctx.strokeStyle = colour;
      ctx.lineWidth = 1.25 * pixel;
      spread?.forEach((size, i) => { if (size > 0) stroke(at(xs[i], ys[i] - size), at(xs[i], ys[i] + size)); });
      const last = ended ? ys.findLastIndex((y) => y !== null) : -1, arm = 4 * pixel;
      ctx.lineWidth = 2 * pixel;
      for (const [x, y] of [...(last >= 0 ? [at(xs[last], ys[last])] : []), ...(lost ?? []).map((place) => at(place, null))]) {
        const [cx, cy] = [x, within(y, top + arm, height - 2 * arm)];
        if (x >= left && x <= left + width) stroke([cx - arm, cy - arm], [cx + arm, cy + arm], [cx - arm, cy + arm], [cx + arm, cy - arm]);
      }
    }
    ctx.restore();
  }

  /** [the first line, the mean of all lines] of every name, at a place of the x axis or, with null, without one. */
  legend(at) {
    const named = new Map();
    for (const line of this.view.lines) {
      const index = at !== null ? nearestIndex(line.xs, at) : line.rest ?? line.ys.findLastIndex((y) => y !== null), value = line.ys[index] ?? null;
      if (!named.has(line.name)) named.set(line.name, [line, []]);
      if (value !== null) named.get(line.name)[1].push(value);
    }
    return [...named.values()].map(([line, values]) => [line, values.length > 0 ? values.reduce((a, b) => a + b, 0) / values.length : null]);
  }

  /** The values at the cursor, or the last ones. */
  showValues() {
    const u = this.uplot, { x } = this.view;
    if (!u) return;
    const at = u.cursor.left >= 0 ? u.posToVal(u.cursor.left, "x") : null;
    const place = at === null ? [] : [make("li", { class: "place" }, `${x.label} ${x.text(at)}`)];
    this.values.replaceChildren(...place, ...this.legend(at).map(([line, value]) => legendItem(line, line.name, numberText(value, 5))));
  }

  onKey(event) {
    const u = this.uplot;
    if (!u || event.altKey || event.ctrlKey || event.metaKey) return;
    const width = u.bbox.width / devicePixelRatio, pixels = event.shiftKey ? 20 : 2, at = u.cursor.left >= 0 ? u.cursor.left : width / 2;
    const moves = { ArrowLeft: at - pixels, ArrowRight: at + pixels, Home: 0, End: width - 1 };
    if (!(event.key in moves)) return;
    u.setCursor({ left: Math.min(Math.max(moves[event.key], 0), width - 1), top: u.bbox.height / devicePixelRatio / 2 }, true, true);
    this.spoken.textContent = [...this.values.children].map((item) => item.textContent).join(", ");
    event.preventDefault();
  }
}
