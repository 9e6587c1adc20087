"use strict";
// The keyboard of the clip browser. One list answers the keys and, as a dialog, explains them.
// browser: current() (the row that keys act on), move(rows), search().
t2av.keyboard = (browser) => {
  const { element } = t2av, players = () => browser.current()?.players;
  const speed = (step) => {
    const at = Players.SPEEDS.indexOf(Players.speed) + step;
    ItemRow.hurry(Players.SPEEDS[Math.max(0, Math.min(Players.SPEEDS.length - 1, at))]);
    t2av.say(`Speed ${Players.speed}×`);
  };
  const end = (place) => {
    const { loop, time, rate } = players(), now = Math.floor(time * rate + 1e-3) / rate;
    const [from, to] = loop || [0, Infinity];
    players().repeat(place === "from" ? [now, to > now ? to : Infinity] : [from < now ? from : 0, now + 1 / rate]);
  };
  const needsPlayers = (action) => () => { if (players()?.media.length) action(); };
  const list = [
    [["k"], "play or pause all players of the row", needsPlayers(() => players().toggle())],
    [[",", "."], "one frame back, one frame on", needsPlayers(() => players().step(-1)), needsPlayers(() => players().step(1))],
    [["j", "l"], "one second back, one second on", needsPlayers(() => players().seek(players().time - 1)), needsPlayers(() => players().seek(players().time + 1))],
    [["−", "+"], "slower, faster", () => speed(-1), () => speed(1)],
    [["[", "]"], "repeat from here, repeat up to here", needsPlayers(() => end("from")), needsPlayers(() => end("to"))],
    [["o"], "repeat all; again: play once", needsPlayers(() => players().repeat(players().loop ? null : [0, Infinity]))],
    [["m"], "the mouths alone; again: whole pictures", needsPlayers(() => browser.current().toggleMouths())],
    [["f"], "as tall as the window; again, or Esc: back", () => tall.toggle(browser.current(), document.activeElement?.closest(".clip"))],
    [["←", "→"], "at full height: the player to the left, to the right, and its sound", () => tall.row && tall.move(-1), () => tall.row && tall.move(1)],
    [["n", "p"], "next row, previous row", () => browser.move(1), () => browser.move(-1)],
    [["c"], "copy the link to the row's item and moment", () => browser.current()?.share()],
    [["/"], "search", () => { if (!tall.row) browser.search(); }],
    [["?"], "show or hide this list", () => help()],
  ];
  const other = new Map([["ArrowLeft", "←"], ["ArrowRight", "→"], ["-", "−"], ["=", "+"]]);
  const actions = new Map(list.flatMap(([keys, , ...each]) => keys.map((key, index) => [key, each[index]])));

  const dialog = element("dialog", { id: "keys", "aria-labelledby": "keys-title" }, element("h2", { id: "keys-title" }, "Keys"),
    element("dl", {}, ...list.flatMap(([keys, words]) => [
      element("dt", {}, ...keys.flatMap((key) => [element("kbd", {}, key), " "])), element("dd", {}, words)])),
    element("p", { class: "note" }, "Keys act on the row that has the focus, else on the first. A click on a picture shows it at full height; dragging over a waveform repeats that part."),
    element("form", { method: "dialog" }, element("button", {}, "Close")));
  document.body.append(dialog);
  function help() { if (dialog.open) dialog.close(); else dialog.showModal(); }
  document.getElementById("keys-button").addEventListener("click", help);

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("select, textarea, input:not([type=range], [type=radio], [type=checkbox])")) return;
    if (event.key === "Escape" && tall.row && !dialog.open) { event.preventDefault(); tall.close(); return; }
    const key = other.get(event.key) || event.key, arrow = key === "←" || key === "→";
    if (!actions.has(key) || (dialog.open && key !== "?") || (arrow && (!tall.row || event.target.closest?.("input")))) return;
    event.preventDefault();
    actions.get(key)();
  });
};
