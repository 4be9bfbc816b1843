// One track of seconds: bars for spans, ticks for chosen frames, all in shares of the clip's duration.

function track(duration, spans, kind, frames = []) {
  const place = second => `${Math.min(100, Math.max(0, 100 * second / duration))}%`;
  const bars = spans.filter(span => span.every(Number.isFinite)).map(([start, end]) => element("i",
    { class: `span ${kind}`, style: { left: place(start), width: `max(2px, calc(${place(end)} - ${place(start)}))` } }));
  const ticks = frames.map(second => element("i", { class: "tick", style: { left: place(second) } }));
  return element("span", { class: "track", "aria-hidden": "true" }, ...bars, ...ticks);
}

// The seconds below the tracks, at round numbers.
function axis(duration) {
  const rough = duration / 6, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(factor => factor * power).find(size => size >= rough);
  const marks = [];
  for (let second = 0; second <= duration * 0.96; second += step) {
    marks.push(element("small", { style: { left: `${100 * second / duration}%` } }, `${brief(second)}${second === 0 ? " s" : ""}`));
  }
  return element("span", { class: "axis", "aria-hidden": "true" }, ...marks);
}

const lasts = duration => typeof duration === "number" && duration > 0 && duration < 1e9;
