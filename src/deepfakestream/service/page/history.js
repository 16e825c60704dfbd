// Earlier analyses, the newest first.

import { VERDICTS, el, momentText, problemBox, scoreText, verdictBadge } from "./dom.js";
import { getJson } from "./service.js";
import { nameOf } from "./uploads.js";

const STATUS_WORDS = {
  queued: "Waits",
  running: "Is being scanned",
  failed: "Failed",
  canceled: "Canceled",
  expired: "No longer kept",
};

/** Return the view of earlier analyses. */
export function historyView() {
  const rows = el("tbody");
  const more = el("button", { type: "button", class: "plain", hidden: true }, "Show more");
  const message = el("div");
  const kind = choice("kind", "Kind", [
    ["", "all"],
    ["image", "images"],
    ["video", "videos"],
  ]);
  const verdict = choice("verdict", "Verdict", [
    ["", "all"],
    ...Object.entries(VERDICTS).map(([name, { words }]) => [name, words.toLowerCase()]),
  ]);
  let cursor = null;

  async function load(isFirst) {
    if (isFirst) {
      rows.replaceChildren();
      cursor = null;
    }
    const query = new URLSearchParams({ limit: "25" });
    for (const [name, select] of [
      ["kind", kind.select],
      ["verdict", verdict.select],
    ])
      if (select.value) query.set(name, select.value);
    if (cursor) query.set("cursor", cursor);
    try {
      const page = await getJson(`/v1/analyses?${query}`);
      rows.append(...page.items.map(line));
      cursor = page.next_cursor;
      more.hidden = cursor === null;
      message.replaceChildren(rows.childElementCount ? "" : el("p", {}, "There is no such analysis."));
    } catch (problem) {
      message.replaceChildren(
        problemBox(problem, el("button", { type: "button", click: () => load(isFirst) }, "Try again")),
      );
    }
  }
  for (const { select } of [kind, verdict]) select.addEventListener("change", () => load(true));
  more.addEventListener("click", () => load(false));
  load(true);
  return el(
    "section",
    {},
    el("h1", { tabindex: "-1" }, "History"),
    el("p", { class: "row" }, kind.label, kind.select, verdict.label, verdict.select),
    el(
      "div",
      { class: "scrolls", role: "region", "aria-label": "Analyses", tabindex: "0" },
      el(
        "table",
        {},
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            ...["Analysis", "Kind", "Verdict", "Score", "Taken"].map((name) => el("th", { scope: "col" }, name)),
          ),
        ),
        rows,
      ),
    ),
    message,
    more,
  );
}

function choice(id, words, options) {
  return {
    label: el("label", { for: id }, words),
    select: el("select", { id }, ...options.map(([value, text]) => el("option", { value }, text))),
  };
}

function line(analysis) {
  const name = nameOf(analysis.id) ?? `${analysis.id.slice(0, 11)}…`;
  const state = analysis.verdict ? verdictBadge(analysis.verdict) : STATUS_WORDS[analysis.status];
  // The list has no thresholds; two digits are a hint, the result says what the score means.
  const score = analysis.p_fake === null ? "–" : scoreText(analysis.p_fake, { threshold: 0, inconclusive_from: 0 });
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, el("a", { href: `#/analyses/${analysis.id}` }, name)),
    el("td", {}, analysis.kind),
    el("td", {}, state),
    el("td", {}, score),
    el("td", {}, momentText(analysis.created_at)),
  );
}
