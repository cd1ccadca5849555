"use strict";
{
  const $ = (id) => document.getElementById(id);
  const layers = [...document.querySelectorAll(".layer")].map((section) => {
    const list = section.querySelector(".cards");
    return { section, list, name: section.dataset.layer, cards: [...list.children] }; // in the run's order
  });
  const count = layers.reduce((sum, layer) => sum + layer.cards.length, 0);
  const chosen = (id) => $(id)?.value ?? "";
  let rising = true;

  // Filter and order, within each layer: activations of different layers cannot be compared. Both are in the address
  // behind the #, so that a view can be kept and sent (#q=house&sort=percentile), and found again from a unit's page.

  // A card has a value for each method, between spaces; none where it was not measured.
  function value(card, key) {
    const text = card.dataset[key]?.split(" ")[Number(chosen("column"))];
    return text ? Number(text) : null;
  }
  const title = (card) => card.querySelector("h3 a").textContent;

  function arrange() {
    const key = $("sort").value;
    const sign = rising ? 1 : -1;
    for (const { list, cards } of layers) {
      const sorted = [...cards];
      if (key === "label") {
        const names = new Map(cards.map((card) => [card, title(card)]));
        const order = new Intl.Collator(undefined, { numeric: true }).compare;
        sorted.sort((a, b) => sign * order(names.get(a), names.get(b)));
      } else if (key !== "unit") {
        sorted.sort((a, b) => {
          const [x, y] = [value(a, key), value(b, key)];
          return x === null || y === null ? (x === null) - (y === null) : sign * (x - y); // unknown ones last
        });
      } else if (!rising) sorted.reverse();
      if (sorted.some((card, i) => card !== list.children[i])) list.append(...sorted);
    }
  }

  function verdictFits(card, verdict) {
    if (!verdict) return true;
    const share = value(card, "recognized");
    if (share === null) return false;
    return verdict === "all" ? share === 1 : verdict === "none" ? share === 0 : share < 1;
  }

  function filter() {
    const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const [layer, verdict] = [chosen("layer"), chosen("verdict")];
    let shown = 0;
    for (const { section, name, cards } of layers) {
      let here = 0;
      for (const card of cards) {
        const fits = words.every((word) => card.dataset.text.includes(word)) && verdictFits(card, verdict);
        card.hidden = !fits;
        here += fits;
      }
      section.hidden = here === 0 || (layer !== "" && layer !== name);
      if (!section.hidden) shown += here;
    }
    const noun = count === 1 ? "unit" : "units";
    $("none").hidden = shown > 0;
    $("count").value = shown === count ? `${count} ${noun}` : `${shown} of ${count} ${noun}`;
  }

  const upwards = () => ["unit", "label"].includes($("sort").value); // of measured values, the highest are looked for

  function nameOrder() {
    const names = upwards() ? ["first to last", "last to first"] : ["lowest first", "highest first"];
    $("order").textContent = names[rising ? 0 : 1];
  }

  function remember() {
    const state = new URLSearchParams();
    if ($("filter").value) state.set("q", $("filter").value);
    for (const id of ["layer", "verdict"]) if (chosen(id)) state.set(id, chosen(id));
    if (Number(chosen("column"))) state.set("column", chosen("column"));
    if ($("sort").value !== "unit") state.set("sort", $("sort").value);
    if (rising !== upwards()) state.set("order", rising ? "rising" : "falling");
    history.replaceState(null, "", `#${state}`);
  }

  function choose(id, value, otherwise) {
    if (!$(id)) return;
    $(id).value = value ?? otherwise;
    if ($(id).selectedIndex < 0) $(id).value = otherwise;
  }

  function recall() {
    const state = new URLSearchParams(location.hash.slice(1));
    $("filter").value = state.get("q") ?? "";
    choose("layer", state.get("layer"), "");
    choose("verdict", state.get("verdict"), "");
    choose("column", state.get("column"), "0");
    choose("sort", state.get("sort"), "unit");
    rising = state.has("order") ? state.get("order") === "rising" : upwards();
    nameOrder();
    arrange();
    filter();
  }

  const changed = (also) => (also?.(), nameOrder(), arrange(), filter(), remember());
  $("filter").addEventListener("input", () => (filter(), remember()));
  for (const id of ["layer", "column", "verdict"]) $(id)?.addEventListener("change", () => changed());
  $("sort").addEventListener("change", () => changed(() => (rising = upwards())));
  $("order").addEventListener("click", () => changed(() => (rising = !rising)));
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", () => !document.getElementById(location.hash.slice(1)) && recall());
  recall();
  $("controls").hidden = false;

  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select")) return;
    event.preventDefault();
    $("filter").focus();
    $("filter").select();
  });
  $("filter").addEventListener("keydown", (event) => {
    if (event.key === "Escape" && $("filter").value) changed(() => ($("filter").value = ""));
  });
  // A unit's page knows by its own address which view to come back to.
  $("main").addEventListener("click", (event) => {
    const link = event.target.closest("article a");
    if (link && location.hash.includes("=")) link.hash = location.hash;
  });
}
