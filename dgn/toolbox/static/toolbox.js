"use strict";
// Pictures come from a file, a drop, the clipboard or the camera, and are made small before they are sent.
{
  const LARGEST = 320;
  const canvas = document.createElement("canvas");
  let waiting = false;
  let stream = null;

  let next = () => {};
  const calm = () => (matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth");

  // The page is shown; the camera's next picture may come.
  window.dgnReady = () => {
    waiting = false;
    next();
  };
  window.dgnChosen = (name) => {
    for (const tile of document.querySelectorAll("[data-name]")) tile.setAttribute("aria-pressed", String(tile.dataset.name === name));
    const detail = document.querySelector(".detail"); // on narrow pages it is elsewhere than the channels
    if (getComputedStyle(detail).position === "static") detail.scrollIntoView({ block: "start", behavior: calm() });
  };

  // "other" is the second image of “Codes”; what is pasted, or dropped beside it, goes there while it is on the page.
  function slot(element) {
    const own = element?.closest?.("[data-slot]")?.dataset.slot;
    return own ?? (document.querySelector("[data-slot=other]")?.offsetParent ? "other" : "picture");
  }

  function send(picture, width, height, name, square, where = "picture") {
    const side = square ? Math.min(width, height) : 0;
    const [w, h] = square ? [side, side] : [width, height];
    const scale = Math.min(1, LARGEST / Math.max(w, h));
    canvas.width = Math.max(1, Math.round(w * scale));
    canvas.height = Math.max(1, Math.round(h * scale));
    const pen = canvas.getContext("2d");
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(picture, (width - w) / 2, (height - h) / 2, w, h, 0, 0, canvas.width, canvas.height);
    if (where === "picture") waiting = true;
    emitEvent(`dgn_${where}`, { url: canvas.toDataURL("image/jpeg", 0.92), name });
  }

  async function take(file, where) {
    if (!file) return;
    try {
      const picture = await createImageBitmap(file);
      send(picture, picture.width, picture.height, file.name ?? "picture", false, where);
    } catch {
      emitEvent("dgn_bad_picture", { name: file.name ?? "" });
    }
  }

  async function camera(button) {
    const video = document.getElementById("video");
    if (stream) {
      for (const track of stream.getTracks()) track.stop();
      stream = null;
      button.setAttribute("aria-pressed", "false");
      return;
    }
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: 320, height: 240 } });
    } catch {
      emitEvent("dgn_bad_picture", { name: "camera" });
      return;
    }
    button.setAttribute("aria-pressed", "true");
    video.srcObject = stream;
    await video.play();
    next = () => {
      if (stream && !waiting && video.videoWidth) send(video, video.videoWidth, video.videoHeight, "camera", true);
    };
    next();
  }

  document.addEventListener("change", (event) => {
    if (event.target.type !== "file") return;
    take(event.target.files[0], slot(event.target));
    event.target.value = "";
  });
  document.addEventListener("click", (event) => {
    const tile = event.target.closest("[data-layer]");
    if (tile) emitEvent("dgn_channel", { layer: tile.dataset.layer, index: Number(tile.dataset.index) });
    const button = event.target.closest("#camera");
    if (button) camera(button);
  });
  const outline = (where) => {
    for (const box of document.querySelectorAll(".drop")) box.classList.toggle("over", box.dataset.slot === where);
  };
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    outline(slot(event.target));
  });
  document.addEventListener("dragleave", () => outline(null));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    outline(null);
    const nothing = new File([], "what was dropped"); // as a piece of text
    take(event.dataTransfer.files[0] ?? nothing, slot(event.target));
  });
  document.addEventListener("paste", (event) => take([...event.clipboardData.files][0], slot(null)));
  // Arrows go through the channels: to the next one, or to the nearest one of the row above or below as it is laid out.
  document.addEventListener("keydown", (event) => {
    const tile = event.target.closest?.("[data-layer]");
    const [by, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (!tile || !(by || down)) return;
    const tiles = [...document.querySelectorAll("[data-layer]")];
    const to = down ? nearest(tile, tiles, down) : tiles[tiles.indexOf(tile) + by];
    to?.focus();
    event.preventDefault();
  });

  function nearest(tile, tiles, down) {
    const from = tile.getBoundingClientRect();
    const far = (other) => {
      const box = other.getBoundingClientRect();
      const rows = (box.top - from.top) * down;
      return rows > 1 ? rows * 1000 + Math.abs(box.left - from.left) : Infinity;
    };
    const best = tiles.reduce((a, b) => (far(b) < far(a) ? b : a), tile);
    return best === tile ? undefined : best;
  }
}
