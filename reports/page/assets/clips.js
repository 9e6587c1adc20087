"use strict";
// The clip browser: items down, systems across. The address holds the whole state, so that every view has a link.
(() => {
  const PAGE = 20;
  const { element } = t2av;
  const form = document.getElementById("clip-controls"), place = document.getElementById("items");
  const rows = new Map();  // item number -> Row, of the page that is shown
  let state = {}, hidden = new Set(), watcher = null, current = null, counts = { of: null, list: [] }, fetching = null;
  const columns = () => [...t2av.data.systems.map(({ name }, index) => [String(index), name]),
    ...(t2av.data.reference ? [["reference", "reference"]] : [])];

  function read() {
    const given = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    const among = (value, choices) => (choices.includes(value) ? value : "");
    const by = t2av.byKey.get(given.by)?.aggregate === "set" ? null : t2av.byKey.get(given.by);
    const system = among(given.system, t2av.data.systems.map((_, index) => String(index)));
    const page = Math.max(0, Number.parseInt(given.page, 10) || 0);
    const known = columns().map(([key]) => key), shown = (given.with || "").split(",").filter((key) => known.includes(key));
    hidden = new Set(shown.length ? known.filter((key) => !shown.includes(key)) : []);
    state = { by: by?.key || t2av.first, system, order: among(given.order, ["worst", "best", "spread"]), show: given.show || "",
      group: among(given.group, t2av.groups.map(({ address }) => address)), q: given.q || "", with: shown.join(","),
      item: given.item ?? null, at: Math.max(0, Number(given.at) || 0), page };
    if (given.mouth === "1") Mouth.turn(true);
  }

  const address = (given) => `#${new URLSearchParams(Object.entries(given).filter(([, value]) => value !== "" && value !== null && value !== 0))}`;

  // The address of an item as it is seen now: the same systems, the same moment.
  const link = (item, time) => address({ by: state.by, system: state.system, with: state.with, item: t2av.data.items[item][0],
    at: Math.floor(time * 1000) / 1000, mouth: Mouth.on ? "1" : "" });

  function write(change) {
    state = { ...state, item: null, at: 0, page: 0, ...change };
    history.replaceState(null, "", address(state));
    draw();
  }

  // Systems whose scores count for filter and order: the chosen one, else all that are shown.
  const counted = () => (state.system !== "" ? [Number(state.system)]
    : t2av.data.systems.map((_, index) => index).filter((index) => !hidden.has(String(index))));

  function reasons() {
    const systems = counted(), found = new Map();
    if (counts.of === systems.join()) return counts.list;
    t2av.data.items.forEach((_, item) => {
      const mine = new Set();
      for (const quantity of t2av.data.quantities) for (const system of systems) {
        const score = quantity.scores[system][item];
        if (Array.isArray(score)) mine.add(t2av.kind(score));
      }
      for (const reason of mine) found.set(reason, (found.get(reason) || 0) + 1);
    });
    counts = { of: systems.join(), list: [...found].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])) };
    return counts.list;
  }

  function chosen() {
    const quantity = t2av.byKey.get(state.by), systems = counted(), query = state.q.trim().toLowerCase();
    const values = (item) => systems.map((system) => t2av.value(quantity.scores[system][item]));
    const group = t2av.groups.find(({ address }) => address === state.group);
    const matches = (item) => {
      const [id, text] = t2av.data.items[item];
      if (group && !group.items.has(item)) return false;
      if (query && !`${id}\n${text}`.toLowerCase().includes(query)) return false;
      if (!state.show) return true;
      if (state.show === "failed") return Boolean(quantity) && systems.some((s) => Array.isArray(quantity.scores[s][item]));
      return t2av.data.quantities.some((each) => systems.some((system) => {
        const score = each.scores[system][item];
        return Array.isArray(score) && t2av.kind(score) === state.show;
      }));
    };
    const list = t2av.data.items.map((_, item) => item).filter(matches);
    if (!state.order || !quantity) return list;
    const rank = (item) => {
      const found = values(item).filter((value) => value !== null).map((value) => t2av.badness(quantity, value));
      // A clip without the score is the worst there is.
      const missing = systems.some((system) => Array.isArray(quantity.scores[system][item]));
      if (state.order === "spread") return found.length > 1 ? Math.max(...found) - Math.min(...found) : -1;
      if (missing) return state.order === "worst" ? Infinity : -Infinity;
      if (!found.length) return -Infinity;
      return state.order === "worst" ? Math.max(...found) : -Math.min(...found);
    };
    const ranks = new Map(list.map((item) => [item, rank(item)]));
    return list.sort((a, b) => (ranks.get(a) === ranks.get(b) ? a - b : ranks.get(b) > ranks.get(a) ? 1 : -1));
  }

  function drawControls() {
    const { options, data, shown } = t2av;
    options(form.elements.by, shown.map((quantity) => [quantity.key, t2av.heading(quantity)]), state.by);
    options(form.elements.system, [["", "any system"], ...data.systems.map(({ name }, index) => [index, name])], state.system);
    form.elements.order.value = state.order;
    t2av.groupOptions(form.elements.group, state.group);
    const listed = reasons().map(([reason, count]) => [reason, `${reason} (${count})`]);
    options(form.elements.show, [["", "all items"], ["failed", "items without this score"], ...listed], state.show);
    if (form.elements.q !== document.activeElement) form.elements.q.value = state.q;
  }

  function draw() {
    tall.close();
    drawControls();
    const list = chosen();
    if (state.item !== null) {
      const at = list.findIndex((item) => t2av.data.items[item][0] === state.item);
      if (at >= 0) state.page = Math.floor(at / PAGE);
    }
    const last = Math.max(0, Math.ceil(list.length / PAGE) - 1);
    state.page = Math.min(state.page, last);
    const here = list.slice(state.page * PAGE, (state.page + 1) * PAGE);
    for (const row of rows.values()) row.release();
    rows.clear();
    watcher?.disconnect();
    watcher = new IntersectionObserver((entries) => {
      for (const entry of entries) rows.get(Number(entry.target.dataset.item))?.near(entry.isIntersecting);
    }, { rootMargin: "500px 0px" });
    for (const item of here) {
      const at = t2av.data.items[item][0] === state.item ? state.at : 0;
      rows.set(item, new ItemRow(item, { by: state.by, system: state.system, hidden, link, at }));
    }
    place.replaceChildren(...[...rows.values()].map((row) => row.node));
    for (const row of rows.values()) watcher.observe(row.node);
    clearTimeout(fetching);
    fetching = setTimeout(() => { for (const row of rows.values()) t2av.load(row.item).catch(() => {}); }, 1000);
    document.getElementById("status").textContent = list.length ? t2av.shownOf(list.length, here.length, state.page * PAGE)
      : "No item matches.";
    const target = [...rows.values()].find((row) => row.id === state.item);
    if (state.item !== null && !target) document.getElementById("status").append(`; “${state.item}” is not among them`);
    t2av.pages(document.getElementById("pages"), "Page", state.page, last, (page) => {
      write({ page });
      place.scrollIntoView();
      place.querySelector("h2")?.focus({ preventScroll: true });
    });
    current = rows.get(here[0]) || null;
    if (target) { target.open(); current = target; }
  }

  function drawColumns() {
    const box = document.getElementById("columns"), all = columns();
    box.hidden = all.length < 3;
    box.replaceChildren(box.firstElementChild, ...all.map(([value, name]) => element("label", {}, element("input", { type: "checkbox", value,
      checked: !hidden.has(value), onchange: (event) => {
        if (event.target.checked) hidden.delete(value); else hidden.add(value);
        write({ with: hidden.size ? all.map(([key]) => key).filter((key) => !hidden.has(key)).join(",") : "" });
      } }), ` ${name}`)));
  }

  const browser = {
    current() {
      const focused = document.activeElement?.closest(".item");
      if (focused) current = rows.get(Number(focused.dataset.item)) || current;
      return tall.row || current;
    },
    move(step) {
      const list = [...rows.values()], next = list[list.indexOf(browser.current()) + step], high = Boolean(tall.row);
      if (!next) return;
      tall.close();
      current = next;
      next.open();
      if (high) next.near(true).then(() => tall.open(next));
    },
    search: () => form.elements.q.focus(),
  };

  document.addEventListener("t2av:index", () => {
    read();
    drawColumns();
    draw();
    // A printer does not wait: rows that were not near are drawn from what has been loaded meanwhile.
    addEventListener("beforeprint", () => { ItemRow.printing = true; for (const row of rows.values()) row.print(); });
    addEventListener("afterprint", () => { ItemRow.printing = false; for (const row of rows.values()) if (!row.wanted) row.near(false); });
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", (event) => {
      if (event.target.name !== "q") write({ [event.target.name]: event.target.value });
    });
    form.elements.q.addEventListener("input", () => write({ q: form.elements.q.value }));
    t2av.keyboard(browser);
    document.addEventListener("t2av:look", () => { for (const row of rows.values()) row.show(); });
    place.addEventListener("focusin", (event) => { current = rows.get(Number(event.target.closest(".item")?.dataset.item)) || current; });
    window.addEventListener("hashchange", () => { read(); drawColumns(); draw(); });
  });
})();
