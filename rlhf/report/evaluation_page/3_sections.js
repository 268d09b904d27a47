// Head, flags, suites and answers.
const models = [...new Set(told.suites.flatMap((suite) => suite.lines.filter((line) => !line.control).map((line) => line.label)))];
const tones = new Map(models.map((label, place) => [label, colour(place)]));
function head() {
  const flags = told.suites.reduce((sum, suite) => sum + suite.flags.length, 0), metrics = told.suites.reduce((sum, suite) => sum + suite.columns.length, 0);
  const tiles = [["questions", whole(told.questions), "the same for everybody"], ["models", String(models.length), cut(models.join(", "), 60)], ["metrics", String(metrics), told.suites.map((suite) => suite.name).join(", ")],
    ["flags", String(flags), !told.checked ? "nothing to check with: no control lines, or too few questions" : flags ? "metrics that nonsense scores well on" : "no metric that nonsense scores well on"]];
  return el("header", {}, el("h1", {}, data.title),
    el("div", { class: "tiles", role: "list" }, tiles.map(([name, value, detail]) => el("dl", { class: "tile", role: "listitem" }, el("dt", {}, name), el("dd", {}, value), el("dd", {}, detail)))));
}
function flags() {
  const items = Object.entries(told.failures).map(([name, why]) => el("li", { class: "bad" }, el("span", { class: "chip" }, "failed"), el("div", {}, `${name}: ${why}`)));
  for (const suite of told.suites) {
    const groups = new Map();
    suite.flags.forEach((flag, at) => groups.set(flag.together, [...(groups.get(flag.together) || []), { ...flag, number: at + 1 }]));
    for (const [together, some] of groups) {
      const one = (flag) => ({ id: `${suite.name}-flag-${flag.number}` });
      if (some.length < 3) items.push(...some.map((flag) => el("li", one(flag), el("span", { class: "chip" }, `${suite.name} ${flag.number}`), el("div", {}, flag.told))));
      else items.push(el("li", {}, el("span", { class: "chip" }, suite.name), el("div", {}, `${some.map((flag) => flag.metric).join(", ")}: ${together}`, el("details", {}, el("summary", {}, `Each of the ${some.length}`), el("ul", {}, some.map((flag) => el("li", one(flag), `${flag.number}  ${flag.told}`)))))));
    }
  }
  for (const note of told.notes) items.push(el("li", { class: "note" }, el("span", { class: "chip" }, "note"), el("div", {}, note)));
  if (!told.checked) items.push(el("li", { class: "note" }, el("span", { class: "chip" }, "note"), el("div", {}, "There are no control lines here, or too few questions, so that no metric was checked.")));
  if (!items.length) items.push(el("li", { class: "calm" }, "Nonsense is clearly worse than the reference answers on every metric."));
  return section("flags", "Flags", "Metrics on which nonsense is not clearly worse than good answers: read nothing into them alone.", el("ul", { class: "warnings" }, items));
}
function suiteSection(suite) {
  const small = suite.tables.filter((one) => one.speakers.length);
  return section(`suite-${suite.name}`, suite.name, "", suiteTable(suite),
    el("ul", { class: "facts small soft" }, [...suite.notes, ...told.reading, ...suite.facts].map((fact) => el("li", {}, fact))), glossary(suite),
    el("div", { class: "grid" }, suite.columns.map((_, place) => (suite.lines.filter((line) => line.cells[place]).length > 1 ? dots(suite, place, tones) : null))),
    small.length ? el("div", { class: "grid extras" }, small.map((one) => extra(suite, one))) : null);
}
function samples() {
  if (!told.samples.length) return null;
  const state = { at: 0 }, host = el("div", {}), status = el("span", { "aria-live": "polite" });
  function draw() {
    const one = told.samples[state.at];
    status.textContent = `question ${state.at + 1} of ${told.samples.length}`;
    host.replaceChildren(el("div", { class: "prompt" }, one.prompt), el("div", { class: "answers" }, one.answers.map((answer) => {
      const control = answer.role === "reference" || nonsense(answer.role);
      return el("article", { class: `answer ${control ? "control" : tones.get(answer.label) || ""}` }, el("h3", {}, answer.label, control ? el("span", { class: "soft small" }, " control") : null), el("p", { tabindex: answer.text.length > 600 ? "0" : null }, answer.text || el("span", { class: "soft" }, "(empty)")));
    })));
  }
  const move = (by) => { state.at = (state.at + by + told.samples.length) % told.samples.length; draw(); };
  draw();
  return section("answers", "Answers side by side", "The same questions to everybody.",
    el("div", { class: "choices screen" }, el("button", { type: "button", id: "previous-question", onclick: () => move(-1) }, "← Previous"), el("button", { type: "button", id: "next-question", onclick: () => move(1) }, "Next →"), status), host);
}
function settings() {
  const facts = Object.entries(told.settings);
  return facts.length ? section("settings", "Settings", "", el("dl", { class: "facts" }, facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))))) : null;
}
