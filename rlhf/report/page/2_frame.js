// Puts sections below one another, each as [id, title, make], and above them a bar that leads to them.
function frame(head, order, skip) {
  const main = document.getElementById("page");
  const links = el("nav", { "aria-label": "sections" });
  main.append(head);
  for (const [id, title, make] of order) {
    const made = make();
    if (!made) continue;
    main.append(made);
    links.append(el("a", { href: `#${id}` }, title));
  }

  const themes = ["auto", "light", "dark"];
  const root = document.documentElement;
  const theme = el("button", { type: "button", id: "theme", title: "colours: as the system has them, light, or dark", onclick: () => dress(themes[(themes.indexOf(root.dataset.theme || "auto") + 1) % 3]) });
  function dress(name) {
    root.dataset.theme = name;
    theme.textContent = { auto: "Auto", light: "Light", dark: "Dark" }[name];
    theme.setAttribute("aria-label", `colours: ${name}`);
    try { localStorage.setItem("rlhf-report-theme", name); } catch (error) { /* a page from a file may have no storage */ }
  }
  let before = null;
  try { before = localStorage.getItem("rlhf-report-theme"); } catch (error) { before = null; }
  dress(themes.includes(before) ? before : "auto");
  document.body.prepend(el("a", { class: "skip", href: "#page" }, skip), el("div", { class: "bar" }, el("div", {}, links, theme)));
  document.body.append(tip);
  const seen = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => links.querySelectorAll("a").forEach((link) => link.classList.toggle("here", link.hash === `#${entry.target.id}`))), { rootMargin: "-15% 0px -75% 0px" });
  document.querySelectorAll("section").forEach((node) => seen.observe(node));
  root.dataset.ready = "true";
}
