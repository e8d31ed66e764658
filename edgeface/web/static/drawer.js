"use strict";
// Details open in a drawer beside the list; without this script they are a page of their own.
const drawer = find("[data-dialog]");
async function openDrawer(event) {
  const link = event.currentTarget;
  if (event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  try {
    const answer = await fetch(link.href);
    if (!answer.ok) throw new Error("no details");
    const details = find("[data-details]", new DOMParser().parseFromString(await answer.text(), "text/html"));
    const close = Object.assign(make("form", "", "close"), { method: "dialog" });
    close.append(make("button", _("Close"), "quiet small"));
    drawer.replaceChildren(close, details);
    drawer.showModal();
    drawer.scrollTop = 0;
  } catch { location.href = link.href; }
}
for (const link of all("[data-drawer]")) link.addEventListener("click", openDrawer);
drawer.addEventListener("click", (event) => { if (event.target === drawer) drawer.close(); });
