// What stands behind one entry of the matrix: curves, runs, and one run in full.

function openCell(data, rule, attack, places) {
  const names = `${rule} against ${attack}`;
  const first = places.find((i) => data.cells.key[i] && at(data.cells.status, i) === "done") ?? places[0] ?? null;
  const dialog = byId("cell");
  const show = (place) => dialog.querySelector(".content").replaceChildren(...content(data, rule, attack, places, place, show));
  byId("cell-title").replaceChildren(names);
  show(first);
  dialog.showModal();
  dialog.querySelector(".content").scrollTop = 0;
}

function content(data, rule, attack, places, chosen, show) {
  if (!places.length) return [el("p", {}, "No cell here: nobody planned one.")];
  const groups = blocksOf(data, places), one = groups.length === 1;
  const reference = one ? referenceOf(data, rule, attack, places) : null;
  const seeds = new Set(places.map((i) => data.cells.seed[i])).size;
  const over = `${one ? "" : "a line a block, "}${seeds > 1 ? "mean over seeds, band from the lowest to the highest" : "n=1, no interval"}`;
  const end = data.attacks.find(({ name }) => name === attack)?.end ?? null;
  const lines = [...groups, ...(reference ? [reference] : [])];
  const figures = [["accuracy", "Accuracy on the test split, %"], ["attack_success", "Attack success, %"]]
    .map(([name, title]) => curvesFigure(data, lines, name, chosen, `${title}: ${over}`, end));
  const legend = el("p", { class: "legend" }, ...lines.map((group) => el("span", {}, swatch(group.look), ` ${group.label}`)));
  const shared = groups[0].shared ? [el("p", { class: "quiet" }, groups[0].shared)] : [];
  return [...shared, ...figures.filter(Boolean), ...(figures.some(Boolean) ? [legend] : []), runs(data, places, groups, chosen, show), ...facts(data, chosen)];
}

// Cells of one block (setting and assumed f) share a line, named by what tells it from the other lines.
function blocksOf(data, places) {
  const blocks = new Map();
  for (const i of places) inner(blocks, `${data.cells.setting[i]} ${data.cells.assumed[i]}`, Array).push(i);
  const parts = [...blocks.values()], texts = parts.map(([first]) => blockTexts(data, first));
  const differ = texts[0].map((text, k) => texts.some((other) => other[k] !== text));
  return parts.map((part, k) => ({
    label: texts[k].filter((_, t) => differ[t]).join(", ") || "this rule", places: part,
    shared: texts[k].filter((_, t) => !differ[t]).join(", "),
    look: { hue: HUES[k % HUES.length], dash: DASHES[(k + Math.floor(k / HUES.length)) % DASHES.length] },
  }));
}

function blockTexts(data, i) {
  const setting = data.cells.setting[i], f = data.assumed[data.cells.assumed[i]];
  const texts = data.filters.map((filter) => `${filter.title.toLowerCase()} ${filter.labels[filter.values[setting]]}`);
  return f && data.assumed.length > 2 ? [...texts, `assumed f ${f}`] : texts;
}

// Plain averaging in the same setting under the same attack.
function referenceOf(data, rule, attack, places) {
  if (data.plain === null || rule === data.rules[data.plain]) return null;
  const found = placesOf(data, { settings: places.map((i) => data.cells.setting[i]) }, data.rules[data.plain], attack);
  return { label: "mean (no defence)", places: found, look: { hue: "currentColor", dash: "3 3", kind: "reference" } };
}

function runs(data, places, groups, chosen, show) {
  const c = data.cells, several = groups.length > 1;
  const success = places.some((i) => c.attack_success[i] !== null);
  const head = ["Cell", several ? "Block" : null, "Seed", "Status", "Accuracy %", success ? "Attack success %" : null].filter(Boolean);
  const rows = groups.flatMap((group) => group.places.map((i) => el("tr", { class: i === chosen ? "chosen" : null },
    el("td", {}, keyButton(c.key[i], i === chosen, () => show(i))),
    several ? el("td", { class: "block" }, swatch(group.look), ` ${group.label}`) : null,
    el("td", {}, String(c.seed[i])), el("td", {}, at(c.status, i)), el("td", {}, percent(c.accuracy[i])),
    success ? el("td", {}, percent(c.attack_success[i])) : null)));
  return el("div", { class: "scroll runs", tabindex: 0, role: "region", "aria-label": "Cells" },
    el("table", {}, el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col", class: text === "Block" ? "block" : null }, text)))), el("tbody", {}, ...rows)));
}

function keyButton(key, pressed, show) {
  if (!key) return "not planned";
  const again = () => { show(); byId("cell").querySelector('button[aria-pressed="true"]').focus(); };
  return el("button", { type: "button", class: "key", "aria-pressed": String(pressed), onclick: again }, key);
}

function facts(data, i) {
  if (i === null || !data.cells.key[i]) return [];
  const section = (title, columns, open) => {
    const known = Object.entries(columns).map(([name, column]) => [name, at(column, i)]).filter(([, text]) => text !== null);
    if (!known.length) return null;
    return el("details", { open }, el("summary", {}, title),
      el("dl", {}, ...known.flatMap(([name, text]) => [el("dt", {}, name.replaceAll("_", " ")), el("dd", {}, text)])));
  };
  const d = data.details, command = at(d.command, i);
  const pre = el("pre", { tabindex: 0 }, command);
  const copy = el("button", { type: "button", onclick: (event) => copied(event.target, command, pre) }, "Copy");
  return [
    el("h3", {}, `Cell ${data.cells.key[i]}`), el("p", {}, "Make it again: ", copy), pre,
    section("Outcome", d.outcome, true), section("Configuration", d.settings, false), section("Provenance", d.origin, false),
  ].filter(Boolean);
}

async function copied(button, text, pre) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(pre); // Where a page may not write the clipboard, Ctrl-C does.
    button.textContent = "Selected";
  }
}
