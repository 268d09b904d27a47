// Tables beside the comparison: which is best, trials, goals, savings, models, runtimes. Each cell is a text, what explains it below, or a bar.
function sheetCell(cell, column) {
  const tone = { unclear: "unclear", good: "good", bad: "missed", soft: "soft" }[cell.tone] || "";
  const bar = cell.bar === null ? null : el("span", { class: "share" });
  if (bar) bar.style.width = `${Math.max(0.5, cell.bar * 100)}%`;
  return el("td", { class: `${column.number ? "num" : ""} ${tone}` }, cell.tone === "unclear" ? "~" : "", el("span", { class: "value" }, cell.text),
    cell.below ? el("span", { class: "range" }, cell.below) : null, bar ? el("span", { class: "track runtime" }, bar) : null);
}
function sheetOf(one) {
  const head = one.columns.map((column) => el("th", { scope: "col", class: column.number ? "num" : "", title: column.about || null }, column.title));
  const rows = one.rows.map((cells) => el("tr", {}, cells.map((cell, at) => sheetCell(cell, one.columns[at]))));
  return section(one.key, one.title, one.about, el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": `${one.title}, scrolls sideways` },
    el("table", { class: "sheet" }, el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows))),
    one.notes.length ? el("ul", { class: "small soft notes" }, one.notes.map((note) => el("li", {}, note))) : null);
}
const sheets = (kind) => (data.sheets || []).filter((one) => one.key.split("-")[0] === kind).map((one) => [one.key, one.title.split(":")[0], () => sheetOf(one)]);
