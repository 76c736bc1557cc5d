// A list of any length: only the rows in sight are in the page.

const ROW = 56; // pixels, as in the style sheet
const MARGIN = 6; // rows beyond either edge

export class List {
  #box;
  #rows = [];
  #selected = null;
  #fill;

  // `fill(row, item)` writes an item into an empty row; `choose(item)` is told of clicks.
  constructor(box, { fill, choose }) {
    this.#box = box;
    this.#fill = fill;
    this.#canvas = document.createElement("div");
    this.#canvas.role = "presentation";
    box.replaceChildren(this.#canvas);
    box.addEventListener("scroll", () => this.draw());
    box.addEventListener("click", (event) => {
      const row = event.target.closest("[role=option]");
      if (row) choose(this.#rows[row.ariaPosInSet - 1]);
    });
    new ResizeObserver(() => this.draw()).observe(box);
  }

  #canvas;

  show(items) {
    this.#rows = items;
    this.#canvas.style.height = `${items.length * ROW}px`;
    this.draw();
  }

  select(item) {
    this.#selected = item;
    const place = this.#rows.indexOf(item);
    if (place >= 0) this.#reveal(place);
    this.draw();
  }

  // The item so many rows on, or the nearest end.
  neighbour(item, step) {
    const place = this.#rows.indexOf(item);
    const target = place < 0 ? 0 : Math.min(this.#rows.length - 1, Math.max(0, place + step));
    return this.#rows[target];
  }

  includes(item) {
    return this.#rows.includes(item);
  }

  get length() {
    return this.#rows.length;
  }

  #reveal(place) {
    const { scrollTop, clientHeight } = this.#box;
    if (place * ROW < scrollTop) this.#box.scrollTop = place * ROW;
    if ((place + 1) * ROW > scrollTop + clientHeight) {
      this.#box.scrollTop = (place + 1) * ROW - clientHeight;
    }
  }

  draw() {
    const { scrollTop, clientHeight } = this.#box;
    const first = Math.max(0, Math.floor(scrollTop / ROW) - MARGIN);
    const end = Math.min(this.#rows.length, Math.ceil((scrollTop + clientHeight) / ROW) + MARGIN);
    const rows = [];
    for (let place = first; place < end; place++) rows.push(this.#row(place));
    this.#canvas.replaceChildren(...rows);
    this.#box.setAttribute("aria-activedescendant", this.#canvas.querySelector("[aria-selected=true]")?.id ?? "");
  }

  #row(place) {
    const item = this.#rows[place];
    const row = document.createElement("div");
    row.role = "option";
    row.id = `episode-${item.episode}`;
    row.ariaPosInSet = place + 1;
    row.ariaSetSize = this.#rows.length;
    row.ariaSelected = item === this.#selected;
    row.style.top = `${place * ROW}px`;
    this.#fill(row, item);
    return row;
  }
}
