// Views, captions, theme: what ties the parts together.

function options(parts) {
  return parts.map(([value, text]) => el("option", { value }, text));
}

function viewSelect(data) {
  const groups = new Map();
  data.views.forEach(({ group, title }, k) => inner(groups, group, Array).push([k, title]));
  return el("select", { name: "view" }, ...[...groups].flatMap(([group, parts]) =>
    group ? [el("optgroup", { label: group }, ...options(parts))] : options(parts)));
}

function drawForm(data, form) {
  form.append(el("label", {}, el("span", {}, "Cells"), viewSelect(data)));
  const tracks = [...new Set(data.views.flatMap((view) => view.tracks.map(({ title }) => title)))].sort();
  if (tracks.length > 1) {
    form.append(el("label", {}, el("span", {}, "Tracks"),
      el("select", { name: "track" }, ...options([["", `all ${tracks.length}`], ...tracks.map((title) => [title, title])]))));
  }
  form.append(el("label", { class: "box" }, el("input", { type: "checkbox", name: "wide" }), " All columns"),
    el("button", { type: "reset" }, "Reset"));
}

function legendFor(better) {
  const steps = Array.from({ length: 21 }, (_, k) => {
    const bit = el("i");
    bit.style.backgroundColor = `rgb(${colour(better === "higher" ? k / 20 : 1 - k / 20).join(" ")})`;
    return bit;
  });
  return [el("span", {}, "0 %"), el("span", { class: "ramp", "aria-hidden": "true" }, ...steps), el("span", {}, "100 %"),
    el("span", {}, `bright is good for the defender (${better} is better)`)];
}

// Shows the view that is chosen; values that it does not have cannot be chosen.
function draw(data, form) {
  const view = data.views[Number(form.elements.view.value)], track = form.elements.track?.value ?? "";
  const known = view.tracks.some(({ title }) => title === track) ? track : "";
  drawBoards(view, known, form.elements.wide.checked, () => draw(data, form));
  byId("board-caption").replaceChildren(view.caption);
  byId("flags").replaceChildren(...view.flags.map((text) => el("li", {}, text)));
  const select = byId("value");
  for (const option of select.options) option.disabled = !(option.value in view.matrices);
  if (!(select.value in view.matrices)) select.value = Object.keys(view.matrices)[0] ?? "";
  byId("matrix-part").hidden = !select.value;
  if (!select.value) return;
  drawMatrix(data, view, select.value, (rule, attack) => openCell(data, rule, attack, placesOf(data, view, rule, attack)));
  byId("ramp").replaceChildren(...legendFor(data.values[select.value].better));
  const adaptive = data.attacks.some((attack) => attack.adaptive) ? " Adaptive attacks stand last, behind a line." : "";
  byId("matrix-caption").replaceChildren(`${view.matrices[select.value].caption} In percent. Framed: best rule under the attack.${adaptive}`
    + " Open an entry for its curves, configuration, provenance and command.");
}

function themeButton() {
  const root = document.documentElement, button = byId("theme");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  const name = () => { button.textContent = dark() ? "Light" : "Dark"; };
  button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; name(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();
}

async function start() {
  themeButton();
  if (!("DecompressionStream" in window)) {
    byId("state").textContent = "This browser cannot unpack the page's data: Chrome 80, Firefox 113 or Safari 16.4 and later can.";
    return;
  }
  const data = await unpacked(byId("data").textContent), form = byId("filters");
  drawForm(data, form);
  const present = Object.keys(data.values).filter((value) => data.views.some((view) => value in view.matrices));
  byId("value").append(...options(present.map((value) => [value, data.values[value].title])));
  form.addEventListener("change", () => draw(data, form));
  form.addEventListener("reset", () => { order = null; setTimeout(() => draw(data, form)); });
  form.addEventListener("submit", (event) => event.preventDefault());
  byId("value").addEventListener("change", () => draw(data, form));
  byId("matrix").addEventListener("keydown", walk);
  byId("cell").addEventListener("click", (event) => { if (event.target === byId("cell")) byId("cell").close(); });
  byId("close").addEventListener("click", () => byId("cell").close());
  draw(data, form);
  byId("state").remove();
  document.documentElement.dataset.ready = "yes";
}

start().catch((error) => {
  byId("state").textContent = `The page's data cannot be read (${error.message}). Make it anew with: robustbench-fl report DIR`;
});
