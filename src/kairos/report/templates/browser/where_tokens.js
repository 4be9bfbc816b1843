// The words of a condition: names, numbers, strings and signs, as Python writes them.

const RESERVED = new Set(("and as assert async await break class continue def del elif else except finally for from " +
  "global if import in is lambda nonlocal not or pass raise return try while with yield").split(" "));
const NUMBER = /^(?:0[xX](?:_?[0-9a-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+|(?:(?:\d(?:_?\d)*)?\.\d(?:_?\d)*|\d(?:_?\d)*\.)(?:[eE][+-]?\d(?:_?\d)*)?|\d(?:_?\d)*[eE][+-]?\d(?:_?\d)*|[1-9](?:_?\d)*|0(?:_?0)*)/;
const NAME = /^[\p{ID_Start}_][\p{ID_Continue}]*/u;
const STRING = /^([rRuU]?)('''|"""|'|")/;
const SIGN = /^(?:==|!=|<=|>=|<|>|\(|\)|\[|\]|\.|-)/;
const ESCAPES = { "\\": "\\", "'": "'", '"': '"', a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v" };

function tokens(text, unread) {
  const found = [];
  let at = 0;
  if (/[\0\r]|\p{Surrogate}/u.test(text)) throw unread(0);
  while (at < text.length) {
    const rest = text.slice(at);
    const blank = /^[ \t\f]+|^#.*/.exec(rest);
    if (blank) { at += blank[0].length; continue; }
    const string = STRING.exec(rest);
    if (string) {
      const end = endOfString(text, at + string[0].length, string[2]);
      if (end < 0) throw unread(at);
      const inner = text.slice(at + string[0].length, end);
      found.push({ kind: "string", at, value: /r/i.test(string[1]) ? inner : unescaped(inner, () => unread(at)) });
      at = end + string[2].length;
      continue;
    }
    const number = NUMBER.exec(rest), name = NAME.exec(rest), sign = SIGN.exec(rest);
    if (number) {
      const after = rest.slice(number[0].length);
      if (/^[\p{ID_Continue}.]/u.test(after) && !/^(?:and|or|in|not)\b/.test(after)) throw unread(at);
      found.push({ kind: "number", at, value: Number(number[0].replaceAll("_", "")) });
      at += number[0].length;
    } else if (name) {
      found.push({ kind: RESERVED.has(name[0]) ? "word" : "name", at, value: name[0].normalize("NFKC") });
      at += name[0].length;
    } else if (sign) {
      found.push({ kind: "sign", at, value: sign[0] });
      at += sign[0].length;
    } else throw unread(at);
  }
  return [...found, { kind: "end", at: text.length, value: null }];
}

function endOfString(text, at, quote) {
  for (; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text.startsWith(quote, at)) return at;
  }
  return -1;
}

function unescaped(inner, unread) {
  return inner.replace(/\\(?:x(.{0,2})|u(.{0,4})|U(.{0,8})|([0-7]{1,3})|(.))/gsu, (whole, x, u, U, octal, one) => {
    const hex = x ?? u ?? U;
    if (hex !== undefined) {
      const digits = x !== undefined ? 2 : u !== undefined ? 4 : 8;
      if (!/^[0-9a-fA-F]+$/.test(hex) || hex.length !== digits || parseInt(hex, 16) > 0x10ffff) throw unread();
      return String.fromCodePoint(parseInt(hex, 16));
    }
    if (octal !== undefined) return String.fromCodePoint(parseInt(octal, 8));
    if (one === "N") throw unread();
    return ESCAPES[one] ?? whole;
  });
}
