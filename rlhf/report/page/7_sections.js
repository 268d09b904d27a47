// Headline, warnings, answers, stages, failures, commands and machine.
function headline() {
  const sweep = data.sweeps[0];
  return el("header", {}, el("h1", {}, data.title),
    el("p", { class: "soft small" }, [sweep.started ? `started ${sweep.started}` : "", `report of ${data.made}`, data.sweeps.map((one) => one.folder).join(", ")].filter(Boolean).join(" · ")),
    data.swept.length ? el("ul", { class: "swept" }, data.swept.map((one) => el("li", {}, one.key, " ", el("b", {}, one.values.length > 8 ? `${one.values.slice(0, 3).join(", ")} … ${one.values[one.values.length - 1]} (${one.values.length})` : one.values.map((value) => value || "–").join(", "))))) : null,
    el("div", { class: "tiles", role: "list" }, data.tiles.map((tile) => el("dl", { class: "tile", role: "listitem" }, el("dt", {}, tile.label), el("dd", {}, tile.value), el("dd", {}, tile.detail)))),
    data.sweeps.filter((one) => one.command).map((one) => command(one.command)));
}
function warningsOf() {
  const items = data.warnings.map((one) => {
    const bad = ["collapse", "no learning", "worse", "no effect", "damaged"].includes(one.kind), [first, ...rest] = one.told;
    const who = data.rows.some((row) => row.jobs.length) ? jobsOf(one.jobs) : "";
    return el("li", { class: bad ? "bad" : "" }, el("span", { class: "chip" }, one.kind), el("div", {}, first.text, el("span", { class: "soft" }, ` (${rest.length ? `${who}; ${rest.length === 1 ? "once" : `${rest.length} times`} more with other figures` : who})`),
      rest.length ? el("details", { class: "screen" }, el("summary", {}, "all"), el("ul", {}, one.told.map((told) => el("li", {}, `${jobsOf(told.jobs)}: ${told.text}`)))) : null));
  });
  items.sort((one, other) => other.classList.contains("bad") - one.classList.contains("bad"));
  if (data.failures.length) items.unshift(el("li", { class: "bad" }, el("span", { class: "chip" }, "unfinished"), el("div", {}, `${jobsOf(data.failures.map((one) => one.number))} did not finish. `, el("a", { href: "#failures" }, "Why"))));
  if (!items.length) items.push(el("li", { class: "calm" }, "None of the checks found anything: learning, collapse, baselines, noise and judge."));
  return section("warnings", "Warnings", "", el("ul", { class: "warnings" }, items));
}
function samples() {
  if (!data.samples.length) return section("answers", "Answers side by side", "These jobs left no answers on disk. A job of this version keeps them in its result.json.");
  const seeds = [...new Set(data.samples.flatMap((one) => one.answers.flatMap((answer) => answer.seeds)))];
  const state = { at: 0, seed: seeds[0] };
  const choice = seeds.length < 2 ? null : el("label", {}, "seed", el("select", { id: "answers-seed", onchange: (event) => { state.seed = event.target.value; draw(); } },
    [...seeds, "all"].map((seed) => el("option", { value: seed }, seed))));
  const host = el("div", {}), status = el("span", { "aria-live": "polite" });
  const tone = (answer) => { const found = data.panels[0]?.curves.find((curve) => curve.label === answer.name); return answer.control ? "" : colour(found ? found.tone : 0); };
  function draw() {
    const one = data.samples[state.at];
    status.textContent = `prompt ${state.at + 1} of ${data.samples.length}`;
    host.replaceChildren(el("div", { class: "prompt" }, one.prompt), el("div", { class: "answers" }, one.answers.filter((answer) => seeds.length < 2 || state.seed === "all" || answer.seeds.includes(state.seed)).map((answer) =>
      el("article", { class: `answer ${answer.control ? "control" : ""} ${tone(answer)}` }, el("h3", {}, answer.name, answer.control ? el("span", { class: "soft small" }, " control") : null), el("p", {}, answer.text || el("span", { class: "soft" }, "(empty)")),
        el("div", { class: "scores" }, answer.reward === null ? null : el("span", {}, "judge ", el("b", {}, three(answer.reward))), answer.gold === null ? null : el("span", {}, "gold ", el("b", {}, three(answer.gold))))))));
  }
  const move = (by) => { state.at = (state.at + by + data.samples.length) % data.samples.length; draw(); };
  draw();
  return section("answers", "Answers side by side", `The same held-out prompts to every policy, controls first. Judge and gold are scores of this one answer${data.judges.length ? `; the judge is ${data.judges.join(", or ")}` : ""}.`,
    el("div", { class: "choices screen" }, el("button", { type: "button", id: "previous-prompt", onclick: () => move(-1) }, "← Previous"), el("button", { type: "button", id: "next-prompt", onclick: () => move(1) }, "Next →"), choice, status), host);
}
function stages() {
  if (!data.stages.length) return null;
  const row = (stage) => el("tr", {}, el("td", {}, stage.name, " ", stage.name.endsWith(stage.fingerprint.slice(0, 12)) ? null : el("span", { class: "soft code" }, stage.fingerprint.slice(0, 12))), el("td", {}, stage.built.length ? jobsOf(stage.built) : "earlier"), el("td", {}, stage.reused.length ? jobsOf(stage.reused) : "–"),
    el("td", { class: "num" }, stage.took), el("td", { class: "num" }, stage.price || "–"), el("td", { class: "num" }, stage.saved || "–"));
  return section("stages", "Stages and reuse", "Each stage once. Time and price are those of building it; saved is that, times the jobs that took it from the store.",
    el("div", { class: "wide" }, el("table", {}, el("thead", {}, el("tr", {}, ["stage", "built by", "reused by"].map((title) => el("th", { scope: "col" }, title)), ["time", "USD", "saved"].map((title) => el("th", { scope: "col", class: "num" }, title)))), el("tbody", {}, data.stages.map(row)))));
}
function failures() {
  if (!data.failures.length) return null;
  return section("failures", "Jobs that did not finish", "", data.failures.map((one) => el("div", {}, el("p", {}, el("b", {}, `job ${one.number}, ${one.name}: ${one.status}`), el("br"), one.error), command(one.command), el("p", { class: "soft small" }, one.folder))));
}
function search() {
  const made = data.searches.map((one) => {
    const metrics = Object.entries(one.importances || {}).map(([metric, estimators]) => {
      const [name, shares] = Object.entries(estimators).find(([, found]) => Object.keys(found).length) || ["", {}];
      return el("figure", {}, el("figcaption", {}, el("h3", {}, `What moves ${metric}`), el("span", { class: "soft" }, `share of its spread, by ${name}`)),
        el("dl", { class: "shares" }, Object.entries(shares).map(([key, share]) => {
          const bar = el("span", { class: "share" });
          bar.style.width = `${Math.max(0.5, share * 100)}%`;
          return el("div", {}, el("dt", {}, key), el("dd", {}, el("span", { class: "track" }, bar), short(Number(share.toFixed(2)))));
        })));
    });
    const counts = Object.entries(one.counts || {}).filter(([, count]) => count).map(([name, count]) => `${count} ${name}`).join(", ");
    return [el("p", {}, [`${one.sampler || "search"}`, one.trials_wanted ? `${one.trials_wanted} trials wanted` : "", counts].filter(Boolean).join("; ")), el("ul", { class: "small" }, (one.notes || []).map((note) => el("li", {}, note))), el("div", { class: "grid" }, metrics)];
  });
  return made.length ? section("search", "Search", "", made) : null;
}
function commands() {
  const rows = data.rows.filter((row) => row.commands.length);
  if (!rows.length) return null;
  return section("commands", "Commands", "What makes each line again, one command per seed.", rows.map((row) => el("details", {}, el("summary", {}, nameOf(row)), el("div", { class: "commands" }, row.commands.map(command)))));
}
function machine() {
  if (!data.machines.length) return null;
  return section("machine", "Versions and machine", "", data.machines.map((one) => [data.machines.length > 1 ? el("h3", {}, jobsOf(one.jobs)) : null,
    el("dl", { class: "facts" }, Object.entries(one.facts).map(([name, value]) => el("div", {}, el("dt", {}, name.replace(/^(version|hardware)\./, "")), el("dd", {}, String(value)))))]));
}
