"use strict";
// One participant's way through the study. State lives in localStorage; nothing leaves the browser but by hand.
(() => {
  const study = JSON.parse(document.getElementById("study").textContent);
  const $ = (id) => document.getElementById(id);
  const KEY = `t2av-bench study ${study.study}`;
  const videos = [$("video-0"), $("video-1")];
  const query = new URLSearchParams(location.search);

  // FNV-1a and mulberry32: the same participant gets the same list, order and sides in every browser.
  const hash = (text) => {
    let value = 0x811c9dc5;
    for (const byte of new TextEncoder().encode(text)) value = Math.imul(value ^ byte, 0x01000193);
    value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
    return (value ^ (value >>> 13)) >>> 0;
  };
  const generator = (seed) => () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let value = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296;
  };
  const shuffled = (list, random) => {
    const copy = [...list];
    for (let last = copy.length - 1; last > 0; last--) {
      const other = Math.floor(random() * (last + 1));
      [copy[last], copy[other]] = [copy[other], copy[last]];
    }
    return copy;
  };
  // A list number in the address (?list=0) lets whoever invites hand the lists out evenly.
  const plan = (participant, asked = null) => {
    const wanted = asked !== null && /^\d+$/.test(asked) && Number(asked) < study.lists.length;
    const list = wanted ? Number(asked) : hash(`list ${participant}`) % study.lists.length;
    const random = generator(hash(`order ${study.study} ${participant}`));
    const trials = shuffled(study.lists[list], random);
    // Half of the trials are turned round; which ones is random, and so is the odd one.
    const odd = random() < 0.5 ? 0 : 1;
    const turned = shuffled(trials.map((_, index) => index % 2 === odd), random);
    return {
      list,
      trials: trials.map((id, index) => ({
        trial: id,
        shown: turned[index] ? [...study.trials[id]].reverse() : study.trials[id],
      })),
    };
  };
  window.studyPlan = plan;

  let state = null; // {participant, asked, started, finished, answers}
  let way = null;
  let heard = [false, false];
  let broken = false;
  let since = 0;

  const save = () => {
    try {
      localStorage.setItem(KEY, JSON.stringify(state));
    } catch {
      // Private windows may refuse; the study still works until the tab is closed.
    }
  };
  const show = (name) => {
    for (const section of document.querySelectorAll("section")) section.hidden = section.id !== name;
    document.querySelector(`#${name} h1`).focus();
  };
  const say = (text, bad = false) => {
    $("status").textContent = text;
    $("status").classList.toggle("bad", bad);
  };

  const play = (side, thenOther = false) => {
    if (broken) return;
    videos[1 - side].pause();
    videos[side].dataset.then = thenOther ? "other" : "";
    videos[side].currentTime = 0;
    videos[side].play().catch(() => undefined); // a pause that comes at once rejects the promise
  };
  const complete = (video) => {
    let seen = 0;
    for (let part = 0; part < video.played.length; part++) seen += video.played.end(part) - video.played.start(part);
    return seen >= video.duration - Math.max(0.3, 0.05 * video.duration);
  };
  const unlock = () => {
    const ready = heard[0] && heard[1] && !broken;
    for (const button of document.querySelectorAll("[data-choice]")) button.disabled = !ready;
    if (ready) say("Choose, or replay.");
    else if (!broken) say(`Play ${["A and B", "B", "A"][heard[0] ? 1 : heard[1] ? 2 : 0]} to the end to answer.`);
  };

  videos.forEach((video, side) => {
    video.disablePictureInPicture = true;
    video.addEventListener("contextmenu", (event) => event.preventDefault());
    video.addEventListener("play", () => video.parentElement.classList.add("playing"));
    for (const kind of ["pause", "ended", "emptied"]) {
      video.addEventListener(kind, () => video.parentElement.classList.remove("playing"));
    }
    video.addEventListener("ended", () => {
      if (complete(video)) heard[side] = true;
      unlock();
      if (video.dataset.then && side === 0) play(1);
    });
    video.addEventListener("error", () => {
      if (!video.getAttribute("src")) return;
      broken = true;
      say(`Clip ${"AB"[side]} cannot be played here.`, true);
      $("skip").hidden = false;
    });
    $(`play-${side}`).addEventListener("click", () => play(side));
  });

  const next = () => {
    const position = state.answers.length;
    if (position >= way.trials.length) return finish();
    [heard, broken, since] = [[false, false], false, Date.now()];
    $("heading").textContent = `Comparison ${position + 1} of ${way.trials.length}`;
    $("progress").max = way.trials.length;
    $("progress").value = position;
    $("skip").hidden = true;
    way.trials[position].shown.forEach((name, side) => { videos[side].src = `media/${name}.mp4`; });
    unlock();
    show("trial");
  };
  const answer = (choice) => {
    if (choice !== "unplayable" && (!heard[0] || !heard[1] || broken)) return;
    const seconds = Math.round((Date.now() - since) / 100) / 10;
    state.answers.push({ ...way.trials[state.answers.length], choice, seconds });
    if (state.answers.length === way.trials.length) state.finished = new Date().toISOString();
    for (const video of videos) video.pause();
    save();
    next();
  };
  const finish = () => {
    for (const video of videos) video.removeAttribute("src");
    const document_ = {
      format: "t2av-bench study answers", version: 1, study: study.study, participant: state.participant,
      list: way.list, started: state.started, finished: state.finished, answers: state.answers,
    };
    const text = `${JSON.stringify(document_, null, 1)}\n`;
    $("answers").value = text;
    $("download").href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    $("download").download = `answers-${state.participant.replace(/[^\p{L}\p{N}_-]+/gu, "_")}.json`;
    show("end");
  };
  const begin = (found) => {
    state = found;
    way = plan(state.participant, state.asked);
    next();
  };

  document.querySelectorAll("[data-choice]").forEach((button) => {
    button.addEventListener("click", () => answer(button.dataset.choice));
  });
  $("skip").addEventListener("click", () => answer("unplayable"));
  $("copy").addEventListener("click", async () => {
    $("answers").select();
    try {
      await navigator.clipboard.writeText($("answers").value);
      $("copied").textContent = "Copied.";
    } catch {
      $("copied").textContent = "Press Ctrl+C to copy the marked text.";
    }
  });
  document.addEventListener("keydown", (event) => {
    if ($("trial").hidden || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
    const choice = new Map([["a", "A"], ["b", "B"], ["t", study.ties ? "tie" : null]]).get(event.key.toLowerCase());
    if (choice) answer(choice);
    else if (event.key === " " && event.target.localName !== "button") {
      event.preventDefault();
      play(0, true);
    }
  });
  $("again").addEventListener("click", () => {
    if (!window.confirm("The answers shown here will be gone from this browser. Have they been handed over?")) return;
    localStorage.removeItem(KEY);
    location.reload();
  });
  $("enter").addEventListener("submit", (event) => {
    event.preventDefault();
    const participant = $("participant").value.trim();
    if (!participant) return;
    begin({ participant, asked: query.get("list"), started: new Date().toISOString(), finished: null, answers: [] });
    save();
  });

  let kept = null;
  try {
    kept = JSON.parse(localStorage.getItem(KEY));
  } catch {
    kept = null;
  }
  const invited = query.get("participant");
  if (kept && (invited === null || kept.participant === invited.trim())) begin(kept);
  else {
    $("count").textContent = study.lists[0].length;
    $("participant").value = invited ?? "";
    show("start");
  }
})();
