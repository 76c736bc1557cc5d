// Decisions on their way to disk, one after another, in the order of the keys.

import { outcomeOf } from "./episodes.js";
import { Conflict, get, post } from "./server.js";

const UNSAVED = "unsaved";

export class Saving {
  #episodes;
  #say;
  #changed;
  #show;
  #queue = Promise.resolve();
  #unsaved = JSON.parse(sessionStorage.getItem(UNSAVED) ?? "[]"); // outlives a reload
  #leaving = false;

  // `say(message, tone)` tells how it went; `changed()` is told that decisions may have changed;
  // `show(each)` shows the episode of which a decision was taken back.
  constructor(episodes, say, changed, show) {
    this.#episodes = episodes;
    this.#say = say;
    this.#changed = changed;
    this.#show = show;
    addEventListener("beforeunload", () => (this.#leaving = true));
  }

  decide(each, field, after) {
    this.#press({ episode: each.episode, field, after });
  }

  // Take the last decision back, and show its episode.
  undo() {
    this.#press({ undo: true });
  }

  // Do what was pressed before a reload and may not have arrived. Only the first of it was sent.
  resume() {
    const { revision } = this.#episodes;
    const arrived = this.#unsaved[0]?.revision < revision;
    this.#unsaved.splice(0, Number(arrived));
    for (const pressed of this.#unsaved) this.#next(() => this.#save(pressed));
  }

  // Another page may have decided something while this one was not looked at.
  refresh() {
    this.#next(async () => this.#episodes.decide(await get("decisions")));
  }

  #press(pressed) {
    this.#unsaved.push(pressed);
    this.#remember();
    this.#next(() => this.#save(pressed));
  }

  #remember() {
    sessionStorage.setItem(UNSAVED, JSON.stringify(this.#unsaved));
  }

  async #save(pressed) {
    const again = "revision" in pressed;
    pressed.revision = this.#episodes.revision;
    this.#remember();
    try {
      return await (pressed.undo ? this.#undo() : this.#decide(pressed));
    } catch (error) {
      // Sent a second time after a reload, it may find that it had arrived after all.
      if (!(again && error instanceof Conflict)) throw error;
      this.#episodes.decide(error.decisions);
      return "Saved";
    } finally {
      // A request that breaks off because the page goes is not over.
      if (!this.#leaving) {
        this.#unsaved = this.#unsaved.filter((other) => other !== pressed);
        this.#remember();
      }
    }
  }

  async #decide({ episode, field, after }) {
    const each = this.#episodes.byIndex.get(episode);
    const before = each[field];
    const told = await post("changes", { episode, field, before, after });
    each[field] = after;
    await this.#accept(told, Number(before !== after));
    return `Saved: episode ${episode} ${describe(each, field)}`;
  }

  async #undo() {
    const change = this.#episodes.last;
    if (!change) return "Nothing to undo";
    const told = await post("undo", { revision: this.#episodes.revision });
    const each = this.#episodes.byIndex.get(change.episode);
    each[change.field] = change.before;
    await this.#accept(told, 1);
    this.#show(each);
    return `Saved: undone, episode ${each.episode} ${describe(each, change.field)}`;
  }

  #next(work) {
    this.#queue = this.#queue.then(async () => {
      try {
        const message = await work();
        if (message) this.#say(message, "saved");
      } catch (error) {
        this.#trouble(error);
      }
      this.#changed();
    });
  }

  #trouble(error) {
    if (error instanceof Conflict) {
      this.#episodes.decide(error.decisions);
      this.#say("Not saved: changed elsewhere meanwhile. Look, and press again", "trouble");
    } else {
      this.#say(`Not saved: ${error.message}`, "trouble");
    }
  }

  // Take over what the server answers. More changes than ours: another page made them.
  async #accept({ revision, last }, changes) {
    const episodes = this.#episodes;
    if (revision === episodes.revision + changes) Object.assign(episodes, { revision, last });
    else episodes.decide(await get("decisions"));
  }
}

function describe(each, field) {
  if (field === "dropped") return each.dropped ? "is dropped" : "is kept";
  const outcome = outcomeOf(each);
  return outcome ? `is a ${outcome}` : "has no label";
}
