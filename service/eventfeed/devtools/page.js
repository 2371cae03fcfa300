// Requests the newest data each second and draws charts, and a waterfall of the selected trace.
const COLOURS = ["#2f6fdb", "#e07b39", "#2a9d6f", "#b452cd", "#c9a227", "#d33", "#4bb5c1", "#8a6d3b", "#6b7280", "#e26aa5", "#7cb342", "#5e35b1"];
const charts = new Map();
// Text and lines of charts follow the colours of the page, which may be dark.
const dark = matchMedia("(prefers-color-scheme: dark)");
const colourCharts = () => {
  Chart.defaults.color = dark.matches ? "#ddd" : "#444";
  Chart.defaults.borderColor = dark.matches ? "#fff3" : "#0002";
};
colourCharts();
dark.addEventListener("change", () => {
  colourCharts();
  charts.forEach((chart) => chart.destroy());
  charts.clear();
  document.getElementById("charts").replaceChildren();
});
let open = "";
let pinned = null;

const element = (name, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
};

const clock = (milliseconds) => new Date(milliseconds).toTimeString().slice(0, 8);

// A single sample has no line: it is drawn as a point.
const radius = ({ dataset }) => (dataset.data.filter((value) => value !== null).length === 1 ? 3 : 0);

function draw(panel) {
  const datasets = Object.entries(panel.lines).map(([label, data], place) => ({
    label: label || "all", data, borderColor: COLOURS[place % COLOURS.length], borderWidth: 1.5, pointRadius: radius, spanGaps: true,
  }));
  const labels = panel.seconds.map((second) => clock(second * 1000));
  let chart = charts.get(panel.title);
  if (!chart) {
    if (!datasets.length) return;
    const canvas = element("canvas");
    const figure = element("figure", {}, element("figcaption", { textContent: panel.title }), element("div", { className: "canvas" }, canvas));
    document.getElementById("charts").append(figure);
    chart = new Chart(canvas, {
      type: "line",
      data: { labels, datasets },
      options: {
        animation: false, maintainAspectRatio: false, interaction: { mode: "index", intersect: false },
        scales: { y: { beginAtZero: true }, x: { ticks: { maxTicksLimit: 4, maxRotation: 0 } } },
        plugins: { legend: { position: "bottom", labels: { boxWidth: 10, font: { size: 10 } } } },
      },
    });
    charts.set(panel.title, chart);
  }
  chart.data.labels = labels;
  for (const fresh of datasets) {
    const dataset = chart.data.datasets.find((each) => each.label === fresh.label);
    if (dataset) dataset.data = fresh.data;
    else chart.data.datasets.push({ ...fresh, borderColor: COLOURS[chart.data.datasets.length % COLOURS.length] });
  }
  chart.update();
}

function waterfall(trace) {
  const begin = trace.spans[0].start;
  const end = Math.max(...trace.spans.map((span) => span.start + span.milliseconds));
  const depth = new Map();
  const rows = trace.spans.map((span) => {
    depth.set(span.id, (depth.get(span.parent) ?? -1) + 1);
    const bar = element("div", { className: span.error ? "bar bad" : "bar" });
    bar.style.left = `${(100 * (span.start - begin)) / (end - begin || 1)}%`;
    bar.style.width = `${(100 * span.milliseconds) / (end - begin || 1)}%`;
    const name = element("div", { className: "name", textContent: span.name, title: span.name });
    name.style.paddingLeft = `${depth.get(span.id)}rem`;
    const attributes = Object.entries(span.attributes).map(([key, value]) => `${key}=${value}`).join("  ");
    const row = element("div", { className: "span" }, name, element("div", { className: "track" }, bar),
      element("div", { className: "number", textContent: span.milliseconds.toFixed(2) }));
    const links = span.links.map((link) => jump("published in ", link));
    if (attributes || links.length) row.append(element("div", { className: "facts", textContent: attributes }, ...links));
    return row;
  });
  const readers = trace.readers.map((other) => jump("read in ", other));
  return element("div", { className: "waterfall" }, ...rows, element("div", { className: "facts" }, ...readers));
}

const jump = (words, trace) =>
  element("button", { textContent: words + trace.slice(0, 8), title: trace, onclick: (event) => { event.stopPropagation(); open = trace; refresh(); } });

function row(trace) {
  const [first] = trace.spans;
  const select = element("button", { textContent: first.name, id: `trace-${trace.id}`, onclick: () => { open = trace.id; refresh(); } });
  select.setAttribute("aria-pressed", trace.id === open);
  if (trace.spans.some((span) => span.error)) select.classList.add("bad");
  return element("tr", { className: trace.id === open ? "open" : "" },
    element("td", { textContent: clock(first.start) }),
    element("td", {}, select),
    element("td", { textContent: trace.id.slice(0, 8), title: trace.id }),
    element("td", { textContent: trace.spans.length }),
    element("td", { className: "number", textContent: first.milliseconds.toFixed(2) }));
}

async function refresh() {
  try {
    const data = await (await fetch(`data?open=${open}`)).json();
    if (!open && data.traces.length) open = (data.traces.find((trace) => trace.readers.length) ?? data.traces[0]).id;
    data.charts.forEach(draw);
    pinned = data.traces.find((trace) => trace.id === open) ?? pinned;
    const focus = document.activeElement?.id;
    document.getElementById("traces").replaceChildren(...data.traces.map(row));
    if (focus) document.getElementById(focus)?.focus();
    document.getElementById("open").replaceChildren(...(pinned ? [element("p", { textContent: `Trace ${pinned.id}` }), waterfall(pinned)] : []));
    if (data.traces.length) document.getElementById("state").textContent = `${data.traces.length} traces, the newest first. Select one for its waterfall.`;
  } catch (failure) {
    document.getElementById("state").textContent = `No connection to the page's process: ${failure.message}`;
  }
}

refresh();
setInterval(refresh, 1000);
