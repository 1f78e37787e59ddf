(() => {
  "use strict";
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const figures = read("figures");
  const colours = read("colours");
  const text = { labelColor: "var(--ink)", titleColor: "var(--muted)", labelFontSize: 12, titleFontSize: 12 };
  const config = {
    background: null,
    font: "system-ui, sans-serif",
    view: { stroke: null },
    axis: {
      ...text, gridColor: "var(--line)", domainColor: "var(--muted)", tickColor: "var(--muted)",
      titleFontWeight: "normal", gridOpacity: 0.7, labelOverlap: true, tickCount: 6,
    },
    legend: { ...text, titleColor: "var(--ink)" },
    text: { fontSize: 12 },
  };
  // the interpreter instead of generated code: the page's policy allows no other programs
  const options = { actions: false, renderer: "svg", ast: true, config };

  async function draw(place) {
    try {
      await window.vegaEmbed(place, figures[place.id].spec, options);
      // the place of a figure says what it shows, and its table what it holds
      place.querySelector("svg").setAttribute("aria-hidden", "true");
    } catch (error) {
      place.textContent = "This figure could not be drawn; its numbers are in the table.";
      console.error(place.id, error);
    }
  }

  // What is looked at comes first, then the rest: paper wants all of it.
  async function drawAll() {
    const waiting = new Set(document.querySelectorAll(".plot"));
    const seen = new Set();
    const observer = new IntersectionObserver((changes) => {
      for (const { target, isIntersecting } of changes) seen[isIntersecting ? "add" : "delete"](target);
    }, { rootMargin: "200px" });
    for (const place of waiting) observer.observe(place);
    await new Promise((next) => requestAnimationFrame(() => setTimeout(next))); // the observer's first report
    while (waiting.size) {
      const place = [...waiting].find((each) => seen.has(each));
      if (!place) document.documentElement.dataset.inView = "drawn";
      const next = place ?? waiting.values().next().value;
      waiting.delete(next);
      observer.unobserve(next);
      await draw(next);
      await new Promise((after) => setTimeout(after)); // so that the page can be scrolled meanwhile
    }
    document.documentElement.dataset.inView = "drawn";
    document.documentElement.dataset.drawn = "yes";
  }

  // Saved pictures are light and wide, whatever the page is.
  const resolved = (value) => {
    if (Array.isArray(value)) return value.map(resolved);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, resolved(each)]));
    }
    const name = typeof value === "string" && value.match(/^var\(--([a-z0-9-]+)\)$/);
    return name && name[1] in colours ? colours[name[1]] : value;
  };

  async function save(id, kind) {
    const { title, spec } = figures[id];
    const whole = { ...resolved(spec), width: 760, title: { text: title, anchor: "start" }, background: "#ffffff" };
    const paper = { ...options, config: resolved(config) };
    const { view } = await window.vegaEmbed(document.createElement("div"), whole, paper);
    const picture = kind === "svg"
      ? URL.createObjectURL(new Blob([await view.toSVG()], { type: "image/svg+xml" }))
      : (await view.toCanvas(2)).toDataURL("image/png");
    const link = document.createElement("a");
    link.href = picture;
    link.download = `${title.toLowerCase().replace(/[^a-z0-9]+/g, "-")}.${kind}`;
    link.click();
    view.finalize();
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-save]");
    if (button) save(button.dataset.figure, button.dataset.save);
  });
  // On paper nothing can be unfolded.
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("article details:not([open])")];
    for (const each of opened) each.open = true;
  });
  window.addEventListener("afterprint", () => { for (const each of opened) each.open = false; });
  drawAll();
})();
