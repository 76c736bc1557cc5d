// One camera stored as pictures, one a frame.

const AHEAD = 40; // frames asked for before they are due
const PREPARED = 10; // of the next episode
const KEPT = 200; // frames held at most on either side

export class PictureTrack {
  #holder;
  #fps;
  #problem;
  #clip = null;
  #length = 1;
  #pictures = new Map();
  #next = { clip: null, pictures: new Map() };
  #due = 0;

  constructor(holder, fps, problem) {
    this.#holder = holder;
    this.#fps = fps;
    this.#problem = problem;
  }

  // Show the first frame of a clip: the address that frame numbers are put behind.
  load(clip, length) {
    this.#pictures = this.#next.clip === clip ? this.#next.pictures : new Map();
    this.#clip = clip;
    this.#length = length;
    this.show(0);
  }

  // Have the first frames of another clip ready.
  prepare(clip, length) {
    if (this.#next.clip === clip) return;
    this.#next = { clip, pictures: new Map() };
    for (let i = 0; i < Math.min(length, PREPARED); i++) this.#next.pictures.set(i, fetched(clip, i));
  }

  show(frame) {
    this.#due = frame;
    this.#want(frame);
    const picture = this.#pictures.get(frame);
    const due = () => this.#due === frame && this.#pictures.get(frame) === picture;
    picture.decode().then(
      () => due() && this.#holder.replaceChildren(picture),
      () => due() && this.#problem("cannot be shown"),
    );
  }

  ready() {
    return this.#pictures.get(this.#due).complete;
  }

  follow(time) {
    const frame = Math.min(this.#length - 1, Math.floor(time * this.#fps + 1e-6));
    if (frame !== this.#due) this.show(frame);
  }

  #want(frame) {
    for (let i = frame; i < Math.min(this.#length, frame + AHEAD); i++) {
      if (!this.#pictures.has(i)) this.#pictures.set(i, fetched(this.#clip, i));
    }
    for (const i of this.#pictures.keys()) {
      if (Math.abs(i - frame) > KEPT) this.#pictures.delete(i);
    }
  }
}

function fetched(clip, frame) {
  const picture = new Image();
  picture.alt = "";
  picture.src = `${clip}/${frame}`;
  return picture;
}
