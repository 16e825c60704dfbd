// One face: as the network sees it, its noise, and heat maps of what moved its score.

import { announce, el, facts, problemBox, scoreText, verdictBadge, verdictOf } from "./dom.js";
import { postJson } from "./service.js";
import { faceText } from "./timeline.js";

const STREAMS = { rgb: "colours", srm: "noise", stacked: "noise and colours" };
const NOISE =
  "Noise residuals: what is left of the face when each pixel is predicted from its neighbours. Kernels from left to right: KB (3 × 3), KV (5 × 5), H (along rows). Medium grey is as predicted.";

export class FacePanel {
  #face = null;
  #drawn = [];
  #wanted = null;
  #isQueued = false;
  #maps = el("div");

  /**
   * @param analysis the analysis
   * @param point the threshold in force
   * @param pictures where pictures come from
   * @param onWanted is called when heat maps were asked for
   */
  constructor({ analysis, point, pictures, onWanted }) {
    Object.assign(this, { analysis, point, pictures, onWanted });
    this.element = el("section", { class: "face", "aria-label": "The chosen face" });
  }

  /** Show a face. */
  select(face) {
    this.#face = face;
    const path = `/v1/analyses/${this.analysis.id}/pictures`;
    const name = `${face.frame}-${face.track_id}.png`;
    const text = faceText(face, this.point, this.analysis.kind === "video");
    this.element.replaceChildren(
      el("h3", {}, text),
      this.analysis.pictures
        ? el(
            "div",
            { class: "looks" },
            el(
              "figure",
              {},
              this.pictures.image(`${path}/faces/${name}`, `${text}, as the network sees it`),
              el("figcaption", {}, "As the network sees it"),
            ),
            this.#noise(`${path}/noise/${name}`),
          )
        : el(
            "p",
            { class: "note" },
            "No pictures of this file are kept. They go with the file, and are kept only where they were asked for.",
          ),
      el("h4", {}, "Heat maps"),
      this.#maps,
    );
    this.#showMaps();
  }

  #noise(path) {
    const figure = el("figure", { class: "noise" });
    const caption = (text) => el("figcaption", {}, text);
    this.pictures.get(path).then(
      (src) =>
        figure.append(
          el("img", { src, alt: "Noise residuals of the face, three kernels next to each other" }),
          caption(NOISE),
        ),
      (problem) =>
        figure.append(
          caption(problem.status === 404 ? "No noise residuals: this model does not look at noise." : problem.title),
        ),
    );
    return figure;
  }

  /** Take the list of heat maps that are drawn, and draw the one that still waits for its turn. */
  update({ heatmaps, faces }) {
    this.#drawn = faces;
    this.#isQueued = heatmaps === "queued";
    const wanted = this.#wanted;
    if (wanted && this.#isDrawn(wanted)) {
      this.#wanted = null;
      announce(`The heat maps are drawn: ${faceText(wanted, this.point, this.analysis.kind === "video")}`);
    } else if (wanted && !this.#isQueued) {
      this.#wanted = null;
      this.#showMaps("The heat maps could not be drawn. The log of the worker says why.");
      return;
    }
    if (this.#face) this.#showMaps();
  }

  #isDrawn(face) {
    return this.#drawn.find((each) => each.frame === face.frame && each.track_id === face.track_id);
  }

  #showMaps(failure = null) {
    const drawn = this.#isDrawn(this.#face);
    if (drawn) {
      this.#maps.replaceChildren(this.#drawnMaps(drawn));
      return;
    }
    if (this.#isQueued) {
      this.#maps.replaceChildren(
        el(
          "p",
          {},
          "Heat maps are being drawn. Every map is tested against random ones, which takes a minute or more for a face.",
        ),
        el("progress", { "aria-label": "Heat maps are being drawn" }),
      );
      return;
    }
    this.#maps.replaceChildren(
      failure ? problemBox({ title: failure }) : "",
      el(
        "p",
        {},
        "They show which places of the face moved its score, for each stream of the network, and whether to trust that.",
      ),
      el("p", {}, el("button", { type: "button", click: () => this.#draw() }, "Draw heat maps of this face")),
    );
  }

  async #draw() {
    this.#wanted = this.#face;
    try {
      const face = { frame: this.#face.frame, track_id: this.#face.track_id };
      await postJson(`/v1/analyses/${this.analysis.id}/heatmaps`, face);
      this.#isQueued = true;
      this.#showMaps();
      this.onWanted();
    } catch (problem) {
      this.#maps.prepend(problemBox(problem));
    }
  }

  #drawnMaps(drawn) {
    const trusted = (map) => map.faithful && map.warnings.length === 0;
    const maps = [...drawn.maps].sort((one, other) => trusted(other) - trusted(one));
    const parts = Object.entries(drawn.logit_by_stream).map(([name, value]) => [
      STREAMS[name] ?? name,
      `${value > 0 ? "+" : ""}${value.toFixed(2)}, ${value > 0 ? "towards fake" : "towards real"}`,
    ]);
    return el(
      "div",
      {},
      el("div", { class: "maps" }, ...maps.map((map) => this.#map(map, trusted(map)))),
      el(
        "p",
        { class: "note" },
        "Red speaks for a fake, blue for a real face. Colours are scaled to each map: they tell where, not how much. A map is no proof of where a picture was changed.",
      ),
      el(
        "details",
        {},
        el("summary", {}, "What each stream adds, and the whole picture"),
        facts(parts),
        this.pictures.image(drawn.picture, "All heat maps of this face with their tests and scales", {
          class: "whole",
        }),
      ),
    );
  }

  #map(map, isTrusted) {
    const stream = STREAMS[map.stream] ?? map.stream;
    const onFace =
      map.energy_inside_face === null
        ? null
        : `${Math.round(100 * map.energy_inside_face)} % of the evidence lies on the face`;
    return el(
      "figure",
      {},
      this.pictures.image(map.picture, `${map.method} of the stream “${stream}” over the face`),
      el(
        "figcaption",
        {},
        el("strong", {}, `${map.method}, ${stream}`),
        el("br"),
        el("span", { class: isTrusted ? "good" : "bad" }, isTrusted ? "✓ passed its tests" : "✗ do not rely on it"),
        el("br"),
        `Better than ${map.random_maps_beaten} of ${map.random_maps} random maps. `,
        onFace ? `${onFace}. ` : "",
        ...map.warnings.map((warning) => el("span", { class: "warning" }, warning)),
      ),
    );
  }
}

/** Return the faces as buttons, person by person. */
export function faceStrip({ tracks, faces, point, pictures, analysis, onSelect }) {
  const buttons = new Map();
  const isVideo = analysis.kind === "video";
  const rows = tracks.map((track) => {
    const own = faces.filter((face) => face.track_id === track.track_id);
    const list = el(
      "ol",
      { class: "strip", "aria-label": `Faces of person ${track.track_id}` },
      ...own.map((face) => {
        const picture = analysis.pictures
          ? pictures.image(`/v1/analyses/${analysis.id}/pictures/faces/${face.frame}-${face.track_id}.png`, "", {
              width: 72,
              height: 72,
            })
          : null;
        const button = el(
          "button",
          {
            type: "button",
            "aria-pressed": "false",
            "aria-label": faceText(face, point, isVideo),
            click: () => onSelect(face),
          },
          picture,
          el("span", {}, isVideo ? `${face.time_s.toFixed(1)} s` : ""),
          el("span", { class: verdictOf(face.p_fake, point) }, scoreText(face.p_fake, point)),
        );
        buttons.set(face, button);
        return el("li", {}, button);
      }),
    );
    return el(
      "section",
      { class: "person" },
      el(
        "h3",
        {},
        `Person ${track.track_id} `,
        verdictBadge(track.verdict),
        ` score ${scoreText(track.p_fake, point)}`,
      ),
      el(
        "p",
        { class: "note" },
        `${isVideo ? `Scored in ${own.length} frames from ${track.start_s.toFixed(1)} to ${track.end_s.toFixed(1)} s. ` : ""}The shorter side of the face has ${Math.round(track.median_face_px)} pixels.`,
      ),
      list,
    );
  });
  const select = (face) =>
    buttons.forEach((button, each) => button.setAttribute("aria-pressed", String(each === face)));
  return { element: el("div", { class: isVideo ? "" : "persons" }, ...rows), select };
}
