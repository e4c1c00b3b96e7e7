import { axes, make, nearestIndex, numberText } from "./format.js";
import { LinePlot } from "./plot.js";

const frameTime = 160;  // milliseconds a step while playing

/** A spectrum of one row: its values against their index at one step, beside those of the first; a slider and a button go through the steps. */
export class SpectrumView {
  constructor(board) {
    this.board = board;
    this.step = null;  // the one that is shown; null: the newest, also when newer ones come
    this.slider = make("input", { type: "range", min: 0, step: 1, "aria-label": "Which step", oninput: () => { this.pause(); this.turnTo(Number(this.slider.value)); } });
    this.playButton = make("button", { type: "button", class: "play", onclick: () => (this.playing ? this.pause() : this.play()) }, "play");
    this.label = make("output", {});
    this.logButton = make("button", { type: "button", title: "Logarithmic axis", onclick: () => { this.log = this.chosenLog = !this.log; this.draw(); } }, "log");
    this.plot = new LinePlot(board, "Spectrum");
    this.element = make("div", { class: "spectrum" }, make("div", { class: "tools" }, this.playButton, this.slider, this.label, make("span", { class: "buttons" }, this.logButton)),
      this.plot.element);
  }

  /** `name` says which spectrum of which row this is, `data` is as the source gives it, `about` as aboutRows() does, `tint` one of the runs' colours. */
  show(name, data, about, tint) {
    const bounds = (values) => values.reduce(([low, high], value) => (value === null ? [low, high] : [Math.min(low, value), Math.max(high, value)]), [Infinity, -Infinity]);
    const all = data.values.flat(), positive = all.filter((value) => value === null || value > 0);
    if (name !== this.name) this.chosenLog = null;
    this.log = this.chosenLog ?? positive.length === all.length;
    Object.assign(this, { name, data, about, tint, bounds: { true: bounds(positive), false: bounds(all) } });  // over all steps, so that the axis stays while they change
    this.slider.max = data.step.length - 1;
    this.draw();
  }

  frame() { return this.step === null ? this.data.step.length - 1 : nearestIndex(this.data.step, this.step); }

  turnTo(index) {
    this.step = index >= this.data.step.length - 1 ? null : this.data.step[index];
    this.draw();
  }

  play() {
    if (this.data.step.length < 2) return;
    if (this.step === null) this.turnTo(0);
    this.playing = setInterval(() => {
      this.turnTo(this.frame() + 1);
      if (this.step === null) this.pause();
    }, frameTime);
    this.playButton.textContent = "pause";
  }

  pause() {
    clearInterval(this.playing);
    this.playing = null;
    this.playButton.textContent = "play";
  }

  draw() {
    const { data, board } = this, axis = board.axis, index = this.frame(), place = (i) => `${axes[axis].label} ${axes[axis].text(data[axis][i])}`;
    this.slider.value = index;
    this.label.textContent = `${place(index)} · ${index + 1} of ${data.step.length}`;
    this.slider.setAttribute("aria-valuetext", this.label.textContent);
    this.playButton.disabled = this.slider.disabled = data.step.length < 2;
    this.logButton.setAttribute("aria-pressed", this.log);
    const line = (i, rest) => ({ name: place(i), xs: data.values[i].map((_, k, all) => (all.length < 2 ? k : k / (all.length - 1))), ys: data.values[i], ...rest });
    const [low, high] = this.bounds[this.log], several = data.values.some((values) => values.length > 1);
    this.plot.show({
      x: { label: several ? "index, as a share of the last" : "index", tick: (v) => numberText(v, 3), text: (v) => numberText(v, 3), range: [0, 1] },
      y: { label: this.about.unit, log: this.log && Number.isFinite(low), range: low <= high ? [low, high] : undefined },
      lines: [...(index > 0 ? [line(0, { stroke: board.palette.text, dash: [6, 4], width: 1 })] : []),
        line(index, { stroke: board.palette.runs[this.tint % 8], dash: [], width: 2 })],
    });
  }
}
