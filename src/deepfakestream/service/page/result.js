// The result of an analysis: the verdict, what limits it, where it comes from.

import {
  announce,
  copyText,
  el,
  facts,
  momentText,
  problemBox,
  replaceKeepingFocus,
  scoreText,
  sizeText,
  timeText,
  verdictBadge,
} from "./dom.js";
import { FacePanel, faceStrip } from "./face.js";
import { Pictures, download, getAll, getJson, postJson, remove } from "./service.js";
import { Stage } from "./stage.js";
import { Timeline } from "./timeline.js";
import { fileOf, forget, nameOf, problemOfFailure, progressText, watch } from "./uploads.js";

const LEVELS = { none: "no score", weak: "little", moderate: "moderate", strong: "strong", very_strong: "very strong" };

/** Return the view of an analysis. */
export function resultView(analysisId, signal) {
  const name = nameOf(analysisId) ?? `Analysis ${analysisId.slice(0, 11)}…`;
  let content = el("div", {}, el("p", {}, "Is being read …"));
  const pictures = new Pictures();
  signal.addEventListener("abort", () => pictures.release());
  let shown = null;

  async function show(analysis) {
    if (analysis.result) {
      if (shown) {
        await shown.update(analysis);
      } else {
        shown = await whole(analysis, { name, pictures, signal, follow });
        content.replaceChildren(...shown.parts);
      }
    } else {
      const next = el("div", {}, ...unfinished(analysis));
      replaceKeepingFocus(content, next);
      content = next;
    }
  }

  function follow() {
    let turn = Promise.resolve();
    watch(
      analysisId,
      (analysis) => {
        turn = turn.then(() => show(analysis)).catch(fail);
      },
      signal,
    ).catch(fail);
  }

  function fail(problem) {
    if (problem.name === "AbortError") return;
    console.error(problem);
    content.replaceChildren(problemBox(problem, el("button", { type: "button", click: follow }, "Try again")));
  }

  follow();
  return el("article", {}, el("h1", { tabindex: "-1", class: "file" }, name), content);
}

function unfinished(analysis) {
  if (analysis.error) return [problemBox(problemOfFailure(analysis.error)), removeRow(analysis)];
  if (analysis.status === "canceled")
    return [el("p", {}, "This analysis was canceled; there is no result."), removeRow(analysis)];
  if (analysis.status === "expired")
    return [el("p", {}, "The result is no longer kept. Send the file again to scan it again.")];
  const progress = analysis.progress;
  return [
    el("p", {}, progressText(progress)),
    el("progress", {
      "aria-label": "Progress",
      max: 1,
      value: progress.frames_total ? progress.frames_done / progress.frames_total : null,
    }),
    el(
      "p",
      {},
      el(
        "button",
        { type: "button", class: "plain", click: () => postJson(`/v1/analyses/${analysis.id}/cancel`) },
        "Cancel",
      ),
    ),
  ];
}

async function whole(analysis, { name, pictures, signal, follow }) {
  const path = `/v1/analyses/${analysis.id}`;
  const [trackList, faces, drawn] = await Promise.all([
    getJson(`${path}/tracks`),
    getAll(`${path}/frames`),
    getJson(`${path}/heatmaps`),
  ]);
  const { result } = analysis;
  const parts = [verdictPart(result, trackList, name)];
  const panel = new FacePanel({ analysis, point: result.threshold, pictures, onWanted: follow });
  if (faces.length > 0) parts.push(...evidenceParts(analysis, { trackList, faces, panel, pictures, signal }));
  else if (analysis.pictures) parts.push(searchedPart(analysis, trackList, pictures));
  panel.update(drawn);
  parts.push(
    downloadPart(analysis, name),
    feedbackPart(analysis),
    detailsPart(analysis, trackList),
    removeRow(analysis),
  );
  announce(`${name}: ${result.message}`);
  return { parts, update: async () => panel.update(await getJson(`${path}/heatmaps`)) };
}

function verdictPart(result, trackList, name) {
  const identity = `${name}, SHA-256 ${result.media.sha256}; DeepfakeStream, model version ${result.model.version}`;
  const copyButton = el(
    "button",
    {
      type: "button",
      class: "plain",
      click: async () => {
        await copyText(`${result.message} (${identity})`);
        announce("The sentence is copied");
        copyButton.textContent = "Copied";
      },
    },
    "Copy the sentence",
  );
  return el(
    "section",
    { class: `summary ${result.verdict}`, "aria-label": "Verdict" },
    el(
      "p",
      { class: "big" },
      verdictBadge(result.verdict),
      result.p_fake === null
        ? ""
        : el("span", { class: "level" }, `: ${LEVELS[result.evidence_level]} evidence of a face swap`),
    ),
    el("p", { class: "sentence" }, result.message),
    result.p_fake === null ? "" : scale(result),
    el("p", { class: "row" }, copyButton),
    result.p_fake === null ? "" : el("p", { class: "note" }, trackList.rates),
    trackList.limits.length
      ? el("h2", {}, result.p_fake === null ? "Why there is no score" : "What limits this verdict")
      : "",
    trackList.limits.length ? el("ul", {}, ...trackList.limits.map((limit) => el("li", {}, limit))) : "",
  );
}

function scale(result) {
  const { threshold, inconclusive_from: from } = result.threshold;
  const zone = (name, words, start, end) => {
    const part = el("span", { class: `zone ${name}` }, words);
    part.style.flexBasis = `${100 * (end - start)}%`;
    return part;
  };
  const at = (share, className, text = "") => {
    const part = el("span", { class: className }, text);
    part.style.left = `${100 * share}%`;
    return part;
  };
  const [low, high] = result.interval ?? [result.p_fake, result.p_fake];
  const range = at(low, "range");
  range.style.width = `${100 * (high - low)}%`;
  return el(
    "div",
    {
      class: "scale",
      role: "img",
      "aria-label": `Score ${scoreText(result.p_fake, result.threshold)} between 0, real, and 1, fake${result.interval ? `; with other frames of the video it could be ${low.toFixed(2)} to ${high.toFixed(2)}` : ""}`,
    },
    el(
      "div",
      { class: "zones" },
      zone("likely_real", "likely real", 0, from),
      zone("inconclusive", "inconclusive", from, threshold),
      zone("likely_fake", "likely fake", threshold, 1),
    ),
    el(
      "div",
      { class: "marks" },
      range,
      at(result.p_fake, "pointer", `▲ ${scoreText(result.p_fake, result.threshold)}`),
    ),
  );
}

function evidenceParts(analysis, { trackList, faces, panel, pictures, signal }) {
  const { result } = analysis;
  const { tracks, coverage } = trackList;
  const point = result.threshold;
  const framePath = `/v1/analyses/${analysis.id}/pictures/frames`;
  const isVideo = analysis.kind === "video" && result.media.duration_s;
  const stage = new Stage({
    media: result.media,
    faces,
    point,
    file: fileOf(analysis.id),
    frameImage: analysis.pictures
      ? (frame) =>
          pictures.image(
            `${framePath}/${frame}.jpg`,
            `Searched frame at ${timeText(coverage?.frames[frame]?.time_s ?? 0)}`,
          )
      : null,
    onTime: (timeS) => timeline?.seek(timeS),
  });
  signal.addEventListener("abort", () => stage.release());
  const timeline = isVideo
    ? new Timeline({ result, tracks, faces, gaps: coverage?.not_scored ?? [], onSelect: select })
    : null;
  const strip = faceStrip({ tracks, faces, point, pictures, analysis, onSelect: select });

  function select(face) {
    stage.select(face);
    timeline?.select(face);
    timeline?.seek(face.time_s);
    strip.select(face);
    panel.select(face);
  }
  const worst = faces
    .filter((face) => face.track_id === tracks[0].track_id)
    .reduce((best, face) => (face.p_fake > best.p_fake ? face : best));
  select(worst);
  return [
    timeline ? el("section", {}, el("h2", {}, "Score over time"), timeline.element) : "",
    el(
      "div",
      { class: "columns" },
      el("section", {}, el("h2", {}, isVideo ? "The video" : "The image"), stage.element),
      el("section", {}, el("h2", {}, "The chosen face"), panel.element),
    ),
    el("section", {}, el("h2", {}, tracks.length > 1 ? "Persons, the most suspicious first" : "Faces"), strip.element),
    scoresTable(faces, point, isVideo),
  ];
}

function scoresTable(faces, point, isVideo) {
  return el(
    "details",
    {},
    el("summary", {}, "All scores as a table"),
    el(
      "div",
      { class: "scrolls", role: "region", "aria-label": "All scores", tabindex: "0" },
      el(
        "table",
        {},
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            ...["Frame", isVideo ? "Time" : null, "Person", "Score"]
              .filter(Boolean)
              .map((name) => el("th", { scope: "col" }, name)),
          ),
        ),
        el(
          "tbody",
          {},
          ...faces.map((face) =>
            el(
              "tr",
              {},
              el("td", {}, face.frame),
              isVideo ? el("td", {}, timeText(face.time_s)) : null,
              el("td", {}, face.track_id),
              el("td", {}, scoreText(face.p_fake, point)),
            ),
          ),
        ),
      ),
    ),
  );
}

function searchedPart(analysis, trackList, pictures) {
  const frames = trackList.coverage?.frames ?? [];
  const times = frames.map((frame, number) =>
    el(
      "li",
      {},
      el(
        "figure",
        {},
        pictures.image(
          `/v1/analyses/${analysis.id}/pictures/frames/${number}.jpg`,
          `Searched frame at ${timeText(frame.time_s)}`,
        ),
        el("figcaption", {}, timeText(frame.time_s)),
      ),
    ),
  );
  return el("section", {}, el("h2", {}, "What was searched"), el("ol", { class: "searched" }, ...times));
}

function downloadPart(analysis, name) {
  const stem = name.replace(/\.[^.]*$/, "").replaceAll(/[^\p{L}\p{N}._-]+/gu, "-") || "analysis";
  const message = el("div");
  const button = (format, words) =>
    el(
      "button",
      {
        type: "button",
        class: "plain",
        click: () =>
          download(`/v1/analyses/${analysis.id}/report.${format}`, `${stem}-report.${format}`).then(
            () => message.replaceChildren(),
            (problem) => message.replaceChildren(problemBox(problem)),
          ),
      },
      words,
    );
  return el(
    "section",
    {},
    el("h2", {}, "Report"),
    el("p", { class: "row" }, button("pdf", "PDF"), button("html", "Web page (HTML)"), button("json", "Data (JSON)")),
    el(
      "p",
      { class: "note" },
      "The report has the verdict, its limits and the model, and the heat maps that are drawn.",
    ),
    message,
  );
}

function feedbackPart(analysis) {
  const message = el("div", { role: "status" });
  const choice = (value, words) => [
    el("input", { type: "radio", name: "label", id: `label-${value}`, value, required: true }),
    el("label", { for: `label-${value}` }, words),
  ];
  const note = el("input", { type: "text", id: "label-note", maxlength: 1000 });
  const source = el("input", { type: "text", id: "label-source", maxlength: 64 });
  const form = el(
    "form",
    {
      submit: async (event) => {
        event.preventDefault();
        const label = new FormData(form).get("label");
        try {
          await postJson("/v1/feedback", { prediction_id: analysis.id, label, note: note.value, source: source.value });
          message.replaceChildren(el("p", {}, `Thank you: it is kept that this file is ${label}.`));
        } catch (problem) {
          message.replaceChildren(problemBox(problem));
        }
      },
    },
    el("fieldset", {}, el("legend", {}, "The file is truly"), ...choice("real", "real"), ...choice("fake", "fake")),
    el("p", {}, el("label", { for: "label-note" }, "How is it known?"), note),
    el("p", {}, el("label", { for: "label-source" }, "Who says so?"), source),
    el("p", {}, el("button", { class: "plain" }, "Send")),
    message,
  );
  return el("details", {}, el("summary", {}, "Is the truth known? Tell the service"), form);
}

function detailsPart(analysis, trackList) {
  const { result } = analysis;
  const { media, model } = result;
  return el(
    "details",
    {},
    el("summary", {}, "What was scanned, and how"),
    facts([
      ["SHA-256 of the file", media.sha256],
      [
        "Kind",
        `${media.kind}, ${media.codec}, ${media.width_px} × ${media.height_px} pixels, ${sizeText(media.size_bytes)}`,
      ],
      [
        "Length",
        media.duration_s
          ? `${timeText(media.duration_s)}${media.fps ? `, ${media.fps.toFixed(2)} frames a second` : ""}`
          : null,
      ],
      [
        "Searched",
        result.coverage
          ? `${result.coverage.frames_searched} frames, ${result.coverage.frames_scored} with a scored face`
          : null,
      ],
      ["Model", el("a", { href: "#/model" }, `${model.name} version ${model.version}`)],
      ["Weights", model.weights_sha256],
      [
        "Operating point",
        `${result.operating_point}: likely fake from ${result.threshold.threshold.toFixed(3)}, likely real below ${result.threshold.inconclusive_from.toFixed(3)}`,
      ],
      ["Scanned", momentText(analysis.finished_at ?? analysis.created_at)],
      ["Took", `${(result.timings_ms.total / 1000).toFixed(1)} s`],
      ["File kept until", analysis.media_kept_until ? momentText(analysis.media_kept_until) : "no longer kept"],
      ["Result kept until", analysis.result_kept_until ? momentText(analysis.result_kept_until) : null],
      ["Analysis", analysis.id],
    ]),
    trackList.media_notes.length ? el("p", {}, "How the file was read:") : "",
    el("ul", {}, ...trackList.media_notes.map((note) => el("li", {}, note.text))),
  );
}

function removeRow(analysis) {
  const dialog = el(
    "dialog",
    {
      "aria-labelledby": "remove-title",
      close: async () => {
        if (dialog.returnValue !== "remove") return;
        try {
          await remove(`/v1/analyses/${analysis.id}`);
          forget(analysis.id);
          announce("The analysis is removed");
          location.hash = "#/";
        } catch (problem) {
          row.prepend(problemBox(problem));
        }
      },
    },
    el(
      "form",
      { method: "dialog" },
      el("h2", { id: "remove-title" }, "Remove this analysis?"),
      el("p", {}, "The file, its pictures and its result are removed from the service. This cannot be undone."),
      el(
        "p",
        { class: "row" },
        el("button", { value: "remove", class: "danger" }, "Remove"),
        el("button", { value: "no", class: "plain" }, "Keep"),
      ),
    ),
  );
  const row = el(
    "p",
    { class: "row" },
    el("button", { type: "button", class: "plain danger", click: () => dialog.showModal() }, "Remove this analysis"),
    dialog,
  );
  return row;
}
