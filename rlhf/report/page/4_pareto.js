// Cost, reward and KL against one another: any two of the metrics, their front, and the controls beside them.
const beats = (one, other) => one.every((value, at) => value <= other[at]) && one.some((value, at) => value < other[at]);
const frontOf = (points) => points.map((point_) => !points.some((other) => beats(other, point_)));

// A control's number on an axis: what it started from has a KL of 0 to itself; comparisons with other models stay out.
function controlCell(row, key) {
  const found = column(key);
  if (key === "final/kl") return policies.some((other) => other.controls[other.controls.length - 1] === row.at) ? { value: 0, low: null, high: null, text: "0 (the reference itself)" } : null;
  return found.null === null ? row.cells[key] || null : null;
}
// Best-of-n of what the runs started from: what sampling alone gives at the same KL, where reward is drawn over KL.
const BEST_OF = { "final/reward": (one) => ({ value: one.reward, low: one.low, high: one.high }), "final/reward_gold": (one) => ({ value: one.gold, low: null, high: null }) };
const digits = (value) => String(Number(value.toPrecision(4)));
function bestOf(x, y) {
  if (x.key !== "final/kl" || !BEST_OF[y.key]) return [];
  return (data.best_of_n || []).map((curve) => ({ label: curve.label, points: curve.points.map((one) => ({ n: one.n, x: one.kl, y: BEST_OF[y.key](one) })).filter((one) => one.y.value !== null) })).filter((curve) => curve.points.length);
}
function drawBestOf(area, curve, x, y) {
  const places = curve.points.map((one) => [area.X(one.x), area.Y(one.y.value)]);
  area.root.append(sv("path", { class: "best-of", d: path(places) }));
  curve.points.forEach((one, at) => {
    const [px, py] = places[at];
    const range = one.y.low !== null ? ` [${digits(one.y.low)}, ${digits(one.y.high)}]` : "";
    const text = `${curve.label}\nn = ${one.n}\n${x.title} ${digits(one.x)}, at most\n${y.title} ${digits(one.y.value)}${range}`;
    area.root.append(sv("g", { class: "best-of-point", tabindex: "0", "aria-label": text.replaceAll("\n", ", "), onpointermove: (event) => showTip(event.clientX, event.clientY, text), onpointerleave: hideTip },
      sv("circle", { cx: px, cy: py, r: 12, fill: "transparent" }), sv("circle", { class: "dot best-of-dot", cx: px, cy: py, r: 3 })));
  });
}
const shortName = (row) => data.params.map((param) => row.params[param.key]).filter(Boolean).join(" ") || row.label;
function pareto() {
  const numeric = data.columns.filter((found) => policies.some((row) => row.cells[found.key] && row.cells[found.key].value !== null));
  if (policies.length < 1 || numeric.length < 2) return null;
  const [cost, reward, kl] = [data.front.find((key) => key.startsWith("cost/")), data.front.find((key) => !key.startsWith("cost/") && key !== "final/kl"), data.front.find((key) => key === "final/kl")];
  const state = { x: kl || cost || numeric[0].key, y: reward || numeric[1].key };
  const host = el("div", {});
  let chart = null;
  const choose = (name, label) => el("label", {}, label, el("select", { onchange: (event) => { state[name] = event.target.value; draw(); } },
    numeric.map((found) => el("option", { value: found.key, selected: state[name] === found.key }, found.title))));
  function draw() {
    const [x, y] = [column(state.x), column(state.y)];
    const points = [
      ...policies.map((row) => ({ row, x: row.cells[x.key], y: row.cells[y.key] })),
      ...data.rows.map((row, at) => ({ ...row, at })).filter((row) => row.control).map((row) => ({ row, x: controlCell(row, x.key), y: controlCell(row, y.key) })),
    ].filter((found) => found.x && found.y && found.x.value !== null && found.y.value !== null);
    const own = points.filter((found) => !found.row.control);
    const turn = (found, cell) => (found.prefer === "higher" ? -cell.value : cell.value);
    const known = x.prefer && y.prefer && x !== y;
    const best = known ? frontOf(own.map((found) => [turn(x, found.x), turn(y, found.y)])) : own.map(() => false);
    const named = (found) => `${found.title}${found.prefer ? `, ${found.prefer} is better` : ""}${found.what === "number" && found.unit.length < 25 ? ` (${found.unit})` : ""}`;
    const curves = bestOf(x, y);
    const ends = (name) => [...points.flatMap((found) => [found[name].value, found[name].low, found[name].high]), ...curves.flatMap((curve) => curve.points.flatMap((one) => (name === "x" ? [one.x] : [one.y.value, one.y.low, one.y.high])))];
    const options = {
      label: `${x.title} against ${y.title}`, height: 400, x: { values: ends("x"), name: named(x), what: x.what, pad: 0.06 }, y: { values: ends("y"), what: y.what },
      draw(area) {
        const line = own.filter((found, at) => best[at]).sort((a, b) => a.x.value - b.x.value);
        if (line.length > 1) {
          const corner = line.flatMap((found, at) => (at === 0 ? [] : [[area.X(x.prefer === "lower" ? found.x.value : line[at - 1].x.value), area.Y(x.prefer === "lower" ? line[at - 1].y.value : found.y.value)]]).concat([[area.X(found.x.value), area.Y(found.y.value)]]));
          area.root.append(sv("path", { class: "front", d: path(corner) }));
        }
        curves.forEach((curve) => drawBestOf(area, curve, x, y));
        const taken = points.map((found) => { const px = area.X(found.x.value), py = area.Y(found.y.value); return [px - 8, py - 8, px + 8, py + 8]; });
        for (const found of points) {
          const place = placeOf(found.row.at), tone = colour(place), px = area.X(found.x.value), py = area.Y(found.y.value);
          errorBars(area, found.x, found.y, px, py, tone);
          const text = `${nameOf(found.row)}${found.row.control ? " (control)" : ""}\n${x.title} ${found.x.text}${found.x.range ? ` [${found.x.range}]` : ""}\n${y.title} ${found.y.text}${found.y.range ? ` [${found.y.range}]` : ""}`;
          const node = sv("g", { class: `target mark-${found.row.at}`, tabindex: "0", role: "button", "aria-label": text.replaceAll("\n", ", "),
            onpointermove: (event) => { showTip(event.clientX, event.clientY, text); point(found.row.at); }, onpointerleave: () => { hideTip(); point(null); },
            onfocus: () => point(found.row.at), onblur: () => point(null),
            onclick: () => document.getElementById(`row-${found.row.at}`).scrollIntoView({ block: "center" }),
            onkeydown: (event) => { if (event.key === "Enter") document.getElementById(`row-${found.row.at}`).scrollIntoView({ block: "center" }); } },
            sv("circle", { cx: px, cy: py, r: 14, fill: "transparent" }),
            found.row.front ? sv("circle", { class: `ring ${tone}`, cx: px, cy: py, r: 9.5 }) : null,
            found.row.control ? shape("diamond", px, py, 4.6, { class: "dot hollow cx" }) : shape(shapeOf(place), px, py, 6, { class: `dot ${tone}` }));
          area.root.append(node);
          if (points.length <= 12) label(area, taken, px, py, found.row.control ? found.row.label : shortName(found.row));
        }
      },
    };
    host.replaceChildren(el("h3", {}, `${y.title}${y.prefer ? ` (${y.prefer} is better)` : ""}`));
    const inner = el("div", {});
    host.append(inner);
    chart = plot(inner, options);
    if (curves.length) host.append(el("p", { class: "small soft best-of-told" }, `Dots on the dashed grey line: ${curves.map((curve) => curve.label).join("; ")}, n = ${curves[0].points.map((one) => one.n).join(", ")}, chosen by the same judge, nothing trained. Its KL is an upper bound, log n - (n - 1) / n.`));
    const bars = points.some((found) => [found.x, found.y].some((cell) => cell.low !== null && cell.low !== undefined));
    host.append(el("p", { class: "small soft" }, bars ? "Bars are 95% intervals; ranking inside them is noise." : `No interval was measured of ${y.title} or ${x.title}; gains and win rates have one.`));
  }
  const front = data.front.map((key) => column(key).title);
  const about = `${front.length > 1 ? `A ring marks a run that no other beats in ${front.join(", ")} at once. ` : ""}The dotted line is the front of the two axes shown. Hollow diamonds are controls.`;
  const result = section("trade-off", "Trade-off", about, el("div", { class: "choices screen" }, choose("y", "upwards"), choose("x", "to the right")), host);
  onPoint((at) => host.querySelectorAll(".target").forEach((node) => node.classList.toggle("faded", at !== null && data.rows[at].role === "policy" && !node.classList.contains(`mark-${at}`) && placeOf(at) !== null)));
  kept.calls.push((rows) => policies.forEach((row) => host.querySelectorAll(`.mark-${row.at}`).forEach((node) => node.classList.toggle("faded", Boolean(rows) && !rows.has(row.at)))));
  queueMicrotask(draw);
  return result;
}
