
// Asks for the page again every two seconds, and shows the new content in place of the old.
const shown = { at: new Date() };
setInterval(async () => {
  if (document.hidden) return;
  const late = document.querySelector("#late");
  try {
    const response = await fetch("/", { signal: AbortSignal.timeout(10000) });
    if (!response.ok) throw new Error(response.status);
    const text = await response.text();
    const next = new DOMParser().parseFromString(text, "text/html").querySelector("main");
    document.querySelector("main").replaceWith(document.adoptNode(next));
    shown.at = new Date();
    late.hidden = true;
  } catch {
    late.textContent = "No answer since " + shown.at.toLocaleTimeString() + ": what is below is old.";
    late.hidden = false;
  }
}, 2000);
