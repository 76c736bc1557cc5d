// One camera stored as video. Many episodes share a file: an episode is a span of it.

const SEEK_BEYOND = 2; // frames out of step before it jumps instead of hurrying
const HURRY = 0.3; // at most so much faster or slower
const HURRY_PER_FRAME = 0.2;
// A browser stops a moment after it is told to, and the file goes on with the next episode. So the
// last moments, in seconds as they pass for the viewer, are shown frame by frame.
const TAIL = 0.15;

export class VideoTrack {
  #fps;
  #videos; // the one on show, and one that waits with the next episode
  #clip = null;
  #length = 1;
  #wanted = 0; // frame to stand still at; null while it plays
  #settled = null; // frame that it was last sent to, unless it has played since
  #running = false;

  constructor(holder, fps, problem) {
    this.#fps = fps;
    this.#videos = [0, 1].map(() => {
      const video = document.createElement("video");
      Object.assign(video, { muted: true, playsInline: true, preload: "auto", tabIndex: -1 });
      video.disablePictureInPicture = true;
      video.addEventListener("seeked", () => video === this.#video && this.#settle());
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
    this.#stop();
    if (holds(this.#videos[1], clip)) this.#videos.reverse();
    this.#videos.forEach((video, i) => video.classList.toggle("spare", i > 0));
    this.#clip = clip;
    this.#length = length;
    this.#wanted = this.#settled = 0;
    point(this.#video, clip, this.#timeOf(0));
  }

  // Have the first frame of another clip ready.
  prepare(clip) {
    if (!holds(this.#videos[0], clip)) point(this.#videos[1], clip, clip[1] + 0.5 / this.#fps);
  }

  // Stand still at a frame.
  show(frame) {
    this.#stop();
    this.#wanted = frame;
    if (!this.#video.seeking) this.#settle();
  }

  // Whether the clock may go on.
  ready() {
    const video = this.#video;
    if (video.error) return true;
    if (this.#wanted !== null) return !video.seeking;
    return this.#running && !video.seeking && video.readyState >= 3;
  }

  // Play along with the clock, `time` seconds into the episode.
  follow(time, rate) {
    const video = this.#video;
    if (video.error || video.seeking) return;
    const position = video.currentTime - this.#clip[1];
    if (Math.max(time, position) >= this.#length / this.#fps - TAIL * rate) {
      this.show(Math.min(this.#length - 1, Math.floor(time * this.#fps + 1e-6)));
      return;
    }
    if (video.paused) this.#start(video);
    const ahead = (position - time) * this.#fps;
    if (Math.abs(ahead) > SEEK_BEYOND) video.currentTime = this.#clip[1] + time;
    const hurry = Math.min(HURRY, Math.max(-HURRY, ahead * HURRY_PER_FRAME));
    const wanted = rate * (1 - Math.round(hurry * 20) / 20);
    if (video.playbackRate !== wanted) video.playbackRate = wanted;
  }

  #start(video) {
    this.#wanted = this.#settled = null;
    video.play().then(
      () => (this.#running = !video.paused),
      () => {}, // paused again, or another clip, before it began
    );
  }

  #stop() {
    this.#video.pause();
    this.#running = false;
  }

  // Even a video that stopped in the right frame is sent there: the picture may be ahead of it.
  #settle() {
    if (this.#wanted === null || this.#wanted === this.#settled) return;
    this.#settled = this.#wanted;
    this.#video.currentTime = this.#timeOf(this.#wanted);
  }

  // The middle of a frame's time, so that rounding cannot land on its neighbour.
  #timeOf(frame) {
    return this.#clip[1] + (frame + 0.5) / this.#fps;
  }
}

const holds = (video, clip) => video.dataset.clip === String(clip);

function point(video, clip, time) {
  if (video.dataset.file !== clip[0]) video.src = video.dataset.file = clip[0];
  video.dataset.clip = String(clip);
  video.currentTime = time;
}
