"use strict";
{
  const $ = (id) => document.getElementById(id);

  // Back to the view of the overview that one came from, by way of the neighbours too.
  if (location.hash.includes("=")) for (const id of ["up", "before", "after"]) if ($(id)) $(id).hash = location.hash;

  // One picture at a time, large; the arrows go through those of the page.

  const viewer = $("viewer");
  const links = [...document.querySelectorAll("a.view")];
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let opened = 0;

  function fit(picture, width, height) {
    // As large as fits, by a whole factor, so that what is seen are the picture's own pixels.
    const room = Math.max(64, Math.min(document.documentElement.clientWidth - 60, ((innerHeight - 230) * width) / height, 1024));
    picture.classList.toggle("pixels", room >= width && picture.tagName === "IMG");
    picture.width = room >= width ? width * Math.floor(room / width) : room;
    picture.height = Math.round((picture.width * height) / width);
  }

  function show(number) {
    opened = (number + links.length) % links.length;
    const link = links[opened];
    const alt = link.dataset.alt ?? link.querySelector("img").alt;
    let picture;
    if (/\.mp4$/i.test(link.pathname)) {
      picture = Object.assign(document.createElement("video"), { controls: true, loop: true, muted: true, playsInline: true });
      picture.autoplay = !still.matches;
      picture.setAttribute("aria-label", alt);
      picture.addEventListener("loadedmetadata", () => fit(picture, picture.videoWidth, picture.videoHeight));
    } else {
      picture = document.createElement("img");
      picture.alt = alt;
      picture.addEventListener("load", () => fit(picture, picture.naturalWidth, picture.naturalHeight));
    }
    picture.src = link.href;
    const heading = document.createElement("strong");
    heading.textContent = alt.charAt(0).toUpperCase() + alt.slice(1);
    const caption = link.matches(".film") ? null : link.closest("figure")?.querySelector("figcaption");
    const lines = caption && !link.closest(".parts") ? [...caption.cloneNode(true).childNodes] : [];
    $("caption").replaceChildren(heading, ...lines.filter((node) => !node.matches?.(".film")));
    $("large").replaceChildren(picture);
  }

  links.forEach((link, number) =>
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      show(number);
      viewer.showModal();
    }),
  );
  viewer.addEventListener("click", (event) => event.target === viewer && viewer.close());
  viewer.addEventListener("close", () => {
    $("large").replaceChildren();
    links[opened].focus();
  });
  $("earlier").addEventListener("click", () => show(opened - 1));
  $("later").addEventListener("click", () => show(opened + 1));
  $("close").addEventListener("click", () => viewer.close());

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (viewer.open) {
      if (!by || event.target.closest("video")) return;
      event.preventDefault();
      show(opened + by);
    } else if (event.key === "u") $("up").click();
    else if (by && !event.target.closest(".wide, pre")) $(by < 0 ? "before" : "after")?.click(); // those scroll
  });

  // The line of the picture that is pointed at stands out in the chart.
  const lines = [...document.querySelectorAll("polyline")];
  const point = (event) => {
    const one = event.target.closest?.(".preferred")?.dataset.line;
    document.querySelector(".chart")?.classList.toggle("chosen", one !== undefined);
    for (const line of lines) line.classList.toggle("one", line.dataset.line === one);
  };
  for (const name of ["pointerover", "focusin"]) $("preferred").parentElement.addEventListener(name, point);
  $("preferred").parentElement.addEventListener("pointerleave", point);
}
