"use strict";
// Pictures come from a file, a drop, the clipboard or the camera, and are made small before they are sent.
{
  const LARGEST = 320;
  const canvas = document.createElement("canvas");
  let waiting = false;
  let stream = null;

  window.dgnReady = () => (waiting = false);
  window.dgnShow = (url) => {
    const image = document.getElementById("shown");
    if (image) image.src = url;
  };
  window.dgnChosen = (name) => {
    for (const tile of document.querySelectorAll("[data-name]")) tile.setAttribute("aria-pressed", String(tile.dataset.name === name));
  };

  function send(picture, width, height, name, square) {
    const side = square ? Math.min(width, height) : 0;
    const [w, h] = square ? [side, side] : [width, height];
    const scale = Math.min(1, LARGEST / Math.max(w, h));
    canvas.width = Math.max(1, Math.round(w * scale));
    canvas.height = Math.max(1, Math.round(h * scale));
    const pen = canvas.getContext("2d");
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(picture, (width - w) / 2, (height - h) / 2, w, h, 0, 0, canvas.width, canvas.height);
    waiting = true;
    emitEvent("dgn_picture", { url: canvas.toDataURL("image/jpeg", 0.92), name });
  }

  async function take(file) {
    if (!file) return;
    try {
      const picture = await createImageBitmap(file);
      send(picture, picture.width, picture.height, file.name ?? "picture", false);
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
    const next = () => {
      if (!stream) return;
      if (!waiting && video.videoWidth) send(video, video.videoWidth, video.videoHeight, "camera", true);
      setTimeout(next, 60);
    };
    next();
  }

  document.addEventListener("change", (event) => {
    if (event.target.id !== "file") return;
    take(event.target.files[0]);
    event.target.value = "";
  });
  document.addEventListener("click", (event) => {
    const tile = event.target.closest("[data-layer]");
    if (tile) emitEvent("dgn_channel", { layer: tile.dataset.layer, index: Number(tile.dataset.index) });
    const button = event.target.closest("#camera");
    if (button) camera(button);
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.getElementById("drop")?.classList.add("over");
  });
  document.addEventListener("dragleave", () => document.getElementById("drop")?.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.getElementById("drop")?.classList.remove("over");
    take(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => take([...event.clipboardData.files][0]));
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
