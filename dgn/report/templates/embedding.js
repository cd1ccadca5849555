"use strict";
{
  // A scatter that is drawn on a canvas: points from afar, pictures from near.
  const data = JSON.parse(document.getElementById("data").textContent);
  const box = document.getElementById("scatter");
  const canvas = box.querySelector("canvas");
  const output = box.querySelector("output");
  const pen = canvas.getContext("2d");
  const atlas = new Image();
  const colour = (label) => (label < 0 ? "#8a8b90" : `hsl(${Math.round((360 * label) / Math.max(1, data.classes.length))} 62% 52%)`);
  const view = { x: 0.5, y: 0.5, zoom: 1 };
  const chosen = { label: null, unit: null };
  const pointers = new Map();
  let pointed = -1;

  const side = () => Math.min(box.clientWidth, box.clientHeight) * 0.9 * view.zoom;
  const across = (i) => box.clientWidth / 2 + (data.places[i][0] - view.x) * side();
  const down = (i) => box.clientHeight / 2 - (data.places[i][1] - view.y) * side();
  // Many pictures cover each other, and the colours of their classes, until one has come near.
  const near = () => view.zoom > 1.3 || data.places.length <= 40;
  // A picture as large as leaves room for its neighbours on average.
  const size = () => Math.min(64, (1.1 * side()) / Math.sqrt(data.places.length));

  function dimmed(i) {
    if (chosen.unit !== null) return !data.marked[chosen.unit].includes(i);
    return chosen.label !== null && data.labels[i] !== chosen.label;
  }

  function draw() {
    const ratio = devicePixelRatio || 1;
    canvas.width = box.clientWidth * ratio;
    canvas.height = box.clientHeight * ratio;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const pictures = near() && size() >= 14 && atlas.complete && atlas.naturalWidth;
    const order = [...data.places.keys()].sort((a, b) => Number(dimmed(b)) - Number(dimmed(a)));
    for (const i of order) {
      const x = across(i);
      const y = down(i);
      const edge = size() / 2;
      if (x < -edge || y < -edge || x > box.clientWidth + edge || y > box.clientHeight + edge) continue;
      pen.globalAlpha = dimmed(i) ? 0.12 : 1;
      if (pictures) {
        const [column, row] = [i % data.columns, Math.floor(i / data.columns)];
        pen.drawImage(atlas, column * data.thumb, row * data.thumb, data.thumb, data.thumb, x - edge, y - edge, 2 * edge, 2 * edge);
        pen.fillStyle = colour(data.labels[i]);
        pen.fillRect(x - edge, y + edge - 2, 2 * edge, 2);
      } else {
        pen.fillStyle = colour(data.labels[i]);
        pen.beginPath();
        pen.arc(x, y, dimmed(i) ? 2.5 : 4, 0, 7);
        pen.fill();
      }
      if (i === pointed) {
        pen.strokeStyle = colour(data.labels[i]);
        pen.lineWidth = 2;
        pen.strokeRect(x - edge - 1, y - edge - 1, 2 * edge + 2, 2 * edge + 2);
      }
    }
    pen.globalAlpha = 1;
  }

  function zoom(by, x = box.clientWidth / 2, y = box.clientHeight / 2) {
    const before = side();
    view.zoom = Math.min(60, Math.max(0.7, view.zoom * by));
    const after = side();
    view.x += (x - box.clientWidth / 2) * (1 / before - 1 / after);
    view.y -= (y - box.clientHeight / 2) * (1 / before - 1 / after);
    draw();
  }

  function move(x, y) {
    view.x -= x / side();
    view.y += y / side();
    draw();
  }

  function point(x, y) {
    let best = -1;
    let least = Math.max(12, size() / 2) ** 2;
    for (let i = 0; i < data.places.length; i++) {
      const distance = (across(i) - x) ** 2 + (down(i) - y) ** 2;
      if (distance < least) [best, least] = [i, distance];
    }
    if (best === pointed) return;
    pointed = best;
    output.textContent = best < 0 ? "" : `${data.classes[data.labels[best]] ?? "image"} ${best}`;
    draw();
  }

  box.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
  }, { passive: false });
  box.addEventListener("pointerdown", (event) => {
    box.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event);
  });
  for (const name of ["pointerup", "pointercancel"]) box.addEventListener(name, (event) => pointers.delete(event.pointerId));
  box.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return point(event.offsetX, event.offsetY);
    pointers.set(event.pointerId, event);
    if (pointers.size === 1) return move(event.clientX - last.clientX, event.clientY - last.clientY);
    const other = [...pointers.values()].find((one) => one.pointerId !== event.pointerId);
    const away = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
    zoom(away(event) / Math.max(1, away(last)));
  });
  box.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
    if (step) move(...step);
    else if (event.key === "+" || event.key === "=") zoom(1.4);
    else if (event.key === "-") zoom(1 / 1.4);
    else if (event.key === "0") {
      Object.assign(view, { x: 0.5, y: 0.5, zoom: 1 });
      draw();
    } else return;
    event.preventDefault();
  });
  for (const button of document.querySelectorAll("#classes button, #units button")) {
    const kind = "class" in button.dataset ? "label" : "unit";
    if (kind === "label") button.style.setProperty("--of", colour(Number(button.dataset.class)));
    button.addEventListener("click", () => {
      const value = kind === "label" ? Number(button.dataset.class) : button.dataset.unit;
      const again = chosen[kind] === value;
      Object.assign(chosen, { label: null, unit: null });
      if (!again) chosen[kind] = value;
      for (const other of document.querySelectorAll("#classes button, #units button")) other.setAttribute("aria-pressed", String(!again && other === button));
      draw();
    });
  }
  atlas.addEventListener("load", draw);
  atlas.src = "thumbs.png";
  new ResizeObserver(draw).observe(box);
  draw();
}
