"use strict";
// All players of one row as one: they start, stop and seek together, and are held within a frame of each other.
class Players {
  static SPEEDS = [0.25, 0.5, 0.75, 1, 1.5, 2];
  static speed = 1;  // of all rows
  // Farther apart than this (seconds) they jump. Nearer, the others' speed brings them to the one that is heard, inside
  // these bounds: they are silent, and a tenth of a second at another speed is seen by nobody.
  static JUMP = 0.3;
  static SLOWEST = 0.25;
  static FASTEST = 4;
  static current = null;

  // media: <video> elements. rate: frames per second of the row. changed: called whenever time or state changes.
  constructor(media, rate, changed) {
    Object.assign(this, { media, rate, changed, playing: false, time: 0, wanted: new Map(), leads: new Map(), loop: null, turn: 0 });
    for (const one of media) {
      one.addEventListener("loadedmetadata", () => { this.place(one); changed(); });
      one.addEventListener("seeked", () => this.settle(one));
    }
  }

  get usable() { return this.media.filter((one) => one.readyState >= 1 && !one.error); }
  get duration() { return Math.max(0, ...this.usable.map((one) => one.duration)); }
  get frame() { return Math.floor(this.time * this.rate + 1e-3); }

  // What is played: all, or the part that is repeated (loop: its ends in seconds).
  get from() { return this.loop ? this.loop[0] : 0; }
  get to() { return Math.min(this.duration, this.loop ? this.loop[1] : Infinity); }

  // Repeat the part between two times, of whole frames, at least three of them; null: play to the end and stop.
  repeat(ends) {
    const [from, to] = (ends || []).map((end) => Math.round(end * this.rate) / this.rate).sort((a, b) => a - b);
    this.loop = ends && [Math.max(0, Math.min(from, this.duration - 3 / this.rate)), Math.max(to, from + 3 / this.rate)];
    this.changed();
  }

  // The clock: the player that is heard, while it lasts; else the longest.
  get leader() {
    const heard = this.usable.find((one) => !one.muted && one.duration > this.time && !one.ended);
    return heard || this.usable.reduce((best, one) => (!best || one.duration > best.duration ? one : best), null);
  }

  async play() {
    if (Players.current && Players.current !== this) Players.current.pause();
    Players.current = this;
    if (!this.usable.length) return;
    if (this.time >= this.to - 1.5 / this.rate || this.time < this.from) this.seek(this.from);
    this.playing = true;
    await this.begin();
  }

  async begin() {
    const turn = ++this.turn;
    this.changed();
    await Promise.all(this.usable.map((one) => Players.ready(one)));
    if (!this.playing || turn !== this.turn) return;
    for (const one of this.usable) if (this.time < one.duration) this.start(one);
    this.leads.clear();
    this.followed = performance.now();
    this.follow();
  }

  // Enough data at the right place to begin at once, or as much as three seconds of waiting gave.
  static ready(one) {
    return new Promise((resolve) => {
      const timer = setTimeout(done, 3000);
      function done() {
        clearTimeout(timer);
        one.removeEventListener("canplay", check);
        one.removeEventListener("seeked", check);
        resolve();
      }
      function check() { if (one.readyState >= 3 && !one.seeking) done(); }
      one.addEventListener("canplay", check);
      one.addEventListener("seeked", check);
      one.preload = "auto";
      check();
    });
  }

  start(one) {
    one.playbackRate = Players.speed;
    one.play().catch((error) => {
      // Without a click or key press the browser lets nothing be heard.
      if (error.name === "NotAllowedError" && !one.muted) { one.muted = true; one.play().catch(() => {}); }
    });
  }

  follow() {
    if (!this.playing) return;
    const leader = this.leader;
    if (!leader || leader.ended || leader.currentTime >= Math.min(this.to, leader.duration)) {
      if (!leader || !this.loop) return void this.pause();
      for (const one of this.media) one.pause();
      this.seek(this.from);
      return void this.begin();
    }
    this.time = leader.currentTime;
    const now = performance.now(), since = (now - this.followed) / 1000;
    this.followed = now;
    for (const one of this.usable) {
      if (one === leader) { one.playbackRate = Players.speed; continue; }
      if (this.time >= one.duration - 0.5 / this.rate) { one.pause(); continue; }
      const seen = one.currentTime - this.time;
      if (one.paused) { one.currentTime = this.time; this.leads.delete(one); this.start(one); continue; }
      if (Math.abs(seen) > Players.JUMP) {
        if (!one.seeking) { one.currentTime = this.time; this.leads.delete(one); }
        continue;
      }
      // Players tell the time in steps of up to a frame, so the lead is an average of what was seen, moved on by what
      // the speed since then has done to it.
      const expected = this.leads.has(one) ? this.leads.get(one) + (one.playbackRate - Players.speed) * since : seen;
      const lead = expected + 0.15 * (seen - expected);
      this.leads.set(one, lead);
      one.playbackRate = Players.speed * (Math.abs(lead) * this.rate < 0.2
        ? 1 : Math.max(Players.SLOWEST, Math.min(Players.FASTEST, 1 - 6 * lead)));
    }
    this.changed();
    requestAnimationFrame(() => this.follow());
  }

  pause() {
    this.playing = false;
    for (const one of this.media) { one.pause(); one.playbackRate = Players.speed; }
    const leader = this.leader;
    this.seek(leader ? leader.currentTime : this.time);
  }

  toggle() { if (this.playing) this.pause(); else this.play(); }

  // The middle of a frame, so that rounding in a decoder cannot show the one before.
  seek(seconds) {
    const last = Math.max(0, Math.ceil(this.duration * this.rate - 1e-3) - 1);
    const frame = Math.min(last, Math.max(0, Math.floor(seconds * this.rate + 1e-3)));
    this.time = (frame + 0.5) / this.rate;
    for (const one of this.usable) this.place(one);
    this.changed();
  }

  step(frames) {
    if (this.playing) this.pause();
    this.seek((this.frame + frames + 0.5) / this.rate);
  }

  // Seek one player; while it is still seeking, only the newest wish is kept.
  place(one) {
    const target = Math.max(0, Math.min(this.time, one.duration - 0.25 / this.rate));
    if (one.seeking) this.wanted.set(one, target);
    else if (Math.abs(one.currentTime - target) > 1e-4) one.currentTime = target;
  }

  settle(one) {
    const target = this.wanted.get(one);
    this.wanted.delete(one);
    if (target !== undefined && one.paused && Math.abs(one.currentTime - target) > 1e-4) one.currentTime = target;
  }

  // Give the decoders back; a row far from the window needs none.
  release() {
    if (this.playing) this.pause();
    for (const one of this.media) { one.removeAttribute("src"); one.load(); }
    if (Players.current === this) Players.current = null;
  }
}
