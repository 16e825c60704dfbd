// The model that answers: its thresholds and its card.

import { el, facts, problemBox } from "./dom.js";
import { getJson } from "./service.js";

/** Return the view of the model. */
export function modelView() {
  const content = el("div", {}, el("p", {}, "Is being read …"));
  getJson("/v1/model").then(
    (model) => content.replaceChildren(...parts(model)),
    (problem) => content.replaceChildren(problemBox(problem)),
  );
  return el("section", {}, el("h1", { tabindex: "-1" }, "The model"), content);
}

function parts(model) {
  const share = (value) => (value === null ? "not measured" : `${(100 * value).toFixed(1)} %`);
  const rows = Object.entries(model.operating_points).map(([name, point]) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, name === model.operating_point ? `${name} (in force)` : name),
      el("td", {}, point.threshold.toFixed(3)),
      el("td", {}, point.inconclusive_from.toFixed(3)),
      el("td", {}, share(point.fpr)),
      el("td", {}, share(point.tpr)),
      el("td", {}, point.measured_on),
    ),
  );
  const heads = [
    "Operating point",
    "Likely fake from",
    "Likely real below",
    "Genuine that reach it",
    "Fake that reach it",
    "Measured on",
  ];
  return [
    facts([
      ["Model", `${model.name} version ${model.version}`],
      ["From", model.source === "registry" ? "the registry: the champion" : "the package: no champion is registered"],
      ["Weights", model.weights_sha256],
      ["Trained on", model.trained_on],
    ]),
    el("h2", {}, "Thresholds"),
    el(
      "div",
      { class: "scrolls", role: "region", "aria-label": "Thresholds", tabindex: "0" },
      el(
        "table",
        {},
        el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))),
        el("tbody", {}, ...rows),
      ),
    ),
    el("h2", {}, "Model card"),
    model.card ? el("div", { class: "card" }, ...markdown(model.card)) : el("p", {}, "This model has no card."),
  ];
}

/** Return Markdown as elements: headings, lists, tables, paragraphs; what else there is stays as it is written. */
function markdown(text) {
  const blocks = text.trim().split(/\n\s*\n/);
  return blocks.map((block) => {
    const lines = block.split("\n");
    const heading = /^(#+)\s+(.*)$/.exec(lines[0]);
    if (heading)
      return el(
        "div",
        {},
        el(`h${Math.min(6, heading[1].length + 2)}`, {}, ...inline(heading[2])),
        ...(lines.length > 1 ? markdown(lines.slice(1).join("\n")) : []),
      );
    if (lines.length > 1 && /^\s*\|?[\s:|-]+\|[\s:|-]*$/.test(lines[1])) return table(lines);
    if (/^\s*[-*]\s/.test(lines[0]))
      return el(
        "ul",
        {},
        ...block.split(/\n(?=\s*[-*]\s)/).map((item) => el("li", {}, ...inline(item.replace(/^\s*[-*]\s+/, "")))),
      );
    return el("p", {}, ...inline(block));
  });
}

function table(lines) {
  const cells = (line) =>
    line
      .trim()
      .replace(/^\||\|$/g, "")
      .split("|")
      .map((cell) => inline(cell.trim()));
  // Regions need names of their own: screen readers list them.
  const columns = lines[0].split("|").map((cell) => cell.trim()).filter(Boolean).join(", ");
  return el(
    "div",
    { class: "scrolls", role: "region", "aria-label": `Table of ${columns}`, tabindex: "0" },
    el(
      "table",
      {},
      el("thead", {}, el("tr", {}, ...cells(lines[0]).map((cell) => el("th", { scope: "col" }, ...cell)))),
      el(
        "tbody",
        {},
        ...lines.slice(2).map((line) => el("tr", {}, ...cells(line).map((cell) => el("td", {}, ...cell)))),
      ),
    ),
  );
}

function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (part.startsWith("`") && part.endsWith("`") && part.length > 2) return el("code", {}, part.slice(1, -1));
    if (part.startsWith("**")) return el("strong", {}, part.slice(2, -2));
    return part;
  });
}
