"use strict";
// The table of items on the first page: one quantity, items down, systems across; sorted as data, shown in pages.
document.addEventListener("t2av:index", () => {
  const PAGE = 100;
  const { element, data, byKey } = t2av;
  const form = document.getElementById("scores-controls"), place = document.getElementById("scores");
  if (!t2av.shown.length) return void place.replaceChildren("These runs have no scores of single clips.");
  const { by, group } = form.elements;
  let sort = null, page = 0;  // sort: { column (0: the item), order }

  // Items in order; those without a value stay last either way.
  function sorted(quantity) {
    const mine = t2av.groups.find(({ address }) => address === group.value);
    const list = data.items.map((_, item) => item).filter((item) => !mine || mine.items.has(item));
    if (!sort) return list;
    const sign = sort.order === "ascending" ? 1 : -1;
    if (!sort.column) {
      const { compare } = new Intl.Collator(undefined, { numeric: true });
      return list.sort((a, b) => sign * compare(data.items[a][0], data.items[b][0]));
    }
    const values = quantity.scores[sort.column - 1].map(t2av.value);
    return list.sort((a, b) => (values[a] === null || values[b] === null
      ? (values[a] === null) - (values[b] === null) : sign * (values[a] - values[b])));
  }

  function head(text, column, quantity) {
    const first = column && quantity.direction === "higher" ? "descending" : "ascending";
    const now = sort?.column === column ? sort.order : null;
    return element("th", { scope: "col", class: column ? "number" : null, "aria-sort": now }, element("button", { type: "button",
      onclick: () => {
        sort = { column, order: !now ? first : now === "ascending" ? "descending" : "ascending" };
        page = 0;
        draw();
        place.querySelectorAll("thead button")[column].focus();
      } }, text));
  }

  function draw() {
    const quantity = byKey.get(by.value), list = sorted(quantity), last = Math.max(0, Math.ceil(list.length / PAGE) - 1);
    const here = list.slice(page * PAGE, (page + 1) * PAGE), rows = here.map((item) => {
      const id = data.items[item][0];
      return element("tr", {}, element("th", { scope: "row" }, id), ...data.systems.map((_, system) => {
        const score = quantity.scores[system][item];
        return element("td", { class: "number" }, score === null ? "" : element("a", { href: t2av.link({ item: id, system, by: quantity.key }),
          "data-tip": t2av.explain(quantity, system, item), class: Array.isArray(score) ? "missing" : null },
        t2av.text(quantity, t2av.value(score))));
      }));
    });
    place.replaceChildren(element("table", { class: "results" },
      element("thead", {}, element("tr", {}, head("Item", 0), ...data.systems.map(({ name }, system) => head(name, system + 1, quantity)))),
      element("tbody", {}, ...rows)));
    place.scrollTop = 0;
    document.getElementById("scores-status").textContent = t2av.shownOf(list.length, here.length, page * PAGE);
    t2av.pages(document.getElementById("scores-pages"), "Items, page", page, last, (chosen) => { page = chosen; draw(); place.focus(); });
  }

  t2av.options(by, t2av.shown.map((quantity) => [quantity.key, t2av.heading(quantity)]), t2av.first);
  t2av.groupOptions(group, "");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", () => { page = 0; draw(); });
  draw();
});
