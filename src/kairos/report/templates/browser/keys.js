// Everything by keyboard: / to the condition, j and k through the cards, o opens a card's rollouts, ? tells of these.

function listenToKeys() {
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName);
    if (event.key === "Escape" && typing) return void event.target.blur();
    if (typing) return;
    const action = { "/": toCondition, j: () => toCard(1), k: () => toCard(-1), o: openCard, "?": () => $("keys").showModal() }[event.key];
    if (action) { event.preventDefault(); action(); }
  });
}

function toCondition() {
  $("where").focus();
  $("where").select();
}

function toCard(step) {
  const cards = [...$("cards").children], at = cards.indexOf(document.activeElement?.closest("article"));
  const next = cards[at < 0 ? 0 : Math.min(cards.length - 1, Math.max(0, at + step))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

function openCard() {
  const all = [...(document.activeElement?.closest("article")?.querySelectorAll("details") ?? [])];
  const open = !all.every(each => each.open);
  for (const each of all) each.open = open;
}
