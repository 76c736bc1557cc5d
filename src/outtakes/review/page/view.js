// What is written where in the page.

import { outcomeOf, sourceOf } from "./episodes.js";

const MARKS = { success: "✓ success", failure: "✗ failure" };

export const find = (id) => document.getElementById(id);

export const press = (id, pressed) => find(id).setAttribute("aria-pressed", String(pressed));

export function say(message, tone) {
  find("status").textContent = message;
  find("status").className = tone;
}

// A box for one camera: where its frames go, and whom to tell when they cannot be shown.
export function cameraBox(name) {
  const box = document.createElement("figure");
  const caption = text("figcaption", name, "");
  const element = text("div", "", "screen");
  box.append(element, caption);
  find("cameras").append(box);
  return { element, problem: (what) => (caption.textContent = `${name}: ${what}`) };
}

export function fillRow(row, each, fps) {
  row.append(
    text("b", `${each.episode}`, "number"),
    badge(each),
    text("span", each.rank ? `rank ${each.rank[0]}` : "", "rank"),
    text("span", `${(each.length / fps).toFixed(1)} s`, "length"),
    text("span", each.dropped ? "dropped" : "", "kept"),
    text("small", each.task, "task"),
    text("small", sourceOf(each), "source"),
  );
  row.classList.toggle("is-dropped", each.dropped);
}

export function showEpisode(each, episodes, measure) {
  find("title").textContent = `Episode ${each.episode}`;
  find("task").textContent = each.task;
  const score = each.rank
    ? `rank ${each.rank[0]}, ${measure.symbol} ${each.rank[1].toPrecision(3)} ${measure.unit}`
    : "";
  find("facts").replaceChildren(
    badge(each),
    text("span", sourceOf(each), "muted"),
    text("span", score, "muted"),
    text("span", each.dropped ? "dropped" : "kept", each.dropped ? "tag dropped" : "tag"),
  );
  for (const label of ["success", "failure"]) press(label, outcomeOf(each) === label);
  press("keep", !each.dropped);
  press("drop", each.dropped);
  find("undo").disabled = episodes.last === null;
  const { labelled, dropped } = episodes.counts();
  find("progress").textContent =
    `${episodes.all.length} episodes · ${labelled} labelled by a person · ${dropped} dropped`;
}

export function showTime({ frame, length, playing }, fps) {
  find("scrub").value = frame;
  find("scrub").style.setProperty("--share", frame / Math.max(1, length - 1));
  find("readout").textContent = `${(frame / fps).toFixed(2)} s · frame ${frame + 1} of ${length}`;
  const label = playing ? "Pause" : "Play";
  if (!find("play").textContent.startsWith(label)) {
    find("play").replaceChildren(label, " ", text("kbd", "Space", ""));
  }
}

function badge(each) {
  const outcome = outcomeOf(each);
  return text("span", MARKS[outcome] ?? "? no label", `badge ${outcome ?? "none"}`);
}

function text(tag, content, style) {
  const element = document.createElement(tag);
  element.textContent = content;
  element.className = style;
  return element;
}
