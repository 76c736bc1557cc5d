"use strict";

// Controls cover much of a small picture: they come when it is pointed at or focused.
for (const video of document.querySelectorAll("video")) {
  video.controls = false;
  video.tabIndex = 0;
  for (const event of ["pointerenter", "focus"]) {
    video.addEventListener(event, () => (video.controls = true));
  }
  for (const event of ["pointerleave", "blur"]) {
    video.addEventListener(event, () => (video.controls = video.matches(":hover, :focus")));
  }
}

// A button that plays the videos of one group together.
for (const button of document.querySelectorAll("button.play")) {
  const videos = [...button.closest(".card, .takes").querySelectorAll("video")];
  const label = videos.length > 1 ? button.textContent : "Play";
  const playing = () => videos.some((video) => !video.paused && !video.ended);
  const update = () => (button.textContent = playing() ? "Pause" : label);
  update();

  button.addEventListener("click", () => {
    if (playing()) {
      videos.forEach((video) => video.pause());
      return;
    }
    if (videos.every((video) => video.ended || video.readyState === 0)) {
      videos.forEach((video) => (video.currentTime = 0));
    }
    videos.filter((video) => !video.ended).forEach((video) => video.play());
  });
  for (const video of videos) {
    for (const event of ["play", "pause", "ended"]) video.addEventListener(event, update);
  }
}

// The curve under a failure's video: its playhead follows the video, and the video follows it.
for (const timeline of document.querySelectorAll(".timeline")) {
  const card = timeline.closest(".card");
  const videos = [...card.querySelectorAll("video")];
  const video = card.querySelector(".own video"); // the nearest success keeps another time
  const fps = Number(card.dataset.fps);
  const peak = Number(timeline.dataset.peak);
  const points = timeline.querySelector("polyline").points;
  const last = points.numberOfItems - 1;
  const playhead = timeline.querySelector(".playhead");
  const readout = card.querySelector(".readout");

  const show = (frame) => {
    playhead.style.left = `${(100 * frame) / Math.max(last, 1)}%`;
    const value = (1 - points.getItem(frame).y) * peak;
    const text = `${(frame / fps).toFixed(2)} s, frame ${frame}: ${value.toPrecision(2)} ${timeline.dataset.unit}`;
    readout.textContent = text;
    timeline.setAttribute("aria-valuenow", frame);
    timeline.setAttribute("aria-valuetext", text);
  };

  const frameNow = () => Math.min(last, Math.floor(video.currentTime * fps + 1e-6));

  const follow = () => {
    show(frameNow());
    if (!video.paused && !video.ended) requestAnimationFrame(follow);
  };

  // The middle of a frame's time, so that rounding cannot land on its neighbour.
  const seek = (frame) => {
    show(frame);
    for (const each of videos) moveTo(each, (frame + 0.5) / fps);
  };

  const frameAt = (event) => {
    const box = timeline.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    return Math.round(Math.min(1, Math.max(0, share)) * last);
  };

  timeline.addEventListener("pointerdown", (event) => {
    timeline.setPointerCapture(event.pointerId);
    seek(frameAt(event));
  });
  timeline.addEventListener("pointermove", (event) => {
    if (timeline.hasPointerCapture(event.pointerId)) seek(frameAt(event));
  });
  timeline.addEventListener("keydown", (event) => {
    const now = Number(timeline.getAttribute("aria-valuenow"));
    const target = {
      ArrowLeft: now - 1, ArrowRight: now + 1, PageDown: now - fps, PageUp: now + fps, Home: 0, End: last,
    }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    seek(Math.round(Math.min(last, Math.max(0, target))));
  });
  video?.addEventListener("play", follow);
  video?.addEventListener("seeked", () => show(frameNow()));
}

function moveTo(video, time) {
  if (video.readyState > 0) {
    video.currentTime = Math.min(time, video.duration);
    return;
  }
  // Nothing is loaded before it is asked for.
  video.addEventListener("loadedmetadata", () => moveTo(video, time), { once: true });
  if (video.preload === "none") {
    video.preload = "auto";
    video.load();
  }
}
