// Learning curves: a panel per metric, a line per job, one legend that points at a job in all panels.
function curvePanel(metric, curves, held) {
  const lines = curves.filter((curve) => curve.series[metric.key]);
  const inner = el("div", {});
  const figure = el("figure", {}, el("figcaption", {}, el("h3", {}, metric.title), el("span", { class: "soft" }, metric.unit)), inner);
  const marks = metric.baselines;
  const values = [...lines.flatMap((curve) => curve.series[metric.key].map((pair) => pair[1])), ...marks.map((mark) => mark.value)];
  const steps = lines.flatMap((curve) => curve.series[metric.key].map((pair) => pair[0]));
  queueMicrotask(() => plot(inner, {
    label: `${metric.title} over training steps, ${lines.length} lines`, height: 250, x: { values: steps, name: "training step", whole: true }, y: { values },
    draw(area) {
      baselines(area, marks);
      const drawn = lines.map((curve) => {
        const points = curve.series[metric.key].map(([step, value]) => [area.X(step), value === null ? NaN : area.Y(value)]);
        const node = sv("path", { class: `curve ${colour(curve.tone)} ${dashes(curve.tone)}`, d: path(points), "data-curve": curve.label });
        area.root.append(node);
        if (points.length === 1) area.root.append(sv("circle", { class: `dot ${colour(curve.tone)}`, cx: points[0][0], cy: points[0][1], r: 3.5 }));
        return { curve, points };
      });
      const dot = sv("circle", { class: "dot", r: 4, visibility: "hidden" });
      area.root.append(dot);
      area.root.addEventListener("pointermove", (event) => {
        const box = area.root.getBoundingClientRect();
        const x = ((event.clientX - box.left) / box.width) * area.width, y = ((event.clientY - box.top) / box.height) * area.height;
        let near = null;
        for (const { curve, points } of drawn) points.forEach(([px, py], at) => { const far = Math.hypot(px - x, py - y); if (Number.isFinite(far) && (!near || far < near.far)) near = { far, curve, px, py, pair: curve.series[metric.key][at] }; });
        if (!near || near.far > 60) { dot.setAttribute("visibility", "hidden"); hideTip(); held.point(null); return; }
        dot.setAttribute("class", `dot ${colour(near.curve.tone)}`);
        dot.setAttribute("cx", near.px);
        dot.setAttribute("cy", near.py);
        dot.setAttribute("visibility", "visible");
        showTip(event.clientX, event.clientY, `${near.curve.label}\nstep ${near.pair[0]}: ${short(near.pair[1])}`);
        held.point(near.curve.label);
      });
      area.root.addEventListener("pointerleave", () => { dot.setAttribute("visibility", "hidden"); hideTip(); held.point(null); });
    },
  }));
  return figure;
}

function panelSet(panel) {
  const tones = new Map();
  panel.curves.forEach((curve, at) => { curve.tone = curve.row === null || curve.row === undefined || policies.length < 2 ? at : placeOf(curve.row); tones.set(curve.label, curve.tone); });
  const grid = el("div", { class: "grid" });
  const state = { shown: new Set(panel.metrics.filter((metric) => metric.first).map((metric) => metric.key)), fixed: null };
  const held = { point(label) {
    const now = label ?? state.fixed;
    grid.querySelectorAll("path.curve").forEach((node) => node.classList.toggle("faded", now !== null && node.dataset.curve !== now));
  } };
  const draw = () => grid.replaceChildren(...panel.metrics.filter((metric) => state.shown.has(metric.key)).map((metric) => curvePanel(metric, panel.curves, held)));
  const legend = el("ul", { class: "legend", "aria-label": "lines" }, panel.curves.map((curve) => {
    const button = el("button", { type: "button", "aria-pressed": "false", onpointerenter: () => held.point(curve.label), onpointerleave: () => held.point(null), onclick: () => {
      state.fixed = state.fixed === curve.label ? null : curve.label;
      legend.querySelectorAll("button").forEach((other) => other.setAttribute("aria-pressed", String(other === button && state.fixed !== null)));
      held.point(null);
    } }, lineKey(curve.tone), curve.label);
    return el("li", {}, button);
  }));
  const more = panel.metrics.length > state.shown.size ? el("details", { class: "screen" }, el("summary", {}, `Metrics (${state.shown.size} of ${panel.metrics.length})`), el("div", { class: "choices" }, panel.metrics.map((metric) => {
    const box = el("input", { type: "checkbox", checked: metric.first, onchange: () => { if (box.checked) state.shown.add(metric.key); else state.shown.delete(metric.key); draw(); } });
    return el("label", {}, box, metric.title);
  }))) : null;
  draw();
  return [more, grid, legend];
}

function learning() {
  if (!data.panels.length) return null;
  const [own, ...below] = data.panels;
  const folded = below.map((panel) => {
    const inside = el("div", {});
    return el("details", { ontoggle: () => { if (!inside.childNodes.length) inside.append(...panelSet(panel).filter(Boolean)); } }, el("summary", {}, `${panel.name} (${panel.curves.length})`), inside);
  });
  return section("learning", "Learning curves", "Colours are those of the table's lines; seeds of one line share theirs. Dashed lines are what to compare with.", panelSet(own), el("div", { class: "below" }, folded));
}

// What training rewarded and what was truly wanted: over training as a path, and at the end with intervals.
// At the end only the judge's scores are known, so that figure is of runs whose judge is their training reward.
function proxy() {
  const own = data.panels.find((panel) => panel.name === "jobs");
  const differ = (curve, name) => { const gold = new Map(curve.series[`${name}/reward/gold`] || []); return (curve.series[`${name}/reward/score`] || []).some(([step, score]) => gold.has(step) && gold.get(step) !== score); };
  const side = ["eval", "train"].find((name) => own && own.curves.some((curve) => differ(curve, name))); // none where gold itself was trained on
  const ends = policies.filter((row) => row.jobs.every((number) => data.proxies.includes(number)) && row.cells["final/reward_difference"] && row.cells["final/reward_gold_difference"] && row.cells["final/reward_difference"].value !== row.cells["final/reward_gold_difference"].value);
  if (!side && !ends.length) return null;
  const figures = [];
  if (ends.length) {
    const inner = el("div", {});
    figures.push(el("figure", {}, el("figcaption", {}, el("h3", {}, "At the end: gold gain against gain in training reward"), el("span", { class: "soft" }, "over the start, same held-out prompts; 0, 0 is the start itself")), inner));
    const cells = ends.map((row) => ({ row, x: row.cells["final/reward_difference"], y: row.cells["final/reward_gold_difference"] }));
    const all = (name) => [0, ...cells.flatMap((found) => [found[name].value, found[name].low, found[name].high])];
    queueMicrotask(() => plot(inner, { label: "gold gain against gain in training reward", height: 290, x: { values: all("x"), name: "gain in training reward", pad: 0.06 }, y: { values: all("y") }, draw(area) {
      baselines(area, [{ value: 0, label: "no gain in gold" }]);
      area.root.append(sv("line", { class: "baseline", x1: area.X(0), x2: area.X(0), y1: area.top, y2: area.height - area.bottom }));
      area.root.append(shape("diamond", area.X(0), area.Y(0), 4.6, { class: "dot hollow cx" }), sv("text", { x: area.X(0) + 10, y: area.Y(0) + 16 }, "start (control)"));
      for (const found of cells) {
        const place = placeOf(found.row.at), px = area.X(found.x.value), py = area.Y(found.y.value);
        errorBars(area, found.x, found.y, px, py, colour(place));
        const text = `${nameOf(found.row)}\ntraining reward ${found.x.text} [${found.x.range}]\ngold ${found.y.text} [${found.y.range}]`;
        area.root.append(sv("g", { class: "target", onpointermove: (event) => { showTip(event.clientX, event.clientY, text); point(found.row.at); }, onpointerleave: () => { hideTip(); point(null); } },
          sv("circle", { cx: px, cy: py, r: 13, fill: "transparent" }), shape(shapeOf(place), px, py, 5.5, { class: `dot ${colour(place)}` })));
      }
    } }));
  }
  if (side) {
    const inner = el("div", {});
    const paths = own.curves.map((curve) => {
      const gold = new Map(curve.series[`${side}/reward/gold`] || []);
      return { curve, points: (curve.series[`${side}/reward/score`] || []).filter(([step]) => gold.has(step)).map(([step, score]) => [score, gold.get(step), step]) };
    }).filter((found) => found.points.length > 1);
    figures.push(el("figure", {}, el("figcaption", {}, el("h3", {}, "Over training: gold against training reward"), el("span", { class: "soft" }, `${side === "eval" ? "held out" : "training"}; from the ring to the dot; down while going right is over-optimisation`)), inner));
    queueMicrotask(() => plot(inner, { label: "gold score against training reward over training", height: 290, x: { values: paths.flatMap((found) => found.points.map((p) => p[0])), name: "training reward", pad: 0.04 }, y: { values: paths.flatMap((found) => found.points.map((p) => p[1])) }, draw(area) {
      for (const { curve, points } of paths) {
        const tone = colour(curve.tone), at = points.map(([x, y]) => [area.X(x), area.Y(y)]), last = at[at.length - 1];
        const over = (event) => { let near = 0; const box = area.root.getBoundingClientRect(); at.forEach(([px, py], place) => { const far = (q) => Math.hypot(q[0] - (event.clientX - box.left) * area.width / box.width, q[1] - (event.clientY - box.top) * area.height / box.height); if (far([px, py]) < far(at[near])) near = place; });
          showTip(event.clientX, event.clientY, `${curve.label}\nstep ${points[near][2]}: training reward ${short(points[near][0])}, gold ${short(points[near][1])}`); };
        area.root.append(sv("g", { onpointermove: over, onpointerleave: hideTip }, sv("path", { class: `curve ${tone} ${dashes(curve.tone)}`, d: path(at) }),
          sv("circle", { class: `dot hollow ${tone}`, cx: at[0][0], cy: at[0][1], r: 3.5 }), sv("circle", { class: `dot ${tone}`, cx: last[0], cy: last[1], r: 4.5 })));
      }
    } }));
  }
  return section("proxy", "Proxy and gold", "The training reward is what the policy was trained on; gold is the known true reward. A gain that gold does not share is over-optimisation.", el("div", { class: "grid" }, figures));
}
