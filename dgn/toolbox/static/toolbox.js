"use strict";
// Pictures come from a file, a drop, the clipboard or the camera, and are made small before they are sent.
{
  const LARGEST = 320;
  const canvas = document.createElement("canvas");
  let waiting = false;
  let stream = null;

  let next = () => {};

  // The page is shown; the camera's next picture may come.
  window.dgnReady = () => {
    waiting = false;
    next();
  };
  window.dgnChosen = (name) => {
    for (const tile of document.querySelectorAll("[data-name]")) tile.setAttribute("aria-pressed", String(tile.dataset.name === name));
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
    take(event.dataTransfer.files[0], slot(event.target));
  });
  document.addEventListener("paste", (event) => take([...event.clipboardData.files][0], slot(null)));
  // Arrows go through the channels, as in a grid.
  document.addEventListener("keydown", (event) => {
    const tile = event.target.closest?.("[data-layer]");
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -8, ArrowDown: 8 }[event.key];
    if (!tile || !by) return;
    const tiles = [...document.querySelectorAll("[data-layer]")];
    tiles[Math.min(tiles.length - 1, Math.max(0, tiles.indexOf(tile) + by))].focus();
    event.preventDefault();
  });
}
