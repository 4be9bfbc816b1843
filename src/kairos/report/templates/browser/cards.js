// A card for each entry, drawn when it comes near the screen: the frames, the true spans, the answers as bars below.

const AHEAD = "800px";

function drawCards(place, entries, data, asked) {
  const drawers = new Map();
  const seen = new IntersectionObserver(shown => {
    for (const { isIntersecting, target } of shown) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      target.replaceChildren(...drawers.get(target)());
      target.classList.add("drawn");
    }
  }, { rootMargin: AHEAD });
  const cards = entries.map(entry => {
    const rows = entry.pair ? Math.max(...entry.pair.map(side => side.rows.length)) : entry.rows.length;
    const card = element("article", { class: entry.pair ? "card pair" : "card", tabindex: "0", style: { "--rows": rows } });
    drawers.set(card, () => (entry.pair ? entry.pair.map(side => element("div", { class: "side" }, ...cardOf(side, data, false))) : cardOf(entry, data, asked.view === "rollouts")));
    return card;
  });
  place.replaceChildren(...cards);
  for (const card of cards) seen.observe(card);
  return () => seen.disconnect();
}

function cardOf({ group, rows }, data, alone) {
  const { prompt } = group, duration = prompt.duration, target = isSpans(prompt.target) ? prompt.target : [];
  const rewards = group.rows.filter(row => row.fields.origin === "policy").map(row => row.fields.reward).filter(Number.isFinite);
  const mean = rewards.reduce((sum, reward) => sum + reward, 0) / rewards.length;
  const strip = data.strips[group.promptIndex];
  const truth = [prompt.choice, spansText(target)].filter(Boolean).join("  ");
  const marks = Array.isArray(prompt.highlights) ? prompt.highlights.map(([second]) => second) : [];
  return [
    element("header", {},
      element("h3", {}, prompt.question || prompt.uid || "–"),
      element("p", { class: "muted small" },
        [data.runs.length > 1 ? group.run : "", `iteration ${group.iteration}`, prompt.uid, truth ? `true: ${truth}` : ""].filter(Boolean).join(" · ")),
      element("p", { class: "badges" },
        element("span", { class: `badge ${group.signal.replaceAll(" ", "-")}` }, group.signal || "not sampled"),
        rewards.length ? element("span", { class: "muted small" }, `mean reward ${number(mean, 2)}`) : null,
        rows.length < group.rows.length ? element("span", { class: "muted small" }, `${rows.length} of its ${plural(group.rows.length, "rollout")}`) : null)),
    element("div", { class: "rows" },
      strip && lasts(duration) ? element("div", { class: "row strip" }, element("span", { class: "label" }), element("img", { src: strip, alt: "frames of the clip", class: "frames" })) : null,
      lasts(duration) && (target.length || marks.length) ? element("div", { class: "row" }, element("span", { class: "label" }, "true"), track(duration, target, "true", marks)) : null,
      ...rows.map(row => drawRollout(row, alone)),
      lasts(duration) ? element("div", { class: "row" }, element("span", { class: "label" }), axis(duration), element("small", { class: "figure muted" }, "reward"), element("small", { class: "figure muted" }, "adv.")) : null),
  ];
}
