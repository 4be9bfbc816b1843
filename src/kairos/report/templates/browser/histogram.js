// How one field is spread over the rollouts that are shown; each bar is a button that asks for its rollouts.

const BINS = 20;

// refine(clause): called with a condition that holds for the bar's rollouts.
function drawHistogram(place, rows, name, numbers, refine) {
  const path = pathOfName(name), values = rows.map(row => valueAt(row.fields, path));
  const bars = numbers.includes(name) ? numberBars(values, fieldSource(name)) : kindBars(values, fieldSource(name));
  const highest = Math.max(1, ...bars.map(bar => bar.count));
  const made = bars.map(bar => element("button",
    { type: "button", class: "bar", title: `${bar.label}: ${plural(bar.count, "rollout")}`, "aria-label": `${name} ${bar.label}: ${plural(bar.count, "rollout")}`,
      disabled: bar.count === 0, onclick: () => refine(bar.clause) },
    element("i", { style: { height: `${bar.count ? Math.max(3, 100 * bar.count / highest) : 0}%` } }),
    bar.name ? element("small", {}, bar.name) : null));
  const ends = bars.low === undefined ? [] : [element("div", { class: "ends muted small" },
    element("span", {}, brief(bars.low)), element("span", {}, `most in a bar: ${highest.toLocaleString("en")}`), element("span", {}, brief(bars.high)))];
  place.replaceChildren(...(made.length ? [element("div", { class: bars.low === undefined ? "bars named" : "bars" }, ...made), ...ends]
    : [element("p", { class: "empty small" }, "No rollout has this field.")]));
}

function numberBars(values, field) {
  const known = values.filter(value => typeof value === "number" && Number.isFinite(value));
  if (!known.length) return [];
  let low = Infinity, high = -Infinity;
  for (const value of known) { low = Math.min(low, value); high = Math.max(high, value); }
  const count = low === high ? 1 : BINS, edges = Array.from({ length: count + 1 }, (_, at) => (at === count ? high : low + (high - low) * at / count));
  const counts = new Array(count).fill(0);
  for (const value of known) {
    let at = Math.min(count - 1, Math.floor((value - low) / (high - low || 1) * count));
    while (at > 0 && value < edges[at]) at--; // as the clause will decide, whatever rounding said
    while (at < count - 1 && value >= edges[at + 1]) at++;
    counts[at]++;
  }
  const bars = counts.map((each, at) => ({
    count: each, label: low === high ? brief(low) : `${brief(edges[at])} to ${brief(edges[at + 1])}`,
    clause: low === high ? `${field} == ${low}` : `${field} >= ${edges[at]} and ${field} ${at === count - 1 ? "<=" : "<"} ${edges[at + 1]}`,
  }));
  return Object.assign(bars, { low, high });
}

function kindBars(values, field) {
  const counts = new Map();
  for (const value of values) if (typeof value !== "object" || value === null) counts.set(value, (counts.get(value) ?? 0) + 1);
  const most = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 16);
  return most.map(([value, count]) => {
    const said = typeof value === "string" ? quotedText(value) : String(value);
    return { count, name: typeof value === "string" ? value || "(empty)" : String(value), label: said, clause: `${field} == ${said}` };
  });
}
