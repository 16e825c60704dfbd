// Requests to the service. The API key, where one is needed, stays in this tab.

import { el, sizeText } from "./dom.js";

const KEY = "deepfakestream-key";
const MOST_RETRIES = 5;
let asking = null;

/** What went wrong, in words for people. */
export class Problem extends Error {
  constructor({ title, detail = "", status = 0, type = "", requestId = "", retryAfterS = null }) {
    super(title);
    // "upload" is what the service calls a file whose name it does not know.
    Object.assign(this, {
      title: sentence(title),
      detail: sentence(detail.replace(/^upload: /, "")),
      status,
      type,
      requestId,
      retryAfterS,
    });
  }

  /** Whether the same request may do better later. */
  get isPassing() {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

function sentence(text) {
  const whole = text && !/[.!?]$/.test(text) ? `${text}.` : text;
  return whole.charAt(0).toUpperCase() + whole.slice(1);
}

function away() {
  return new Problem({
    title: "The service does not answer.",
    detail: "See that it runs and that this machine reaches it, then try again.",
  });
}

async function problemOf(status, headers, text) {
  const seconds = Number(headers.get("retry-after"));
  let members = {};
  try {
    members = JSON.parse(text);
  } catch {
    members = { title: `The service answered with status ${status}` };
  }
  return new Problem({
    title: members.title ?? "The request failed",
    detail: members.detail,
    status,
    type: (members.type ?? "").split(":").pop(),
    requestId: status >= 500 ? (members.instance ?? "").split(":").pop() : "",
    retryAfterS: seconds > 0 ? seconds : null,
  });
}

/** Whether an API key was given in this tab. */
export function hasKey() {
  return sessionStorage.getItem(KEY) !== null;
}

function keyHeader() {
  return hasKey() ? { Authorization: `Bearer ${sessionStorage.getItem(KEY)}` } : {};
}

/** Ask for an API key; true once one was given. */
export function askForKey(why) {
  asking ??= new Promise((resolve) => {
    const input = el("input", { type: "password", id: "key-input", autocomplete: "off", required: true });
    const dialog = el(
      "dialog",
      { "aria-labelledby": "key-title" },
      el(
        "form",
        { method: "dialog" },
        el("h2", { id: "key-title" }, "API key"),
        el("p", {}, why),
        el("label", { for: "key-input" }, "Key"),
        input,
        el(
          "p",
          { class: "note" },
          "It is kept in this tab only. The operator of the service makes keys with “deepfakestream keys create”.",
        ),
        el(
          "p",
          { class: "row" },
          el("button", { value: "use" }, "Use this key"),
          el("button", { value: "no", class: "plain", formnovalidate: true }, "Cancel"),
        ),
      ),
    );
    dialog.addEventListener("close", () => {
      const given = dialog.returnValue === "use" && input.value.trim();
      if (given) sessionStorage.setItem(KEY, input.value.trim());
      dialog.remove();
      asking = null;
      resolve(Boolean(given));
    });
    document.body.append(dialog);
    dialog.showModal();
  });
  return asking;
}

async function send(path, { method = "GET", body, headers = {}, signal } = {}) {
  for (let waits = 0; ;) {
    let response;
    try {
      response = await fetch(path, { method, body, signal, headers: { ...headers, ...keyHeader() } });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw away();
    }
    if (response.ok) return response;
    const problem = await problemOf(response.status, response.headers, await response.text());
    if (problem.type === "rate-limited" && waits < MOST_RETRIES) {
      // A key allows so many requests a minute, and a long video has many faces.
      waits += 1;
      await sleep(1000 * (problem.retryAfterS ?? 1), signal);
    } else if (problem.status !== 401 || !(await askForKey(problem.detail))) {
      throw problem;
    }
  }
}

/** Return what the service answers as JSON. */
export async function getJson(path, signal) {
  return (await send(path, { signal })).json();
}

/** Return what the service answers as text. */
export async function getText(path) {
  return (await send(path)).text();
}

/** Send JSON and return the status and the answer. */
export async function postJson(path, members = {}) {
  const response = await send(path, {
    method: "POST",
    body: JSON.stringify(members),
    headers: { "Content-Type": "application/json" },
  });
  return { status: response.status, body: await response.json() };
}

/** Remove something from the service. */
export async function remove(path) {
  await send(path, { method: "DELETE" });
}

/** Return all items of a list that comes in parts. */
export async function getAll(path) {
  const items = [];
  let cursor = null;
  do {
    const part = await getJson(`${path}?limit=500${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
    items.push(...part.items);
    cursor = part.next_cursor;
  } while (cursor !== null);
  return items;
}

/** Pictures of one view, as addresses for `img`; a key cannot be sent by `img` itself. */
export class Pictures {
  #addresses = new Map();

  get(path) {
    if (!this.#addresses.has(path)) {
      const address = send(path)
        .then((response) => response.blob())
        .then((blob) => URL.createObjectURL(blob));
      this.#addresses.set(path, address);
    }
    return this.#addresses.get(path);
  }

  /** Return an `img` that shows a picture once it is there, and its text where it cannot be had. */
  image(path, alt, attributes = {}) {
    const image = el("img", { alt, ...attributes });
    this.get(path).then(
      (address) => {
        image.src = address;
      },
      (problem) => image.replaceWith(el("span", { class: "note" }, `${alt}: ${problem.detail || problem.title}`)),
    );
    return image;
  }

  release() {
    for (const address of this.#addresses.values()) address.then(URL.revokeObjectURL, () => {});
    this.#addresses.clear();
  }
}

/** Let the browser save what the service answers. */
export async function download(path, name) {
  const address = URL.createObjectURL(await (await send(path)).blob());
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

function upload(path, file, { onProgress, signal, idempotencyKey }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${path}?pictures=true`);
    const headers = { "Content-Type": "application/octet-stream", "Idempotency-Key": idempotencyKey, ...keyHeader() };
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded, event.total));
    request.addEventListener("error", () => reject(away()));
    request.addEventListener("abort", () => reject(new DOMException("canceled", "AbortError")));
    request.addEventListener("load", () => {
      const headersIn = { get: (name) => request.getResponseHeader(name) };
      if (request.status < 300) resolve(JSON.parse(request.responseText));
      else problemOf(request.status, headersIn, request.responseText).then(reject);
    });
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/** Return a name for a request that is sent again until its answer arrives. */
export function newIdempotencyKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Send a file and return the id of its analysis.
 *
 * A name or a declared type may be wrong: where the service finds the other kind of media, the file is sent there.
 * Where the service is busy, it is sent again when the service says; `onWait` gets the seconds.
 */
export async function scanFile(file, { limits, idempotencyKey, onProgress, onWait, signal }) {
  const mayBeImage = file.type.startsWith("image/") || (!file.type.startsWith("video/") && file.size <= limits.image);
  let kind = mayBeImage ? "image" : "video";
  let hasSwitched = false;
  for (let retries = 0; ;) {
    if (limits[kind] !== null && file.size > limits[kind]) {
      throw new Problem({
        title: `The ${kind} is too large.`,
        detail: `It has ${sizeText(file.size)}, and this service takes ${kind}s up to ${sizeText(limits[kind])}. Send a smaller copy, or a part.`,
      });
    }
    try {
      const options = { onProgress, signal, idempotencyKey: `${idempotencyKey}-${kind}` };
      return (await upload(`/v1/${kind}s`, file, options)).id;
    } catch (problem) {
      if (problem.type === "content-mismatch" && !hasSwitched) {
        hasSwitched = true;
        kind = kind === "image" ? "video" : "image";
      } else if (problem.status === 401 && (await askForKey(problem.detail))) {
        continue;
      } else if (
        [429, 503].includes(problem.status) &&
        problem.retryAfterS &&
        problem.retryAfterS <= 120 &&
        retries < MOST_RETRIES
      ) {
        retries += 1;
        onWait(problem.retryAfterS);
        await sleep(1000 * problem.retryAfterS, signal);
      } else {
        throw problem;
      }
    }
  }
}

function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("canceled", "AbortError"));
    });
  });
}

/** Call `onEvent` with the kind and data of each event of an analysis, until the last one. */
export async function follow(analysisId, onEvent, signal) {
  let last = 0;
  for (let failures = 0; ;) {
    try {
      const response = await send(`/v1/analyses/${analysisId}/events`, {
        headers: { "Last-Event-ID": String(last) },
        signal,
      });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        failures = 0;
        text += value;
        const blocks = text.split("\n\n");
        text = blocks.pop();
        for (const block of blocks) {
          const fields = Object.fromEntries(
            block
              .split("\n")
              .filter((line) => line.includes(": ") && !line.startsWith(":"))
              .map((line) => line.split(/: (.*)/s)),
          );
          if (!fields.id) continue;
          last = Number(fields.id);
          onEvent(fields.event, JSON.parse(fields.data));
        }
      }
    } catch (problem) {
      failures += 1;
      const canTryAgain = !(problem instanceof Problem) || problem.status === 0 || problem.status === 503;
      if (problem.name === "AbortError" || !canTryAgain || failures > MOST_RETRIES) throw problem;
      await sleep(2000, signal);
    }
  }
}
