// Numbers as people read them, and small helpers for the document. Whatever comes from a run goes through textContent.

/** Four significant digits, without an exponent where that is readable; "–" for what is no number. */
export function numberText(value, digits = 4) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(digits - 2).replace("e+", "e").replace("-", "−").replace("e-", "e−");
  return Number(value.toPrecision(digits)).toString().replace("-", "−");
}

/** 3.21 M, 124 k: counts. */
export function countText(value, digits = 3) {
  if (!Number.isFinite(value)) return "–";
  for (const [size, letter] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]])
    if (Math.abs(value) >= size) return `${Number((value / size).toPrecision(digits))}\u202f${letter}`;
  return String(Number(value.toPrecision(digits)));
}

export function integerText(value) {
  return Number.isFinite(value) ? Math.round(value).toLocaleString("en-US").replaceAll(",", "\u202f") : "–";
}

/** 2h 05m, 3m 20s, 12.5s. */
export function durationText(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return "–";
  if (seconds < 10) return `${Number(seconds.toFixed(1))}\u202fs`;
  const whole = Math.round(seconds), two = (n) => String(n).padStart(2, "0");
  if (whole < 60) return `${whole}\u202fs`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m\u202f${two(whole % 60)}s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)}h\u202f${two(Math.floor(whole / 60) % 60)}m`;
  return `${Math.floor(whole / 86400)}d\u202f${two(Math.floor(whole / 3600) % 24)}h`;
}

export const axes = {
  step: { label: "step", text: integerText, tick: (v) => countText(v, 4) },
  tokens: { label: "tokens", text: (v) => countText(v, 4), tick: (v) => countText(v, 4) },
  seconds: { label: "training time", text: durationText, tick: durationText },
};

/** An element with attributes, event listeners (`onclick: f`) and children; strings become text, never markup. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, name.startsWith("aria-") ? "true" : "");
    else if (value === false && name.startsWith("aria-")) element.setAttribute(name, "false");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** The index of the element of the ascending `xs` that lies nearest to x; −1 when there is none. */
export function nearestIndex(xs, x) {
  let low = 0, high = xs.length - 1;
  if (high < 0) return -1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] <= x) low = middle;
    else high = middle;
  }
  return Math.abs(xs[low] - x) <= Math.abs(xs[high] - x) ? low : high;
}

/** Round numbers between two bounds, about `count` of them. */
export function roundSteps(from, to, count) {
  const rough = (to - from) / count, size = 10 ** Math.floor(Math.log10(rough)), step = [1, 2, 5, 10].find((factor) => factor * size >= rough) * size;
  const result = [];
  if (step > 0) for (let value = Math.ceil(from / step) * step; value <= to + 1e-9 * step; value += step) result.push(value);
  return result;
}

/** A select with [value, text] options. */
export function choice(label, options, selected, onchange) {
  const select = make("select", { onchange: (event) => onchange(event.target.value) },
    ...options.map(([value, text]) => make("option", { value, selected: String(value) === String(selected) }, text)));
  return make("label", {}, `${label} `, select);
}

/** Gives a choice() other options and hides it where there is nothing to choose. One with the same options is left alone: an open list stays open. */
export function refill(label, options, selected, least = 2) {
  const select = label.querySelector("select"), same = options.length === select.options.length && options.every(([value, text], i) => select.options[i].value === String(value) && select.options[i].textContent === text);
  if (!same) select.replaceChildren(...options.map(([value, text]) => make("option", { value }, text)));
  select.value = selected;
  label.hidden = options.length < least;
}
