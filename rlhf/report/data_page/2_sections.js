// The sections of the page, each nothing where the data has nothing of the kind.
const looked = told.looked_at === told.rows ? "all rows" : `${whole(told.looked_at)} rows drawn by seed`;
function head() {
  const counts = { error: 0, warning: 0, info: 0 };
  told.findings.forEach((one) => { counts[one.severity] += 1; });
  const tiles = [["rows", whole(told.rows), `train ${whole(told.parts.train)} · validation ${whole(told.parts.validation)} · test ${whole(told.parts.test)}`],
    ["records read", whole(told.account[0].after), told.account[0].after === told.rows ? "each is a row" : `${whole(Math.max(0, told.account[0].after - told.rows))} fewer rows`],
    ["distinct prompts", whole(told.counted.distinct.prompts), `${whole(told.counted.distinct.answers)} distinct answers`],
    ["findings", String(told.findings.length), `errors ${counts.error} · warnings ${counts.warning} · notes ${counts.info}`]];
  if (told.account[0].after < told.rows) tiles[1][2] = "each may hold several rows";
  return el("header", {}, el("h1", {}, `Data set ${told.name}`),
    el("p", { class: "soft small source" }, `${told.shape} rows · ${told.source} · data ${told.fingerprint.slice(0, 16)}`),
    el("div", { class: "tiles", role: "list" }, tiles.map(([label, value, detail]) => el("dl", { class: "tile", role: "listitem" }, el("dt", {}, label), el("dd", {}, value), el("dd", {}, detail)))),
    command(told.command));
}
function findings() {
  const names = { error: "error", warning: "warning", info: "note" };
  const items = told.findings.map((one) => el("li", { class: { error: "bad", warning: "", info: "note" }[one.severity] }, el("span", { class: "chip" }, names[one.severity]),
    el("div", {}, one.told, el("div", { class: "soft small" }, one.remedy))));
  if (!items.length) items.push(el("li", { class: "calm" }, "None of the thresholds of inspection.findings is passed."));
  return section("findings", "Findings", "What is worth a word, the worst first. Thresholds stand in inspection.findings; dataset.strict=true refuses errors and warnings.", el("ul", { class: "warnings" }, items));
}
function account() {
  const most = Math.max(...told.account.map((one) => Math.max(one.before, one.after)), 1);
  const lines = told.account.map((one) => {
    const part = ["train", "validation", "test"].includes(one.step), lost = part || ["read", "unfolded"].includes(one.step) ? 0 : one.before - one.after;
    const kept = el("span", { class: "share" }), gone = el("span", { class: "share gone" });
    kept.style.width = `${(100 * one.after) / most}%`;
    gone.style.width = `${(100 * lost) / most}%`;
    return [one.step, el("span", { class: "track both" }, kept, gone), lost ? `−${whole(lost)}` : "", whole(one.after)];
  });
  return section("rows", "Every row", "What was read, what each named step left out, and where the rest went: nothing is lost without a name.", el("div", { class: "account" }, table([["step"], [""], ["left out", true], ["rows", true]], lines)));
}
function columns() {
  if (!told.schema) return null;
  const read = told.schema.records - told.schema.unreadable;
  const lines = told.schema.columns.map((one) => [el("code", {}, one.column), Object.entries(one.types).map(([type, count]) => (Object.keys(one.types).length > 1 ? `${type} ${percent(count, read)}` : type)).join(", ") || "null",
    percent(one.nulls, read), percent(one.empties, read), one.mean_characters === null ? "" : whole(one.mean_characters), one.longest === null ? "" : whole(one.longest)]);
  return section("columns", "Columns", `As they were read, of ${whole(told.schema.records)} records${told.schema.unreadable ? `, ${whole(told.schema.unreadable)} of which could not be read` : ""}. Empty: blank text, or a list or object of nothing.`,
    table([["column"], ["types"], ["null", true], ["empty", true], ["mean characters", true], ["longest", true]], lines));
}
function lengths() {
  const tokens = told.closely.tokens, units = { tokens: 0, words: 1, characters: 2, turns: 3, speakers: 4 };
  const all = [...(tokens ? tokens.lengths : []), ...told.counted.lengths].sort((one, other) => units[one.unit] - units[other.unit]);
  const same = all.filter((one) => one.min === one.max);
  const keys = { prompt: "method.max_prompt_tokens", response: "method.max_response_tokens", context: "model.context_length" };
  const over = tokens ? el("p", { class: "small" }, `Tokens of ${tokens.model}, ${looked}: `, tokens.over.map((one, at) => [at ? ", " : "", el("b", {}, percent(one.rows, told.closely.rows)), ` over ${keys[one.limit]}=${one.tokens}`]), ".") : el("p", { class: "soft small" }, `Tokens: ${told.tokens_note}.`);
  return section("lengths", "Lengths", "Bars end at the 99% quantile. A Chinese or Japanese character counts as a word; turns and speakers include the answer.", over, same.length ? el("p", { class: "soft small" }, `The same everywhere: ${same.map((one) => `${one.part} in ${one.unit} ${whole(one.max)}`).join(", ")}.`) : null,
    el("div", { class: "grid three" }, all.filter((one) => one.min < one.max).map(histogram)));
}
function kinds() {
  const made = [];
  if (told.labels) {
    const total = told.labels.good + told.labels.bad;
    made.push(shares("Labels", Object.entries(told.labels).map(([value, count]) => ({ value, count, share: count / total })), "single judgements, before duplicates"));
  }
  for (const one of told.counted.tables) {
    const lines = one.lines, rest = one.distinct - lines.length;
    made.push(shares(`${one.name[0].toUpperCase()}${one.name.slice(1)}`, lines, `${whole(one.distinct)} distinct, ${one.of === "rows" ? "share of rows" : `share of ${one.of}`}${rest > 0 ? `; ${whole(rest)} rarer ones are not shown` : ""}`));
  }
  const figures = told.counted.figures.length ? table([["number"], ["rows", true], ["mean", true], ["least", true], ["most", true]], told.counted.figures.map((one) => [el("code", {}, one.field), whole(one.rows), three(one.mean), three(one.min), three(one.max)])) : null;
  const left = told.counted.no_tables.length ? el("p", { class: "soft small" }, `Too many values for a table: ${told.counted.no_tables.join(", ")}.`) : null;
  if (!made.length && !figures && !left) return null;
  return section("kinds", "Kinds", "", el("div", { class: "grid" }, made), figures, left);
}
function parts() {
  const near = told.near_duplicates, clusters = (count) => `${whole(count)} cluster${count === 1 ? "" : "s"}`;
  const lines = told.overlap.filter((one) => one.rows || one.what === "prompt").map((one) => [one.same, one.part, one.other, whole(one.rows), percent(one.rows, one.of)]);
  for (const [part, rows] of Object.entries(near.leaked)) lines.push(["nearly the same prompt", part, "a part before it", whole(rows), percent(rows, near.held_out[part])]);
  const examples = near.examples.filter((cluster) => cluster.length > 1);
  return section("split", "What the parts share", "Rows of a held-out part that share something with a part it should be strange to.",
    table([["the same"], ["in"], ["and in"], ["rows", true], ["share", true]], lines),
    el("p", { class: "small" }, `Near-duplicates: ${whole(near.rows)} of ${whole(near.rows_looked_at)} rows, in ${clusters(near.clusters)} of prompts of different groups that share ${Math.round(100 * told.similarity)}% of their pieces of ${told.piece} letters; ${clusters(near.clusters_across_parts)} ${near.clusters_across_parts === 1 ? "reaches" : "reach"} over parts.`),
    examples.length ? el("details", {}, el("summary", {}, "Prompts of the largest clusters"), examples.map((cluster) => el("div", { class: "cluster" }, cluster.map((text) => el("div", { class: "prompt" }, text))))) : null);
}
function style() {
  const longer = told.counted.longer;
  if (!longer) return null;
  const total = longer.chosen + longer.rejected + longer.equal;
  const ruled = told.style ? table([["chosen told from rejected by"], ["accuracy", true], ["95% interval", true]], [["single words", "bag_of_words"], ["length", "length_rule"]].map(([name, key]) => [name, `${(100 * told.style[key].mean).toFixed(1)}%`, `${(100 * told.style[key].low).toFixed(1)}% to ${(100 * told.style[key].high).toFixed(1)}%`])) : null;
  return section("style", "Style of the pairs", told.style ? `Without reading the prompt, on groups that were not learned from; ${whole(told.style.pairs)} pairs. 50% is chance.` : "Too few groups to measure what single words give away.", ruled,
    el("div", { class: "grid" }, shares("Longer answer", Object.entries(longer).map(([value, count]) => ({ value, count, share: count / total })), "by characters")));
}
function contents() {
  const closely = told.closely, found = closely.personal.kinds;
  const personal = found.length ? table([["personal data"], [""], ["rows", true], ["share", true], ["found", true]], found.map((one) => [el("b", {}, one.kind), el("span", { class: "soft" }, one.what), whole(one.rows), percent(one.rows, closely.rows), whole(one.found)])) : el("p", {}, "No personal data was found.");
  return section("contents", "Languages, personal data, rude words", `Looked at: ${looked}. Values of personal data are shown nowhere; names and postal addresses are not looked for.`,
    personal,
    table([["rude words in"], ["texts", true], ["share", true], ["words", true]], closely.toxic.map((one) => [one.part, whole(one.rows), percent(one.rows, one.texts), whole(one.found)])),
    el("div", { class: "grid" }, shares("Language of prompts", closely.languages.slice(0, 12), "as it seems; too short to tell: unknown")));
}
function cleaning() {
  if (!told.cleaning) return null;
  return section("cleaning", "Cleaning", "What each step changed, and some texts before and after all of them.",
    table([["step"], ["texts changed", true], ["share", true]], told.cleaning.steps.map((one) => [el("code", {}, one.step), whole(one.changed), percent(one.changed, one.texts)])),
    told.cleaning.examples.map(([before, after]) => el("div", { class: "answers pair" }, [["before", before], ["after", after]].map(([name, text]) => el("article", { class: "answer" }, el("h3", {}, name), el("p", {}, text))))));
}
