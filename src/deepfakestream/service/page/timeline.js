// The scores of all faces over the time of a video.

import { counted, scoreText, svg, el, timeText, verdictOf, VERDICTS } from "./dom.js";

const HEIGHT = 260;
const LEFT = 34;
const TOP = 12;
const BOTTOM = 34;
const RIGHT = 18;
const SHAPES = ["circle", "square", "triangle", "diamond"];
export const REASONS = {
  no_face: "no face was found",
  face_too_small: "the faces are too small",
  face_cut_off: "the border cuts the faces off",
  picture_of_face: "only a picture of a face",
  truncated: "the file ends early or is damaged",
  time_budget: "decoding took too long",
  memory_budget: "decoding took too much memory",
  part_not_searched: "this part was not searched",
};

/** Return a mark of a person, so that persons differ in more than colour. */
export function personMark(place, x = 7, y = 7, size = 5) {
  const attributes = { class: `mark person-${place % SHAPES.length}` };
  const shape = SHAPES[place % SHAPES.length];
  if (shape === "circle") return svg("circle", { cx: x, cy: y, r: size, ...attributes });
  if (shape === "square")
    return svg("rect", { x: x - size, y: y - size, width: 2 * size, height: 2 * size, ...attributes });
  const points =
    shape === "triangle"
      ? [
          [x, y - size],
          [x + size, y + size],
          [x - size, y + size],
        ]
      : [
          [x, y - size - 1],
          [x + size + 1, y],
          [x, y + size + 1],
          [x - size - 1, y],
        ];
  return svg("polygon", { points: points.map((point) => point.join()).join(" "), ...attributes });
}

/** Return what a face is, in words. */
export function faceText(face, point, isVideo = true) {
  const score = scoreText(face.p_fake, point);
  return `Person ${face.track_id}${isVideo ? ` at ${timeText(face.time_s)}` : ""}: score ${score}, ${VERDICTS[verdictOf(face.p_fake, point)].words.toLowerCase()}`;
}

export class Timeline {
  #chart = svg("svg", { "aria-hidden": "true", focusable: "false" });
  #playhead = svg("line", { class: "playhead", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  #ring = svg("circle", { class: "ring", r: 10, visibility: "hidden" });
  #selected = null;
  #timeS = null;
  #width = 0;

  /**
   * @param result the verdict in short
   * @param tracks every person, the most suspicious first
   * @param faces every scored face, in order of time
   * @param gaps ranges without a score
   * @param onSelect gets the face that a person chose
   */
  constructor({ result, tracks, faces, gaps, onSelect }) {
    Object.assign(this, { result, faces, gaps, onSelect });
    this.point = result.threshold;
    this.durationS = Math.max(result.media.duration_s, ...faces.map((face) => face.time_s));
    this.places = new Map(tracks.map((track, place) => [track.track_id, place]));
    this.slider = el(
      "div",
      {
        class: "chart",
        role: "slider",
        tabindex: "0",
        "aria-label": "Score over time; the arrow keys go from face to face",
        "aria-valuemin": 1,
        "aria-valuemax": faces.length,
        "aria-valuenow": 1,
        "aria-valuetext": "no face is chosen",
        keydown: (event) => this.#onKey(event),
        click: (event) => this.#onClick(event),
      },
      this.#chart,
    );
    this.element = el("figure", {}, this.slider, this.#legend(tracks));
    new ResizeObserver(() => this.#draw()).observe(this.slider);
  }

  /** Show which face is chosen. */
  select(face) {
    this.#selected = face;
    const place = this.faces.indexOf(face);
    this.slider.setAttribute("aria-valuenow", place + 1);
    this.slider.setAttribute("aria-valuetext", faceText(face, this.point));
    this.#placeRing();
  }

  /** Show where the video is. */
  seek(timeS) {
    this.#timeS = timeS;
    const x = this.#x(timeS);
    for (const name of ["x1", "x2"]) this.#playhead.setAttribute(name, x);
    this.#playhead.setAttribute("visibility", "visible");
  }

  #x(timeS) {
    return LEFT + (this.#width - LEFT - RIGHT) * Math.min(1, timeS / this.durationS);
  }

  #y(pFake) {
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - pFake);
  }

  #placeRing() {
    if (!this.#selected) return;
    this.#ring.setAttribute("cx", this.#x(this.#selected.time_s));
    this.#ring.setAttribute("cy", this.#y(this.#selected.p_fake));
    this.#ring.setAttribute("visibility", "visible");
  }

  #draw() {
    this.#width = Math.max(240, this.slider.clientWidth);
    const right = this.#width - RIGHT;
    const { threshold, inconclusive_from: from } = this.point;
    const band = (name, high, low) =>
      svg("rect", {
        class: name,
        x: LEFT,
        y: this.#y(high),
        width: right - LEFT,
        height: this.#y(low) - this.#y(high),
      });
    const level = (value, text, y) => [
      svg("line", { class: "level", x1: LEFT, x2: right, y1: this.#y(value), y2: this.#y(value) }),
      svg("text", { x: right - 4, y, "text-anchor": "end" }, text),
    ];
    const low = Math.max(this.#y(from) + 14, TOP + 14);
    this.#chart.setAttribute("viewBox", `0 0 ${this.#width} ${HEIGHT}`);
    this.#chart.replaceChildren(
      svg(
        "defs",
        {},
        svg(
          "pattern",
          { id: "hatch", width: 8, height: 8, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
          svg("line", { class: "hatch", x1: 0, x2: 0, y1: 0, y2: 8 }),
        ),
      ),
      band("band fake", 1, threshold),
      band("band unsure", threshold, from),
      band("band real", from, 0),
      ...this.gaps.map((gap) => this.#gap(gap)),
      ...level(threshold, `likely fake from ${scoreText(threshold, this.point)} on`, this.#y(threshold) - 5),
      ...level(from, `likely real below ${scoreText(from, this.point)}`, Math.min(low, HEIGHT - BOTTOM - 4)),
      svg("rect", { class: "frame", x: LEFT, y: TOP, width: right - LEFT, height: HEIGHT - TOP - BOTTOM }),
      ...[0, 0.5, 1].map((value) =>
        svg("text", { x: LEFT - 5, y: this.#y(value) + 4, "text-anchor": "end" }, String(value)),
      ),
      ...this.#times(),
      ...[...this.places].map(([trackId, place]) => this.#line(trackId, place)),
      this.#playhead,
      ...this.faces.map((face) =>
        personMark(this.places.get(face.track_id), this.#x(face.time_s), this.#y(face.p_fake)),
      ),
      this.#ring,
    );
    this.#placeRing();
    if (this.#timeS !== null) this.seek(this.#timeS);
  }

  #gap(gap) {
    const x = this.#x(gap.start_s);
    const width = this.#x(gap.end_s) - x;
    const words = REASONS[gap.reason] ?? gap.reason.replaceAll("_", " ");
    const isWide = width > 7 * words.length + 12;
    return svg(
      "g",
      {},
      svg(
        "rect",
        { class: "gap", x, y: TOP, width, height: HEIGHT - TOP - BOTTOM },
        svg("title", {}, `No score: ${words}`),
      ),
      isWide ? svg("text", { class: "gap-text", x: x + width / 2, y: TOP + 16, "text-anchor": "middle" }, words) : null,
    );
  }

  #times() {
    const steps = [0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300];
    const step = steps.find((each) => this.durationS / each <= this.#width / 90) ?? 600;
    const marks = Array.from({ length: Math.floor(this.durationS / step + 1e-6) + 1 }, (_, place) => place * step);
    const text = (value) =>
      value < 60
        ? `${Number(value.toFixed(1))} s`
        : `${Math.floor(value / 60)}:${String(Math.round(value % 60)).padStart(2, "0")}`;
    return marks.flatMap((value) => [
      svg("line", {
        class: "tick",
        x1: this.#x(value),
        x2: this.#x(value),
        y1: HEIGHT - BOTTOM,
        y2: HEIGHT - BOTTOM + 5,
      }),
      svg("text", { x: this.#x(value), y: HEIGHT - BOTTOM + 19, "text-anchor": "middle" }, text(value)),
    ]);
  }

  #line(trackId, place) {
    const points = this.faces
      .filter((face) => face.track_id === trackId)
      .map((face) => `${this.#x(face.time_s)},${this.#y(face.p_fake)}`);
    return svg("polyline", { class: `track person-${place % SHAPES.length}`, points: points.join(" ") });
  }

  #legend(tracks) {
    const hasGaps = this.gaps.length > 0;
    return el(
      "figcaption",
      { class: "note" },
      `Each mark is one face in one of ${counted(this.result.coverage.frames_searched, "searched frame")}. `,
      ...(tracks.length > 1
        ? tracks.map((track, place) =>
            el(
              "span",
              { class: "entry" },
              svg("svg", { width: 14, height: 14, "aria-hidden": "true" }, personMark(place)),
              ` person ${track.track_id} `,
            ),
          )
        : []),
      hasGaps ? "Hatched ranges have no score. " : "",
      "Choose a mark to see its frame, or use the arrow keys.",
    );
  }

  #onClick(event) {
    const box = this.#chart.getBoundingClientRect();
    const scale = this.#width / box.width;
    const x = (event.clientX - box.left) * scale;
    const y = (event.clientY - box.top) * scale;
    const distance = (face) => Math.hypot(this.#x(face.time_s) - x, (this.#y(face.p_fake) - y) / 3);
    this.onSelect(this.faces.reduce((best, face) => (distance(face) < distance(best) ? face : best)));
  }

  #onKey(event) {
    const steps = {
      ArrowRight: 1,
      ArrowUp: 1,
      ArrowLeft: -1,
      ArrowDown: -1,
      PageUp: 10,
      PageDown: -10,
      Home: -Infinity,
      End: Infinity,
    };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const now = this.faces.indexOf(this.#selected);
    this.onSelect(this.faces[Math.max(0, Math.min(this.faces.length - 1, now + steps[event.key]))]);
  }
}
