"use strict";

// Says what the mark under the pointer is: text in data-tip, an image in data-picture.
{
  const tip = document.getElementById("tip");

  const show = (target) => {
    const [title, ...lines] = target.dataset.tip.split("\n");
    const heading = document.createElement("b");
    heading.textContent = title;
    const rows = lines.map((line) => {
      const row = document.createElement("span");
      row.textContent = line;
      return row;
    });
    const pictures = [];
    if (target.dataset.picture) {
      pictures.push(Object.assign(new Image(), { src: target.dataset.picture, alt: "" }));
    }
    tip.replaceChildren(...pictures, heading, ...rows);
    tip.hidden = false;
  };

  const place = (event) => {
    const gap = 14;
    const { width, height } = tip.getBoundingClientRect();
    const left = event.clientX + gap + width > innerWidth ? event.clientX - gap - width : event.clientX + gap;
    const top = event.clientY + gap + height > innerHeight ? event.clientY - gap - height : event.clientY + gap;
    tip.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, top)}px)`;
  };

  document.addEventListener("pointermove", (event) => {
    const target = event.target.closest?.("[data-tip]");
    if (!target) {
      tip.hidden = true;
      return;
    }
    show(target);
    place(event);
  });
  document.addEventListener("pointerleave", () => (tip.hidden = true));
}
