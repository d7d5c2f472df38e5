/* The charts, from the JSON that stands beside each: {zone, unit, since, until, ticks, days, daily,
stepped, dotted, series: [{name, tone, axis, points: [[ms, y], …]}]}. Chart.js comes with the back office's shell, as window.Chart. */

const drawn = new Map();

const dark = () => document.documentElement.classList.contains("dark");
const token = (name) => getComputedStyle(document.getElementById("page-body")).getPropertyValue(`--hf-${name}`).trim();

const font = { family: "Inter", size: 11 };
const grouping = new Intl.NumberFormat("en");
const grouped = (value) => grouping.format(value).replace("-", "−");

function options(data) {
  const short = new Intl.DateTimeFormat("en-GB", {
    timeZone: data.zone,
    ...(data.days ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit" }),
  });
  const exact = new Intl.DateTimeFormat("en-GB", {
    timeZone: data.zone,
    dateStyle: "medium",
    ...(!data.daily && { timeStyle: "short" }),
  });
  const scale = {
    beginAtZero: true,
    suggestedMax: 4,
    border: { display: false },
    grid: { color: token("line") },
    ticks: { color: token("quiet"), font, maxTicksLimit: 5, precision: 0, callback: grouped },
  };
  const right = data.series.find((series) => series.axis === "right");
  return {
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    interaction: { mode: "index", axis: "x", intersect: false },
    scales: {
      x: {
        type: "linear",
        min: data.since,
        max: data.until,
        grid: { display: false },
        border: { color: token("line") },
        afterBuildTicks: (axis) => (axis.ticks = data.ticks.map((value) => ({ value }))),
        ticks: { color: token("quiet"), font, autoSkip: true, maxRotation: 0, callback: (at) => short.format(at) },
      },
      y: scale,
      ...(right && {
        right: {
          ...scale,
          position: "right",
          grid: { display: false },
          ticks: { ...scale.ticks, color: token(right.tone) },
        },
      }),
    },
    plugins: {
      legend: { display: false },
      tooltip: {
        callbacks: {
          title: ([item]) => exact.format(item.parsed.x),
          label: ({ dataset, parsed }) => ` ${dataset.label}: ${grouped(parsed.y)} ${data.unit}`,
        },
      },
    },
  };
}

function dataset(series, data) {
  const colour = token(series.tone);
  return {
    label: series.name,
    yAxisID: series.axis,
    data: series.points.map(([x, y]) => ({ x, y })),
    borderColor: colour,
    backgroundColor: colour,
    borderWidth: data.dotted ? 0 : 2,
    pointRadius: data.dotted ? 3 : 0,
    pointHitRadius: 8,
    stepped: data.stepped,
  };
}

/* Draw what is new, and draw anew what has changed. */
export function drawCharts(root) {
  for (const canvas of root.querySelectorAll("canvas[data-chart]")) {
    const source = document.getElementById(canvas.dataset.chart);
    const theme = dark();
    const before = drawn.get(canvas);
    if (before?.json === source.textContent && before.theme === theme) continue;
    const data = JSON.parse(source.textContent);
    const config = {
      type: "line",
      data: { datasets: data.series.map((series) => dataset(series, data)) },
      options: options(data),
    };
    const chart = before?.chart ?? new window.Chart(canvas, config);
    if (before) {
      Object.assign(chart, { options: config.options });
      chart.data = config.data;
      chart.update("none");
    }
    drawn.set(canvas, { chart, json: source.textContent, theme });
  }
}

// Labels that were measured before their font came are cut off.
document.fonts.load(`${font.size}px ${font.family}`).then(() => {
  for (const { chart } of drawn.values()) chart.destroy();
  drawn.clear();
  drawCharts(document);
});

// The shell switches between light and dark on the root element.
new MutationObserver(() => drawCharts(document)).observe(document.documentElement, { attributeFilter: ["class"] });
