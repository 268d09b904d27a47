// Dots with intervals, reliability, histograms.
const told = data.told;
const nonsense = (role) => ["echo", "polite", "shuffled", "random"].includes(role);
const cut = (text, most) => (text.length > most ? `${text.slice(0, Math.max(1, most - 1))}…` : text);
const breakable = (name) => name.split(/(?<=[_/])/).flatMap((part, at) => (at ? [el("wbr"), part] : [part]));
const whole = (value) => Math.round(value).toLocaleString("en-US");

// Draws a figure of the host's width, again when the width changes.
function drawn(host, draw) {
  let width = 0;
  function again() {
    const now = Math.round(host.clientWidth) || 420;
    if (now === width) return;
    width = now;
    host.replaceChildren(draw(width));
  }
  again();
  new ResizeObserver(() => requestAnimationFrame(again)).observe(host); // a new height in the same frame would be asked about again
  return host;
}
function tipped(node, text) {
  node.addEventListener("pointermove", (event) => showTip(event.clientX, event.clientY, text));
  node.addEventListener("pointerleave", hideTip);
  return node;
}
function spokenCell(line, column, cell) {
  const kinds = { questions: "95% interval", seeds: `95% interval over ${cell.seeds.length} seeds`, range: `lowest and highest of ${cell.seeds.length} seeds` };
  const range = cell.range ? `\n${kinds[cell.kind] || "95% interval"}: ${cell.range}` : "";
  return `${line.label}\n${column.title}: ${cell.text}${column.briefly ? ` ${column.briefly}` : ""}${range}\nn ${whole(cell.n)}${cell.compared ? `\n${cell.compared}` : ""}`;
}

// One metric: a row per speaker; what references and nonsense score runs through all rows as a dashed line.
function dots(suite, place, tones) {
  const column = suite.columns[place];
  const lines = suite.lines.filter((line) => line.cells[place] && line.cells[place].value !== null);
  const values = lines.flatMap((line) => { const cell = line.cells[place]; return [cell.value, cell.low, cell.high]; });
  const summary = lines.map((line) => `${line.label} ${line.cells[place].text}`).join(", ");
  const host = drawn(el("div", { class: "dots" }), (width) => {
    const step = 21, top = 6, bottom = 24, height = top + bottom + step * lines.length;
    const left = Math.min(Math.round(0.44 * width), 16 + 7.3 * Math.max(...lines.map((line) => line.label.length))), right = 16;
    const X = scale(extent(values, 0.06), [left, width - right]), [low, high] = extent(values, 0.06);
    const root = sv("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${column.key}: ${summary}` });
    for (const value of ticks(low, high, Math.max(2, Math.floor((width - left) / 85)))) {
      root.append(sv("line", { class: "gridline", x1: X(value), x2: X(value), y1: top, y2: height - bottom }));
      root.append(sv("text", { x: X(value), y: height - bottom + 17, "text-anchor": "middle" }, short(value)));
    }
    lines.forEach((line) => { if (line.control) root.append(sv("line", { class: `control-line ${line.nonsense ? "" : "good"}`, x1: X(line.cells[place].value), x2: X(line.cells[place].value), y1: top, y2: height - bottom })); });
    lines.forEach((line, at) => {
      const cell = line.cells[place], y = top + step * (at + 0.5), tone = line.control ? "cx" : tones.get(line.label);
      root.append(sv("text", { class: line.control ? "" : "strong", x: left - 10, y: y + 4, "text-anchor": "end" }, cut(line.label, Math.floor((left - 10) / 6.9))));
      if (cell.low !== null && cell.high !== null) root.append(sv("line", { class: `interval ${tone}`, x1: X(cell.low), x2: X(cell.high), y1: y, y2: y }));
      root.append(line.control ? shape("diamond", X(cell.value), y, 3.6, { class: "dot hollow cx" }) : shape("circle", X(cell.value), y, 4.4, { class: `dot ${tone}` }));
      root.append(tipped(sv("rect", { class: "target-area", x: 0, y: y - step / 2, width, height: step }), spokenCell(line, column, cell)));
    });
    root.append(sv("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }));
    return root;
  });
  const flagged = column.footnote ? el("span", { class: "flagged" }, " nonsense scores well") : null;
  return el("figure", {}, el("figcaption", {}, el("h3", {}, `${column.title} ${column.arrow}`, flagged), el("span", { class: "soft" }, [column.briefly, `n ${column.n}`].filter(Boolean).join(" · "))), host);
}

// Stated confidence against what came true, with a bar of how many under it; on the diagonal it is honest.
function reliability(table) {
  const bins = table.rows.filter((row) => row[4] > 0 && row[2] !== null && row[3] !== null), most = Math.max(...bins.map((row) => row[4]), 1);
  return drawn(el("div", { class: "square" }), (width) => {
    const size = Math.min(width, 380), left = 40, right = 14, top = 10, bottom = 40;
    const low = Math.min(0.5, ...bins.map((row) => row[0])), from = low < 0.5 ? 0 : 0.5;
    const X = scale([from, 1], [left, size - right]), Y = scale([0, 1], [size - bottom, top]);
    const root = sv("svg", { viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": `reliability of ${table.label}: ${bins.map((row) => `confidence ${three(row[2])} right ${three(row[3])}`).join(", ")}` });
    for (const value of [0, 0.25, 0.5, 0.75, 1]) {
      root.append(sv("line", { class: "gridline", x1: left, x2: size - right, y1: Y(value), y2: Y(value) }));
      root.append(sv("text", { x: left - 7, y: Y(value) + 4, "text-anchor": "end" }, String(value)));
    }
    for (const value of ticks(from, 1, 5)) root.append(sv("text", { x: X(value), y: size - bottom + 17, "text-anchor": "middle" }, short(value)));
    for (const row of bins) {
      const tall = (0.22 * (size - top - bottom) * row[4]) / most;
      root.append(sv("rect", { class: "weight", x: X(Math.max(from, row[0])), y: size - bottom - tall, width: Math.max(1, X(row[1]) - X(Math.max(from, row[0])) - 1), height: tall }));
    }
    root.append(sv("line", { class: "baseline", x1: X(from), y1: Y(from), x2: X(1), y2: Y(1) }));
    root.append(sv("path", { class: "curve c0", d: path(bins.map((row) => [X(row[2]), Y(row[3])])) }));
    for (const row of bins) root.append(tipped(shape("circle", X(row[2]), Y(row[3]), 5, { class: "dot c0" }), `confidence ${three(row[2])}\nright ${three(row[3])}\nn ${whole(row[4])}`));
    root.append(sv("line", { class: "axis", x1: left, x2: size - right, y1: size - bottom, y2: size - bottom }));
    root.append(sv("text", { x: (left + size - right) / 2, y: size - 5, "text-anchor": "middle" }, "confidence; up: share that was right; bars: how many"));
    return root;
  });
}

// Bars from `from` to `to`.
function bars(table) {
  const rows = table.rows, most = Math.max(...rows.map((row) => row[2]), 1), first = rows[0][0], last = rows[rows.length - 1][1];
  const unit = table.columns[0].replace(/^from ?/, ""), total = rows.reduce((sum, row) => sum + row[2], 0);
  return drawn(el("div", {}), (width) => {
    const height = 170, top = 10, bottom = 38, marks = ticks(0, most, 3).filter(Number.isInteger);
    const left = 16 + 7 * Math.max(...marks.map((value) => whole(value).length)), right = 12;
    const X = scale([first, last], [left, width - right]), Y = scale([0, most], [height - bottom, top]);
    const root = sv("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${table.label}: ${rows.filter((row) => row[2]).map((row) => `${three(row[0])} to ${three(row[1])}: ${row[2]}`).join(", ")}` });
    for (const value of marks) {
      root.append(sv("line", { class: "gridline", x1: left, x2: width - right, y1: Y(value), y2: Y(value) }));
      root.append(sv("text", { x: left - 7, y: Y(value) + 4, "text-anchor": "end" }, whole(value)));
    }
    for (const row of rows) {
      const wide = Math.max(1, X(row[1]) - X(row[0]) - 1);
      root.append(sv("rect", { class: "bar-of", x: X(row[0]), y: Y(row[2]), width: wide, height: height - bottom - Y(row[2]) }));
      root.append(tipped(sv("rect", { class: "target-area", x: X(row[0]), y: top, width: wide + 1, height: height - bottom - top }), `${three(row[0])} to ${three(row[1])} ${unit}\n${whole(row[2])} of ${whole(total)}`));
    }
    for (const value of ticks(first, last, Math.max(2, Math.floor(width / 90)))) root.append(sv("text", { x: X(value), y: height - bottom + 16, "text-anchor": "middle" }, short(value)));
    root.append(sv("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }));
    if (unit) root.append(sv("text", { x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle" }, unit));
    return root;
  });
}
