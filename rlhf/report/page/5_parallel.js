// Parallel coordinates over the settings that vary and the final metrics; a brush on an axis keeps the lines inside it.
function parallel() {
  const settings = data.params.map((param) => {
    const values = [...new Set(policies.map((row) => row.params[param.key] || "–"))];
    const numbers = values.every((value) => value !== "–" && Number.isFinite(Number(value)));
    values.sort((a, b) => (numbers ? Number(a) - Number(b) : a.localeCompare(b)));
    return { key: param.key, title: param.title, values, of: (row) => values.indexOf(row.params[param.key] || "–"), low: 0, high: values.length - 1 };
  }).filter((dimension) => dimension.values.length > 1);
  const metrics = data.columns.filter((found) => found.first || data.front.includes(found.key)).map((found) => {
    const numbers = policies.map((row) => row.cells[found.key]?.value).filter((value) => value !== null && value !== undefined);
    return { key: found.key, title: found.title, what: found.what, of: (row) => row.cells[found.key]?.value ?? null, low: Math.min(...numbers), high: Math.max(...numbers), count: new Set(numbers).size };
  }).filter((dimension) => dimension.count > 1);
  const dimensions = [...settings, ...metrics];
  if (policies.length < 3 || dimensions.length < 3) return null;
  const brushes = new Map();
  const host = el("div", {});
  const height = 320, top = 44, bottom = 22;
  let drawn = 0;

  const at = (dimension, value) => scale([dimension.low, dimension.high], [height - bottom, top])(value);
  function inside(row) {
    return [...brushes].every(([dimension, [from, to]]) => { const value = dimension.of(row); if (value === null) return false; const y = at(dimension, value); return y >= from - 0.5 && y <= to + 0.5; });
  }
  function told() {
    const rows = brushes.size ? new Set(policies.filter(inside).map((row) => row.at)) : null;
    host.querySelectorAll(".curve").forEach((node) => node.classList.toggle("faded", Boolean(rows) && !rows.has(Number(node.dataset.row))));
    status.textContent = rows ? `${rows.size} of ${policies.length} kept` : "";
    reset.hidden = !rows;
    keep(rows);
  }
  function axis(dimension, x) {
    const group = sv("g", {});
    group.append(sv("line", { class: "axis", x1: x, x2: x, y1: top, y2: height - bottom }));
    const many = dimension.values && dimension.values.length > 8;
    const marks = dimension.values ? dimension.values.map((value, place) => [place, value]).filter(([place]) => !many || place % Math.ceil(dimension.values.length / 8) === 0)
      : [dimension.low, (dimension.low + dimension.high) / 2, dimension.high].map((value) => [value, spoken(dimension.what, Number(value.toPrecision(3)))]);
    for (const [value, text] of marks) {
      group.append(sv("line", { class: "axis", x1: x - 4, x2: x, y1: at(dimension, value), y2: at(dimension, value) }));
      const wide = String(text).length * 6.7 + 4;
      group.append(sv("rect", { class: "behind", x: x - 6 - wide, y: at(dimension, value) - 8, width: wide, height: 16, rx: 3 }));
      group.append(sv("text", { x: x - 8, y: at(dimension, value) + 4, "text-anchor": "end" }, text));
    }
    group.append(sv("text", { class: "strong", x, y: 20, "text-anchor": "middle" }, dimension.title));
    const brush = sv("rect", { class: "brush", x: x - 8, width: 16, visibility: "hidden" });
    const area = sv("rect", { class: "brush-area", x: x - 14, y: top - 8, width: 28, height: height - top - bottom + 16, tabindex: "0", role: "slider",
      "aria-label": `filter by ${dimension.title}: arrow keys move the range, with shift they widen it, escape clears it`, "aria-valuenow": "0" });
    const set = (from, to) => {
      if (to - from < 3) brushes.delete(dimension); else brushes.set(dimension, [from, to]);
      const held = brushes.get(dimension);
      brush.setAttribute("visibility", held ? "visible" : "hidden");
      if (held) { brush.setAttribute("y", held[0]); brush.setAttribute("height", held[1] - held[0]); }
      area.setAttribute("aria-valuetext", held ? `${policies.filter(inside).length} runs kept` : "no filter");
      told();
    };
    let start = null;
    const place = (event) => { const box = host.querySelector("svg").getBoundingClientRect(); return Math.max(top - 6, Math.min(height - bottom + 6, ((event.clientY - box.top) / box.height) * height)); };
    area.addEventListener("pointerdown", (event) => { start = place(event); area.setPointerCapture(event.pointerId); set(start, start); event.preventDefault(); });
    area.addEventListener("pointermove", (event) => { if (start !== null) { const now = place(event); set(Math.min(start, now), Math.max(start, now)); } });
    area.addEventListener("pointerup", () => { start = null; });
    area.addEventListener("keydown", (event) => {
      const step = { ArrowUp: -12, ArrowDown: 12 }[event.key];
      if (event.key === "Escape") set(0, 0);
      if (!step) return;
      event.preventDefault();
      const [from, to] = brushes.get(dimension) || [top - 6, top + (height - top - bottom) / 3];
      if (event.shiftKey) set(Math.min(from, from + step), Math.max(to, to + step)); else set(from + step, to + step);
    });
    group.append(brush, area);
    return group;
  }
  function draw() {
    const width = Math.max(host.clientWidth || 640, dimensions.length * 98);
    if (width === drawn) return;
    drawn = width;
    brushes.clear();
    const X = scale([0, dimensions.length - 1], [74, width - 40]);
    const root = sv("svg", { viewBox: `0 0 ${width} ${height}`, width, role: "group", "aria-label": "parallel coordinates" });
    root.style.width = `${width}px`;
    root.style.maxWidth = "none";
    for (const row of policies) {
      const points = dimensions.map((dimension, place) => { const value = dimension.of(row); return [X(place), value === null ? NaN : at(dimension, value)]; });
      const place = placeOf(row.at);
      root.append(sv("path", { class: `curve ${colour(place)} ${dashes(place)}`, d: path(points), "data-row": row.at,
        onpointermove: (event) => { showTip(event.clientX, event.clientY, dimensions.map((d) => `${d.title} ${d.values ? d.values[d.of(row)] : spoken(d.what, d.of(row))}`).join("\n")); point(row.at); },
        onpointerleave: () => { hideTip(); point(null); } }));
    }
    dimensions.forEach((dimension, place) => root.append(axis(dimension, X(place))));
    host.replaceChildren(root);
    told();
  }
  const status = el("span", { role: "status" });
  const reset = el("button", { type: "button", hidden: true, onclick: () => { drawn = 0; draw(); } }, "Show all");
  const scroller = el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "parallel coordinates, scroll sideways" }, host);
  onPoint((row) => { if (!brushes.size) host.querySelectorAll(".curve").forEach((node) => node.classList.toggle("faded", row !== null && rank.has(row) && Number(node.dataset.row) !== row)); });
  queueMicrotask(() => { draw(); new ResizeObserver(draw).observe(scroller); });
  return section("settings", "Settings and results", "One line per row of the comparison. Drag along an axis to keep the runs inside; the table and the plot above dim the others.",
    el("div", { class: "choices screen" }, status, reset), scroller);
}
