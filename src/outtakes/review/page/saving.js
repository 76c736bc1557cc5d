// Decisions on their way to disk, one after another, in the order of the keys.

import { outcomeOf } from "./episodes.js";
import { Conflict, get, post } from "./server.js";

export class Saving {
  #episodes;
  #say;
  #changed;
  #queue = Promise.resolve();

  // `say(message, tone)` tells how it went; `changed()` is told that decisions may have changed.
  constructor(episodes, say, changed) {
    this.#episodes = episodes;
    this.#say = say;
    this.#changed = changed;
  }

  decide(each, field, after) {
    this.#next(async () => {
      const before = each[field];
      const told = await post("changes", { episode: each.episode, field, before, after });
      each[field] = after;
      await this.#accept(told, Number(before !== after));
      return `Saved: episode ${each.episode} ${describe(each, field)}`;
    });
  }

  // Take the last decision back, and `show` its episode.
  undo(show) {
    this.#next(async () => {
      const change = this.#episodes.last;
      if (!change) return "Nothing to undo";
      const told = await post("undo", { revision: this.#episodes.revision });
      const each = this.#episodes.byIndex.get(change.episode);
      each[change.field] = change.before;
      await this.#accept(told, 1);
      show(each);
      return `Saved: undone, episode ${each.episode} ${describe(each, change.field)}`;
    });
  }

  // Another page may have decided something while this one was not looked at.
  refresh() {
    this.#next(async () => this.#episodes.decide(await get("decisions")));
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
