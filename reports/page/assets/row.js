"use strict";
// One item of the clip browser: its players side by side, what they are steered with, and what is below each.
class ItemRow {
  // view: by (quantity key), system (chosen, or ""), hidden (columns that are not shown), link (of an item's number and a
  // time: the address that leads to it), at (seconds: where the players stand first).
  constructor(item, view) {
    const { element, data } = t2av, [id, text, language] = data.items[item];
    Object.assign(this, { item, id, view, players: null, figures: [], mouths: [], wanted: false, opened: false });
    this.body = element("div", { class: "body" });
    this.link = element("a", { class: "link", href: view.link(item, 0), "aria-label": `Link to ${id}`, title: "A link to this item (c)",
      onclick: (event) => { event.preventDefault(); this.share(); } }, "Link");
    this.node = element("article", { class: "item", id: `row-${item}`, "data-item": item, "aria-labelledby": `name-${item}` },
      element("header", {}, element("h2", { id: `name-${item}`, tabindex: -1 }, id), this.link,
        text ? element("p", { class: "text", lang: language || null, dir: "auto" }, text) : null), this.body);
  }

  // The row came near to the window, or left it.
  async near(isNear) {
    this.wanted = isNear;
    if (!isNear) return this.node.contains(document.activeElement) || tall.row === this || ItemRow.printing ? undefined : this.release();
    if (this.players) return undefined;
    try {
      const content = await t2av.load(this.item);
      if (this.wanted && !this.players) this.fill(content);
    } catch (error) {
      this.body.replaceChildren(t2av.element("p", { class: "missing" }, error.message));
    }
    return undefined;
  }

  // For paper: everything that is known of the row, without the pictures that no player has shown yet.
  print() {
    const content = t2av.loaded(this.item);
    if (!this.players && content) this.fill(content);
    for (const { screen, video } of this.mouths) screen.classList.toggle("unseen", !video.dataset.seen);
  }

  release() {
    if (!this.players) return;
    // The height stays, so that nothing jumps while scrolling.
    this.node.style.minHeight = `${this.node.offsetHeight}px`;
    this.players.release();
    Object.assign(this, { players: null, figures: [], mouths: [], heads: [] });
    this.body.replaceChildren();
  }

  // Bring the row into view and put the focus on its name, or on the clip of the chosen system.
  open() {
    this.opened = true;
    this.node.scrollIntoView({ block: "start" });
    this.look(this.node.querySelector(".clip[aria-current]") || this.node.querySelector("h2"));
  }

  look(target) {
    target.focus({ preventScroll: true });
    target.scrollIntoView({ block: "nearest", inline: "center" });
  }

  // Put the address of this item and moment into the address bar, and where the browser allows it on the clipboard.
  share() {
    const address = this.view.link(this.item, this.players?.time || 0);
    this.link.href = address;
    history.replaceState(null, "", address);
    const copied = navigator.clipboard?.writeText(location.href) ?? Promise.reject(new Error("no clipboard"));
    copied.then(() => t2av.say("The link is copied."), () => t2av.say("The address of this page is now the link."));
  }

  fill(content) {
    const { element, data } = t2av;
    const columns = data.systems.map(({ name, real }, index) => ({ key: String(index), name, real, index, clip: content.clips[index] }));
    if (content.reference) columns.unshift({ key: "reference", name: "reference", index: null, clip: content.reference });
    this.columns = columns.filter(({ key }) => !this.view.hidden.has(key));
    const clips = this.columns.map(({ clip }) => clip).filter(Boolean);
    this.seconds = Math.max(0.04, ...clips.flatMap((clip) => [clip.seconds || 0, clip.sound_seconds || 0]));
    this.loudest = Math.max(40, ...clips.map((clip) => Math.max(0, ...(clip.peaks ? drawn.bytes(clip.peaks) : []))));
    const shapes = new Set(clips.filter((clip) => clip.width).map((clip) => clip.width / clip.height));
    this.node.style.setProperty("--shape", shapes.size === 1 ? Math.max(9 / 16, Math.min(16 / 9, ...shapes)) : 1);
    const media = [];
    this.heads = [];
    this.mouths = [];
    this.figures = this.columns.map((column) => this.figure(column, media));
    const rate = clips.find((clip) => clip.frame_rate)?.frame_rate || 25;
    this.players = new Players(media, rate, () => this.show());
    if (this.view.at) this.players.time = this.view.at;
    this.body.replaceChildren(...(media.length ? [this.transport()] : []),
      element("div", { class: "strip", role: "group", "aria-label": `Clips of ${this.id}`, tabindex: 0 }, ...this.figures), this.scores());
    this.node.style.minHeight = "";
    this.show();
    if (this.opened) { this.opened = false; this.open(); }
  }

  transport() {
    const { element } = t2av;
    // What is a word is the button's name, so that it can be said to a machine that listens; signs need another.
    const button = (text, title, action) => element("button", { type: "button", title, "aria-label": /^\w/.test(text) ? null : title,
      onclick: action }, text);
    this.playButton = button("Play", `Play all clips of ${this.id}`, () => this.players.toggle());
    this.slider = element("input", { type: "range", min: 0, max: this.seconds, step: "any", value: 0, "aria-label": "Position",
      oninput: () => { if (this.players.playing) this.players.pause(); this.players.seek(Number(this.slider.value)); } });
    this.clock = element("span", { class: "clock" });
    this.loopButton = button("Loop", "Repeat all, or the part between [ and ] (o)", () => this.players.repeat(this.players.loop ? null : [0, Infinity]));
    this.mouthButton = button("Mouth", "Show the mouths alone (m)", () => this.toggleMouths());
    this.tallButton = button("Full height", "As tall as the window (f)", () => tall.toggle(this));
    this.speed = element("select", { "aria-label": "Speed", title: "Speed (− and +)",
      onchange: () => ItemRow.hurry(Number(this.speed.value)) },
    ...Players.SPEEDS.map((speed) => element("option", { value: speed }, `${speed}×`)));
    if (!this.tracked) {
      this.mouthButton.setAttribute("aria-disabled", "true");
      this.mouthButton.title = this.mouthButton.dataset.tip = ItemRow.UNTRACKED;
    }
    return element("div", { class: "transport" }, element("b", { class: "name" }, this.id), this.playButton, button("‹", "One frame back (,)", () => this.players.step(-1)),
      button("›", "One frame on (.)", () => this.players.step(1)), this.slider, this.clock,
      element("div", { class: "tools" }, this.loopButton, this.speed, this.mouthButton, this.tallButton));
  }

  static printing = false;

  static hurry(speed) {
    Players.speed = speed;
    document.dispatchEvent(new Event("t2av:look"));
  }

  static UNTRACKED = "These runs kept no face track of this item's clips; metrics that follow the face keep one.";

  get tracked() { return this.mouths.some(({ path }) => path); }

  toggleMouths() {
    if (!this.tracked) return void t2av.say(ItemRow.UNTRACKED);
    Mouth.turn(!Mouth.on);
  }

  // Time, frame, playheads, repeated part and closer looks as they are now.
  show() {
    if (!this.players) return;
    const { time, playing, frame, loop } = this.players, percent = (seconds) => `${(100 * Math.min(1, seconds / this.seconds)).toFixed(3)}%`;
    for (const mouth of this.mouths) mouth.show(time);
    for (const { head, band } of this.heads) {
      head.style.transform = `translateX(${percent(time)})`;
      band.hidden = !loop || loop[1] === Infinity;
      if (!band.hidden) [band.style.left, band.style.right] = [percent(loop[0]), `${(100 - Math.min(100, 100 * loop[1] / this.seconds)).toFixed(3)}%`];
    }
    if (!this.slider || !this.players.media.length) return;
    if (this.wasPlaying !== playing) this.playButton.textContent = playing ? "Pause" : "Play";
    this.wasPlaying = playing;
    this.slider.value = time;
    const part = !loop || loop[1] === Infinity ? "" : `, ${loop[0].toFixed(2)} to ${Math.min(loop[1], this.seconds).toFixed(2)} s again`;
    const text = `${time.toFixed(2)} s, frame ${frame}${part}`;
    this.clock.textContent = text;
    if (!playing) this.slider.setAttribute("aria-valuetext", text);
    this.loopButton.setAttribute("aria-pressed", String(Boolean(loop)));
    this.mouthButton.setAttribute("aria-pressed", String(Mouth.on));
    this.tallButton.textContent = tall.row === this ? "Close" : "Full height";
    this.speed.value = Players.speed;
  }

  chosen({ index }) { return index !== null && this.view.system === String(index); }

  figure(column, media) {
    const { element } = t2av, { clip, name, index } = column;
    const caption = element("figcaption", {}, element("b", { title: name }, name), column.real ? element("span", { class: "tag" }, "real") : null);
    const figure = element("figure", { class: "clip", "data-system": column.key, tabindex: -1, "aria-current": this.chosen(column) ? "true" : null,
      "aria-label": `${name}, ${this.id}` });
    if (clip?.width) figure.style.setProperty("--own", clip.width / clip.height);
    const parts = [caption, this.screen(column, media, caption, figure)];
    if (clip?.peaks) parts.push(this.wave(clip, name));
    if (clip?.note && clip.src) parts.push(element("p", { class: "note" }, clip.note));
    if (index !== null && clip) parts.push(this.score(index));
    figure.append(...parts.filter(Boolean), ...(clip?.transcripts || []).map(drawn.transcript), ...(clip?.curves || []).map(drawn.curve));
    return figure;
  }

  screen(column, media, caption, figure) {
    const { element } = t2av, { clip, name } = column;
    if (!clip?.src) return element("div", { class: "screen empty" }, clip?.note || "not part of this run");
    const video = element("video", { src: clip.src, muted: true, playsinline: true, preload: "metadata", "aria-label": `${name}, ${this.id}`,
      onclick: () => { if (tall.row) this.players.toggle(); else tall.open(this, figure); },
      onerror: () => {
        if (video.hasAttribute("src")) screen.replaceWith(element("div", { class: "screen empty" }, "this browser cannot play the file, or it is gone"));
      } });
    const screen = element("div", { class: "screen" }, video);
    // A picture that has never been on the screen would be black on paper.
    video.requestVideoFrameCallback?.(() => { video.dataset.seen = "1"; });
    video.muted = true;
    media.push(video);
    this.mouths.push(new Mouth(screen, video, clip));
    if (clip.sound) {
      const first = !this.columns.some((one) => this.chosen(one)) && !media.slice(0, -1).some((one) => one.dataset.sound);
      video.dataset.sound = "1";
      video.muted = !(this.chosen(column) || first);
      const radio = element("input", { type: "radio", name: `sound-${this.item}`, "aria-label": `hear ${name}`, onchange: () => {
        for (const one of this.players.media) one.muted = one !== video;
      } });
      radio.checked = !video.muted;
      caption.append(element("label", { class: "hear" }, radio, " sound"));
    } else caption.append(element("span", { class: "hear" }, "no sound"));
    return screen;
  }

  // The sound on the row's common time axis. A click goes there; what is dragged over is repeated.
  wave(clip, name) {
    const { element } = t2av, head = element("div", { class: "head" }), band = element("div", { class: "band", hidden: true });
    this.heads.push({ head, band });
    let from = null, dragged = false;
    const seconds = (event) => {
      const box = wave.getBoundingClientRect();
      return this.seconds * Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
    };
    const wave = element("div", { class: "wave", title: "Click: go there. Drag: repeat this part.",
      onpointerdown: (event) => {
        if (event.button) return;
        [from, dragged] = [event, false];
        wave.setPointerCapture(event.pointerId);
      },
      onpointermove: (event) => {
        if (!from) return;
        dragged = dragged || Math.abs(event.clientX - from.clientX) > 5;
        if (dragged) this.players.repeat([seconds(from), seconds(event)]);
      },
      onpointercancel: () => { from = null; },
      onpointerup: (event) => {
        if (!from) return;
        from = null;
        if (this.players.playing) this.players.pause();
        this.players.seek(dragged ? this.players.from : seconds(event));
      } }, drawn.wave(clip, name, this.seconds, this.loudest), band, head);
    return wave;
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

  // All scores of the item: quantities down, systems across. Filled when it is opened.
  scores() {
    const { element, data } = t2av;
    if (!data.quantities.length) return "";
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
    return details;
  }
}
