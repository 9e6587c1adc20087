"use strict";
// What stands below a player: the outline of its sound, transcripts against their texts, curves over offsets.
const drawn = {
  bytes: (base64) => [...atob(base64)].map((character) => character.charCodeAt(0)),

  // The outline of the sound as far as it reaches on an axis of ``seconds``; ``loudest`` (1 to 255) is full height.
  wave(clip, name, seconds, loudest) {
    const { element } = t2av, bytes = drawn.bytes(clip.peaks), middle = 20;
    const step = 1000 * clip.sound_seconds / seconds / bytes.length;
    const points = bytes.map((byte, index) => [(index + 0.5) * step, Math.max(0.4, 19 * byte / loudest)]);
    const line = (list, sign) => list.map(([x, y]) => `${x.toFixed(1)} ${(middle + sign * y).toFixed(1)}`).join("L");
    return element("svg:svg", { viewBox: "0 0 1000 40", preserveAspectRatio: "none", role: "img",
      "aria-label": Math.max(...bytes) === 0 ? `${name} is silent` : `Waveform of ${name}` },
    element("svg:path", { d: `M${line(points, -1)}L${line(points.reverse(), 1)}Z` }));
  },

  transcript({ title, steps, joiner, flags }) {
    const { element } = t2av;
    const nodes = steps.flatMap((step) => {
      if (typeof step === "string") return [step, joiner];
      const [, asked, heard] = step;
      return [asked ? element("del", {}, asked) : null, asked && heard ? " " : null, heard ? element("ins", {}, heard) : null, joiner];
    });
    const errors = steps.filter((step) => typeof step !== "string").length;
    return element("div", { class: "transcript" }, element("p", { class: "of" }, `${title}: ${errors} error${errors === 1 ? "" : "s"}`),
      element("p", { dir: "auto" }, ...nodes), flags.length ? element("p", { class: "note" }, flags.join("; ")) : null);
  },

  curve({ label, offsets, values, lowest }) {
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
  },
};
