// The rollout browser: reads the island, draws what the controls ask for, and keeps that in the page's address.

const $ = id => document.getElementById(id);
const CONTROLS = ["where", "sort", "view", "signal", "run", "left", "right", "field"];
const data = readIsland($("rollouts-data").textContent);
let stopDrawing = () => {};

function fillControls() {
  const option = (value, text) => element("option", { value }, text);
  const numbers = data.numbers.filter(name => !["row"].includes(name));
  $("sort").append(option("", "as they were written"), ...numbers.flatMap(name => [option(`-${name}`, `${name}, highest first`), option(name, `${name}, lowest first`)]));
  $("signal").append(option("", "all groups"), ...[...new Set(data.groups.map(group => group.signal))].filter(Boolean).map(signal => option(signal, signal)));
  const fields = [...numbers, ...data.kinds.filter(name => !["text", "uid", "question"].includes(name))];
  $("field").append(...fields.map(name => option(name, name)));
  $("field").value = fields.includes("reward") ? "reward" : fields[0] ?? "";
  $("view").append(option("groups", "groups"), option("rollouts", "single rollouts"));
  const several = data.runs.length > 1;
  for (const place of document.querySelectorAll(".several")) place.hidden = !several;
  if (!several) return;
  $("view").append(option("pairs", "two runs side by side"));
  $("run").append(option("", "all runs"), ...data.runs.map(run => option(run, run)));
  for (const side of ["left", "right"]) $(side).append(...data.runs.map(run => option(run, run)));
  $("right").value = data.runs[1];
}

function show() {
  const asked = Object.fromEntries(CONTROLS.map(name => [name, $(name).value]));
  let found;
  try {
    found = select(data, asked);
  } catch (error) {
    if (!(error instanceof ConditionError)) throw error;
    $("wrong").textContent = error.message;
    $("where").setAttribute("aria-invalid", "true");
    return;
  }
  $("wrong").textContent = "";
  $("where").removeAttribute("aria-invalid");
  for (const side of document.querySelectorAll(".sides")) side.hidden = asked.view !== "pairs";
  const groups = new Set(found.rows.map(row => row.group)).size;
  $("count").textContent = found.rows.length === data.rows.length
    ? `${plural(found.rows.length, "rollout")} in ${plural(groups, "group")}`
    : `${found.rows.length.toLocaleString("en")} of ${plural(data.rows.length, "rollout")}, in ${plural(groups, "group")}`;
  if (asked.view === "pairs") $("count").textContent += `; ${plural(found.entries.length, "prompt")} that both runs saw`;
  drawHistogram($("histogram"), found.rows, asked.field, data.numbers, clause => {
    $("where").value = asked.where.trim() ? `(${asked.where.trim()}) and ${clause}` : clause;
    show();
    $("where").focus();
  });
  stopDrawing();
  stopDrawing = drawCards($("cards"), found.entries, data, asked);
  const kept = new URLSearchParams(CONTROLS.filter(name => asked[name]).map(name => [name, asked[name]]));
  history.replaceState(null, "", `#${kept}`);
}

function recall() {
  const kept = new URLSearchParams(location.hash.slice(1));
  for (const name of CONTROLS) {
    const control = $(name), value = kept.get(name);
    if (value === null) continue;
    if (control.tagName !== "SELECT" || [...control.options].some(option => option.value === value)) control.value = value;
  }
}

fillControls();
recall();
for (const name of CONTROLS) $(name).addEventListener("change", show);
$("asking").addEventListener("submit", event => { event.preventDefault(); show(); });
$("clear").addEventListener("click", () => { for (const name of ["where", "sort", "signal", "run"]) $(name).value = ""; show(); });
for (const each of document.querySelectorAll("[data-where]")) {
  each.addEventListener("click", () => { $("where").value = each.dataset.where; show(); });
}
$("help").addEventListener("click", () => $("keys").showModal());
listenToKeys();
show();
document.documentElement.dataset.ready = "true";
if ($("browser").dataset.version) follow($("browser").dataset.version);
