// What the keys and buttons do.

import { Episodes, outcomeOf, sourceOf } from "./episodes.js";
import { List } from "./list.js";
import { Player } from "./player.js";
import { Conflict, get, post } from "./server.js";

const find = (id) => document.getElementById(id);
const MARKS = { success: "✓ success", failure: "✗ failure" };

let facts, episodes, list, player;
let current = null;
let reversed = false;
let queue = Promise.resolve(); // saves go one after another, in the order of the keys

// --- start ---------------------------------------------------------------------------------------

async function start() {
  const [told, decisions] = await Promise.all([get("episodes"), get("decisions")]);
  facts = told;
  episodes = new Episodes(facts);
  episodes.decide(decisions);
  find("dataset").textContent = facts.dataset;
  document.title = `${facts.dataset} · Review · Outtakes`;
  find("sort").querySelector("[value=score]").disabled = !facts.ranked;
  list = new List(find("list"), { fill: fillRow, choose: select });
  player = new Player(facts.cameras.map(cameraBox), facts.fps, showTime);
  player.playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  arrange();
  select(episodes.byIndex.get(Number(location.hash.slice(1))) ?? list.neighbour(null, 0));
  if (player.playing) player.play();
  find("list").focus({ preventScroll: true });
}

function cameraBox(name, i) {
  const box = document.createElement("figure");
  const screen = document.createElement("div");
  const caption = document.createElement("figcaption");
  screen.className = "screen";
  caption.textContent = name;
  box.append(screen, caption);
  find("cameras").append(box);
  const count = facts.cameras.length;
  find("cameras").style.setProperty("--columns", count <= 3 ? count : Math.ceil(count / 2));
  const problem = (text) => (caption.textContent = `${name}: ${text}`);
  return { element: screen, video: facts.episodes[0].clips[i] !== null, problem };
}

// --- the list ------------------------------------------------------------------------------------

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

function fillRow(row, each) {
  row.append(
    text("b", `${each.episode}`, "number"),
    outcomeBadge(each),
    text("span", each.rank ? `rank ${each.rank[0]}` : "", "rank"),
    text("span", seconds(each.length), "length"),
    text("span", each.dropped ? "dropped" : "", "kept"),
    text("small", each.task, "task"),
    text("small", sourceOf(each), "source"),
  );
  row.classList.toggle("is-dropped", each.dropped);
}

function outcomeBadge(each) {
  const outcome = outcomeOf(each);
  return text("span", MARKS[outcome] ?? "? no label", `badge ${outcome ?? "none"}`);
}

function text(tag, content, style) {
  const element = document.createElement(tag);
  element.textContent = content;
  element.className = style;
  return element;
}

const seconds = (frames) => `${(frames / facts.fps).toFixed(1)} s`;

// --- the episode ---------------------------------------------------------------------------------

function select(each) {
  if (!each) return;
  const step = current && list.neighbour(current, -1) === each ? -1 : 1; // prepare what comes next
  if (!list.includes(each)) showAll();
  if (each !== current) {
    current = each;
    const next = list.neighbour(each, step);
    player.load(clips(each), each.length, next === each ? null : { clips: clips(next), length: next.length });
    history.replaceState(null, "", `#${each.episode}`);
    find("scrub").max = each.length - 1;
  }
  list.select(each);
  showEpisode();
}

function clips(each) {
  return each.clips.map((clip, camera) =>
    clip ? [`videos/${clip[0]}`, clip[1]] : `pictures/${camera}/${each.episode}`,
  );
}

function showEpisode() {
  find("title").textContent = `Episode ${current.episode}`;
  find("task").textContent = current.task;
  find("facts").replaceChildren(
    outcomeBadge(current),
    text("span", sourceOf(current), "muted"),
    text("span", current.rank ? `rank ${current.rank[0]}, ${current.rank[1].toPrecision(3)} nats` : "", "muted"),
    text("span", current.dropped ? "dropped" : "kept", current.dropped ? "tag dropped" : "tag"),
  );
  for (const label of ["success", "failure"]) press(label, outcomeOf(current) === label);
  press("keep", !current.dropped);
  press("drop", current.dropped);
  find("undo").disabled = episodes.last === null;
  const { labelled, dropped } = episodes.counts();
  find("progress").textContent =
    `${episodes.all.length} episodes · ${labelled} labelled by a person · ${dropped} dropped`;
}

const press = (id, pressed) => find(id).setAttribute("aria-pressed", String(pressed));

function showTime() {
  const { frame, length, playing } = player;
  find("scrub").value = frame;
  find("scrub").style.setProperty("--share", frame / Math.max(1, length - 1));
  find("readout").textContent = `${(frame / facts.fps).toFixed(2)} s · frame ${frame + 1} of ${length}`;
  const label = playing ? "Pause" : "Play";
  if (find("play").firstChild.data !== label) find("play").replaceChildren(label, " ", text("kbd", "Space", ""));
}

// --- decisions -----------------------------------------------------------------------------------

function decide(field, after) {
  const each = current;
  save(async () => {
    const change = { episode: each.episode, field, before: each[field], after };
    const told = await post("changes", change);
    each[field] = after;
    await accept(told, Number(change.before !== after));
    return `Saved: episode ${each.episode} ${describe(each, field)}`;
  });
}

function undo() {
  save(async () => {
    const change = episodes.last;
    if (!change) return "Nothing to undo";
    const told = await post("undo", { revision: episodes.revision });
    const each = episodes.byIndex.get(change.episode);
    each[change.field] = change.before;
    await accept(told, 1);
    select(each);
    return `Saved: undone, episode ${each.episode} ${describe(each, change.field)}`;
  });
}

// Take over what the server answers. More changes than ours: another page made them.
async function accept({ revision, last }, changes) {
  if (revision === episodes.revision + changes) Object.assign(episodes, { revision, last });
  else episodes.decide(await get("decisions"));
}

function describe(each, field) {
  if (field === "dropped") return each.dropped ? "is dropped" : "is kept";
  const outcome = outcomeOf(each);
  return outcome ? `is a ${outcome}` : "has no label";
}

function save(work) {
  queue = queue.then(async () => {
    try {
      say(await work(), "saved");
    } catch (error) {
      if (error instanceof Conflict) {
        episodes.decide(error.decisions);
        say("Not saved: changed elsewhere meanwhile. Look, and press again", "trouble");
      } else {
        say(`Not saved: ${error.message}`, "trouble");
      }
    }
    list.draw();
    showEpisode();
  });
}

function say(message, tone) {
  find("status").textContent = message;
  find("status").className = tone;
}

// Another page may have decided something while this one was not looked at.
function refresh() {
  queue = queue.then(async () => {
    try {
      episodes.decide(await get("decisions"));
      list.draw();
      showEpisode();
    } catch (error) {
      say(error.message, "trouble");
    }
  });
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
  s: () => decide("label", "success"),
  f: () => decide("label", "failure"),
  x: () => decide("dropped", true),
  c: () => decide("dropped", false),
  u: undo,
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
  undo,
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
addEventListener("focus", () => episodes && refresh());

start().catch((error) => say(error.message, "trouble"));
