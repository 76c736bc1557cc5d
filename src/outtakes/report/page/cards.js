"use strict";

// Sorting and filtering of the failures' cards.
{
  const list = document.getElementById("cards");
  if (list) {
    const cards = [...list.children];
    const find = (id) => document.getElementById(id);
    const [sort, direction, kind, search] = ["sort", "direction", "kind", "search"].map(find);
    const kept = () => document.querySelector("input[name=kept]:checked").value;
    let limit = 8; // a page of fifty would hide what comes after it

    const reversed = () => direction.getAttribute("aria-pressed") === "true";
    const key = (card) => (card.dataset[sort.value] === "" ? NaN : Number(card.dataset[sort.value]));
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y); // unknown last
      return (reversed() ? y - x : x - y) || a.dataset.episode - b.dataset.episode;
    };
    const matches = ({ dataset }) => {
      const wanted = search.value.match(/\d+/g) ?? [];
      return (
        (!kept() || dataset.kept === kept()) &&
        (!kind?.value || dataset.kind === kind.value) &&
        (!wanted.length || wanted.includes(dataset.episode))
      );
    };

    const update = () => {
      list.append(...cards.sort(compare));
      const matching = cards.filter(matches);
      const shown = new Set(matching.slice(0, limit));
      for (const card of cards) {
        card.hidden = !shown.has(card);
        if (card.hidden) card.querySelectorAll("video").forEach((video) => video.pause());
      }
      find("count").textContent = `${shown.size} of ${cards.length} shown`;
      find("none").hidden = matching.length > 0;
      find("more").hidden = shown.size === matching.length;
      find("more").textContent = `Show all ${matching.length}`;
    };

    const showAll = () => {
      search.value = "";
      if (kind) kind.value = "";
      document.querySelector("input[name=kept][value='']").checked = true;
      limit = Infinity;
      update();
    };

    // A mark in a figure leads to a card, which may be filtered away.
    const reveal = () => {
      const card = cards.find((each) => `#${each.id}` === location.hash);
      if (!card) return;
      if (card.hidden) showAll();
      card.scrollIntoView({ block: "start" });
      card.focus({ preventScroll: true });
    };

    find("card-controls").addEventListener("input", update);
    direction.addEventListener("click", () => {
      direction.setAttribute("aria-pressed", String(!reversed()));
      update();
    });
    find("more").addEventListener("click", () => {
      limit = Infinity;
      update();
    });
    find("reset").addEventListener("click", showAll);
    addEventListener("hashchange", reveal);
    update();
    reveal();
  }
}
