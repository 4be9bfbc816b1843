// The tree of a condition, with Python's precedence: or, and, not, comparisons, minus, fields.

const CONSTANTS = new Map([["None", null], ["True", true], ["False", false]]);
const DEEPEST = 200; // open brackets, as Python's own limit

function readTree(text, unread) {
  const all = tokens(text, unread);
  let next = 0, open = 0;
  const peek = () => all[next];
  const is = (...values) => ["sign", "word"].includes(peek().kind) && values.includes(peek().value);
  const take = value => { if (!is(value)) throw unread(peek().at); return all[next++]; };
  const join = (word, below) => () => {
    const parts = [below()];
    while (is(word)) { next++; parts.push(below()); }
    return parts.length === 1 ? parts[0] : { kind: word, parts, at: parts[0].at, end: parts.at(-1).end };
  };
  const negation = () => {
    if (!is("not")) return comparison();
    const at = all[next++].at, inner = negation();
    return { kind: "not", inner, at, end: inner.end };
  };
  const comparison = () => {
    const sides = [operand()], ops = [];
    while (is("==", "!=", "<", "<=", ">", ">=", "in", "not", "is")) {
      let op = all[next++].value;
      if (op === "not") { take("in"); op = "not in"; }
      else if (op === "is" && is("not")) { next++; op = "is not"; }
      ops.push(op);
      sides.push(operand());
    }
    return ops.length ? { kind: "compare", sides, ops, at: sides[0].at, end: sides.at(-1).end } : sides[0];
  };
  const operand = () => {
    if (!is("-")) return primary();
    const at = all[next++].at, inner = operand();
    return { kind: "minus", inner, at, end: inner.end };
  };
  const primary = () => {
    let node = atom();
    for (;;) {
      if (is(".")) {
        next++;
        const name = all[next++];
        if (name.kind !== "name" || CONSTANTS.has(name.value)) throw unread(name.at);
        node = { kind: "attribute", of: node, name: name.value, at: node.at, end: name.at + name.value.length };
      } else if (is("[")) {
        next++;
        const inner = nested(), end = take("]").at + 1;
        node = { kind: "item", of: node, inner, at: node.at, end };
      } else return node;
    }
  };
  const nested = () => {
    if (++open > DEEPEST) throw unread(peek().at);
    const inner = whole();
    open--;
    return inner;
  };
  const atom = () => {
    const token = all[next++];
    const end = all[next]?.at ?? text.length;
    if (token.kind === "number") return { kind: "constant", value: token.value, at: token.at, end };
    if (token.kind === "string") {
      let value = token.value;
      while (peek().kind === "string") value += all[next++].value;
      return { kind: "constant", value, at: token.at, end: peek().at };
    }
    if (token.kind === "name" && CONSTANTS.has(token.value)) {
      return { kind: "constant", value: CONSTANTS.get(token.value), at: token.at, end };
    }
    if (token.kind === "name") return { kind: "name", name: token.value, at: token.at, end: token.at + token.value.length };
    if (token.kind === "sign" && token.value === "(") {
      const inner = nested();
      take(")");
      return inner;
    }
    throw unread(token.at);
  };
  const whole = join("or", join("and", negation));
  const tree = whole();
  if (peek().kind !== "end") throw unread(peek().at);
  return tree;
}
