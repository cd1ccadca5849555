"use strict";
{
  const $ = (id) => document.getElementById(id);
  const list = $("cards");
  const cards = [...list.children]; // in the run's order
  let rising = true;

  // Filter and order. Both are in the address behind the #, so that a view can be kept and sent: #q=house&sort=percentile

  const value = (card, key) => (card.dataset[key] === "" ? null : Number(card.dataset[key]));

  function arrange() {
    const key = $("sort").value;
    const sorted = [...cards];
    if (key !== "unit") {
      const sign = rising ? 1 : -1;
      sorted.sort((a, b) => {
        const [x, y] = [value(a, key), value(b, key)];
        return x === null || y === null ? (x === null) - (y === null) : sign * (x - y); // unknown ones last
      });
    } else if (!rising) sorted.reverse();
    if (sorted.some((card, i) => card !== list.children[i])) list.append(...sorted);
  }

  function filter() {
    const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const card of cards) {
      card.hidden = !words.every((word) => card.dataset.text.includes(word));
      shown += !card.hidden;
    }
    $("none").hidden = shown > 0;
    $("count").value = shown === cards.length ? `${shown} units` : `${shown} of ${cards.length} units`;
  }

  function nameOrder() {
    const names = $("sort").value === "unit" ? ["first to last", "last to first"] : ["lowest first", "highest first"];
    $("order").textContent = names[rising ? 0 : 1];
  }

  function remember() {
    const state = new URLSearchParams();
    if ($("filter").value) state.set("q", $("filter").value);
    if ($("sort").value !== "unit") state.set("sort", $("sort").value);
    if (rising !== ($("sort").value === "unit")) state.set("order", rising ? "rising" : "falling");
    history.replaceState(null, "", `#${state}`);
  }

  function recall() {
    const state = new URLSearchParams(location.hash.slice(1));
    $("filter").value = state.get("q") ?? "";
    $("sort").value = state.get("sort") ?? "unit";
    if ($("sort").selectedIndex < 0) $("sort").value = "unit";
    rising = state.has("order") ? state.get("order") === "rising" : $("sort").value === "unit";
    nameOrder();
    arrange();
    filter();
  }

  $("filter").addEventListener("input", () => (filter(), remember()));
  $("sort").addEventListener("change", () => {
    rising = $("sort").value === "unit"; // of measured values, the highest are what one looks for
    nameOrder();
    arrange();
    remember();
  });
  $("order").addEventListener("click", () => {
    rising = !rising;
    nameOrder();
    arrange();
    remember();
  });
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", recall);
  recall();
  $("controls").hidden = false;

  // One picture at a time, large; the arrows go through those that the filter leaves, in their order.

  const viewer = $("viewer");
  const large = $("large");
  let opened = null;

  function show(link) {
    opened = link;
    const image = link.querySelector("img");
    const heading = document.createElement("strong");
    heading.append(...link.closest("article").querySelector("h2").cloneNode(true).childNodes, `, seed ${image.dataset.seed}`);
    $("caption").replaceChildren(heading, ...link.nextElementSibling.cloneNode(true).childNodes);
    large.src = image.src;
    large.alt = image.alt;
    // As large as fits, by a whole factor, so that what is seen are the picture's own pixels.
    const [width, ratio] = [Number(large.dataset.natural), image.height / image.width];
    const room = Math.min(innerWidth - 60, (innerHeight - 240) / ratio, 1024);
    large.classList.toggle("pixels", room >= width);
    large.width = room >= width ? width * Math.floor(room / width) : room;
    large.height = Math.round(large.width * ratio);
  }

  function step(by) {
    const links = [...list.querySelectorAll("article:not([hidden]) .pictures a")];
    show(links[(links.indexOf(opened) + by + links.length) % links.length]);
  }

  list.addEventListener("click", (event) => {
    const link = event.target.closest(".pictures a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    show(link);
    viewer.showModal();
  });
  viewer.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    else if (event.key === "ArrowRight") step(1);
    else return;
    event.preventDefault();
  });
  viewer.addEventListener("click", (event) => event.target === viewer && viewer.close());
  viewer.addEventListener("close", () => opened.focus());
  $("before").addEventListener("click", () => step(-1));
  $("after").addEventListener("click", () => step(1));
  $("close").addEventListener("click", () => viewer.close());

  // The command.

  $("copy").hidden = false;
  $("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText($("command").textContent);
      $("copy").textContent = "Copied";
    } catch {
      getSelection().selectAllChildren($("command")); // the browser forbids it: one key is left to press
      $("copy").textContent = "Selected";
    }
    setTimeout(() => ($("copy").textContent = "Copy"), 1500);
  });
}
