// The page that asks about a clip: a file dropped or chosen, a query, and the answers below, the newest first.

const $ = id => document.getElementById(id);
let clip = null;

function take(file) {
  clip = file ?? null;
  $("name").textContent = clip ? `${clip.name}, ${(clip.size / 2 ** 20).toFixed(1)} MiB` : "no clip yet";
  if (clip) $("query").focus();
}

async function ask() {
  if (!clip) return void ($("state").textContent = "Drop a clip first.");
  const asked = { clip: clip.name, query: $("query").value };
  const address = new URLSearchParams({ name: clip.name, query: asked.query, options: $("options").value });
  $("go").disabled = true;
  $("state").textContent = "Answering …";
  try {
    const reply = await fetch(`ask?${address}`, { method: "POST", body: clip });
    const found = reply.headers.get("Content-Type") === "application/json" ? await reply.json() : { failed: await reply.text() };
    $("state").textContent = found.failed ? `Not answered: ${found.failed}` : "";
    if (!found.failed) $("answers").prepend(answerCard(asked, found));
  } catch (error) {
    $("state").textContent = `The server does not answer (${error.message}).`;
  }
  $("go").disabled = false;
}

function answerCard({ clip, query }, found) {
  const read = found.spans.length ? spansText(found.spans) : found.choice ?? `nothing could be read: ${(found.reason ?? "no span").replaceAll("_", " ")}`;
  return element("article", { class: "card drawn", tabindex: "0" },
    element("h3", {}, query),
    element("p", { class: "muted small" }, `${clip} · ${seconds(found.duration)} s`),
    element("p", { class: "read" }, read),
    element("div", { class: "wide" }, element("img", { src: found.picture, alt: `frames with the answer: ${read}` })),
    element("pre", {}, found.text));
}

$("file").addEventListener("change", () => take($("file").files[0]));
$("ask").addEventListener("submit", event => { event.preventDefault(); ask(); });
for (const kind of ["dragover", "drop"]) document.addEventListener(kind, event => event.preventDefault());
document.addEventListener("dragover", () => $("drop").classList.add("over"));
document.addEventListener("dragleave", () => $("drop").classList.remove("over"));
document.addEventListener("drop", event => { $("drop").classList.remove("over"); take(event.dataTransfer.files[0]); });
document.documentElement.dataset.ready = "true";
