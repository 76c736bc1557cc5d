// The episodes: what the dataset says of them, what a person decided, their order.

export class Episodes {
  constructor({ episodes }) {
    this.all = episodes;
    this.byIndex = new Map(episodes.map((each) => [each.episode, each]));
    this.revision = 0;
    this.last = null; // the change that undo would take back
    for (const each of episodes) Object.assign(each, { label: null, dropped: false });
  }

  // Take over all of the server's decisions.
  decide({ labels, dropped, revision, last }) {
    for (const each of this.all) {
      each.label = labels[each.episode] ?? null;
      each.dropped = false;
    }
    for (const index of dropped) this.byIndex.get(index).dropped = true;
    Object.assign(this, { revision, last });
  }

  // Those that match, in order; unknown values come last, whichever the direction.
  arranged({ words, outcome, kept, sort, reversed }) {
    const key = SORTS[sort];
    return this.all
      .filter((each) => matches(each, words, outcome, kept))
      .sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === null || y === null) return (x === null) - (y === null) || a.episode - b.episode;
        return (reversed ? compare(y, x) : compare(x, y)) || a.episode - b.episode;
      });
  }

  counts() {
    return {
      labelled: this.all.filter((each) => each.label).length,
      dropped: this.all.filter((each) => each.dropped).length,
    };
  }
}

export const outcomeOf = (each) => each.label ?? each.recorded;
export const sourceOf = (each) => (each.label ? "by a person" : each.source && `from ${each.source}`);

const compare = (x, y) => (x < y ? -1 : Number(x > y));

const SORTS = {
  episode: (each) => each.episode,
  score: (each) => each.rank?.[0] ?? null,
  length: (each) => each.length,
  outcome: outcomeOf,
  task: (each) => each.task,
};

function matches(each, words, outcome, kept) {
  const text = `${each.episode} ${each.task}`.toLowerCase();
  return (
    words.every((word) => (/^\d+$/.test(word) ? String(each.episode) === word : text.includes(word))) &&
    (!outcome || (outcomeOf(each) ?? "none") === outcome) &&
    (!kept || (kept === "dropped") === each.dropped)
  );
}
