// From the rows of the page and what is asked of them to a list of entries, each a group or a part of one.

// asked: {where, sort, view, signal, run, left, right}. ConditionError where the condition cannot be read.
function select(data, asked) {
  const condition = asked.where.trim() ? parseCondition(asked.where, data.fields) : null;
  for (const field of condition?.fields ?? []) {
    if (!data.fields.includes(field.name)) {
      throw new ConditionError(`${field.asked}: there is no field ${field.name}; the fields are ${data.fields.join(", ")}`);
    }
  }
  const chosen = data.groups.filter(group => (!asked.run || group.run === asked.run) && (!asked.signal || group.signal === asked.signal));
  const entries = [];
  for (const group of chosen) {
    const rows = condition ? group.rows.filter(row => condition.holds(row.fields)) : group.rows;
    if (rows.length) entries.push({ group, rows });
  }
  if (asked.view === "pairs") return { rows: rowsOf(entries), entries: paired(entries, asked.left, asked.right) };
  const listed = asked.view === "rollouts" ? entries.flatMap(({ group, rows }) => rows.map(row => ({ group, rows: [row] }))) : entries;
  return { rows: rowsOf(entries), entries: sorted(listed, asked.sort) };
}

// By the mean of a number over an entry's rows, stably; entries without it come last.
function sorted(entries, sort) {
  if (!sort) return entries;
  const path = pathOfName(sort.replace(/^-/, "")), sign = sort.startsWith("-") ? -1 : 1;
  const keyed = entries.map((entry, at) => ({ entry, at, key: meanOf(entry.rows, path) }));
  keyed.sort((a, b) => (a.key === null) - (b.key === null) || sign * ((a.key ?? 0) - (b.key ?? 0)) || a.at - b.at);
  return keyed.map(({ entry }) => entry);
}

// Groups of two runs about the same prompt: of the same iteration where there is one, else the last of each.
function paired(entries, left, right) {
  const byPrompt = new Map();
  for (const entry of entries) {
    const uid = entry.group.prompt.uid;
    if (!byPrompt.has(uid)) byPrompt.set(uid, { left: [], right: [] });
    if (entry.group.run === left) byPrompt.get(uid).left.push(entry);
    if (entry.group.run === right) byPrompt.get(uid).right.push(entry);
  }
  const pairs = [];
  for (const sides of byPrompt.values()) {
    if (!sides.left.length || !sides.right.length) continue;
    const shared = sides.left.flatMap(one => {
      const other = sides.right.find(candidate => candidate.group.iteration === one.group.iteration);
      return other ? [[one, other]] : [];
    });
    const found = shared.length ? shared : [[sides.left.at(-1), sides.right.at(-1)]];
    pairs.push(...found.map(pair => ({ pair, group: pair[0].group, rows: pair.flatMap(entry => entry.rows) })));
  }
  return pairs;
}

const rowsOf = entries => entries.flatMap(entry => entry.rows);

function meanOf(rows, path) {
  const values = rows.map(row => valueAt(row.fields, path)).filter(value => typeof value === "number" && !Number.isNaN(value));
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
}
