// Elements, sentences for screen readers, and numbers as text.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Return an HTML element. An attribute that is a function listens to the event of its name. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** Return an SVG element. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/** Put an element in the place of another; a button in it that had the focus keeps it. */
export function replaceKeepingFocus(old, next) {
  const place = [...old.querySelectorAll("a, button")].indexOf(document.activeElement);
  old.replaceWith(next);
  if (place >= 0) next.querySelectorAll("a, button")[place]?.focus();
}

/** Let screen readers say a sentence. */
export function announce(sentence) {
  document.getElementById("announcer").textContent = sentence;
}

/** Return a list of names and values; rows without a value are left out. */
export function facts(rows) {
  const shown = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el(
    "dl",
    { class: "facts" },
    ...shown.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
}

/** Return what went wrong, in the words of the service, and buttons to go on. */
export function problemBox(problem, ...buttons) {
  return el(
    "div",
    { class: "problem", role: "alert" },
    el("p", {}, el("strong", {}, problem.title), problem.detail ? ` ${problem.detail}` : ""),
    problem.requestId
      ? el("p", { class: "note" }, `Request ${problem.requestId}; the log of the service has it, too.`)
      : null,
    buttons.length ? el("p", { class: "row" }, ...buttons) : null,
  );
}

export const VERDICTS = {
  likely_fake: { words: "Likely fake", mark: "▲" },
  inconclusive: { words: "Inconclusive", mark: "◆" },
  likely_real: { words: "Likely real", mark: "●" },
  not_applicable: { words: "No score", mark: "○" },
};

/** Return a verdict as a mark and words, so that colour is not needed. */
export function verdictBadge(verdict) {
  const { words, mark } = VERDICTS[verdict];
  return el("span", { class: `verdict ${verdict}` }, el("span", { "aria-hidden": "true" }, mark), ` ${words}`);
}

/** Return the verdict that a score has at a threshold. */
export function verdictOf(pFake, point) {
  if (pFake >= point.threshold) return "likely_fake";
  return pFake >= point.inconclusive_from ? "inconclusive" : "likely_real";
}

/** Return a score with two digits, or as many as show on which side of the thresholds it lies. */
export function scoreText(pFake, point) {
  const bounds = [point.threshold, point.inconclusive_from];
  let digits = 2;
  while (
    digits < 6 &&
    bounds.some((bound) => pFake < bound && Number(pFake.toFixed(digits)) >= Number(bound.toFixed(digits)))
  )
    digits += 1;
  const smallest = 10 ** -digits;
  if (Number(pFake.toFixed(digits)) >= 1) return `above ${(1 - smallest).toFixed(digits)}`;
  if (Number(pFake.toFixed(digits)) <= 0) return `below ${smallest.toFixed(digits)}`;
  return pFake.toFixed(digits);
}

/** Return a time in a video. */
export function timeText(seconds) {
  if (seconds < 60) return `${seconds.toFixed(2)} s`;
  const minutes = Math.floor(seconds / 60);
  return `${minutes} min ${(seconds - 60 * minutes).toFixed(1)} s`;
}

/** Return a size of a file. */
export function sizeText(bytes) {
  if (bytes < 1000) return counted(bytes, "byte");
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(0)} kB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Return a moment as this browser writes it. */
export function momentText(moment) {
  return new Date(moment).toLocaleString();
}

/** Put a text on the clipboard; browsers have the newer way only where the connection is trusted. */
export async function copyText(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = el("textarea", { class: "unseen" });
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/** Return a number with its noun. */
export function counted(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
