"use strict";
// Shared by all pages: data, numbers, groups, explanations on hover and focus, sortable tables.
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
      // Groups of items: by each key that they state, those of each value, then those that state none.
      api.groups = data.groups.flatMap(([key, values, members]) => [...values, ""].map((value, at) => ({ key, value, address: `${key}:${value}`,
        items: new Set(members.flatMap((mine, item) => ((value === "" ? !mine.length : mine.includes(at)) ? [item] : []))) })))
        .filter(({ items }) => items.size);
      document.dispatchEvent(new Event("t2av:index"));
    },

    // Called by data/item-N.js.
    item(number, content) { Object.assign(items.get(number), { content }).resolve(content); },

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

    // The same where it has come already, else undefined.
    loaded: (number) => items.get(number)?.content,

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

  // A choice of all items or one group, hidden where the items state nothing that groups them.
  api.groupOptions = (select, chosen) => {
    const keys = [...new Set(api.groups.map(({ key }) => key))];
    select.replaceChildren(api.element("option", { value: "" }, "all groups"), ...keys.map((key) => api.element("optgroup", { label: key },
      ...api.groups.filter((group) => group.key === key).map(({ value, address, items: mine }) =>
        api.element("option", { value: address }, `${value || "not stated"} (${mine.size})`)))));
    select.value = chosen;
    select.closest("label").hidden = !api.groups.length;
  };

  // How many of all items are in a list, and which of them are here, after those before them.
  api.shownOf = (count, here, before) => {
    const all = api.data.items.length;
    return `${count === all ? all : `${count} of ${all}`} items` + (here < count ? `, ${before + 1} to ${before + here} shown` : "");
  };

  // Buttons of pages 0 … last, fewer where there are many; go(page) is called on a click.
  api.pages = (place, label, now, last, go) => {
    const numbers = [...Array(last + 1).keys()].filter((n) => n === 0 || n === last || Math.abs(n - now) < 3);
    const buttons = last ? numbers.flatMap((n, index) => [index && n - numbers[index - 1] > 1 ? "…" : null,
      api.element("button", { type: "button", "aria-label": `${label} ${n + 1}`, "aria-current": n === now ? "page" : null,
        onclick: () => go(n) }, String(n + 1))]) : [];
    place.replaceChildren(...buttons.filter(Boolean));
  };

  // Something short that has just happened, read aloud and shown for a while.
  const said = api.element("div", { id: "said", role: "status" });
  let forgetting = null;
  api.say = (text) => {
    said.textContent = text;
    clearTimeout(forgetting);
    forgetting = setTimeout(() => { said.textContent = ""; }, 4000);
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

  // Paper does not scroll: tables that are wider than its 25 cm (A4 or letter, landscape) are printed smaller.
  addEventListener("beforeprint", () => {
    for (const table of document.querySelectorAll("table.results")) table.style.setProperty("--fit", Math.min(1, 960 / table.offsetWidth).toFixed(3));
  });

  document.addEventListener("t2av:index", () => {
    document.body.append(tip, said);
    document.querySelectorAll("table[data-sortable]").forEach(api.sortable);
  });
  return api;
})();
