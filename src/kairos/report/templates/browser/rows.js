// The rollouts of the page, decoded from its JSON island: whole rows, as rollouts.jsonl has them, in groups.

// {runs, groups: [{run, iteration, prompt, signal, rows}], rows, fields, numbers, strips}
function readIsland(text) {
  const island = text.includes('"$number"') ? JSON.parse(text, revived) : JSON.parse(text);
  const prompts = island.prompts.map(values => zip(island.promptFields, values));
  const groups = island.groups.map(([run, iteration, prompt, signal, rows], index) => {
    const group = { index, run: island.runs[run], iteration, prompt: prompts[prompt], promptIndex: prompt, signal, rows: [] };
    group.rows = rows.map(values => ({ group, fields: { iteration, ...prompts[prompt], ...zip(island.fields, values) } }));
    return group;
  });
  const rows = groups.flatMap(group => group.rows);
  const { names, numbers, kinds } = survey(rows);
  return { runs: island.runs, groups, rows, fields: names, numbers, kinds, strips: island.strips };
}

// Absent values are undefined in the island's lists, and no fields of the row.
function zip(names, values) {
  const row = {};
  for (let at = 0; at < values.length; at++) if (values[at] !== ABSENT) row[names[at]] = values[at];
  return row;
}

const ABSENT = "\u0000absent";

const revived = (name, value) => (isObject(value) && "$number" in value ? Number(value.$number) : value);

// Names of all fields, nested ones after their parent; which of them hold numbers; which hold few kinds of value.
function survey(rows) {
  const found = new Map();
  const note = (name, value) => {
    const seen = found.get(name) ?? { numbers: 0, others: 0, values: new Set() };
    found.set(name, seen);
    if (value === null) return void seen.values.add(null);
    if (typeof value === "number") seen.numbers++; else seen.others++;
    if (typeof value !== "object" && seen.values.size < 20) seen.values.add(value);
  };
  for (const { fields } of rows) {
    for (const [name, value] of Object.entries(fields)) {
      note(name, value);
      if (isObject(value)) for (const [inner, below] of Object.entries(value)) note(`${name}.${inner}`, below);
    }
  }
  const names = [...found.keys()];
  const numbers = names.filter(name => found.get(name).numbers && !found.get(name).others);
  const kinds = names.filter(name => {
    const { numbers: some, others, values } = found.get(name);
    return others && !some && values.size > 1 && values.size < 20;
  });
  return { names, numbers, kinds };
}

// The field as a condition names it: terms["odd name"] where it is no plain name.
function fieldSource(name) {
  const [first, ...rest] = name.split(".");
  const inner = rest.join(".");
  if (!inner) return first;
  return /^[A-Za-z_]\w*$/.test(inner) && !RESERVED.has(inner) ? `${first}.${inner}` : `${first}[${quotedText(inner)}]`;
}

const quotedText = text => `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`;

const pathOfName = name => {
  const at = name.indexOf(".");
  return at < 0 ? [name] : [name.slice(0, at), name.slice(at + 1)];
};
