// Histograms and bars of shares.
const told = data.told;
const whole = (value) => Math.round(value).toLocaleString("en-US");
function percent(count, of) {
  const share = of ? (100 * count) / of : 0;
  if (count === 0) return "0%";
  return share < 0.1 ? "<0.1%" : `${share.toFixed(1)}%`;
}

// One histogram: bars of equal width, a mark at the limit where there is one.
function histogram(one) {
  const host = el("div", { class: "histogram" });
  const reach = one.start + one.width * one.bars.length, total = one.rows || 1;
  const cut = one.beyond ? `${whole(one.beyond)} longer ones stand in the last bar` : "";
  const over = one.limit === undefined ? "" : one.limit < one.max ? `limit ${whole(one.limit)}` : `all within the limit of ${whole(one.limit)}`;
  const caption = [`median ${whole(one.median)}`, `95% up to ${whole(one.p95)}`, `longest ${whole(one.max)}`, over, cut].filter(Boolean).join(" · ");
  let drawn = 0;
  function draw() {
    const width = Math.round(host.clientWidth) || 400;
    if (width === drawn) return;
    drawn = width;
    const height = 190, top = 10, bottom = 26, most = Math.max(...one.bars, 1), marks = ticks(0, most, 4);
    const left = 14 + 7 * Math.max(...marks.map((value) => whole(value).length)), right = 10;
    const X = scale([one.start, reach], [left, width - right]), Y = scale([0, most], [height - bottom, top]);
    const root = sv("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${one.part} in ${one.unit}: ${caption}` });
    for (const value of marks.filter(Number.isInteger)) {
      root.append(sv("line", { class: "gridline", x1: left, x2: width - right, y1: Y(value), y2: Y(value) }));
      root.append(sv("text", { x: left - 7, y: Y(value) + 4, "text-anchor": "end" }, whole(value)));
    }
    one.bars.forEach((count, at) => {
      const from = one.start + at * one.width, to = from + one.width - 1, last = at === one.bars.length - 1 && one.beyond;
      const range = last ? `${whole(from)} and more` : from === to ? whole(from) : `${whole(from)} to ${whole(to)}`;
      const x = X(from), wide = Math.max(1, X(from + one.width) - x - (X(from + one.width) - x > 4 ? 1 : 0));
      const y = count ? Math.min(Y(count), height - bottom - 1) : height - bottom;
      root.append(sv("rect", { class: `bar-of ${one.limit !== undefined && from > one.limit ? "past" : ""}`, x, y, width: wide, height: height - bottom - y }));
      const area = sv("rect", { class: "target-area", x, y: top, width: wide + 1, height: height - bottom - top });
      area.addEventListener("pointermove", (event) => showTip(event.clientX, event.clientY, `${range} ${one.unit}\n${whole(count)} of ${whole(total)} (${percent(count, total)})`));
      area.addEventListener("pointerleave", hideTip);
      root.append(area);
    });
    const few = one.bars.length * one.width < 12;
    for (const value of ticks(one.start, reach, Math.max(2, Math.floor(width / 90))).filter(Number.isInteger)) {
      const at = few ? X(value) + (X(1) - X(0)) / 2 : X(value);
      if (at > width - right + 1) continue;
      root.append(sv("text", { x: at, y: height - bottom + 17, "text-anchor": "middle" }, whole(value)));
    }
    root.append(sv("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }));
    if (one.limit !== undefined && one.limit > one.start && one.limit < reach) {
      root.append(sv("line", { class: "limit", x1: X(one.limit), x2: X(one.limit), y1: top, y2: height - bottom }));
    }
    host.replaceChildren(root);
  }
  draw();
  new ResizeObserver(draw).observe(host);
  return el("figure", {}, el("figcaption", {}, el("h3", {}, `${one.part[0].toUpperCase()}${one.part.slice(1)} in ${one.unit}`), el("span", { class: "soft" }, caption)), host);
}

// A table of values with a bar each; the share is of `of`.
function shares(title, lines, note) {
  const most = Math.max(...lines.map((line) => line.share), 0.0001);
  return el("figure", { class: "kinds" }, el("figcaption", {}, el("h3", {}, title), note ? el("span", { class: "soft" }, note) : null),
    el("table", {}, el("tbody", {}, lines.map((line) => {
      const bar = el("span", { class: "share" });
      bar.style.width = `${Math.max(0.4, (100 * line.share) / most)}%`;
      return el("tr", {}, el("td", { class: "value" }, line.value), el("td", { class: "track-cell" }, el("span", { class: "track" }, bar)),
        el("td", { class: "num" }, whole(line.count)), el("td", { class: "num soft" }, line.share < 0.001 ? "<0.1%" : `${(100 * line.share).toFixed(1)}%`));
    }))));
}
function table(columns, lines, about) {
  const head = el("thead", {}, el("tr", {}, columns.map(([name, number]) => el("th", { scope: "col", class: number ? "num" : null }, name))));
  const body = el("tbody", {}, lines.map((line) => el("tr", {}, line.map((cell, at) => el("td", { class: columns[at][1] ? "num" : null }, cell)))));
  return el("div", { class: "wide" }, el("table", {}, about ? el("caption", {}, about) : null, head, body));
}
