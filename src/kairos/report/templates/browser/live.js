// Follows a live run: asks the page's own server whether there is more, and loads the page again when nobody is reading.

const PAUSE = 2000; // milliseconds

async function follow(version) {
  for (;;) {
    await new Promise(done => setTimeout(done, PAUSE));
    try {
      const answer = await fetch("version");
      if (answer.ok && (await answer.text()) !== version) offer();
    } catch {
      $("live").textContent = "The server has ended: this is the last state that it showed.";
      return;
    }
  }
}

function offer() {
  const reading = document.querySelector("details.rollout[open]") || document.activeElement === $("where") || scrollY > 200;
  if (!reading) return void location.reload();
  $("live").replaceChildren("There is more. ", element("button", { type: "button", onclick: () => location.reload() }, "Load it"));
}
