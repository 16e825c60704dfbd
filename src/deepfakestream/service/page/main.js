// Which view is shown, files that are dropped, and the API key.

import { announce, el, problemBox } from "./dom.js";
import { historyView } from "./history.js";
import { modelView } from "./model.js";
import { resultView } from "./result.js";
import { askForKey, getJson, hasKey } from "./service.js";
import { addFiles, nameOf, setLimits, uploadsView } from "./uploads.js";

const main = document.getElementById("main");
const keyButton = document.getElementById("key");
let current = new AbortController();

function viewOf(hash, signal) {
  const analysis = /^#\/analyses\/(an_[0-9a-f]{32})$/.exec(hash);
  if (analysis) return [nameOf(analysis[1]) ?? "Analysis", resultView(analysis[1], signal)];
  if (hash === "#/history") return ["History", historyView()];
  if (hash === "#/model") return ["Model", modelView()];
  return ["Scan", uploadsView(signal)];
}

function show(isFirst = false) {
  if (location.hash === "#main") return;
  current.abort();
  current = new AbortController();
  const [title, view] = viewOf(location.hash, current.signal);
  document.title = `${title} – DeepfakeStream`;
  main.replaceChildren(view);
  for (const link of document.querySelectorAll("nav a")) {
    const isHere = link.getAttribute("href") === (location.hash || "#/");
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!isFirst) {
    main.querySelector("h1")?.focus();
    window.scrollTo(0, 0);
  }
}

function takeDrops() {
  for (const name of ["dragenter", "dragover"]) {
    document.addEventListener(name, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      document.body.classList.add("dragging");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) document.body.classList.remove("dragging");
  });
  document.addEventListener("drop", (event) => {
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    document.body.classList.remove("dragging");
    addFiles([...event.dataTransfer.files]);
    announce(`${event.dataTransfer.files.length} files were taken`);
    location.hash = "#/";
  });
}

async function learnLimits() {
  try {
    const usage = await getJson("/v1/usage");
    setLimits(usage);
    keyButton.hidden = usage.scopes === null && !hasKey();
    return null;
  } catch (problem) {
    return problemBox(problem, el("button", { type: "button", click: () => location.reload() }, "Try again"));
  }
}

keyButton.addEventListener("click", async () => {
  if (await askForKey("Give another API key.")) location.reload();
});
takeDrops();
window.addEventListener("hashchange", () => show());
show(true);
const failure = await learnLimits();
if (failure) main.prepend(failure);
