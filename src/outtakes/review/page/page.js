// What the keys and buttons do.

import { Episodes } from "./episodes.js";
import { List } from "./list.js";
import { Player } from "./player.js";
import { Saving } from "./saving.js";
import { get } from "./server.js";
import { cameraBox, fillRow, find, press, say, showEpisode, showTime } from "./view.js";

let facts, episodes, list, player, saving;
let current = null;
let reversed = false;

// --- start ---------------------------------------------------------------------------------------

async function start() {
  const [told, decisions] = await Promise.all([get("episodes"), get("decisions")]);
  facts = told;
  episodes = new Episodes(facts);
  episodes.decide(decisions);
  find("dataset").textContent = facts.dataset;
  document.title = `${facts.dataset} · Review · Outtakes`;
  find("sort").querySelector("[value=score]").disabled = !facts.ranked;
  list = new List(find("list"), {
    fill: (row, each) => fillRow(row, each, facts.fps),
    choose: select,
  });
  saving = new Saving(episodes, say, show, select);
  player = startPlayer();
  arrange();
  select(episodes.byIndex.get(Number(location.hash.slice(1))) ?? list.neighbour(null, 0));
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) player.play();
  find("list").focus({ preventScroll: true });
  saving.resume();
}

function startPlayer() {
  const count = facts.cameras.length;
  find("cameras").style.setProperty("--columns", count <= 3 ? count : Math.ceil(count / 2));
  const holders = facts.cameras.map((name, i) => {
    return { ...cameraBox(name), video: facts.episodes[0].clips[i] !== null };
  });
  const started = new Player(holders, facts.fps, () => showTime(started, facts.fps));
  return started;
}

// --- the list and the episode on show ------------------------------------------------------------

function arrange() {
  const rows = episodes.arranged({
    words: find("search").value.toLowerCase().split(/\s+/).filter(Boolean),
    outcome: find("outcome").value,
    kept: find("kept").value,
    sort: find("sort").value,
    reversed,
  });
  list.show(rows);
  if (current) list.select(current);
  find("none").hidden = rows.length > 0;
  find("count").textContent = `${rows.length} of ${episodes.all.length} shown`;
}

function showAll() {
  for (const id of ["search", "outcome", "kept"]) find(id).value = "";
  arrange();
}

function select(each) {
  if (!each) return;
  if (!list.includes(each)) showAll();
  if (each !== current) load(each);
  list.select(each);
  show();
}

function load(each) {
  // What comes next, in the direction in which the person goes.
  const backwards = current && list.neighbour(current, -1) === each;
  const next = list.neighbour(each, backwards ? -1 : 1);
  current = each;
  player.load(clips(each), each.length, next === each ? null : { clips: clips(next), length: next.length });
  history.replaceState(null, "", `#${each.episode}`); // for a reload
  find("scrub").max = each.length - 1;
}

function clips(each) {
  return each.clips.map((clip, camera) =>
    clip ? [`videos/${clip[0]}`, clip[1]] : `pictures/${camera}/${each.episode}`,
  );
}

function show() {
  list.draw();
  showEpisode(current, episodes, facts.measure);
}

// --- keys and buttons ----------------------------------------------------------------------------

const move = (step) => select(list.neighbour(current, step));

function changeRate(step) {
  const rate = find("rate");
  rate.selectedIndex = Math.min(rate.length - 1, Math.max(0, rate.selectedIndex + step));
  player.rate = Number(rate.value);
}

function setLoop(looping) {
  player.looping = find("loop").checked = looping;
}

function sortByScore() {
  if (!facts.ranked) {
    say("No scores to sort by: start with --scores FILE", "");
    return;
  }
  find("sort").value = find("sort").value === "score" ? "episode" : "score";
  arrange();
}

const KEYS = {
  ArrowDown: () => move(1),
  j: () => move(1),
  ArrowUp: () => move(-1),
  k: () => move(-1),
  " ": () => player.toggle(),
  ArrowLeft: () => player.step(-1),
  ArrowRight: () => player.step(1),
  Home: () => player.seek(0),
  End: () => player.seek(player.length - 1),
  "[": () => changeRate(-1),
  "]": () => changeRate(1),
  l: () => setLoop(!player.looping),
  s: () => saving.decide(current, "label", "success"),
  f: () => saving.decide(current, "label", "failure"),
  x: () => saving.decide(current, "dropped", true),
  c: () => saving.decide(current, "dropped", false),
  u: () => saving.undo(),
  o: sortByScore,
  "/": () => find("search").focus(),
  "?": () => find("help").showModal(),
};

const BUTTONS = {
  play: KEYS[" "],
  back: KEYS.ArrowLeft,
  on: KEYS.ArrowRight,
  success: KEYS.s,
  failure: KEYS.f,
  keep: KEYS.c,
  drop: KEYS.x,
  undo: KEYS.u,
  reset: showAll,
  "help-button": KEYS["?"],
};

function onKey(event) {
  const { target, key } = event;
  if (!player || event.ctrlKey || event.metaKey || event.altKey || find("help").open) return;
  if (target.matches("input[type=search], select")) {
    if (key === "Escape") find("list").focus();
    return;
  }
  // A button that is focused by keyboard is pressed by keyboard.
  if (key === " " && target.matches("button, input[type=checkbox]")) return;
  const act = KEYS[key.length === 1 ? key.toLowerCase() : key];
  if (!act) return;
  event.preventDefault();
  act();
}

document.addEventListener("keydown", onKey);
for (const [id, act] of Object.entries(BUTTONS)) {
  find(id).addEventListener("click", (event) => {
    act();
    // After a click of the mouse the space bar plays; it does not press the button again.
    if (event.detail > 0 && !find("help").open) find("list").focus({ preventScroll: true });
  });
}
find("controls").addEventListener("submit", (event) => event.preventDefault());
find("controls").addEventListener("input", arrange);
find("direction").addEventListener("click", () => {
  reversed = !reversed;
  press("direction", reversed);
  find("direction").textContent = reversed ? "↑" : "↓";
  arrange();
});
find("scrub").addEventListener("input", () => {
  player.playing = false;
  player.seek(Number(find("scrub").value));
});
find("rate").addEventListener("change", () => changeRate(0));
find("loop").addEventListener("change", () => setLoop(find("loop").checked));
addEventListener("focus", () => saving?.refresh());

start().catch((error) => say(error.message, "trouble"));
