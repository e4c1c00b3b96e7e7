import { Chart, chartSpecs } from "./charts.js";
import { Comparison } from "./compare.js";
import { make } from "./format.js";
import { flatConfig, makePanels, runsTable } from "./panels.js";
import { LiveSource, ReportSource } from "./source.js";

const id = (name) => document.getElementById(name);

class Run {
  constructor(index, summary) {
    Object.assign(this, { index, colour: index % 8, summary, shown: index < 8, whole: {}, curves: {}, events: [], config: new Map() });
  }
  get name() { return this.summary.name; }
  /** How far the run has come on an axis. */
  reach(axis) { return axis === "step" ? this.summary.step : this.summary.latest[axis] ?? 0; }
  number(key) { return Number(this.config.get(key) ?? NaN); }
  totalSteps() { return this.number("train.steps"); }

  /** Mean tokens a second over the last stretch of the run. */
  pace() {
    const rate = this.whole.tokens_per_second?.value.filter((value) => value !== null).slice(-20) ?? [];
    return rate.length > 0 ? rate.reduce((a, b) => a + b, 0) / rate.length : NaN;
  }

  /** From the pace of the last fifth of the steps; the limit of train.max_minutes counts too. */
  secondsLeft() {
    const seconds = this.whole.seconds, last = seconds?.step.length - 1;
    if (!(last > 0)) return NaN;
    const back = Math.floor(last * 0.8), perStep = (seconds.value[last] - seconds.value[back]) / (seconds.step[last] - seconds.step[back]);
    const bySteps = (this.totalSteps() - seconds.step[last]) * perStep, limit = this.number("train.max_minutes") * 60;
    return Math.max(0, limit > 0 ? Math.min(bySteps, limit - seconds.value[last]) : bySteps);
  }
}

/** What all charts and panels share: the runs, the axis, the range in view, the colours. */
class Board {
  runs = [];
  charts = [];
  axis = "step";
  range = null;
  smoothing = 0.01;

  constructor(source) {
    this.source = source;
    this.readPalette();
    this.panels = makePanels(this);
    id("panels").append(...this.panels);
    this.comparison = new Comparison(this);
    id("runs").before(this.comparison.element);
  }

  async load() {
    const [summaries, compared] = await Promise.all([this.source.runs(), this.source.compare()]);
    const changed = summaries.filter((summary, index) => {
      const run = this.runs[index];
      return !run || run.summary.records !== summary.records || run.summary.edition !== summary.edition;
    });
    await Promise.all(summaries.map(async (summary, index) => {
      const fresh = !this.runs[index], run = (this.runs[index] ??= new Run(index, summary)), before = run.summary;
      run.summary = summary;
      if (!changed.includes(summary)) return;
      const wantsEvents = fresh || before.events !== summary.events || before.edition !== summary.edition;
      const [series, events, config] = await Promise.all([this.source.series(index), wantsEvents ? this.source.events(index) : run.events,
        run.config.size > 0 && !wantsEvents ? null : this.source.config(index)]);
      Object.assign(run, { whole: series, curves: series, events });
      if (config !== null) run.config = flatConfig(config);
    }));
    if (this.range) await this.loadRange();
    this.comparison.take(compared);
    this.show();
    if (changed.length > 0) for (const panel of this.panels) panel.refresh();
  }

  async loadRange() {
    const { axis, range } = this;
    await Promise.all(this.runs.map(async (run) => {
      const part = range && run.shown ? await this.source.part(run.index, axis, range.min, range.max) : run.whole;
      if (range === this.range && axis === this.axis) run.curves = part;
    }));
  }

  show() {
    id("runs").replaceChildren(runsTable(this, () => this.show()));
    document.title = `${this.runs.map((run) => run.name).slice(0, 3).join(", ") || "no runs"} – Isotrope`;
    const specs = chartSpecs(this.runs.flatMap((run) => run.summary.keys));
    const shape = JSON.stringify(specs);
    if (shape !== this.shape) {
      for (const chart of this.charts) chart.uplot?.destroy();
      this.charts = specs.map((spec) => new Chart(this, spec));
      id("charts").replaceChildren(...this.charts.map((chart) => chart.element),
        ...(specs.length === 0 && !this.runs.some((run) => Object.keys(run.summary.tables).length > 0) ? [make("p", { class: "none" }, this.runs.length === 0 ? "There is no run yet: it will appear here." : "There is no record of a step yet: it will appear here.")] : []));
      this.shape = shape;
    }
    this.comparison.update();
    for (const chart of this.charts) chart.update();
    id("reset").disabled = this.range === null;
    document.documentElement.dataset.records = this.runs.map((run) => run.summary.records).join(",");  // what is drawn; tests wait for it
  }

  async setRange(range) {
    if (range && !(range.max > range.min)) return;
    const furthest = Math.max(0, ...this.runs.map((run) => run.reach(this.axis)));
    if (range) range = { min: Math.max(0, range.min), max: Math.min(furthest, range.max) };
    if (range && (range.max - range.min < 1e-9 * furthest || (range.min <= 0 && range.max >= furthest))) range = null;
    this.range = range;
    this.show();  // at once from what is here, then in detail
    await this.loadRange();
    this.show();
    for (const panel of this.panels) panel.redraw?.();
  }

  async setAxis(axis) {
    this.axis = axis;
    await this.setRange(null);
  }

  readPalette() {
    const style = getComputedStyle(document.documentElement), colour = (name) => style.getPropertyValue(`--${name}`).trim();
    this.palette = {
      name: colour("name"), text: colour("muted"), strong: colour("text"), grid: colour("grid"), ground: colour("surface"), font: `12px ${colour("font")}`,
      runs: Array.from({ length: 8 }, (_, i) => colour(`run-${i}`)),
      marks: { checkpoint: colour("muted"), resume: colour("muted"), skip: colour("bad"), warning: colour("warn") },  // by type of event
    };
  }

  repaint() {
    this.readPalette();
    this.show();
    for (const chart of this.charts) chart.redraw();
    for (const panel of this.panels) panel.redraw?.();
  }
}

/** Light, dark, or what the system says; remembered where the browser allows it. */
function setUpTheme(board) {
  const order = ["auto", "light", "dark"], button = id("theme");
  let theme = "auto";
  try { theme = localStorage.getItem("isotrope-theme") ?? "auto"; } catch { /* a file: page may have no storage */ }
  const apply = () => {
    document.documentElement.dataset.theme = theme;
    button.textContent = `theme: ${theme}`;
    board.repaint();
  };
  button.addEventListener("click", () => {
    theme = order[(order.indexOf(theme) + 1) % 3];
    try { localStorage.setItem("isotrope-theme", theme); } catch { /* as above */ }
    apply();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  if (theme !== "auto") apply();
}

/** Loads whenever the server has news, one load at a time. */
function follow(board) {
  let busy = false, again = false;
  const load = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try { await board.load(); } catch (error) { connection("the program no longer answers"); console.warn(String(error)); }
    busy = false;
    if (again) { again = false; load(); }
  };
  const connection = (text) => { id("connection").textContent = text; id("connection").classList.toggle("lost", text !== "live"); };
  board.source.follow(load, (open) => connection(open ? "live" : "the program no longer answers"));
  if (board.source.live) setInterval(load, 15000);  // a run that falls silent makes no news
}

async function start() {
  const embedded = id("data"), source = embedded ? new ReportSource(JSON.parse(embedded.textContent)) : new LiveSource();
  const board = new Board(source);
  id("axis").addEventListener("change", (event) => board.setAxis(event.target.value));
  id("smoothing").addEventListener("change", (event) => { board.smoothing = Number(event.target.value); board.show(); });
  id("reset").addEventListener("click", () => board.setRange(null));
  if (embedded) id("connection").textContent = `report by ${source.data.made}`;
  await board.load();
  setUpTheme(board);
  performance.mark("isotrope-drawn");
  follow(board);
}

start();
