"use strict";
// The live picture with its faces, and who is in view.
const inPercent = new Intl.NumberFormat(document.documentElement.lang, { style: "percent" });
const percent = (share) => (share > 0.995 ? _("over {share}", { share: inPercent.format(0.99) }) : inPercent.format(share));
const called = (face) => face.name || (face.state === "looking" ? _("Looking…") : _("Unknown person"));
const sure = (face) => (face.sure === null ? "" : percent(face.sure));
const beside = (face) => (face.ignored ? _("ignored") : sure(face));

async function show(frame) {
  const image = find("[data-picture]", frame), blank = find("[data-blank]", frame), boxes = find("[data-boxes]", frame);
  const mirrored = "mirrored" in frame.dataset;
  let number = "", shown = "";
  for (;;) {
    if (document.hidden) { await pause(500); continue; }
    try {
      const answer = await fetch(root + "/live/picture?" + ofCamera({ after: number }));
      if (answer.status === 200) {
        const view = JSON.parse(answer.headers.get("x-view"));
        const address = URL.createObjectURL(await answer.blob());
        image.src = address;
        await image.decode();
        if (shown) URL.revokeObjectURL(shown);
        shown = address; number = view.number;
        frame.style.setProperty("--ratio", view.width / view.height);
        image.hidden = false; blank.hidden = true;
        draw(boxes, view.faces, mirrored);
        list(image, view);
        await pause(60);
      } else {
        if (answer.status !== 204) await pause(2000);
        draw(boxes, [], mirrored);
        if (answer.status === 401) { image.hidden = true; blank.hidden = false; blank.textContent = _("You are signed out."); }
      }
    } catch { await pause(2000); }
  }
}

function draw(boxes, faces, mirrored) {
  boxes.replaceChildren(...faces.map((face) => {
    const box = make("div", "", "box " + face.state), [left, top, width, height] = face.box;
    Object.assign(box.style, { left: (mirrored ? 100 - left - width : left) + "%", top: top + "%", width: width + "%", height: height + "%" });
    box.classList.toggle("low", top < 9);
    box.append(make("b", called(face) + (beside(face) && " · " + beside(face))));
    return box;
  }));
}

let told = "";
function list(image, view) {
  const shown = find("[data-in-view]");
  if (!shown) return;
  find("[data-ms]").textContent = view.ms + " ms";
  find("[data-nobody]").hidden = view.faces.length > 0;
  shown.replaceChildren(...view.faces.map((face) => {
    const row = make("li", "", face.state), who = make("div", "", "who");
    const details = [face.ignored && _("ignored"), sure(face) && _("{share} sure", { share: sure(face) }), _("picture quality {share}", { share: percent(face.quality) })];
    who.append(make("strong", called(face)), make("span", details.filter(Boolean).join(" · "), "soft"));
    row.append(cutOut(image, face), who);
    return row;
  }));
  const people = view.faces.filter((face) => face.state !== "looking").map(called).sort().join(", ");
  if (people !== told) find("[data-said]").textContent = people ? _("In view: {people}", { people }) : _("Nobody in view");
  told = people;
}

// The face as a square, with some room around it.
function cutOut(image, face, side = 96) {
  const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side, className: "face huge" });
  const [left, top, width, height] = face.box.map((part, axis) => part / 100 * (axis % 2 ? image.naturalHeight : image.naturalWidth));
  const edge = 1.5 * Math.max(width, height);
  canvas.getContext("2d").drawImage(image, left + (width - edge) / 2, top + (height - edge) / 2, edge, edge, 0, 0, side, side);
  canvas.setAttribute("aria-hidden", "true");
  return canvas;
}

listeners.push((facts) => {
  for (const note of all("[data-lost]")) note.hidden = !facts.lost;
  for (const shown of all("[data-paused], [data-resume]")) shown.hidden = !facts.paused;
  for (const button of all("[data-pause]")) button.hidden = Boolean(facts.paused);
  for (const frame of all("[data-screen]")) frame.classList.toggle("is-still", Boolean(facts.lost || facts.paused));
});
for (const frame of all("[data-screen]")) show(frame);
