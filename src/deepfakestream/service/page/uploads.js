// Files of this tab: chosen, sent one after the other, followed to their verdicts.

import { announce, el, problemBox, replaceKeepingFocus, sizeText, verdictBadge } from "./dom.js";
import { Problem, follow, getJson, newIdempotencyKey, postJson, scanFile } from "./service.js";

const NAMES = "deepfakestream-names";
// A browser opens six connections to a server; streams of events must leave some.
const MOST_STREAMS = 2;
const STAGES = { load: "Loads the model", extract: "Searches for faces", score: "Scores the faces" };

/** The files of this tab, the oldest first. */
export const items = [];
const limitsText = el("span");
let limits = { image: null, video: null };
let isSending = false;
let numStreams = 0;
const listeners = new Set();

/** Return the file of an analysis where it was sent from this tab. */
export function fileOf(analysisId) {
  return items.find((item) => item.id === analysisId)?.file ?? null;
}

/** Return the name of the file of an analysis, as far as this tab knows it; the service stores none. */
export function nameOf(analysisId) {
  return names()[analysisId] ?? null;
}

/** Forget the name and the file of an analysis. */
export function forget(analysisId) {
  const kept = names();
  delete kept[analysisId];
  sessionStorage.setItem(NAMES, JSON.stringify(kept));
  const place = items.findIndex((item) => item.id === analysisId);
  if (place >= 0) items.splice(place, 1);
}

/** Take over how large files may be. */
export function setLimits(usage) {
  limits = { image: usage.max_image_bytes, video: usage.max_video_bytes };
  limitsText.textContent = `Images up to ${sizeText(limits.image)}, videos up to ${sizeText(limits.video)}.`;
}

function names() {
  return JSON.parse(sessionStorage.getItem(NAMES) ?? "{}");
}

function changed(item) {
  for (const listener of listeners) listener(item);
}

/** Return what an analysis that has not ended does, in words. */
export function progressText(progress) {
  if (progress.queue_position && progress.workers === 0) {
    return `Waits: no worker runs now, so nobody takes videos (place ${progress.queue_position} in the queue)`;
  }
  if (progress.queue_position) {
    const wait = progress.eta_s ? `, about ${Math.ceil(progress.eta_s)} s to the verdict` : "";
    return `Waits for a worker: place ${progress.queue_position} in the queue${wait}`;
  }
  const frames = progress.frames_total ? `: frame ${progress.frames_done} of ${progress.frames_total}` : "";
  return `${STAGES[progress.stage] ?? "Begins"}${progress.stage === "load" ? "" : frames}`;
}

/** Take files from the person at the page. */
export function addFiles(files) {
  for (const file of files) {
    const item = {
      file,
      name: file.name,
      state: "waiting",
      text: "Waits to be sent",
      share: null,
      id: null,
      analysis: null,
      problem: null,
      controller: new AbortController(),
      idempotencyKey: newIdempotencyKey(),
    };
    items.push(item);
    changed(item);
  }
  sendNext();
}

async function sendNext() {
  const item = items.find((each) => each.state === "waiting");
  if (isSending || !item) return;
  isSending = true;
  Object.assign(item, { state: "sending", text: "Is being sent", problem: null });
  changed(item);
  try {
    item.id = await scanFile(item.file, {
      limits,
      idempotencyKey: item.idempotencyKey,
      signal: item.controller.signal,
      onProgress: (loaded, total) => {
        const isWhole = loaded === total;
        Object.assign(item, {
          share: isWhole ? null : loaded / total,
          text: isWhole ? "Is being scanned" : `Is being sent: ${Math.floor((100 * loaded) / total)} %`,
        });
        changed(item);
      },
      onWait: (seconds) => {
        Object.assign(item, { share: null, text: `The service is busy; tries again in ${seconds} s` });
        changed(item);
      },
    });
    sessionStorage.setItem(NAMES, JSON.stringify({ ...names(), [item.id]: item.name }));
    item.state = "following";
    watchNext();
  } catch (problem) {
    fail(item, problem);
  }
  isSending = false;
  sendNext();
}

function watchNext() {
  const item = items.find((each) => each.state === "following");
  if (!item || numStreams >= MOST_STREAMS) return;
  item.state = "watched";
  numStreams += 1;
  watch(
    item.id,
    (analysis) => {
      const isFirst = item.analysis?.progress !== null && analysis.progress === null;
      Object.assign(item, {
        analysis,
        text: analysis.progress ? progressText(analysis.progress) : "",
        share: shareOf(analysis),
      });
      if (isFirst) finish(item);
      changed(item);
    },
    item.controller.signal,
  )
    .catch((problem) => fail(item, problem))
    .finally(() => {
      numStreams -= 1;
      watchNext();
    });
  watchNext();
}

function finish(item) {
  item.state = "ended";
  const { analysis } = item;
  if (analysis.error) item.problem = problemOfFailure(analysis.error);
  announce(`${item.name}: ${analysis.result?.message ?? item.problem?.title ?? analysis.status}`);
}

function fail(item, problem) {
  if (problem.name === "AbortError") return;
  if (!(problem instanceof Problem)) console.error(problem);
  Object.assign(item, { state: "failed", problem, share: null });
  announce(`${item.name}: ${problem.title ?? problem}`);
  changed(item);
}

/** Return why an analysis failed, as a problem. */
export function problemOfFailure(error) {
  return new Problem({ title: error.title, detail: error.detail, status: error.status, type: error.type });
}

function shareOf(analysis) {
  const progress = analysis.progress;
  return progress?.frames_total ? progress.frames_done / progress.frames_total : null;
}

/** Call `show` with an analysis whenever it changes, until nothing more is to come. */
export async function watch(analysisId, show, signal) {
  const path = `/v1/analyses/${analysisId}`;
  let analysis = await getJson(path, signal);
  show(analysis);
  while (analysis.progress !== null || analysis.heatmaps === "queued") {
    let asked = Promise.resolve();
    await follow(
      analysisId,
      (kind, data) => {
        if (kind === "progress" && analysis.progress) {
          analysis = {
            ...analysis,
            status: "running",
            progress: {
              ...analysis.progress,
              stage: data.stage,
              frames_done: data.frames_done,
              frames_total: data.frames_total,
              queue_position: null,
            },
          };
          show(analysis);
        } else {
          asked = asked.then(async () => {
            analysis = await getJson(path, signal);
            show(analysis);
          });
        }
      },
      signal,
    );
    await asked;
    analysis = await getJson(path, signal);
    show(analysis);
  }
}

/** Return the view of the files of this tab, with the place to drop more. */
export function uploadsView(signal) {
  const input = el("input", {
    type: "file",
    id: "files",
    multiple: true,
    accept: "image/*,video/*,.mkv,.avi,.flv,.wmv,.ts",
    change: () => {
      addFiles(input.files);
      input.value = "";
    },
  });
  const area = el(
    "div",
    { class: "drop" },
    el("p", {}, el("label", { for: "files" }, "Choose images or videos"), input),
    el("p", { class: "note" }, "or drop them anywhere on this page. ", limitsText),
  );
  const list = el("ul", { class: "files", "aria-label": "Files of this tab" });
  const lines = new Map();
  const show = (item) => {
    const line = fileLine(item);
    if (lines.has(item)) replaceKeepingFocus(lines.get(item), line);
    else list.prepend(line);
    lines.set(item, line);
  };
  items.forEach(show);
  listeners.add(show);
  signal.addEventListener("abort", () => listeners.delete(show));
  return el(
    "section",
    {},
    el("h1", { tabindex: "-1" }, "Is a face in it swapped?"),
    el(
      "p",
      {},
      "Faces are scored one by one, in images and over the time of videos. The result says what was looked at, what was not, and how far to trust it.",
    ),
    area,
    list,
  );
}

function fileLine(item) {
  const title = item.id ? el("a", { href: `#/analyses/${item.id}` }, item.name) : el("span", {}, item.name);
  const isActive = ["waiting", "sending", "following", "watched"].includes(item.state);
  const state = item.analysis?.result
    ? verdictBadge(item.analysis.verdict)
    : el("span", { class: "state" }, stateText(item, isActive));
  const bar =
    isActive && item.state !== "waiting"
      ? el("progress", { "aria-label": `Progress of ${item.name}`, max: 1, value: item.share })
      : null;
  const again = el(
    "button",
    {
      type: "button",
      class: "plain",
      click: () => {
        Object.assign(item, { state: "waiting", text: "Waits to be sent", problem: null });
        changed(item);
        sendNext();
      },
    },
    "Try again",
  );
  const cancel = el(
    "button",
    { type: "button", class: "plain", "aria-label": `Cancel ${item.name}`, click: () => cancelItem(item) },
    "Cancel",
  );
  return el(
    "li",
    {},
    el(
      "p",
      { class: "row" },
      el("span", { class: "file" }, title),
      el("span", { class: "note" }, sizeText(item.file.size)),
      state,
      isActive ? cancel : null,
    ),
    bar,
    item.analysis?.result ? el("p", { class: "sentence" }, item.analysis.result.message) : null,
    item.problem ? problemBox(item.problem, ...(!item.id && item.problem.isPassing ? [again] : [])) : null,
  );
}

function stateText(item, isActive) {
  if (isActive) return item.text;
  return item.analysis?.status === "canceled" || item.state === "canceled" ? "Canceled" : "Failed";
}

async function cancelItem(item) {
  if (item.id) {
    await postJson(`/v1/analyses/${item.id}/cancel`).catch((problem) => fail(item, problem));
    return;
  }
  item.controller.abort();
  item.state = "canceled";
  changed(item);
}
