// How values of rows compare: as in Python, so that a condition means here what it means on the command line.

function ordered(op, one, other, place) {
  if (one === null || other === null) return false;
  if (!(numeric(one) && numeric(other)) && !(typeof one === "string" && typeof other === "string")) {
    throw new ConditionError(`${place}: ${JSON.stringify(one)} and ${JSON.stringify(other)} have no order`);
  }
  const [left, right] = typeof one === "string" ? [byCodePoint(one, other), 0] : [Number(one), Number(other)];
  return op === "<" ? left < right : op === "<=" ? left <= right : op === ">" ? left > right : left >= right;
}

function contains(whole, part, place) {
  if (whole === null || part === null) return false;
  if (typeof whole !== "string" || typeof part !== "string") {
    throw new ConditionError(`${place}: in looks for a string in a string, not ${JSON.stringify(whole)}`);
  }
  return whole.includes(part);
}

// As Python: true is 1, lists and objects are compared by what they hold.
function equal(one, other) {
  if (numeric(one) && numeric(other)) return Number(one) === Number(other);
  if (Array.isArray(one) && Array.isArray(other)) {
    return one.length === other.length && one.every((value, index) => equal(value, other[index]));
  }
  if (isObject(one) && isObject(other)) {
    const names = Object.keys(one);
    return names.length === Object.keys(other).length && names.every(name => name in other && equal(one[name], other[name]));
  }
  return one === other;
}

function truth(value) {
  if (Array.isArray(value)) return value.length > 0;
  if (isObject(value)) return Object.keys(value).length > 0;
  return Number.isNaN(value) || Boolean(value);
}

function valueAt(row, path) {
  let value = row;
  for (const name of path) value = isObject(value) && Object.hasOwn(value, name) ? value[name] : null;
  return value;
}

function byCodePoint(one, other) {
  const left = [...one], right = [...other];
  for (let at = 0; at < Math.min(left.length, right.length); at++) {
    if (left[at] !== right[at]) return left[at].codePointAt(0) - right[at].codePointAt(0);
  }
  return left.length - right.length;
}

const numeric = value => typeof value === "number" || typeof value === "boolean";
const isObject = value => typeof value === "object" && value !== null && !Array.isArray(value);
