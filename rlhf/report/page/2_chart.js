// Axes, ticks and marks for every figure. A figure is drawn again when its width changes.
function ticks(low, high, count) {
  const span = high - low || Math.abs(high) || 1;
  const raw = span / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((times) => times * power).find((size) => size >= raw);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at += 1) found.push(Number((at * step).toPrecision(12)));
  return found;
}
function extent(values, pad) {
  const known = values.filter((value) => value !== null && value !== undefined && Number.isFinite(value));
  if (!known.length) return [0, 1];
  let low = Math.min(...known), high = Math.max(...known);
  if (low === high) { const more = Math.abs(low) * 0.1 || 1; low -= more; high += more; }
  return [low - (high - low) * pad, high + (high - low) * pad];
}
const scale = (from, to) => (value) => to[0] + ((value - from[0]) / (from[1] - from[0])) * (to[1] - to[0]);

// plot(host, {label, x: {values, name, what}, y: {...}, height, draw(area)}): axes around what `draw` puts in.
function plot(host, options) {
  let drawn = 0;
  function draw() {
    const width = Math.round(host.clientWidth) || 640;
    if (width === drawn) return;
    drawn = width;
    const height = options.height;
    const [yLow, yHigh] = extent(options.y.values, 0.08), [xLow, xHigh] = extent(options.x.values, options.x.pad ?? 0.02);
    const yTicks = ticks(yLow, yHigh, 5), labels = yTicks.map((value) => spoken(options.y.what, value));
    const left = 16 + Math.max(...labels.map((label) => label.length), 2) * 7, right = 14, top = 12, bottom = options.x.name ? 44 : 26;
    const X = scale([xLow, xHigh], [left, width - right]), Y = scale([yLow, yHigh], [height - bottom, top]);
    const root = sv("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": options.label });
    yTicks.forEach((value, at) => {
      root.append(sv("line", { class: "gridline", x1: left, x2: width - right, y1: Y(value), y2: Y(value) }));
      root.append(sv("text", { x: left - 8, y: Y(value) + 4, "text-anchor": "end" }, labels[at]));
    });
    for (const value of ticks(xLow, xHigh, Math.max(3, Math.floor(width / 110))).filter((tick) => !options.x.whole || Number.isInteger(tick))) {
      root.append(sv("text", { x: X(value), y: height - bottom + 18, "text-anchor": "middle" }, spoken(options.x.what, value)));
      root.append(sv("line", { class: "axis", x1: X(value), x2: X(value), y1: height - bottom, y2: height - bottom + 4 }));
    }
    root.append(sv("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }));
    if (options.x.name) root.append(sv("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, options.x.name));
    options.draw({ root, X, Y, width, height, left, right, top, bottom });
    host.replaceChildren(root);
  }
  draw();
  new ResizeObserver(draw).observe(host);
  return { redraw() { drawn = 0; draw(); } };
}

function baselines(area, marks) {
  marks.forEach((mark, at) => {
    const y = area.Y(mark.value);
    if (y < area.top || y > area.height - area.bottom) return;
    area.root.append(sv("line", { class: "baseline", x1: area.left, x2: area.width - area.right, y1: y, y2: y }));
    area.root.append(sv("text", { class: "baseline-text", x: area.width - area.right, y: y - 5 - at, "text-anchor": "end" }, mark.label));
  });
}
const path = (points) => {
  let pen = "M";
  return points.map(([x, y]) => { if (!Number.isFinite(y)) { pen = "M"; return ""; } const step = `${pen}${x.toFixed(1)} ${y.toFixed(1)}`; pen = "L"; return step; }).join("");
};
function shape(kind, x, y, size, attributes) {
  const d = {
    circle: `M${x - size} ${y}a${size} ${size} 0 1 0 ${2 * size} 0a${size} ${size} 0 1 0 ${-2 * size} 0`,
    square: `M${x - size} ${y - size}h${2 * size}v${2 * size}h${-2 * size}z`,
    triangle: `M${x} ${y - size * 1.2}L${x + size * 1.15} ${y + size * 0.9}H${x - size * 1.15}z`,
    diamond: `M${x} ${y - size * 1.3}L${x + size * 1.3} ${y}L${x} ${y + size * 1.3}L${x - size * 1.3} ${y}z`,
  }[kind];
  return sv("path", { d, ...attributes });
}
const shapeOf = (place) => ["circle", "square", "triangle"][Math.floor((place ?? 0) / 7) % 3];
function errorBars(area, xCell, yCell, x, y, tone) {
  const bars = [];
  if (xCell && xCell.low !== null) bars.push([area.X(xCell.low), area.X(xCell.high), y, y]);
  if (yCell && yCell.low !== null) bars.push([x, x, area.Y(yCell.low), area.Y(yCell.high)]);
  bars.forEach(([x1, x2, y1, y2]) => area.root.append(sv("line", { class: `error ${tone}`, x1, x2, y1, y2 })));
}
// Puts names beside points, each where none that stands already is in its way; `taken` holds [left, top, right, bottom].
function label(area, taken, x, y, text) {
  const wide = text.length * 6.6, places = [];
  for (const down of [4, -10, 18, -24, 32]) places.push([x + 14, y + down], [x - 16 - wide, y + down]);
  const box = ([left, base]) => [left, base - 11, left + wide, base + 3];
  const free = places.find((place) => { const [l, t, r, b] = box(place); return l >= area.left && r <= area.width && t >= 0 && b <= area.height - area.bottom + 6 && taken.every(([l2, t2, r2, b2]) => r < l2 || l > r2 || b < t2 || t > b2); });
  if (!free) return;
  taken.push(box(free));
  area.root.append(sv("text", { class: "on-lines", x: free[0], y: free[1] }, text));
}
function lineKey(place) {
  return sv("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" }, sv("line", { class: `curve ${colour(place)} ${dashes(place)}`, x1: 1, x2: 25, y1: 5, y2: 5 }));
}
function pointKey(row) {
  const place = placeOf(row.at);
  if (!row.control && place === null) return sv("svg", { class: "key", viewBox: "0 0 18 18", "aria-hidden": "true" });
  const drawn = row.control ? shape("diamond", 9, 9, 4, { class: "dot hollow cx" }) : shape(shapeOf(place), 9, 9, 4.8, { class: `dot ${colour(place)}` });
  return sv("svg", { class: "key", viewBox: "0 0 18 18", role: "img", "aria-label": row.front ? "on the front" : "" }, row.front ? sv("circle", { class: `ring ${colour(place)}`, cx: 9, cy: 9, r: 8 }) : null, drawn);
}
