// The video or a searched frame, with boxes around the faces.

import { el, scoreText, svg, timeText } from "./dom.js";

// A box is exact in a searched frame; half a frame of a slow video is no difference to see.
const EXACT_S = 0.03;

export class Stage {
  #video = null;
  #frame;
  #overlay;
  #box;
  #caption = el("figcaption", { class: "note" });
  #selected = null;

  /**
   * @param media facts about the file
   * @param faces every scored face, in order of time
   * @param point the threshold in force
   * @param file the file, where this tab has it
   * @param frameImage returns an `img` of a searched frame, or null where no pictures are kept
   * @param onTime gets the time of the video while it plays
   */
  constructor({ media, faces, point, file, frameImage, onTime }) {
    Object.assign(this, { media, faces, point, frameImage, onTime });
    this.#frame = el("div", { class: "picture" });
    this.#overlay = svg("svg", {
      class: "boxes",
      viewBox: `0 0 ${media.width_px} ${media.height_px}`,
      "aria-hidden": "true",
      focusable: "false",
    });
    this.#box = el("div", { class: "stage" }, this.#frame, this.#overlay);
    this.#box.style.aspectRatio = `${media.width_px} / ${media.height_px}`;
    this.#box.style.maxWidth = `calc(70vh * ${media.width_px / media.height_px})`;
    const buttons = file && media.kind === "video" ? this.#addVideo(file) : null;
    this.element = el("figure", {}, buttons, this.#box, this.#caption);
  }

  /** Show the frame of a face. */
  select(face) {
    this.#selected = face;
    if (this.frameImage) this.#frame.replaceChildren(this.frameImage(face.frame));
    if (this.#video) {
      this.#video.pause();
      this.#video.currentTime = face.time_s;
    }
    this.#show(face.time_s);
  }

  get #isPlaying() {
    return this.#video !== null && !this.#video.hidden;
  }

  #addVideo(file) {
    const address = URL.createObjectURL(file);
    this.#video = el("video", {
      src: address,
      controls: true,
      muted: true,
      playsinline: true,
      preload: "auto",
      "aria-label": "The video; boxes show the scored faces",
      timeupdate: () => this.#onTime(),
      seeked: () => this.#onTime(),
      error: () => {
        // The service reads more formats than a browser plays.
        this.#choose(frameButton, videoButton, false);
        videoButton.disabled = true;
        videoButton.textContent = "This browser cannot play the video";
      },
    });
    const tick = () => {
      if (this.#video.paused) return;
      this.#onTime();
      requestAnimationFrame(tick);
    };
    this.#video.addEventListener("play", tick);
    this.release = () => URL.revokeObjectURL(address);
    const videoButton = el(
      "button",
      {
        type: "button",
        "aria-pressed": "true",
        class: "toggle",
        click: () => this.#choose(videoButton, frameButton, true),
      },
      "Video",
    );
    const frameButton = el(
      "button",
      {
        type: "button",
        "aria-pressed": "false",
        class: "toggle",
        click: () => this.#choose(frameButton, videoButton, false),
      },
      "Searched frame",
    );
    this.#frame.hidden = true;
    this.#box.prepend(this.#video);
    return el("p", { class: "row" }, videoButton, frameButton);
  }

  /** Give back what the video holds. */
  release() {}

  #choose(chosen, other, isVideo) {
    chosen.setAttribute("aria-pressed", "true");
    other.setAttribute("aria-pressed", "false");
    this.#video.pause();
    this.#video.hidden = !isVideo;
    this.#frame.hidden = isVideo;
    this.#show(isVideo ? this.#video.currentTime : this.#selected.time_s);
  }

  #onTime() {
    if (!this.#isPlaying) return;
    this.onTime(this.#video.currentTime);
    this.#show(this.#video.currentTime);
  }

  #show(timeS) {
    const shown = this.#isPlaying
      ? this.#facesAt(timeS)
      : this.faces
          .filter((face) => face.frame === this.#selected.frame)
          .map((face) => ({ face, box: face.box_xyxy, isExact: true }));
    this.#overlay.replaceChildren(...shown.flatMap((each) => this.#boxOf(each)));
    const isBetween = shown.some(({ isExact }) => !isExact);
    this.#caption.textContent =
      this.media.kind === "video"
        ? `${timeText(timeS)}. ${isBetween ? "Dashed boxes are estimated between two searched frames; the score is of the nearer one." : "Boxes are drawn where the service found faces."}`
        : "Boxes are drawn where the service found faces.";
  }

  #facesAt(timeS) {
    const found = [];
    for (const trackId of new Set(this.faces.map((face) => face.track_id))) {
      const track = this.faces.filter((face) => face.track_id === trackId);
      const after = track.find((face) => face.time_s >= timeS - EXACT_S);
      const before = track.findLast((face) => face.time_s <= timeS + EXACT_S);
      if (!before || !after) continue;
      const gapS = after.time_s - before.time_s;
      const share = gapS > 0 ? Math.max(0, Math.min(1, (timeS - before.time_s) / gapS)) : 0;
      const face = share < 0.5 ? before : after;
      const box = before.box_xyxy.map((value, place) => value + share * (after.box_xyxy[place] - value));
      found.push({ face, box, isExact: Math.abs(face.time_s - timeS) <= EXACT_S });
    }
    return found;
  }

  #boxOf({ face, box, isExact }) {
    const unit = Math.max(this.media.width_px, this.media.height_px) / 100;
    const [x0, y0, x1, y1] = box;
    const isSelected = this.#selected && face.track_id === this.#selected.track_id;
    const size = 2.4 * unit;
    const y = y0 > 1.5 * size ? y0 - 0.6 * unit : y1 + size;
    const text = `${face.track_id}: ${scoreText(face.p_fake, this.point)}`;
    return [
      svg("rect", {
        class: `box${isSelected ? " selected" : ""}`,
        x: x0,
        y: y0,
        width: x1 - x0,
        height: y1 - y0,
        "stroke-width": 0.35 * unit,
        "stroke-dasharray": isExact ? null : `${unit} ${0.7 * unit}`,
      }),
      svg("text", { class: "box-text", x: Math.max(0, x0), y, "font-size": size, "stroke-width": 0.5 * unit }, text),
    ];
  }
}
