"use strict";
// Closer looks at a row: the mouth alone, from the face track, and the row as tall as the window.

// One player whose screen can show the mouth. path: side of the square in thousandths of the picture's width, then x and
// y of its middle, in thousandths of width and height, five times a second.
class Mouth {
  static RATE = 5;
  static on = false;  // for all rows

  static turn(on) {
    Mouth.on = on;
    document.documentElement.classList.toggle("mouths", on);
    document.dispatchEvent(new Event("t2av:look"));
  }

  constructor(screen, video, clip) { Object.assign(this, { screen, video, clip, path: clip.mouth || null }); }

  // A picture that the browser turns, as its file asks, is not the one that the face was found in.
  get usable() {
    const { videoWidth: width, videoHeight: height } = this.video;
    return Boolean(this.path && width && (width > height) === (this.clip.width > this.clip.height));
  }

  show(time) {
    const close = Mouth.on && this.usable;
    this.screen.classList.toggle("mouth", close);
    this.screen.classList.toggle("whole", Mouth.on && !close && Boolean(this.video.videoWidth));
    if (!close) { this.video.style.transform = ""; return; }
    const [side, ...path] = this.path, last = path.length / 2 - 1, at = Math.min(last, time * Mouth.RATE);
    const before = Math.floor(at), part = at - before;
    const between = (axis) => {
      const from = path[2 * before + axis], to = path[2 * Math.min(last, before + 1) + axis];
      return from + part * (to - from);
    };
    // The player is as wide as its square screen; percentages are of its own width and height.
    const shape = this.video.videoWidth / this.video.videoHeight, scale = 1000 / side;
    const x = 50 - between(0) / 10 * scale, y = 50 * shape - between(1) / 10 * scale;
    this.video.style.transform = `translate(${x.toFixed(2)}%, ${y.toFixed(2)}%) scale(${scale.toFixed(3)})`;
  }
}

// At most one row is as tall as the window. It stays where it is in the document; all else cannot be reached meanwhile.
const tall = {
  row: null,
  covered: [],

  open(row, figure) {
    if (!row?.players?.media.length || tall.row) return;
    tall.row = row;
    row.node.style.minHeight = `${row.node.offsetHeight}px`;
    row.node.classList.add("tall");
    document.documentElement.classList.add("covered");
    for (const [name, value] of [["role", "dialog"], ["aria-modal", "true"], ["aria-label", `${row.id}, full height`]]) row.body.setAttribute(name, value);
    for (let node = row.body; node !== document.body; node = node.parentElement) {
      for (const other of node.parentElement.children) {
        if (other !== node && !["tip", "said", "keys"].includes(other.id) && !other.inert) { other.inert = true; tall.covered.push(other); }
      }
    }
    row.show();
    tall.front(figure || row.node.querySelector(".clip[aria-current]") || row.figures[0]);
  },

  close() {
    const { row } = tall;
    if (!row) return;
    tall.row = null;
    for (const other of tall.covered.splice(0)) other.inert = false;
    row.node.classList.remove("tall");
    document.documentElement.classList.remove("covered");
    for (const name of ["role", "aria-modal", "aria-label"]) row.body.removeAttribute(name);
    row.node.style.minHeight = "";
    row.show();
    row.look(document.activeElement?.closest(".clip") || row.figures[0]);
  },

  toggle(row, figure) { if (tall.row) tall.close(); else tall.open(row, figure); },

  // Bring a player to the middle, and let it be heard.
  front(figure) {
    if (!figure) return;
    tall.row.look(figure);
    figure.querySelector(".hear input")?.click();
  },

  move(step) {
    const { figures } = tall.row, now = figures.indexOf(document.activeElement?.closest(".clip"));
    tall.front(figures[Math.max(0, Math.min(figures.length - 1, now + step))]);
  },
};
