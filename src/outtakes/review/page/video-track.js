// One camera stored as video. Many episodes share a file: an episode is a span of it.

const SEEK_BEYOND = 2; // frames out of step before it jumps instead of hurrying
const HURRY = 0.3; // at most so much faster or slower
const HURRY_PER_FRAME = 0.2;

export class VideoTrack {
  #fps;
  #videos; // the one on show, and one that waits with the next episode
  #clip = null;
  #length = 1;
  #wanted = null; // frame to show as soon as the last seek is over
  #running = false;

  constructor(holder, fps, problem) {
    this.#fps = fps;
    this.#videos = [0, 1].map(() => {
      const video = document.createElement("video");
      Object.assign(video, { muted: true, playsInline: true, preload: "auto", tabIndex: -1 });
      video.disablePictureInPicture = true;
      video.addEventListener("seeked", () => this.#catchUp(video));
      video.addEventListener("error", () => {
        if (video === this.#video) problem(video.error?.message || "cannot be played");
      });
      holder.append(video);
      return video;
    });
  }

  get #video() {
    return this.#videos[0];
  }

  // Show the first frame of a clip: [address of the video, seconds from its start].
  load(clip, length) {
    this.#video.pause();
    this.#running = false;
    if (holds(this.#videos[1], clip)) this.#videos.reverse();
    this.#clip = clip;
    this.#length = length;
    this.#videos.forEach((video, i) => video.classList.toggle("spare", i > 0));
    this.#wanted = 0;
    point(this.#video, clip, 0.5 / this.#fps);
  }

  // Have the first frame of another clip ready.
  prepare(clip) {
    if (!holds(this.#videos[0], clip)) point(this.#videos[1], clip, 0.5 / this.#fps);
  }

  // Stand still at a frame. The middle of its time, so that rounding cannot land on its neighbour.
  show(frame) {
    this.#video.pause();
    this.#running = false;
    this.#wanted = frame;
    if (!this.#video.seeking) this.#catchUp(this.#video);
  }

  #catchUp(video) {
    if (video !== this.#video || this.#wanted === null) return;
    const time = this.#clip[1] + (this.#wanted + 0.5) / this.#fps;
    this.#wanted = null;
    if (Math.abs(video.currentTime - time) > 0.1 / this.#fps) video.currentTime = time;
  }

  // Whether the clock may go on.
  ready() {
    const video = this.#video;
    return Boolean(video.error) || this.#atEnd(0) || (this.#running && !video.seeking && video.readyState >= 3);
  }

  // Play along with the clock, `time` seconds into the episode.
  follow(time, rate) {
    const video = this.#video;
    if (video.error || video.seeking) return;
    if (this.#atEnd(time)) {
      this.show(this.#length - 1);
      return;
    }
    if (video.paused) this.#start(video);
    const ahead = (this.#position() - time) * this.#fps;
    if (Math.abs(ahead) > SEEK_BEYOND) video.currentTime = this.#clip[1] + time;
    const hurry = Math.min(HURRY, Math.max(-HURRY, ahead * HURRY_PER_FRAME));
    const wanted = rate * (1 - Math.round(hurry * 20) / 20);
    if (video.playbackRate !== wanted) video.playbackRate = wanted;
  }

  #start(video) {
    this.#wanted = null;
    video.play().then(
      () => (this.#running = !video.paused),
      () => {}, // paused again, or another clip, before it began
    );
  }

  #position() {
    return this.#video.currentTime - this.#clip[1];
  }

  // In its last frame: a moment later the file shows the next episode.
  #atEnd(time) {
    return Math.max(time, this.#position()) * this.#fps >= this.#length - 1;
  }
}

const holds = (video, clip) => video.dataset.clip === String(clip);

function point(video, clip, offset) {
  if (video.dataset.file !== clip[0]) video.src = video.dataset.file = clip[0];
  video.dataset.clip = String(clip);
  video.currentTime = clip[1] + offset;
}
