// The table of a suite, the meaning of its columns, and the tables that a suite gives besides.
function numberCell(line, column, cell) {
  if (!cell) return el("td", { class: "num soft" }, "–");
  return el("td", { class: `num ${cell.unclear ? "unclear" : ""}`, title: spokenCell(line, column, cell) },
    el("span", { class: cell.best ? "best" : "" }, cell.unclear ? "~" : "", cell.text), cell.range ? el("span", { class: "range" }, cell.range) : null);
}
function suiteTable(suite) {
  const columns = suite.columns;
  const head = el("tr", {}, el("th", { scope: "col" }, "speaker"), columns.map((column) => el("th", { scope: "col", class: "num", title: `${column.meaning}\n${column.estimator}` },
    breakable(column.title), column.arrow ? `\u00a0${column.arrow}` : "", column.footnote ? el("sup", {}, el("a", { href: `#${suite.name}-flag-${column.footnote}`, "aria-label": `flag ${column.footnote}` }, String(column.footnote))) : null,
    el("span", { class: "unit" }, column.briefly))));
  const row = (line) => el("tr", { class: line.nonsense ? "control" : "" }, el("td", {}, line.label), line.cells.map((cell, at) => numberCell(line, columns[at], cell)));
  const bodies = [el("tbody", {}, suite.lines.filter((line) => !line.nonsense).map(row))], controls = suite.lines.filter((line) => line.nonsense);
  if (controls.length) bodies.push(el("tbody", {}, el("tr", { class: "head" }, el("td", { colspan: columns.length + 1 }, "controls: what nonsense scores")), controls.map(row)));
  bodies.push(el("tbody", {}, el("tr", { class: "control n" }, el("td", {}, "n"), columns.map((column) => el("td", { class: "num" }, column.n)))));
  return el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": `${suite.name}, table` }, el("table", { class: "comparison" }, el("thead", {}, head), bodies));
}
function glossary(suite) {
  const facts = [["formula", "estimator"], ["unit", "unit"], ["range", "range"], ["better", "better"], ["source", "source"], ["fooled by", "fooled"]];
  return el("details", {}, el("summary", {}, "What the columns mean, and how they are fooled"), el("dl", { class: "glossary" }, suite.columns.map((column) => el("div", {}, el("dt", {}, el("code", {}, column.key)),
    el("dd", {}, column.meaning || "nothing describes it", el("ul", {}, facts.filter(([, key]) => column[key]).map(([name, key]) => el("li", {}, el("span", { class: "soft" }, `${name}: `), column[key]))))))));
}

const spokenValue = (value) => (value === null || value === undefined ? "–" : typeof value === "number" ? (Number.isInteger(value) ? whole(value) : short(value)) : String(value));
function plainTable(table) {
  const numbers = table.columns.map((_, at) => table.rows.every((row) => row[at] === null || typeof row[at] === "number"));
  return el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": `table of ${table.label}` }, el("table", { class: "extra" }, el("thead", {}, el("tr", {}, table.columns.map((name, at) => el("th", { scope: "col", class: numbers[at] ? "num" : null }, name)))),
    el("tbody", {}, table.rows.map((row) => el("tr", {}, row.map((cell, at) => el("td", { class: numbers[at] ? "num" : null }, spokenValue(cell))))))));
}
// What was asked for down, what was answered across; darker is a larger share of the row, framed is right.
function confusion(table) {
  const body = table.rows.map((row) => {
    const total = row.slice(1).reduce((sum, value) => sum + value, 0) || 1;
    return el("tr", {}, el("th", { scope: "row" }, row[0]), row.slice(1).map((value, at) => {
      const node = el("td", { class: `heat ${table.columns[at + 1] === row[0] ? "right" : ""}`, title: `${table.columns[0]} ${row[0]}, taken for ${table.columns[at + 1]}: ${value} of ${total}` }, value ? whole(value) : "");
      node.style.setProperty("--share", `${Math.round((85 * value) / total)}%`);
      return node;
    }));
  });
  return el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": `confusion matrix of ${table.label}` }, el("table", { class: "confusion" }, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, table.columns[0]), table.columns.slice(1).map((name) => el("th", { scope: "col" }, el("span", {}, name))))), el("tbody", {}, body)));
}
function figureOf(table) {
  const [first, second] = table.columns, names = table.rows.map((row) => row[0]);
  if (first === "from" && second === "to" && table.columns[2] === "confidence") return reliability(table);
  if (table.rows.length && table.columns.length === 3 && first.startsWith("from") && second.startsWith("to")) return bars(table);
  const square = table.columns.slice(1).filter((name) => names.includes(name)).length >= 2;
  if (square && table.rows.every((row) => row.slice(1).every(Number.isInteger))) return confusion(table);
  return null;
}
// One table at a time, of the speaker that is chosen.
function extra(suite, one) {
  const host = el("div", {}), models = one.speakers.filter((speaker) => suite.lines.some((line) => line.label === speaker.label && !line.control));
  const first = models[models.length - 1] || one.speakers[one.speakers.length - 1];
  const draw = (speaker) => { const figure = figureOf(speaker); host.replaceChildren(figure || plainTable(speaker), figure && !figure.querySelector("table") ? el("details", {}, el("summary", {}, "The numbers"), plainTable(speaker)) : ""); };
  const choice = one.speakers.length < 2 ? el("span", { class: "soft" }, first.label) : el("select", { "aria-label": `${one.title}: of whom`, onchange: (event) => draw(one.speakers[event.target.value]) },
    one.speakers.map((speaker, at) => el("option", { value: at, selected: speaker === first }, speaker.label)));
  draw(first);
  const long = one.speakers.some((speaker) => speaker.rows.some((row) => row.some((cell) => typeof cell === "string" && cell.length > 60)));
  return el("figure", { class: long ? "texts" : null }, el("figcaption", { class: "chosen" }, el("h3", {}, one.title), choice), host);
}
