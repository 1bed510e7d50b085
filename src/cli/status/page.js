"use strict";
// Updates the page in place, so that neither the scroll position nor the focus is lost.
const EVERY_MS = 5000;
async function refresh() {
  const stale = document.getElementById("stale");
  try {
    const reply = await fetch(location.href, { cache: "no-store" });
    if (!reply.ok) throw new Error((await reply.json()).error);
    const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
    const [old, now] = [document, fresh].map((page) => page.getElementById("status"));
    if (!now) throw new Error("another page");
    const frames = [...old.querySelectorAll(".frame")].map((frame) => frame.scrollLeft);
    const focused = [...old.querySelectorAll(".frame, a")].indexOf(document.activeElement);
    old.replaceChildren(...now.childNodes);
    const shown = [...old.querySelectorAll(".frame")];
    shown.forEach((frame, index) => { frame.scrollLeft = frames[index] ?? 0; });
    if (focused >= 0) old.querySelectorAll(".frame, a")[focused]?.focus({ preventScroll: true });
    document.title = fresh.title;
    stale.hidden = true;
  } catch (error) {
    stale.textContent = `This page could not be brought up to date, and tries again every few seconds: ${error.message}`;
    stale.hidden = false;
  }
  setTimeout(refresh, EVERY_MS);
}
setTimeout(refresh, EVERY_MS);
