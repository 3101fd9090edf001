// Draws <div class="chart" data-chart='{"times": [s], "series": [{label, color, dash, values}]}'>. The page has the same
// figures in a table.

"use strict";

(() => {
  const pad = (number) => String(number).padStart(2, "0");

  function draw(place) {
    const data = JSON.parse(place.dataset.chart);
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(`--${name}`).trim();
    const isHourly = data.times.length > 1 && data.times[1] - data.times[0] < 86400;
    const name = (seconds) => {
      const time = new Date(seconds * 1000);
      const day = `${pad(time.getUTCMonth() + 1)}-${pad(time.getUTCDate())}`;
      return isHourly ? `${pad(time.getUTCHours())}:00` : day;
    };
    const axis = { stroke: color("soft"), grid: { stroke: color("line"), width: 1 }, ticks: { show: false } };
    const options = {
      width: place.clientWidth,
      height: 240,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      cursor: { drag: { setScale: false } },
      scales: { x: { time: true }, y: { range: (plot, low, high) => [0, Math.max(1, high * 1.1)] } },
      axes: [
        { ...axis, incrs: isHourly ? undefined : [1, 2, 5, 7, 14, 30].map((days) => days * 86400), values: (plot, times) => times.map(name) },
        { ...axis, size: 60, values: (plot, values) => values.map((one) => (Number.isInteger(one) ? String(one) : "")) },
      ],
      series: [
        { label: "UTC", value: (plot, seconds) => (seconds === null ? "" : new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ")) },
        ...data.series.map((one) => ({
          label: one.label, stroke: color(one.color), width: 2, dash: one.dash ? [6, 4] : undefined, points: { show: data.times.length < 40 },
        })),
      ],
    };
    place.replaceChildren();
    return new uPlot(options, [data.times, ...data.series.map((one) => one.values)], place);
  }

  document.addEventListener("DOMContentLoaded", () => {
    for (const place of document.querySelectorAll(".chart[data-chart]")) {
      let plot = draw(place);
      new ResizeObserver(() => plot.setSize({ width: place.clientWidth, height: 240 })).observe(place);
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { plot.destroy(); plot = draw(place); });
    }
  });
})();
