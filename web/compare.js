import { smoothed } from "./charts.js";
import { axes, choice, countText, durationText, integerText, make, numberText, refill } from "./format.js";
import { LinePlot } from "./plot.js";

// A comparison of runs (docs/formats/comparison.md): a grid of settings, each run a point of it. Any of its numbers may be missing.

const settingText = (value) => (typeof value === "string" ? value : typeof value === "number" ? String(Number(value.toPrecision(6))) : JSON.stringify(value) ?? "–");
const listText = (texts, most = 6) => [...texts.slice(0, most), ...(texts.length > most ? [`${texts.length - most} more`] : [])].join(", ");
const counted = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
const isNumber = (value) => Number.isFinite(value);
const pointOf = (grid, { settings }) => JSON.stringify(grid.map(({ key }) => settings[key]));
const placeText = (run) => (isNumber(run.diverged_at) ? ` at step ${integerText(run.diverged_at)}` : "");
const isOpen = (runs) => runs.some(({ status }) => status === "running" || status === "waiting");
const soFar = (runs) => (isOpen(runs) ? " so far" : "");

/** A mean loss with its standard deviation. */
const spreadText = ({ mean, sd }) => mean.toFixed(3) + (!isNumber(sd) ? "" : sd < 0.0005 ? " ± <0.001" : ` ± ${sd.toFixed(3)}`);

/** The entry of the lowest mean final loss; undefined when none has one. */
const lowestOf = (rows) => rows.filter((row) => isNumber(row.final_nll?.mean)).reduce((best, row) => (best && best.final_nll.mean <= row.final_nll.mean ? best : row), undefined);

/** A chart among others of its kind: a finding for a title, what it cannot show in words, and the chart once it has a line. */
class Card {
  constructor(board, label, height) {
    this.title = make("h3");
    this.unit = make("span", { class: "unit" });
    this.notes = make("ul", { class: "notes" });
    this.plot = new LinePlot(board, label, height);
    this.element = make("article", { class: "card" }, make("header", {}, this.title, this.unit), this.notes, this.plot.element);
  }

  show(title, unit, notes, view) {
    this.title.textContent = title;
    this.unit.textContent = unit;
    this.notes.replaceChildren(...notes.filter(Boolean).map((note) => (typeof note === "string" ? make("li", {}, note) : note)));
    this.plot.element.hidden = view.lines.length === 0;
    if (view.lines.length > 0) this.plot.show({ ...view, title });
  }
}

/** The section over the charts: how the runs of a grid compare. It shows all of its runs, also those that the table of runs hides. */
export class Comparison {
  constructor(board) {
    this.board = board;
    this.cards = new Map();
    this.title = make("h2");
    this.state = make("p", { class: "hint" });
    this.panelsBy = choice("a panel for each", [], "", (key) => { this.chosen = key; this.update(); });
    this.panels = make("div", { class: "cards" });
    this.curves = make("div", { class: "cards" });
    this.tableTitle = make("h3");
    this.tableUnit = make("span", { class: "unit" });
    this.rows = make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Settings compared" });
    this.table = make("article", { class: "card" }, make("header", {}, this.tableTitle, this.tableUnit), this.rows);
    this.parts = [make("header", {}, make("div", {}, this.title, this.state), make("div", { class: "tools" }, this.panelsBy)), this.panels, this.curves, this.table];
    this.element = make("section", { id: "comparison", "aria-label": "Comparison", hidden: true });
  }

  /** `data` as the source gives it: null where there is none, {problem} where it cannot be read. Drawn by update(). */
  take(data) {
    if (data === this.data) return;
    this.data = data;
    this.element.hidden = data === null;
    if (!data) return;
    if (data.problem) return this.element.replaceChildren(make("p", { class: "problem" }, data.problem));
    if (!this.element.contains(this.panels)) this.element.replaceChildren(...this.parts);
    const short = (key) => key.slice(key.lastIndexOf(".") + 1);
    this.grid = data.axes.map(({ key, values }, _, all) => ({ key, values, name: all.filter((other) => short(other.key) === short(key)).length > 1 ? key : short(key) }));
    this.manySeeds = new Set(data.runs.map((run) => run.seed)).size > 1;
    this.fillTable();
  }

  update() {
    if (!this.data || this.data.problem) return;
    const keys = this.grid.map((axis) => axis.key);
    if (this.chosen !== "" && !keys.includes(this.chosen)) this.chosen = keys.length > 1 ? keys.at(-1) : "";
    refill(this.panelsBy, [...this.grid.map(({ key }) => [key, key]), ["", "nothing: one chart"]], this.chosen);
    this.describe();
    this.shown = new Set();
    this.place(this.panels, this.panelCards());
    this.place(this.curves, this.grid.filter(({ values }) => values.length > 1 && values.every(isNumber)).map((axis) => this.curveCard(axis)));
    for (const name of this.cards.keys()) if (!this.shown.has(name)) this.cards.delete(name);
  }

  card(name, label, height) {
    this.shown.add(name);
    if (!this.cards.has(name)) this.cards.set(name, new Card(this.board, label, height));
    return this.cards.get(name);
  }

  /** Puts the cards into their place and, now that they have a width, their contents into the cards. */
  place(where, cards) {
    const elements = cards.map(({ card }) => card.element);
    if (elements.length !== where.children.length || elements.some((element, i) => element !== where.children[i])) where.replaceChildren(...elements);
    where.hidden = elements.length === 0;
    for (const { card, title, unit, notes, view } of cards) card.show(title, unit, notes, view);
  }

  // ---- names and colours ---------------------------------------------------------------------------------------------

  /** "spectra, lr 0.005": the values of these axes; a word goes without its axis. */
  named(grid, settings) { return grid.map((axis) => (typeof settings[axis.key] === "string" ? settingText(settings[axis.key]) : `${axis.name} ${settingText(settings[axis.key])}`)).join(", "); }

  /** What tells the lines of a chart apart, by pointOf(): every combination of these axes' values that there is, coloured by the first of them. */
  combinations(grid) {
    const found = new Map(), dashes = [[], [6, 4], [2, 3], [9, 3, 2, 3]], perColour = new Map();
    const colours = new Map(grid[0]?.values.map((value, i) => [JSON.stringify(value), i]));
    for (const run of this.data.runs) {
      const point = pointOf(grid, run);
      if (found.has(point)) continue;
      const colour = grid.length > 0 ? colours.get(JSON.stringify(run.settings[grid[0].key])) ?? 0 : 0, place = perColour.get(colour) ?? 0;
      perColour.set(colour, place + 1);
      found.set(point, { name: this.named(grid, run.settings) || "all", dash: dashes[(place + 2 * Math.floor(colour / 8)) % 4], stroke: this.board.palette.runs[colour % 8] });
    }
    return found;
  }

  /** "5.013 ± 0.021 (2 seeds)" of an entry of the summary. */
  lossText({ final_nll: loss }) { return spreadText(loss) + (this.manySeeds && isNumber(loss.n) ? ` (${counted(loss.n, "seed")})` : ""); }

  runName(name, run) { return this.manySeeds && isNumber(run.seed) ? `${name} seed ${run.seed}` : name; }

  // ---- words ---------------------------------------------------------------------------------------------------------

  describe() {
    const { runs, summary, reference } = this.data, best = lowestOf(summary), counts = new Map();
    for (const { status } of runs) counts.set(status, (counts.get(status) ?? 0) + 1);
    this.title.textContent = best ? `Lowest final loss${soFar(runs)}: ${this.named(this.grid, best.settings)}, ${this.lossText(best)}` : "Comparison";
    this.state.textContent = [`${counted(runs.length, "run")}: ${[...counts].map(([status, count]) => `${count} ${status}`).join(", ")}.`,
      isNumber(reference?.nll) ? `Reference: the final loss of ${reference.name}, ${numberText(reference.nll, 4)}.` : ""].join(" ");
  }

  /** The runs that have no line of their own yet, or will not have a longer one. */
  notes(runs, nameOf, drawn) {
    const those = (status) => runs.filter((run) => run.status === status && !(status === "diverged" && drawn.has(run)));
    const note = (status, text = nameOf) => (those(status).length > 0 ? `${status}: ${listText(those(status).map(text))}` : null);
    return [note("diverged", (run) => nameOf(run) + placeText(run)), note("failed"), note("running"), note("waiting")];
  }

  // ---- panels: a chart for each value of an axis ---------------------------------------------------------------------

  panelCards() {
    const { board, data } = this, by = this.grid.find(({ key }) => key === this.chosen), rest = this.grid.filter((axis) => axis !== by), combinations = this.combinations(rest);
    const followed = new Map(board.runs.map((run) => [run.summary.place, run])), whole = (run) => followed.get(run.folder)?.whole ?? {};
    const key = data.runs.some((run) => whole(run)["eval.nll"]) ? "eval.nll" : "loss", axis = axes[board.axis];
    const furthest = Math.max(0, ...data.runs.map((run) => followed.get(run.folder)?.reach(board.axis) ?? 0)) || 1;
    const extent = board.range ? [board.range.min, board.range.max] : [0, furthest];
    const lines = new Map();
    for (const run of data.runs) {
      const series = whole(run)[key], combination = combinations.get(pointOf(rest, run));
      if (!series || series.value.length === 0) continue;
      const from = (key === "loss" && series.mean) || series, span = key === "loss" ? board.smoothing * (extent[1] - extent[0]) : 0;
      const ended = run.status === "diverged" || run.status === "failed", name = this.runName(combination.name, run);
      lines.set(run, { ...combination, ended, width: this.manySeeds ? 1.25 : 1.75, points: from.value.length < 4,
        xs: from[board.axis], ys: span > 0 ? smoothed(from[board.axis], from.value, span) : from.value,
        name: ended ? `${name}, ${run.status}${placeText(run)}` : combination.name });
    }
    const range = this.lossRange([...lines.values()], extent);
    const view = { x: { ...axis, range: extent, select: (chosen) => board.setRange(chosen), sync: "isotrope" }, y: { range } };
    const unit = `${key === "eval.nll" ? "validation" : "training"} loss, nats per token`;
    return (by ? by.values : [null]).map((value) => {
      const point = JSON.stringify([value]), here = (entry) => !by || pointOf([by], entry) === point, runs = data.runs.filter(here), drawn = new Set(runs.filter((run) => lines.has(run)));
      const nameOf = (run) => this.runName(combinations.get(pointOf(rest, run)).name, run);
      const name = !by ? "All runs" : typeof value === "string" ? value : `${by.name} = ${settingText(value)}`;
      return { card: this.card(`panel ${this.chosen} ${JSON.stringify(value)}`, name, by ? 200 : null), title: this.panelTitle(name, data.summary.filter(here), rest, runs),
        unit: drawn.size > 0 ? unit : "", notes: this.notes(runs, nameOf, drawn), view: { ...view, lines: [...drawn].map((run) => lines.get(run)) } };
    });
  }

  panelTitle(name, rows, rest, runs) {
    const best = lowestOf(rows);
    if (best) return `${name}: ${rows.length > 1 ? `${this.named(rest, best.settings)} lowest${soFar(runs)}, ` : ""}${this.lossText(best)}`;
    const statuses = new Set(runs.map((run) => run.status));
    return statuses.size === 1 ? `${name}: ${runs.length > 1 ? "all " : ""}${[...statuses][0]}` : statuses.size === 0 ? `${name}: no run` : name;
  }

  /** The losses in view but for what comes before a quarter of the axis and for runs that diverged: both would flatten what is to be compared. */
  lossRange(lines, [left, right]) {
    const healthy = lines.filter((line) => !line.ended), settled = left + 0.25 * (right - left);
    const within = (all, from) => all.flatMap(({ xs, ys }) => ys.filter((y, i) => y !== null && xs[i] >= from && xs[i] <= right));
    const values = [within(healthy, settled), within(healthy, left), within(lines, left)].find((some) => some.length > 0) ?? [];
    return values.length > 0 ? values.reduce(([low, high], y) => [Math.min(low, y), Math.max(high, y)], [Infinity, -Infinity]) : undefined;
  }

  // ---- final loss against a numeric axis -----------------------------------------------------------------------------

  curveCard(axis) {
    const { data, board } = this, rest = this.grid.filter((other) => other !== axis), xs = [...axis.values].sort((a, b) => a - b);
    const log = xs[0] > 0 && xs.at(-1) > 10 * xs[0], air = log ? (xs.at(-1) / xs[0]) ** 0.06 : 0.06 * (xs.at(-1) - xs[0]);
    const numbered = data.summary.filter((row) => isNumber(row.settings[axis.key])).sort((a, b) => a.settings[axis.key] - b.settings[axis.key]);
    const lines = [...this.combinations(rest)].flatMap(([point, combination]) => {
      const rows = numbered.filter((row) => pointOf(rest, row) === point);
      const there = rows.filter((row) => isNumber(row.final_nll?.mean)), lost = rows.filter((row) => row.diverged > 0 && !there.includes(row)).map((row) => row.settings[axis.key]);
      if (there.length === 0) return [];
      return [{ ...combination, name: lost.length > 0 ? `${combination.name}, diverged at ${lost.map(settingText).join(", ")}` : combination.name, width: 1.75, lost,
        rest: there.indexOf(lowestOf(there)), xs: there.map((row) => row.settings[axis.key]), ys: there.map((row) => row.final_nll.mean), spread: there.map(({ final_nll: { sd } }) => (isNumber(sd) ? sd : 0)) }];
    });
    const ends = lines.flatMap((line) => line.ys.flatMap((y, i) => [y - line.spread[i], y + line.spread[i]]));
    const unfinished = new Set(data.runs.filter((run) => isOpen([run])).map((run) => pointOf(rest, run)));
    const best = data.best.filter((one) => one.axis === axis.key && isNumber(one.value) && !unfinished.has(pointOf(rest, one)));
    const flags = best.filter((one) => one.at_edge).map((one) => make("li", { class: "flag" }, `${[this.named(rest, one.settings), `best at the edge of the grid, ${axis.name} = ${settingText(one.value)}`]
      .filter(Boolean).join(": ")}: try ${one.value === xs.at(-1) ? "larger" : "smaller"}.`));
    const overall = lowestOf(numbered);
    const title = best.length > 0 && best.length <= 4 ? `Best ${axis.name}: ${best.map((one) => [this.named(rest, one.settings), settingText(one.value)].filter(Boolean).join(" ")).join(", ")}`
      : overall ? `Lowest${soFar(data.runs)} at ${axis.name} = ${settingText(overall.settings[axis.key])}: ${spreadText(overall.final_nll)}` : `Best ${axis.name}: no run has ended yet`;
    const place = { label: axis.key, tick: settingText, text: settingText, splits: xs, log, range: log ? [xs[0] / air, xs.at(-1) * air] : [xs[0] - air, xs.at(-1) + air] };
    return { card: this.card(`curve ${axis.key}`, `Final loss against ${axis.key}`), title, unit: lines.length > 0 ? `final loss, nats per token${this.manySeeds ? "; bars: one standard deviation over seeds" : ""}` : "", notes: flags,
      view: { x: place, y: { range: ends.length > 0 ? [Math.min(...ends), Math.max(...ends)] : undefined }, lines } };
  }

  // ---- the table -----------------------------------------------------------------------------------------------------

  fillTable() {
    const { summary, reference } = this.data, best = lowestOf(summary.filter((row) => !row.diverged)), fastest = lowestOf(summary.filter((row) => row.steps_to?.n === row.runs).map((row) => ({ ...row, final_nll: row.steps_to }))), loss = (row) => row.final_nll?.mean ?? Infinity;
    const meanText = (value, text, runs) => (isNumber(value?.mean) ? `${text(value.mean)}${value.sd > 0 ? ` ± ${text(value.sd)}` : ""}${value.n < runs ? ` (${value.n} of ${runs})` : ""}` : "–");
    const bytes = (value) => (isNumber(value) ? `${countText(value)}B` : "–"), to = isNumber(reference?.nll) ? ` to ${numberText(reference.nll, 4)}` : " to the reference";
    const ended = (row) => isNumber(row.final_nll?.mean);
    const columns = [
      ["final loss", (row) => (ended(row) ? spreadText(row.final_nll) + (this.manySeeds ? ` (${row.final_nll.n})` : "") : "–")],
      [`steps${to}`, (row) => (!reference ? "–" : ended(row) && !row.steps_to ? "not reached" : meanText(row.steps_to, (v) => numberText(v, 4), row.runs))],
      [`time${to}`, (row) => (reference ? meanText(row.seconds_to, durationText, row.runs) : "–")],
      ["state of matrices", (row) => bytes(row.matrix_state_bytes)], ["state of all", (row) => bytes(row.state_bytes)],
      ["optimizer, a step", (row) => meanText(row.optimizer_seconds_per_step, (v) => `${numberText(1000 * v, 3)}\u202fms`, 0)],
      ["diverged", (row) => (row.diverged > 0 ? `${row.diverged} of ${row.runs}` : "–")],
    ].filter(([, text]) => summary.some((row) => text(row) !== "–"));
    const rows = [...summary].sort((a, b) => (loss(a) < loss(b) ? -1 : loss(a) > loss(b) ? 1 : 0)).map((row) => make("tr", { class: row === best ? "differs" : "" },
      make("th", { scope: "row" }, this.named(this.grid, row.settings)), ...columns.map(([, text]) => make("td", { class: "number" }, text(row)))));
    this.tableTitle.textContent = reference && fastest ? `Fewest steps${to}${soFar(this.data.runs)}: ${this.named(this.grid, fastest.settings)}, ${numberText(fastest.steps_to.mean, 4)}` : "All settings";
    this.tableUnit.textContent = `${this.manySeeds ? "mean ± standard deviation (seeds), " : ""}the lowest final loss first`;
    this.rows.replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "setting"), ...columns.map(([head]) => make("th", { scope: "col", class: "number" }, head)))), make("tbody", {}, ...rows)));
    this.table.hidden = summary.length === 0;
  }
}
