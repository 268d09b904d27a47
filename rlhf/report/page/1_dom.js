// Elements without markup: every text goes in as text, so what a model wrote is never read as HTML.
const SVG = "http://www.w3.org/2000/svg";
const data = JSON.parse(document.getElementById("data").textContent);
const policies = data.rows.map((row, at) => ({ ...row, at })).filter((row) => row.role === "policy");

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) if (child !== null && child !== undefined && child !== "") node.append(child);
  return node;
}
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const sv = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

function section(id, title, about, ...children) {
  return el("section", { id, "aria-labelledby": `${id}-title` }, el("h2", { id: `${id}-title` }, title),
    about ? el("p", { class: "soft small" }, about) : null, children);
}

// One colour per line of the comparison; a second sign (dashes, shapes) once colours come round again.
const colour = (place) => (place === null || place === undefined || place < 0 ? "cx" : `c${place % 7}`);
const dashes = (place) => (place > 6 ? `d${Math.floor(place / 7) % 4}` : "");
const rank = new Map([...policies].sort((one, other) => Math.min(...one.jobs) - Math.min(...other.jobs)).map((row, place) => [row.at, place])); // as in curves.png
const placeOf = (row) => (rank.has(row) ? rank.get(row) : null);

// What is pointed at, told to every figure and to the table.
const listeners = [];
const onPoint = (call) => listeners.push(call);
const point = (row) => listeners.forEach((call) => call(row));
const kept = { rows: null, calls: [] }; // rows inside the brushes; null for all
function keep(rows) { kept.rows = rows; kept.calls.forEach((call) => call(rows)); }

const tip = el("div", { class: "tip", role: "status", hidden: true });
function showTip(x, y, text) {
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(6, Math.min(x + 14, innerWidth - box.width - 8))}px`;
  tip.style.top = `${y + 18 + box.height > innerHeight ? y - box.height - 12 : y + 18}px`;
}
const hideTip = () => { tip.hidden = true; };

function short(value) {
  if (value === null || value === undefined) return "";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e5 || size < 1e-3)) return value.toExponential(1).replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}
const three = (value) => short(Number(value.toPrecision(3)));
function spoken(what, value) {
  if (value === null || value === undefined) return "";
  if (what === "money") return `$${short(value)}`;
  if (what === "seconds") return value < 100 ? `${three(value)} s` : value < 6000 ? `${three(value / 60)} min` : `${three(value / 3600)} h`;
  if (what === "bytes") return value < 2 ** 30 ? `${Math.round(value / 2 ** 20)} MiB` : `${short(value / 2 ** 30)} GiB`;
  return short(value);
}
const column = (key) => data.columns.find((found) => found.key === key);
const jobsOf = (numbers) => (numbers.length === 1 ? `job ${numbers[0]}` : `jobs ${ranges(numbers)}`);
function ranges(numbers) {
  const parts = [];
  for (const number of numbers) {
    const last = parts[parts.length - 1];
    if (last && last[1] === number - 1) last[1] = number;
    else parts.push([number, number]);
  }
  return parts.map(([from, to]) => (from === to ? from : to === from + 1 ? `${from}, ${to}` : `${from} to ${to}`)).join(", ");
}
const nameOf = (row) => [row.label, ...data.params.map((param) => row.params[param.key] ? `${param.title}=${row.params[param.key]}` : "")].filter(Boolean).join(" ");

function copyButton(text) {
  const button = el("button", { class: "copy", type: "button", "aria-label": `Copy ${text}` }, "Copy");
  button.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(text); } catch (error) {
      const area = el("textarea", {}, text);
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  return button;
}
const command = (text) => el("div", { class: "command" }, el("code", {}, text), copyButton(text));
