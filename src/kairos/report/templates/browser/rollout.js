// One rollout: its bar, reward and advantage in a line, and, opened, its text with the parsed part marked.

function drawRollout({ fields }, alone) {
  const spans = isSpans(fields.spans) ? fields.spans : [];
  const advantage = fields.advantage, side = advantage > 0 ? "up" : advantage < 0 ? "down" : "";
  const said = fields.reason ? fields.reason.replaceAll("_", " ") : spans.length ? spansText(spans) : shortText(fields);
  const body = element("div", { class: "body" });
  const line = element("summary", {},
    element("span", { class: "label" }, `#${fields.row ?? "?"}${fields.origin && fields.origin !== "policy" ? ` ${fields.origin.replaceAll("_", " ")}` : ""}`),
    lasts(fields.duration) && (spans.length || Array.isArray(fields.frame_seconds))
      ? track(fields.duration, spans, fields.origin === "policy" ? "own" : "given", fields.frame_seconds ?? [])
      : element("span", { class: `said${fields.reason ? " reason" : ""}` }, said),
    element("span", { class: "figure", title: "reward" }, number(fields.reward, 2)),
    element("span", { class: `figure ${side}`, title: "advantage" }, signed(advantage)));
  const made = element("details", { class: "rollout", open: alone, ontoggle: () => { if (made.open && !body.firstChild) fillBody(body, fields, said); } }, line, body);
  line.setAttribute("aria-label", `rollout ${fields.row}: ${said}, reward ${number(fields.reward, 2)}, advantage ${signed(advantage)}`);
  if (alone) fillBody(body, fields, said);
  return made;
}

function fillBody(body, fields, said) {
  const facts = [
    ["read", isSpans(fields.spans) && fields.spans.length ? spansText(fields.spans) : fields.letter ?? (fields.reason ? said : null)],
    ...Object.entries(isObject(fields.terms) ? fields.terms : {}).map(([name, value]) => [name, brief(value)]),
    ["reward", brief(fields.reward)], ["advantage", brief(fields.advantage)], ["weight", fields.weight === 1 ? null : brief(fields.weight)],
    ["length", fields.length], ["truncated", fields.truncated ? "yes" : null],
    ["options", Array.isArray(fields.option_probs) ? fields.option_probs.map((value, at) => `${String.fromCharCode(65 + at)} ${number(value, 2)}`).join("  ") : null],
    ["frames", Array.isArray(fields.frame_seconds) ? `${fields.frame_seconds.map(seconds).join(", ")} s` : Array.isArray(fields.frames) ? fields.frames.join(", ") : null],
    ["actions", Array.isArray(fields.actions) && !fields.frames ? fields.actions.join(" ") : null],
    ["origin", fields.origin === "policy" ? null : fields.origin],
  ].filter(([, value]) => value !== null && value !== undefined);
  body.append(
    typeof fields.text === "string" && fields.text ? element("pre", { class: "text" }, ...marked(fields.text, fields.spans, fields.letter)) : "",
    element("dl", { class: "facts" }, ...facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, String(value))))));
}

function shortText(fields) {
  const text = typeof fields.text === "string" ? fields.text : "";
  const inner = /<answer>([\s\S]*?)<\/answer>/i.exec(text)?.[1]?.trim() || text.trim();
  return inner ? (inner.length > 80 ? `${inner.slice(0, 80)} …` : inner) : Array.isArray(fields.actions) ? `actions ${fields.actions.join(" ")}` : "–";
}

// The text in pieces, with what the spans, or the letter, were read from in <mark>: the last such places of the answer.
function marked(text, spans, letter) {
  const places = isSpans(spans) && spans.length ? placesOfSpans(text, spans) : letter ? placesOfLetter(text, letter) : [];
  const pieces = [];
  let at = 0;
  for (const [begin, end] of places.sort((a, b) => a[0] - b[0])) {
    if (begin < at) continue;
    pieces.push(text.slice(at, begin), element("mark", {}, text.slice(begin, end)));
    at = end;
  }
  return [...pieces, text.slice(at)];
}

function placesOfSpans(text, spans) {
  const found = [...text.matchAll(/[-−]?\d+(?::\d+)*(?:\.\d*)?/g)].map(match => ({ at: match.index, end: match.index + match[0].length, value: secondsOf(match[0]) }));
  const near = (one, other) => Math.abs(Math.abs(one) - Math.abs(other)) < 1e-6;
  const places = [];
  let last = found.length - 1;
  for (const [start, end] of [...spans].reverse()) {
    let at = last;
    while (at > 0 && !(near(found[at].value, end) && near(found[at - 1].value, start))) at--;
    if (at <= 0) continue;
    places.push([found[at - 1].at, found[at].end]);
    last = at - 2;
  }
  return places;
}

function placesOfLetter(text, letter) {
  const answer = text.toLowerCase().lastIndexOf("<answer>");
  const places = [...text.slice(Math.max(0, answer)).matchAll(/[A-Za-z]+/g)].filter(match => match[0].toUpperCase() === letter);
  return places.length ? [[Math.max(0, answer) + places[0].index, Math.max(0, answer) + places[0].index + 1]] : [];
}

const secondsOf = text => text.replace("−", "-").split(":").reduce((total, part) => total * 60 + Number(part), 0);
