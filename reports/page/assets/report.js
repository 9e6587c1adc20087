"use strict";
// Shared by all pages: data, numbers, explanations on hover and focus, sortable tables, and the table of items.
const t2av = (() => {
  const items = new Map();
  const api = {
    data: null,

    // Called by data/index.js.
    index(data) {
      api.data = data;
      api.byKey = new Map(data.quantities.map((quantity) => [quantity.key, quantity]));
      api.shown = data.quantities.filter((quantity) => quantity.aggregate !== "set");
      api.first = (api.shown.find((quantity) => quantity.direction !== "none") || api.shown[0])?.key || "";
      document.dispatchEvent(new Event("t2av:index"));
    },

    // Called by data/item-N.js.
    item(number, content) { items.get(number).resolve(content); },

    // The content of one item. A script instead of fetch(): pages opened from a file may not fetch.
    load(number) {
      if (!items.has(number)) {
        const entry = {};
        entry.promise = new Promise((resolve, reject) => { Object.assign(entry, { resolve, reject }); });
        items.set(number, entry);
        const script = document.createElement("script");
        script.src = `data/item-${number}.js`;
        script.onload = () => script.remove();
        script.onerror = () => { items.delete(number); entry.reject(new Error(`${script.src} is missing`)); };
        document.head.append(script);
      }
      return items.get(number).promise;
    },

    // element("p", {class: "x", onclick: f}, "text", child, …); text is never parsed as HTML.
    element(name, attributes = {}, ...children) {
      const node = name.startsWith("svg:")
        ? document.createElementNS("http://www.w3.org/2000/svg", name.slice(4)) : document.createElement(name);
      for (const [key, value] of Object.entries(attributes)) {
        if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
        else if (value === true) node.setAttribute(key, "");
        else if (value !== false && value != null) node.setAttribute(key, value);
      }
      node.append(...children.filter((child) => child != null));
      return node;
    },

    // A number, or null where there is none: [i] stands for reason i, null for not measured.
    value: (score) => (typeof score === "number" ? score : null),
    reason: (score) => (Array.isArray(score) ? api.data.reasons[score[0]][0] : "not measured in this run"),
    kind: (score) => api.data.reasons[score[0]][1],
    text: (quantity, value) => (value === null ? "–" : value.toFixed(quantity.decimals)),
    heading: (quantity) => quantity.label + (new Map([["higher", " ↑"], ["lower", " ↓"]]).get(quantity.direction) ?? ""),

    // Larger is worse; descriptive numbers (an offset) are worse the farther they are from 0.
    badness: ({ direction }, value) => (direction === "higher" ? -value : direction === "lower" ? value : Math.abs(value)),

    // What a score means: the clip's value, the set's with interval and coverage, and the protocol.
    explain(quantity, system, item) {
      const score = quantity.scores[system][item], value = api.value(score), set = quantity.set[system];
      const unit = quantity.unit ? ` ${quantity.unit}` : "";
      const lines = [`${api.data.systems[system].name}, ${api.data.items[item][0]}`];
      lines.push(value === null ? `no ${quantity.label}: ${api.reason(score)}`
        : `${quantity.label} ${api.text(quantity, value)}${unit}`);
      if (set.value != null) {
        const ends = set.interval && set.interval.map((end) => end.toFixed(quantity.decimals));
        lines.push(`all clips ${set.value.toFixed(quantity.decimals)}${set.mark}`
          + (ends ? `, 95 % interval ${ends[0]} to ${ends[1]}` : ""));
      }
      if (set.total != null) lines.push(`covers ${set.scored} of ${set.total} clips`);
      if (set.fingerprint) lines.push(`protocol ${quantity.metric} ${set.fingerprint}`);
      return lines.join("\n");
    },

    link: (state) => `clips.html#${new URLSearchParams(state)}`,

    options(select, pairs, chosen) {
      select.replaceChildren(...pairs.map(([value, text]) => api.element("option", { value }, text)));
      if (chosen != null && pairs.some(([value]) => String(value) === String(chosen))) select.value = chosen;
    },
  };

  // One explanation at a time, beside the element that has the pointer or the focus. Escape hides it.
  const tip = api.element("div", { id: "tip", role: "tooltip", hidden: true });
  let described = null;
  function hide() {
    tip.hidden = true;
    described?.removeAttribute("aria-describedby");
    described = null;
  }
  function show(target) {
    if (target === described) return;
    hide();
    described = target;
    tip.textContent = target.dataset.tip;
    tip.hidden = false;
    target.setAttribute("aria-describedby", "tip");
    place();
  }
  function place() {
    const at = described.getBoundingClientRect(), own = tip.getBoundingClientRect(), gap = 6;
    const below = at.bottom + gap + own.height < innerHeight;
    tip.style.top = `${Math.max(gap, below ? at.bottom + gap : at.top - gap - own.height)}px`;
    tip.style.left = `${Math.max(gap, Math.min(at.left, document.documentElement.clientWidth - own.width - gap))}px`;
  }
  for (const kind of ["mouseover", "focusin"]) {
    document.addEventListener(kind, (event) => {
      const target = event.target.closest?.("[data-tip]");
      if (target) show(target); else if (described && !described.contains(document.activeElement)) hide();
    });
  }
  document.addEventListener("focusout", hide);
  // Moving the focus scrolls; what has the focus keeps its explanation.
  document.addEventListener("scroll", () => {
    if (described && described === document.activeElement) place(); else hide();
  }, { capture: true, passive: true });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

  // Click a heading to sort, again to reverse. Rows without a value stay last either way,
  // and measured rows stay below published ones.
  api.sortable = (table) => {
    const heads = [...table.tHead.rows[0].cells];
    const key = (row, column) => {
      const cell = row.cells[column];
      if (!heads[column].classList.contains("number")) return cell.textContent.trim();
      return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
    };
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const first = head.dataset.better === "higher" ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort");
      const next = !order ? first : order === "ascending" ? "descending" : "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", next);
      const sign = next === "ascending" ? 1 : -1;
      for (const body of table.tBodies) {
        const rows = [...body.rows].filter((row) => !row.classList.contains("section"))
          .map((row) => [key(row, column), row]);
        rows.sort(([a], [b]) => {
          if (a === null || b === null) return (a === null) - (b === null);
          return sign * (typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true }));
        });
        body.append(...rows.map(([, row]) => row));
      }
    }));
  };

  // The table of items on the first page: one quantity, items down, systems across.
  function itemTable(quantity) {
    const { element } = api, { systems, items: list } = api.data;
    const head = (text, attributes = {}) =>
      element("th", { scope: "col", ...attributes }, element("button", { type: "button" }, text));
    const rows = list.map(([id], item) => element("tr", {}, element("th", { scope: "row" }, id),
      ...systems.map((_, system) => {
        const score = quantity.scores[system][item], value = api.value(score);
        const link = element("a", { href: api.link({ item: id, system, by: quantity.key }),
          "data-tip": api.explain(quantity, system, item), class: Array.isArray(score) ? "missing" : null },
        api.text(quantity, value));
        return element("td", { class: "number", "data-value": value }, score === null ? "" : link);
      })));
    const better = { class: "number", "data-better": quantity.direction };
    const table = element("table", { class: "results" },
      element("thead", {}, element("tr", {}, head("Item"), ...systems.map(({ name }) => head(name, better)))),
      element("tbody", {}, ...rows));
    api.sortable(table);
    return table;
  }

  document.addEventListener("t2av:index", () => {
    document.body.append(tip);
    document.querySelectorAll("table[data-sortable]").forEach(api.sortable);
    const place = document.getElementById("scores");
    if (!place) return;
    const select = document.querySelector("#scores-controls select");
    api.options(select, api.shown.map((quantity) => [quantity.key, api.heading(quantity)]), api.first);
    const draw = () => place.replaceChildren(
      ...(api.shown.length ? [itemTable(api.byKey.get(select.value))] : ["These runs have no scores of single clips."]));
    select.addEventListener("change", draw);
    draw();
  });
  return api;
})();
