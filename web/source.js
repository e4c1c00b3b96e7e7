// Where the data comes from: the program that serves this page, or the report that holds it.

/** Takes a later answer of the server into an earlier one: drops what has been redrawn and appends. */
export function mergeSeries(old, fresh) {
  const merge = (a, b) => {
    let keep = a.step.length;
    while (keep > 0 && a.step[keep - 1] >= b.from) --keep;
    const join = (name) => a[name].slice(0, keep).concat(b[name]);
    return { step: join("step"), tokens: join("tokens"), seconds: join("seconds"), value: join("value") };
  };
  const result = { ...old };
  for (const [key, part] of Object.entries(fresh)) {
    const earlier = old[key];
    if (!earlier || earlier.bucket !== part.bucket || part.step.length === 0) {
      if (part.step.length > 0 || !earlier) result[key] = part;
      continue;
    }
    const whole = merge(earlier, { ...part, from: part.from_step });
    const mean = part.mean && earlier.mean ? merge(earlier.mean, { ...part.mean, from: part.from_step }) : part.mean;
    result[key] = { ...part, ...whole, mean };
  }
  return result;
}

/** The part of a series between two values of an axis, with one point more on either side. */
function cut(series, axis, from, to) {
  const xs = series[axis];
  let begin = xs.findIndex((x) => x >= from), end = xs.findIndex((x) => x > to);
  begin = Math.max(0, (begin < 0 ? xs.length : begin) - 1);
  end = end < 0 ? xs.length : end + 1;
  const part = (name) => series[name].slice(begin, end);
  return { step: part("step"), tokens: part("tokens"), seconds: part("seconds"), value: part("value") };
}

export class LiveSource {
  live = true;
  curves = [];

  async ask(path, parameters = {}) {
    const query = new URLSearchParams(parameters).toString();
    const response = await fetch(`api/${path}${query ? `?${query}` : ""}`);
    if (!response.ok) throw new Error(`${path}: ${response.status}`);
    return path === "config" ? response.text() : response.json();
  }

  runs() { return this.ask("runs"); }
  /** The comparison, asked for anew only when the program has said that it is another. */
  compare() { return (this.comparison ??= this.ask("compare").catch((error) => { this.comparison = null; throw error; })); }
  samples(run) { return this.ask("samples", { run }); }
  events(run) { return this.ask("events", { run }); }
  table(run, name) { return this.ask("table", { run, name }); }
  spectrum(run, name, row) { return this.ask("spectrum", { run, name, row }); }
  config(run) { return this.ask("config", { run }); }

  /** All curves over the whole range; asks only for what is new. */
  async series(run) {
    const known = this.curves[run];
    let answer = await this.ask("series", known ? { run, since: known.through } : { run });
    if (known && answer.edition !== known.edition) answer = await this.ask("series", { run });
    const merged = known && answer.edition === known.edition ? mergeSeries(known.series, answer.series) : answer.series;
    this.curves[run] = { edition: answer.edition, through: answer.through, series: merged };
    return merged;
  }

  /** The same between two values of an axis, in the detail that this range allows. */
  async part(run, axis, from, to) { return (await this.ask("series", { run, axis, from, to })).series; }

  /** Calls `changed(news)` whenever a run has new records, and `connected(bool)`. */
  follow(changed, connected) {
    const events = new EventSource("api/news");
    events.addEventListener("compare", (event) => {  // comes before the message that tells of a change
      if (event.data !== this.compared) this.comparison = null;
      this.compared = event.data;
    });
    events.onmessage = (event) => changed(JSON.parse(event.data));
    events.onopen = () => connected(true);
    events.onerror = () => connected(false);
  }
}

export class ReportSource {
  live = false;

  constructor(data) { this.data = data; }
  async runs() { return this.data.runs; }
  async compare() { return this.data.comparison; }
  async samples(run) { return this.data.samples[run]; }
  async events(run) { return this.data.events[run]; }
  async table(run, name) { return this.data.tables[run][name]; }
  async spectrum(run, name, row) { return this.data.spectra[run][name][row]; }
  async config(run) { return this.data.configs[run]; }
  async series(run) { return this.data.series[run].series; }
  async part(run, axis, from, to) {
    const result = {};
    for (const [key, series] of Object.entries(this.data.series[run].series))
      result[key] = { ...cut(series, axis, from, to), bucket: series.bucket, mean: series.mean && cut(series.mean, axis, from, to) };
    return result;
  }
  follow() {}
}
