"use strict";
// One item of the clip browser: its players side by side, waveforms, transcripts, sync curves and scores.
class ItemRow {
  // view: by (quantity key), system (chosen, or ""), hidden (columns that are not shown).
  constructor(item, view) {
    const { element, data } = t2av, [id, text, language] = data.items[item];
    Object.assign(this, { item, id, view, players: null, clips: [], wanted: false, opened: false });
    this.body = element("div", { class: "body" });
    this.node = element("article", { class: "item", id: `row-${item}`, "data-item": item, "aria-labelledby": `name-${item}` },
      element("header", {}, element("h2", { id: `name-${item}`, tabindex: -1 }, id),
        text ? element("p", { class: "text", lang: language || null, dir: "auto" }, text) : null), this.body);
  }

  // The row came near to the window, or left it.
  async near(isNear) {
    this.wanted = isNear;
    if (!isNear) return this.node.contains(document.activeElement) ? undefined : this.release();
    if (this.players) return undefined;
    try {
      const content = await t2av.load(this.item);
      if (this.wanted && !this.players) this.fill(content);
    } catch (error) {
      this.body.replaceChildren(t2av.element("p", { class: "missing" }, error.message));
    }
    return undefined;
  }

  release() {
    if (!this.players) return;
    // The height stays, so that nothing jumps while scrolling.
    this.node.style.minHeight = `${this.node.offsetHeight}px`;
    this.players.release();
    this.players = null;
    this.body.replaceChildren();
  }

  // Bring the row into view and put the focus on its name, or on the clip of the chosen system.
  open() {
    this.opened = true;
    this.node.scrollIntoView({ block: "start" });
    const clip = this.node.querySelector(".clip[aria-current]") || this.node.querySelector("h2");
    clip.focus({ preventScroll: true });
    clip.scrollIntoView({ block: "nearest", inline: "center" });
  }

  fill(content) {
    const { element, data } = t2av;
    const columns = data.systems.map(({ name, real }, index) => ({ key: String(index), name, real, index, clip: content.clips[index] }));
    if (content.reference) columns.unshift({ key: "reference", name: "reference", index: null, clip: content.reference });
    this.columns = columns.filter(({ key }) => !this.view.hidden.has(key));
    const clips = this.columns.map(({ clip }) => clip).filter(Boolean);
    this.seconds = Math.max(0.04, ...clips.flatMap((clip) => [clip.seconds || 0, clip.sound_seconds || 0]));
    this.loudest = Math.max(40, ...clips.map((clip) => Math.max(0, ...(clip.peaks ? ItemRow.bytes(clip.peaks) : []))));
    const media = [];
    this.heads = [];
    const figures = this.columns.map((column) => this.figure(column, media));
    const rate = clips.find((clip) => clip.frame_rate)?.frame_rate || 25;
    this.players = new Players(media, rate, () => this.show());
    const playable = media.length > 0;
    this.body.replaceChildren(...(playable ? [this.transport()] : []),
      element("div", { class: "strip", role: "group", "aria-label": `Clips of ${this.id}`, tabindex: 0 }, ...figures), this.scores());
    this.node.style.minHeight = "";
    if (playable) this.show();
    if (this.opened) { this.opened = false; this.open(); }
  }

  transport() {
    const { element } = t2av;
    const button = (text, label, action) => element("button", { type: "button", "aria-label": label, title: label, onclick: action }, text);
    this.playButton = button("Play", `Play all clips of ${this.id}`, () => this.players.toggle());
    this.slider = element("input", { type: "range", min: 0, max: this.seconds, step: "any", value: 0, "aria-label": "Position",
      oninput: () => { if (this.players.playing) this.players.pause(); this.players.seek(Number(this.slider.value)); } });
    this.clock = element("span", { class: "clock" });
    return element("div", { class: "transport" }, this.playButton, button("‹", "One frame back", () => this.players.step(-1)),
      button("›", "One frame on", () => this.players.step(1)), this.slider, this.clock);
  }

  // Time, frame and playheads as they are now.
  show() {
    if (!this.slider || !this.players) return;
    const { time, playing, frame } = this.players;
    if (this.wasPlaying !== playing) {
      this.wasPlaying = playing;
      this.playButton.textContent = playing ? "Pause" : "Play";
    }
    this.slider.value = time;
    const text = `${time.toFixed(2)} s, frame ${frame}`;
    this.clock.textContent = text;
    if (!playing) this.slider.setAttribute("aria-valuetext", text);
    for (const head of this.heads) head.style.transform = `translateX(${(100 * Math.min(1, time / this.seconds)).toFixed(3)}%)`;
  }

  figure(column, media) {
    const { element } = t2av, { clip, name, index } = column;
    const caption = element("figcaption", {}, element("b", { title: name }, name), column.real && name.toLowerCase() !== "real" ? element("span", { class: "tag" }, "real") : null);
    const parts = [caption, this.screen(column, media, caption)];
    if (clip?.peaks) parts.push(this.wave(clip, name));
    if (clip?.note && clip.src) parts.push(element("p", { class: "note" }, clip.note));
    if (index !== null && clip) parts.push(this.score(index));
    for (const transcript of clip?.transcripts || []) parts.push(ItemRow.transcript(transcript));
    for (const curve of clip?.curves || []) parts.push(ItemRow.curve(curve));
    const chosen = index !== null && this.view.system === String(index);
    return element("figure", { class: "clip", "data-system": column.key, tabindex: -1, "aria-current": chosen ? "true" : null,
      "aria-label": `${name}, ${this.id}` }, ...parts);
  }

  screen(column, media, caption) {
    const { element } = t2av, { clip, name } = column;
    if (!clip?.src) return element("div", { class: "screen empty" }, clip?.note || "not part of this run");
    const video = element("video", { class: "screen", src: clip.src, muted: true, playsinline: true, preload: "metadata",
      "aria-label": `${name}, ${this.id}`, onclick: () => this.players.toggle(),
      onerror: () => {
        if (video.hasAttribute("src")) video.replaceWith(element("div", { class: "screen empty" }, "this browser cannot play the file, or it is gone"));
      } });
    video.muted = true;
    media.push(video);
    if (clip.sound) {
      const own = column.index !== null && this.view.system === String(column.index);
      const first = !this.columns.some(({ index }) => index !== null && this.view.system === String(index))
        && !media.slice(0, -1).some((one) => one.dataset.sound);
      video.dataset.sound = "1";
      video.muted = !(own || first);
      const radio = element("input", { type: "radio", name: `sound-${this.item}`, "aria-label": `hear ${name}`, onchange: () => {
        for (const one of this.players.media) one.muted = one !== video;
      } });
      radio.checked = !video.muted;
      caption.append(element("label", { class: "hear" }, radio, " sound"));
    } else caption.append(element("span", { class: "hear" }, "no sound"));
    return video;
  }

  static bytes(base64) { return [...atob(base64)].map((character) => character.charCodeAt(0)); }

  // The outline of the sound on the row's common time axis, to the same scale for all clips of the row.
  wave(clip, name) {
    const { element } = t2av, bytes = ItemRow.bytes(clip.peaks), middle = 20;
    const width = 1000 * clip.sound_seconds / this.seconds, step = width / bytes.length;
    const points = bytes.map((byte, index) => [(index + 0.5) * step, Math.max(0.4, 19 * byte / this.loudest)]);
    const line = (list, sign) => list.map(([x, y]) => `${x.toFixed(1)} ${(middle + sign * y).toFixed(1)}`).join("L");
    const head = element("div", { class: "head" });
    this.heads.push(head);
    const silent = Math.max(...bytes) === 0;
    return element("div", { class: "wave", onclick: (event) => {
      const box = event.currentTarget.getBoundingClientRect();
      if (this.players.playing) this.players.pause();
      this.players.seek(this.seconds * (event.clientX - box.left) / box.width);
    } }, element("svg:svg", { viewBox: "0 0 1000 40", preserveAspectRatio: "none", role: "img",
      "aria-label": silent ? `${name} is silent` : `Waveform of ${name}` },
    element("svg:path", { d: `M${line(points, -1)}L${line(points.reverse(), 1)}Z` })), head);
  }

  score(system) {
    const { element, byKey } = t2av, quantity = byKey.get(this.view.by);
    if (!quantity) return null;
    const score = quantity.scores[system][this.item], value = t2av.value(score);
    const tip = t2av.explain(quantity, system, this.item);
    return element("p", { class: "score" }, element("span", {}, t2av.heading(quantity)),
      element("button", { type: "button", class: "plain", "data-tip": tip }, t2av.text(quantity, value)),
      value === null ? element("span", { class: "missing" }, t2av.reason(score)) : null);
  }

  static transcript({ title, steps, joiner, flags }) {
    const { element } = t2av;
    const nodes = steps.flatMap((step) => {
      if (typeof step === "string") return [step, joiner];
      const [, asked, heard] = step;
      return [asked ? element("del", {}, asked) : null, asked && heard ? " " : null, heard ? element("ins", {}, heard) : null, joiner];
    });
    const errors = steps.filter((step) => typeof step !== "string").length;
    return element("div", { class: "transcript" }, element("p", { class: "of" }, `${title}: ${errors} error${errors === 1 ? "" : "s"}`),
      element("p", { dir: "auto" }, ...nodes), flags.length ? element("p", { class: "note" }, flags.join("; ")) : null);
  }

  static curve({ label, offsets, values, lowest }) {
    const { element } = t2av, low = Math.min(...values), high = Math.max(...values), span = high - low || 1;
    const best = values.indexOf(lowest ? low : high), first = offsets[0], last = offsets.at(-1);
    const x = (offset) => 6 + 188 * (offset - first) / (last - first), y = (value) => 44 - 36 * (value - low) / span;
    const at = offsets[best], sign = at > 0 ? `+${at}` : String(at).replace("-", "−");
    const words = `${label}: ${lowest ? "lowest" : "highest"}, ${values[best].toFixed(2)}, at ${sign} frames`;
    return element("div", { class: "curve" }, element("p", { class: "of" }, words),
      element("svg:svg", { viewBox: "0 0 200 50", role: "img", "aria-label": words },
        element("svg:line", { class: "zero", x1: x(0), x2: x(0), y1: 4, y2: 48 }),
        element("svg:path", { d: `M${offsets.map((offset, i) => `${x(offset).toFixed(1)} ${y(values[i]).toFixed(1)}`).join("L")}` }),
        element("svg:circle", { cx: x(at), cy: y(values[best]), r: 3 })));
  }

  // All scores of the item: quantities down, systems across. Filled when it is opened.
  scores() {
    const { element, data } = t2av;
    const systems = this.columns.filter(({ index, clip }) => index !== null && clip);
    const details = element("details", { class: "all", ontoggle: () => {
      if (!details.open || details.children.length > 1) return;
      const rows = t2av.shown.map((quantity) => element("tr", {}, element("th", { scope: "row" }, t2av.heading(quantity)),
        ...systems.map(({ index }) => {
          const value = t2av.value(quantity.scores[index][this.item]);
          return element("td", { class: "number" }, element("button", { type: "button", class: value === null ? "plain missing" : "plain",
            "data-tip": t2av.explain(quantity, index, this.item) }, t2av.text(quantity, value)));
        })));
      details.append(element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `All scores of ${this.id}` },
        element("table", { class: "results" }, element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "Quantity"),
          ...systems.map(({ name }) => element("th", { scope: "col", class: "number" }, name)))), element("tbody", {}, ...rows))));
    } }, element("summary", {}, `All ${t2av.shown.length} scores`));
    return data.quantities.length ? details : null;
  }
}
