// All cameras of one episode, kept in step by one clock.

import { PictureTrack } from "./picture-track.js";
import { VideoTrack } from "./video-track.js";

const LONGEST_TICK = 0.1; // seconds; after a longer pause of the page the clock does not leap
const HOLD = 0.3; // seconds that the last frame, which often tells the outcome, stays
const PREPARE_AFTER = 250; // milliseconds that an episode is on show before the next is fetched

export class Player {
  #fps;
  #tracks;
  #changed;
  #length = 1;
  #last = 0; // of the ticks
  #ticking = false;
  #preparing = 0;
  time = 0; // seconds into the episode
  playing = false;
  looping = true;
  rate = 1;

  // `holders`: camera -> [element, whether it is a video]. `changed()` is told of every change.
  constructor(holders, fps, changed) {
    this.#fps = fps;
    this.#changed = changed;
    this.#tracks = holders.map(({ element, video, problem }) =>
      video ? new VideoTrack(element, fps, problem) : new PictureTrack(element, fps, problem),
    );
    document.addEventListener("visibilitychange", () => document.hidden && this.pause());
  }

  get frame() {
    return Math.min(this.#length - 1, Math.floor(this.time * this.#fps + 1e-6));
  }

  get length() {
    return this.#length;
  }

  // Show the first frame of an episode, playing on if it plays; `next` is fetched meanwhile.
  load(clips, length, next) {
    this.#length = length;
    this.time = 0;
    this.#tracks.forEach((track, i) => track.load(clips[i], length));
    clearTimeout(this.#preparing);
    if (next) {
      this.#preparing = setTimeout(
        () => this.#tracks.forEach((track, i) => track.prepare(next.clips[i], next.length)),
        PREPARE_AFTER,
      );
    }
    this.#changed();
  }

  play() {
    if (this.frame === this.#length - 1) this.seek(0);
    this.playing = true;
    this.#last = performance.now();
    if (!this.#ticking) requestAnimationFrame(this.#tick);
    this.#ticking = true;
    this.#changed();
  }

  pause() {
    this.playing = false;
    this.seek(this.frame);
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  step(frames) {
    this.playing = false;
    this.seek(this.frame + frames);
  }

  seek(frame) {
    const target = Math.min(this.#length - 1, Math.max(0, frame));
    // The clock, too, stands in the middle of a frame's time.
    this.time = (target + 0.5) / this.#fps;
    for (const track of this.#tracks) track.show(target);
    this.#changed();
  }

  #tick = (now) => {
    this.#ticking = this.playing;
    if (!this.playing) return;
    const passed = Math.min(LONGEST_TICK, Math.max(0, now - this.#last) / 1000);
    this.#last = now;
    for (const track of this.#tracks) track.follow(this.time, this.rate);
    // It waits for the slowest camera.
    if (this.#tracks.every((track) => track.ready())) this.time += passed * this.rate;
    if (this.time >= this.#length / this.#fps + HOLD * this.rate) this.#end();
    this.#changed();
    requestAnimationFrame(this.#tick);
  };

  #end() {
    if (this.looping) this.seek(0);
    else this.pause();
  }
}
