// Conditions on rollouts, as `rollouts.py where=...` reads them (kairos/report/rollouts/where.py): the same grammar,
// the same meaning. Nothing is ever executed: the text is parsed here, and what is not in the grammar is refused.

class ConditionError extends Error {}

const WORDS = new Map([["null", null], ["true", true], ["false", false]]);
const GRAMMAR = "fields, numbers, 'strings', null, true and false, compared by == != < <= > >= or in, joined by and, or, not";
const LONGEST = 1000; // characters
const COMPARED = new Set(["==", "!=", "<", "<=", ">", ">=", "in", "not in"]);

// {holds: row => boolean, fields: [{name, path, asked}]}; ConditionError says what cannot be read, and where.
function parseCondition(text, known = []) {
  text = text.replaceAll("\n", " ").trim();
  const length = [...text].length;
  if (length > LONGEST) throw new ConditionError(`where has ${length} characters, at most ${LONGEST} are read`);
  const place = index => `where=${JSON.stringify(text)}, character ${[...text.slice(0, index)].length + 1}`;
  const wrong = (index, why) => {
    const listed = known.length ? `; the fields are ${known.join(", ")}` : "";
    return new ConditionError(`${place(index)}: ${why}. A condition has ${GRAMMAR}${listed}`);
  };
  const tree = readTree(text, index => wrong(index, "this cannot be read"));
  const fields = [];
  return { holds: compileCondition(tree, { text, place, wrong, fields }), fields };
}

function compileCondition(node, reader) {
  if (node.kind === "and" || node.kind === "or") {
    const parts = node.parts.map(part => compileCondition(part, reader));
    return node.kind === "and" ? row => parts.every(part => part(row)) : row => parts.some(part => part(row));
  }
  if (node.kind === "not") {
    const inner = compileCondition(node.inner, reader);
    return row => !inner(row);
  }
  if (node.kind === "compare") {
    const sides = node.sides.map(side => compileValue(side, reader));
    const tests = node.ops.map(op => comparing(op, node, reader));
    return row => tests.every((test, index) => test(sides[index](row), sides[index + 1](row)));
  }
  if (["name", "attribute", "item"].includes(node.kind) && !(node.kind === "name" && WORDS.has(node.name))) {
    const value = compileValue(node, reader);
    return row => truth(value(row));
  }
  throw reader.wrong(node.at, `${source(node, reader)} is no condition`);
}

function compileValue(node, reader) {
  if (node.kind === "name" && WORDS.has(node.name)) return () => WORDS.get(node.name);
  if (node.kind === "constant") return () => node.value;
  if (node.kind === "minus" && node.inner.kind === "constant" && numeric(node.inner.value)) return () => -node.inner.value;
  if (["name", "attribute", "item"].includes(node.kind)) {
    const path = pathOf(node, reader);
    reader.fields.push({ name: path.join("."), path, asked: reader.place(node.at) });
    return row => valueAt(row, path);
  }
  throw reader.wrong(node.at, `${source(node, reader)} is no value`);
}

function pathOf(node, reader) {
  if (node.kind === "name") return [node.name];
  if (node.kind === "attribute" && node.of.kind === "name") return [node.of.name, node.name];
  const text = node.kind === "item" && node.inner.kind === "constant" && typeof node.inner.value === "string";
  if (text && node.of.kind === "name") return [node.of.name, node.inner.value];
  throw reader.wrong(node.at, `${source(node, reader)} is no field`);
}

function comparing(op, node, reader) {
  if (!COMPARED.has(op)) throw reader.wrong(node.at, `${source(node, reader)} is no such comparison`);
  if (op === "==") return equal;
  if (op === "!=") return (one, other) => !equal(one, other);
  if (op === "in" || op === "not in") {
    return (one, other) => contains(other, one, reader.place(node.at)) === (op === "in");
  }
  return (one, other) => ordered(op, one, other, reader.place(node.at));
}

const source = (node, reader) => JSON.stringify(reader.text.slice(node.at, node.end).trim() || reader.text);
