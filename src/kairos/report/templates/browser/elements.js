// Builds elements. Text is only ever set as text: nothing that a rollout says becomes markup.

// element("button", {class: "bar", title: "3 rollouts", onclick: f}, "text", child, ...)
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [property, set] of Object.entries(value)) made.style.setProperty(property, set);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter(child => child !== null));
  return made;
}

const number = (value, digits = 3) => (typeof value === "number" ? (Number.isFinite(value) ? value.toFixed(digits) : String(value)) : "–");
const signed = value => (typeof value === "number" && value > 0 ? `+${number(value, 2)}` : number(value, 2));
const brief = value => (typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value));
const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
const seconds = value => `${Math.round(value * 100) / 100}`;
const spansText = spans => spans.map(([start, end]) => `${seconds(start)} to ${seconds(end)} s`).join(", ");
const isSpans = value => Array.isArray(value) && value.every(pair => Array.isArray(pair) && pair.length === 2);
