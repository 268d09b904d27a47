// The comparison: policies sorted by any column, their controls always below them, seeds unfolded on demand.
function comparison() {
  const shown = new Set(data.columns.filter((found) => found.first).map((found) => found.key));
  const state = { key: null, down: true, open: new Set() };
  const host = el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "comparison table, scrolls sideways" });
  const asked = data.rows.some((row) => row.asked);
  const manySeeds = data.rows.some((row) => row.planned > 1);

  const valueOf = (row, key) => {
    if (key === "run") return row.label;
    if (key === "seeds") return row.seeds.length;
    if (key === "n") return row.asked || null;
    if (key in row.cells) return row.cells[key].value;
    const text = row.params[key];
    if (text === undefined || text === "") return null;
    return Number.isFinite(Number(text)) ? Number(text) : text;
  };
  function sorted(rows) {
    if (!state.key) return rows;
    const sign = state.down ? -1 : 1;
    return [...rows].sort((one, other) => {
      const a = valueOf(one, state.key), b = valueOf(other, state.key);
      if (a === null || a === undefined) return 1;
      if (b === null || b === undefined) return -1;
      if (typeof a === "number" && typeof b === "number") return sign * (a - b);
      return sign * String(a).localeCompare(String(b), undefined, { numeric: true });
    });
  }
  function heading(key, title, about, number, better) {
    const here = state.key === key;
    const arrow = el("span", { class: "arrow", "aria-hidden": "true" }, here ? (state.down ? "↓" : "↑") : "");
    const button = el("button", { type: "button", title: about, "data-sort": key, onclick: () => {
      state.down = here ? !state.down : better !== "lower" && number;
      state.key = key;
      draw();
      host.querySelector(`[data-sort="${CSS.escape(key)}"]`).focus();
    } }, number ? [arrow, title] : [title, arrow]);
    return el("th", { scope: "col", class: number ? "num" : "", "aria-sort": here ? (state.down ? "descending" : "ascending") : null }, button);
  }
  function cell(row, found) {
    const value = row.cells[found.key];
    if (!value) return el("td", { class: "num soft" }, row.control ? "" : "–");
    const kind = value.kind === "seeds" ? `95% t-interval over ${value.n} seeds` : value.kind === "seeds and prompts" ? `95% interval over ${value.n} seeds or over prompts, the wider` : value.kind ? "95% interval of this one run" : value.n > 1 ? `mean of ${value.n} seeds` : "one run";
    const about = `${found.title}: ${value.text}${value.range ? ` [${value.range}]` : ""}, ${kind}${value.test ? `; ${value.test}` : ""}${value.unclear ? "; no clear difference" : ""}${value.best ? "; clearly better than every other line that has one" : ""}`;
    return el("td", { class: `num ${value.unclear ? "unclear" : ""}`, title: about },
      el("span", { class: value.best ? "best" : "" }, value.unclear ? "~" : "", value.text), value.range ? el("span", { class: "range" }, value.range) : null);
  }
  function unfolded(row) {
    return row.seeds.map((seed, at) => el("tr", { class: "seed" },
      el("td", {}, row.control ? "one seed" : `seed ${seed || "–"}`), data.params.map(() => el("td")), manySeeds ? el("td") : null, asked ? el("td") : null,
      data.columns.filter((found) => shown.has(found.key)).map((found) => el("td", { class: "num" }, row.cells[found.key] ? row.cells[found.key].each[at] : "")), el("td")));
  }
  function line(row) {
    const at = data.rows.indexOf(row), open = state.open.has(at), failed = !row.control && row.role !== "policy";
    const count = row.seeds.length < row.planned && !row.control ? `${row.seeds.length} of ${row.planned}` : String(row.seeds.length);
    const columns = data.columns.filter((found) => shown.has(found.key));
    const node = el("tr", { id: `row-${at}`, class: `${row.control ? "control" : ""} ${failed ? "failed" : ""}`, onpointerenter: () => point(at), onpointerleave: () => point(null) },
      el("td", {}, pointKey({ ...row, at }), row.label),
      data.params.map((param) => el("td", {}, row.params[param.key] || "")),
      manySeeds ? el("td", {}, row.seeds.length > 1 ? el("button", { class: "plain", type: "button", "aria-expanded": String(open), onclick: () => { if (open) state.open.delete(at); else state.open.add(at); draw(); } }, `${count} ${open ? "▾" : "▸"}`) : count) : null,
      asked ? el("td", { class: "num soft" }, row.asked ? String(row.asked) : "") : null,
      failed ? el("td", { colspan: Math.max(1, columns.length) }, `${row.role}: ${row.note}`) : columns.map((found) => cell(row, found)),
      el("td", { class: "screen" }, row.commands.length ? copyButton(row.commands.join("\n")) : null));
    return open ? [node, ...unfolded(row)] : [node];
  }
  function draw() {
    const columns = data.columns.filter((found) => shown.has(found.key));
    const head = el("tr", {}, heading("run", "run", "", false), data.params.map((param) => heading(param.key, param.title, param.key, false)),
      manySeeds ? heading("seeds", "seeds", "jobs that differ only in their seed", false) : null,
      asked ? heading("n", "n", "held-out prompts that each line answered once; of a reward model, pairs", true) : null,
      columns.length ? null : el("th", { scope: "col" }, "state"),
      columns.map((found) => heading(found.key, found.title, `${found.meaning}\nunit: ${found.unit}\nestimator: ${found.estimator}`, true, found.better)),
      el("th", { class: "screen" }, el("span", { class: "small" }, "command")));
    const own = data.rows.filter((row) => !row.control), controls = data.rows.filter((row) => row.control);
    const span = 4 + data.params.length + columns.length;
    host.replaceChildren(el("table", { class: "comparison" }, el("thead", {}, head), el("tbody", { class: "policies" }, sorted(own).map(line)),
      controls.length ? el("tbody", { class: "controls" }, el("tr", { class: "head" }, el("td", { colspan: span }, "controls: what the runs started from")), sorted(controls).map(line)) : null));
    mark(kept.rows);
  }
  function mark(rows) {
    data.rows.forEach((row, at) => { const node = host.querySelector(`#row-${at}`); if (node) node.classList.toggle("out", Boolean(rows) && !row.control && !rows.has(at)); });
  }
  onPoint((at) => data.rows.forEach((row, other) => { const node = host.querySelector(`#row-${other}`); if (node) node.classList.toggle("lit", at === other); }));
  kept.calls.push(mark);
  draw();
  const boxes = new Map(), summary = el("summary", {}, "Columns");
  const count = () => { summary.textContent = `Columns (${shown.size} of ${data.columns.length} shown)`; };
  // On a wide screen columns that say least go first, until the table needs no scrolling; the chooser has them.
  const spare = ["final/accuracy_length_rule", "final/accuracy_bag_of_words", "final/accuracy", "final/loss", "cost/pipeline_seconds", "cost/pipeline_usd", "final/reward_gold"];
  queueMicrotask(() => {
    for (const key of spare) {
      if (innerWidth < 1000 || host.scrollWidth <= host.clientWidth) break;
      if (shown.delete(key)) { boxes.get(key).checked = false; draw(); }
    }
    count();
  });
  const chooser = el("details", { class: "screen" }, summary, el("div", { class: "choices" }, data.columns.map((found) => {
    const box = el("input", { type: "checkbox", checked: shown.has(found.key), onchange: () => { if (box.checked) shown.add(found.key); else shown.delete(found.key); count(); draw(); } });
    boxes.set(found.key, box);
    return el("label", { title: found.meaning }, box, found.title);
  })));
  const glossary = el("details", {}, el("summary", {}, "What the columns mean"), el("table", {}, el("thead", {}, el("tr", {}, ["column", "meaning", "unit", "estimator", "better"].map((title) => el("th", { scope: "col" }, title)))),
    el("tbody", {}, data.columns.map((found) => el("tr", {}, el("td", {}, found.title), el("td", {}, found.meaning), el("td", {}, found.unit), el("td", {}, found.estimator), el("td", {}, found.better || "neither"))))));
  const facts = el("ul", { class: "small soft facts" }, [...data.facts, "~ and grey mark a comparison that is no clear difference; a green value is clearly better than that of every other line that has one, by paired tests or by seeds, corrected for their number."].map((fact) => el("li", {}, fact)));
  return section("comparison", "Comparison", "", chooser, host, facts, glossary);
}
