import { axes, choice, integerText, make, numberText, refill } from "./format.js";
import { HeatMap } from "./heatmap.js";
import { aboutRows, naturally, orderedNames } from "./rows.js";
import { SpectrumView } from "./spectra.js";

/** section.key of a resolved configuration with the values as they stand in the file. */
export function flatConfig(text) {
  const flat = new Map();
  let section = "";
  for (const line of text.split("\n")) {
    const heading = line.match(/^\[([\w.]+)\]\s*$/), setting = line.match(/^([\w-]+)\s*=\s*(.*)$/);
    if (heading) section = `${heading[1]}.`;
    else if (setting) flat.set(section + setting[1], setting[2]);
  }
  return flat;
}

/** A panel that fills itself when it is opened. */
function panel(title, fill) {
  const body = make("div", { class: "body" });
  const details = make("details", {}, make("summary", {}, make("h2", {}, title)), body);
  details.addEventListener("toggle", () => { if (details.open) fill(body); });
  details.refresh = () => { if (details.open) fill(body); };
  return details;
}

const runChoice = (label, board, selected, changed) => choice(label, board.runs.map((run) => [run.index, run.name]), selected, (value) => changed(Number(value)));

/** What a panel shows of the runs: selects that lead from a run through the names of what it has to one view, which stays while data comes. `levels` are [label,
 *  the choices as [value, text] given what has been chosen before]; `show` fills the view, whose own controls stand behind them. */
function chooser(board, levels, view, none, show) {
  const chosen = levels.map(() => null);
  let asked = 0, within = null;
  const labels = levels.map(([label], at) => choice(label, [], "", (value) => { chosen[at] = value; fill(within); }));
  const tools = make("div", { class: "tools" }, ...labels, ...(view.controls ?? []));
  const fill = async (body) => {
    within = body;
    for (const [at, [, options]] of levels.entries()) {
      const able = options(...chosen.slice(0, at));
      if (able.length === 0) return body.replaceChildren(make("p", { class: "none" }, none));
      if (!able.some(([value]) => value === chosen[at])) chosen[at] = able[0][0];
      refill(labels[at], able, chosen[at], at === 0 ? 2 : 1);  // one run goes without saying, what is shown of it does not
    }
    if (!body.contains(view.element)) body.replaceChildren(tools, view.element);
    const mine = ++asked;
    await show(...chosen, () => mine === asked);  // an answer that comes too late is not shown
  };
  return fill;
}

const runsWith = (board, names) => board.runs.filter((run) => names(run).length > 0).map((run) => [String(run.index), run.name]);

function tablesPanel(board) {
  const map = new HeatMap(board), names = (run) => orderedNames(Object.keys(run.summary.tables));
  const levels = [["run", () => runsWith(board, names)], ["table", (run) => names(board.runs[run]).map((name) => [name, aboutRows(name).title])]];
  const element = panel("Tables", chooser(board, levels, map, "No run has records of tables, or of its weights.", async (run, name, current) => {
    const table = await board.source.table(run, name);
    if (current()) map.show(name, table, aboutRows(name), board.runs[run].colour);
  }));
  const { refresh } = element;
  element.refresh = () => {
    const all = new Set(board.runs.flatMap(names));
    element.querySelector("h2").textContent = all.size === 1 ? aboutRows([...all][0]).title : "Tables";
    refresh();
  };
  element.redraw = () => { if (element.open && map.table) map.arrange(); };
  return element;
}

function spectraPanel(board) {
  const view = new SpectrumView(board), names = (run) => orderedNames(Object.keys(run.summary.spectra));
  const levels = [["run", () => runsWith(board, names)], ["spectrum", (run) => names(board.runs[run]).map((name) => [name, aboutRows(name).title])],
    ["row", (run, name) => [...board.runs[run].summary.spectra[name]].sort(naturally).map((row) => [row, row])]];
  const element = panel("Spectra", chooser(board, levels, view, "No run has records of spectra.", async (run, name, row, current) => {
    const data = await board.source.spectrum(run, name, row);
    if (current() && data.step.length > 0) view.show(`${name}/${row}`, data, aboutRows(name), board.runs[run].colour);
  }));
  element.addEventListener("toggle", () => { if (!element.open) view.pause(); });
  element.redraw = () => { if (element.open && view.data) view.draw(); };
  return element;
}

function samplesPanel(board) {
  let chosen = null, place = null;
  return panel("Samples", async (body) => {
    const able = board.runs.filter((run) => run.summary.samples > 0);
    if (able.length === 0) return body.replaceChildren(make("p", { class: "none" }, "No run has samples of its model (set observe.samples)."));
    if (chosen === null || !able.some((run) => run.index === chosen)) chosen = able[0].index;
    const samples = await board.source.samples(chosen);
    const following = place === null || place >= samples.length - 1;
    const text = make("div", { class: "sample" }), label = make("output", {});
    const slider = make("input", { type: "range", min: 0, max: samples.length - 1, step: 1, "aria-label": "Which sample" });
    const show = () => {
      place = Number(slider.value) === samples.length - 1 ? null : Number(slider.value);
      const sample = samples[slider.value];
      label.textContent = `step ${integerText(sample.step)} · ${Number(slider.value) + 1} of ${samples.length}`;
      slider.setAttribute("aria-valuetext", label.textContent);
      text.replaceChildren(make("span", { class: "prompt" }, String(sample.prompt ?? "")), String(sample.text ?? ""));
    };
    slider.value = following ? samples.length - 1 : place;
    slider.addEventListener("input", show);
    const select = able.length > 1 ? choice("run", able.map((run) => [run.index, run.name]), chosen, (value) => { chosen = Number(value); place = null; element().refresh(); }) : null;
    const element = () => body.closest("details");
    body.replaceChildren(make("div", { class: "tools" }, select, slider, label), text);
    show();
  });
}

function configPanel(board) {
  let left = 0, right = null, all = false;
  return panel("Configuration", async (body) => {
    const refresh = () => body.closest("details").refresh();
    right ??= board.runs.length > 1 ? 1 : 0;
    const [a, b] = (await Promise.all([board.source.config(left), board.source.config(right)])).map(flatConfig);
    const two = left !== right, keys = [...new Set([...a.keys(), ...b.keys()])];
    const differs = (key) => a.get(key) !== b.get(key), shown = keys.filter((key) => !two || all || differs(key));
    const tools = make("div", { class: "tools" });
    if (board.runs.length > 1) {
      const box = make("input", { type: "checkbox", checked: all, onchange: (event) => { all = event.target.checked; refresh(); } });
      tools.append(runChoice("run", board, left, (value) => { left = value; refresh(); }), runChoice("against", board, right, (value) => { right = value; refresh(); }),
        two ? make("label", {}, box, " equal settings too") : "");
    }
    const rows = shown.map((key) => make("tr", { class: two && all && differs(key) ? "differs" : "" }, make("th", { scope: "row" }, key), make("td", {}, a.get(key) ?? "–"),
      two ? make("td", {}, b.get(key) ?? "–") : null));
    const heads = ["setting", board.runs[left].name, two ? board.runs[right].name : null].filter(Boolean).map((text) => make("th", { scope: "col" }, text));
    const nothing = a.size + b.size === 0 ? "There is no config.toml in the run’s folder." : "The two runs have the same settings.";
    body.replaceChildren(tools, rows.length > 0 ? make("div", { class: "scroll" }, make("table", { class: "settings" },
      make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows))) : make("p", { class: "none" }, nothing));
  });
}

/** What an event says besides its type and place. */
function eventText(event) {
  switch (event.type) {
    case "run": return `Isotrope ${event.version ?? ""} (${event.commit ?? ""}), ${event.started ?? ""}`;
    case "checkpoint": return String(event.path ?? "");
    case "skip": return event.reason === "empty" ? "nothing to predict" : `${event.reason ?? ""} not finite in ${event.tensor ?? "?"}`;
    case "end": return [event.reason, event.message].filter(Boolean).join(": ");
    case "resume": return "goes on from its checkpoint";
    default: return String(event.message ?? "");
  }
}

function eventsPanel(board) {
  return panel("Events", (body) => {
    const mark = (type, text) => { const sign = make("span", { class: `mark ${type}` }); return make("li", {}, sign, text); };
    const legend = make("ul", { class: "legend marks" }, mark("checkpoint", "checkpoint"), mark("resume", "resumed"), mark("skip", "skipped step"), mark("warning", "warning"));
    const rows = board.runs.filter((run) => run.shown).flatMap((run) => run.events.map((event) => [run, event])).slice(-300).reverse()
      .map(([run, event]) => make("tr", {}, make("td", {}, run.name), make("td", {}, event.type), make("td", { class: "number" }, event.step === undefined ? "" : integerText(event.step)),
        make("td", { class: "number" }, event.seconds === undefined ? "" : axes.seconds.text(event.seconds)), make("td", {}, eventText(event))));
    const heads = ["run", "event", "step", "training time", ""].map((text, i) => make("th", { scope: "col", class: i === 2 || i === 3 ? "number" : null }, text));
    body.replaceChildren(legend, make("div", { class: "scroll events" }, make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows))));
  });
}

export function makePanels(board) { return [tablesPanel(board), spectraPanel(board), samplesPanel(board), configPanel(board), eventsPanel(board)]; }

const statusWords = { running: "running", stalled: "silent", done: "done", time: "time is up", interrupted: "interrupted", failed: "failed", unfinished: "unfinished", empty: "no record yet", missing: "folder is gone" };

/** The table of runs: also the legend, and where runs are shown and hidden. */
export function runsTable(board, changed) {
  const heads = [["run", ""], ["state", ""], ["step", "number"], ["loss", "number"], ["validation", "number"], ["bits/byte", "number"], ["tokens/s", "number"], ["elapsed", "number"], ["left", "number"]];
  const cell = (head, text, kind = "number") => make("td", { class: kind, "data-head": head }, text);
  const rows = board.runs.map((run) => {
    const { latest, status, problem, step } = run.summary;
    const box = make("input", { type: "checkbox", checked: run.shown, onchange: (event) => { run.shown = event.target.checked; changed(); } });
    const swatch = make("span", { class: "swatch" });
    swatch.style.background = board.palette.runs[run.colour % 8];
    const of = run.totalSteps() ? ` / ${integerText(run.totalSteps())}` : "";
    const word = make("span", { class: `state ${status}`, title: problem }, problem ? "unreadable" : statusWords[status] ?? status);
    return make("tr", {}, make("th", { scope: "row" }, make("label", { title: run.summary.folder }, box, swatch, make("span", { class: "name" }, run.name))),
      make("td", { "data-head": "state" }, word, problem ? make("span", { class: "problem" }, problem) : null),
      cell("step", integerText(step) + of), cell("loss", numberText(latest.loss)), cell("validation", numberText(latest["eval.nll"])), cell("bits/byte", numberText(latest["eval.bits_per_byte"])),
      cell("tokens/s", integerText(run.pace())), cell("elapsed", axes.seconds.text(latest.seconds ?? NaN)), cell("left", status === "running" ? axes.seconds.text(run.secondsLeft()) : "–"));
  });
  return make("table", {}, make("thead", {}, make("tr", {}, ...heads.map(([text, kind]) => make("th", { scope: "col", class: kind }, text)))), make("tbody", {}, ...rows));
}
