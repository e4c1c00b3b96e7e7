// Tables hold a number a row, spectra a curve a row: what they are called, and in which order their rows stand.

// Titles and units by the records' name; one that is not here has its name for a title. `relative`: coloured by the change since the first record until
// the reader chooses otherwise. `log`: coloured by orders of magnitude, which else is up to the values.
const knownRows = new Map([
  ["spike_energy.gradient", { title: "The spike of gradients: share of the energy in 1.5% of the directions", unit: "share of Σσ²" }],
  ["spike_energy.momentum", { title: "The spike of momenta", unit: "share of Σσ²" }],
  ["spike_energy.update", { title: "The spike of updates", unit: "share of Σσ²" }],
  ["spike_energy.weight", { title: "The spike of weights", unit: "share of Σσ²" }],
  ["spike_gap.gradient", { title: "Spike over tail, of gradients", unit: "geometric mean of the spike / median of the tail", log: true }],
  ["spike_gap.momentum", { title: "Spike over tail, of momenta", unit: "geometric mean of the spike / median of the tail", log: true }],
  ["spike_gap.update", { title: "Spike over tail, of updates", unit: "geometric mean of the spike / median of the tail", log: true }],
  ["spike_gap.weight", { title: "Spike over tail, of weights", unit: "geometric mean of the spike / median of the tail", log: true }],
  ["gradient", { title: "Singular values of gradients", unit: "singular value", log: true }],
  ["momentum", { title: "Singular values of momenta", unit: "singular value", log: true }],
  ["update", { title: "Singular values of updates", unit: "singular value", log: true }],
  ["weight", { title: "Singular values of weights", unit: "singular value", log: true }],
  ["weight_rms", { title: "Each matrix’s ‖W‖ RMS", unit: "‖W‖ RMS", relative: true, log: true }],
]);

export function aboutRows(name) { return { title: name, unit: "value", relative: false, log: false, ...knownRows.get(name) }; }

/** resid_post.9 before resid_post.10. */
export const naturally = new Intl.Collator("en", { numeric: true }).compare;

/** Names of tables or spectra: those with a title first. */
export function orderedNames(names) {
  const place = (name) => { const at = [...knownRows.keys()].indexOf(name); return at < 0 ? knownRows.size : at; };
  return [...names].sort((a, b) => place(a) - place(b) || naturally(a, b));
}

/** layer and kind of a tensor name: `model.layers.3.mlp.up_proj.weight` is 3, `mlp.up_proj`. */
export function placeOf(name) {
  const parts = name.replace(/\.weight$/, "").match(/^(?:.*?\.)?(\d+)\.(.+)$/);
  return parts ? { layer: Number(parts[1]), kind: parts[2] } : { layer: -1, kind: name.replace(/\.weight$/, "") };
}

/** Whether most of the names are of things inside layers, so that layer and kind make groups. */
export function haveLayers(names) { return 2 * names.filter((name) => placeOf(name).layer >= 0).length > names.length; }
