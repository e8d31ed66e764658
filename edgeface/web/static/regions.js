"use strict";
// Draws a mask or a zone on the live picture, and writes the lines of edgeface.toml that make it.
function drawRegion(view) {
  const form = find("form", view), drawing = find("[data-drawing]", view), lines = find("[data-lines]", form);
  const [back, anew, copy] = ["back", "anew", "copy"].map((what) => find(`[data-${what}]`, form));
  const hint = lines.textContent, corners = [];
  const write = () => {
    const { kind, name } = form.elements, whole = corners.length > 2;
    drawing.replaceChildren();
    for (const tag of ["polygon", ...corners.map(() => "circle")]) drawing.append(document.createElementNS(drawing.namespaceURI, tag));
    const [shape, ...dots] = drawing.children;
    shape.setAttribute("points", corners.join(" "));
    shape.setAttribute("class", kind.value);
    dots.forEach((dot, at) => { dot.setAttribute("cx", corners[at][0]); dot.setAttribute("cy", corners[at][1]); dot.setAttribute("r", 0.008); });
    const points = corners.map((corner) => `[${corner.join(", ")}]`).join(", ");
    lines.textContent = whole ? `[[${view.dataset.regions}.${kind.value}]]\nname = "${name.value || name.placeholder}"\npoints = [${points}]\n` : hint;
    copy.disabled = !whole;
    back.disabled = anew.disabled = !corners.length;
    find("[data-copied]", form).textContent = "";
  };
  drawing.addEventListener("click", (event) => {
    const place = drawing.getBoundingClientRect();
    const share = (at, from, whole) => Math.round(1000 * Math.min(1, Math.max(0, (at - from) / whole))) / 1000;
    corners.push([share(event.clientX, place.left, place.width), share(event.clientY, place.top, place.height)]);
    write();
  });
  back.addEventListener("click", () => { corners.pop(); write(); });
  anew.addEventListener("click", () => { corners.length = 0; write(); });
  form.addEventListener("input", write);
  form.addEventListener("submit", async (event) => {
    event.preventDefault(); // the browser has checked the name
    try {
      await navigator.clipboard.writeText(lines.textContent);
      find("[data-copied]", form).textContent = _("Copied.");
    } catch {
      getSelection().selectAllChildren(lines);
      find("[data-copied]", form).textContent = _("Selected: copy it with the keyboard.");
    }
  });
}
for (const view of all("[data-regions]")) drawRegion(view);
