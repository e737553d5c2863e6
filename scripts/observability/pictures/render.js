// Draws a dashboard from its JSON and the answers of Prometheus. A preview: the layout, colours, units, thresholds and legends of the
// JSON, on uPlot, the library that Grafana draws with; not Grafana.
const { dashboard, answers, start, end, annotations } = window.DATA;
const CELL = 30, GAP = 8, WIDTH = document.body.clientWidth - 24;
const NAMED = {
  green: '#73bf69', 'light-green': '#96d98d', 'dark-green': '#37872d', yellow: '#fade2a', 'light-yellow': '#ffee52', orange: '#ff9830',
  red: '#f2495c', 'dark-red': '#c4162a', blue: '#5794f2', 'light-blue': '#8ab8ff', 'dark-blue': '#3274d9', 'light-orange': '#ffb357', 'light-red': '#ff7383', purple: '#b877d9', 'light-purple': '#ca95e5', 'dark-purple': '#8f3bb8',
  text: '#ccccdc', transparent: 'transparent',
};
const PALETTE = ['#7eb26d', '#eab839', '#6ed0e0', '#ef843c', '#e24d42', '#1f78c1', '#ba43a9', '#705da0', '#508642', '#cca300', '#447ebc', '#c15c17', '#890f02', '#0a437c', '#6d1f62', '#584477', '#b7dbab', '#f4d598', '#70dbed', '#f9ba8f', '#f29191', '#82b5d8', '#e5a8e2', '#aea2e0'];
const SCHEMES = { Oranges: '255,140,50', Blues: '80,150,255', Purples: '184,119,217', Greens: '90,200,110', YlOrBr: '250,200,60' };

const color = (name) => NAMED[name] ?? name;
const byName = (name) => PALETTE[[...name].reduce((hash, letter) => (hash * 31 + letter.charCodeAt(0)) >>> 0, 7) % PALETTE.length];
const alpha = (hex, share) => hex + Math.round(share * 255).toString(16).padStart(2, '0');
const make = (tag, className, parent) => parent.appendChild(Object.assign(document.createElement(tag), { className }));

// Series of a panel: name, points (null where there is none) and the properties of the matching overrides.
function seriesOf(panel) {
  const list = [];
  for (const target of panel.targets) {
    for (const series of (answers[`${panel.title} ${target.refId}`] ?? [])) {
      const filled = target.legendFormat.replace(/\{\{(\w+)\}\}/g, (_, label) => series.metric[label] ?? '');
      list.push({ name: filled || JSON.stringify(series.metric), ref: target.refId, metric: series.metric, points: series.points });
    }
  }
  for (const series of list) {
    series.properties = {};
    for (const { matcher, properties } of panel.fieldConfig.overrides) {
      const matches = matcher.id === 'byName' ? matcher.options === series.name
        : series.points.every(([, value]) => value === 0 || value === null);
      if (matches) for (const { id, value } of properties) series.properties[id] = value;
    }
  }
  return list;
}

const numbers = (series) => series.points.map(([, value]) => value).filter((value) => value !== null);
const REDUCERS = {
  lastNotNull: ['Last *', (values) => values.at(-1)],
  max: ['Max', (values) => Math.max(...values)],
  min: ['Min', (values) => Math.min(...values)],
  mean: ['Mean', (values) => values.reduce((sum, value) => sum + value, 0) / values.length],
};
const reduce = (series, name) => { const values = numbers(series); return values.length ? REDUCERS[name][1](values) : null; };

function stepColor(thresholds, value) {
  let found = thresholds.steps[0].color;
  for (const step of thresholds.steps) if (step.value !== null && value >= step.value) found = step.color;
  return color(found);
}

function legend(panel, list, body) {
  const { displayMode, calcs, showLegend } = panel.options.legend;
  const shown = list.filter((series) => !series.properties['custom.hideFrom']?.legend);
  if (!showLegend || !shown.length) return;
  const element = make('div', 'legend', body);
  const { unit, decimals } = panel.fieldConfig.defaults;
  if (displayMode !== 'table') {
    element.innerHTML = shown.map((series) => `<span class="swatch" style="background:${series.color}"></span>${series.name} &nbsp; `).join('');
    return;
  }
  const key = calcs.includes('max') ? 'max' : 'lastNotNull';
  shown.sort((a, b) => reduce(b, key) - reduce(a, key));
  const rows = shown.map((series) => `<tr><td><span class="swatch" style="background:${series.color}"></span>${series.name}</td>` +
    calcs.map((calc) => `<td>${text(reduce(series, calc), unit, decimals)}</td>`).join('') + '</tr>');
  element.innerHTML = `<table><tr><th>Name</th>${calcs.map((calc) => `<th>${REDUCERS[calc][0]}</th>`).join('')}</tr>${rows.join('')}</table>`;
  const room = Math.floor(panel.pixels * 0.37);
  element.style.maxHeight = `${Math.floor(room / 20) * 20}px`;
}

const clock = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 19);

function marks(plot) {
  const { ctx, bbox } = plot;
  ctx.save();
  for (const at of annotations) {
    const x = Math.round(plot.valToPos(at, 'x', true));
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.strokeStyle = ctx.fillStyle = '#5794f2';
    ctx.setLineDash([4, 4]);
    ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke();
    ctx.beginPath(); ctx.moveTo(x - 5, bbox.top + bbox.height + 6); ctx.lineTo(x + 5, bbox.top + bbox.height + 6); ctx.lineTo(x, bbox.top + bbox.height); ctx.fill();
  }
  ctx.restore();
}

function thresholdLines(panel) {
  return (plot) => {
    if (panel.fieldConfig.defaults.custom.thresholdsStyle.mode === 'off') return;
    const { ctx, bbox } = plot;
    for (const step of panel.fieldConfig.defaults.thresholds.steps) {
      if (step.value === null) continue;
      const y = plot.valToPos(step.value, 'y', true);
      if (y < bbox.top || y > bbox.top + bbox.height) continue;
      ctx.save();
      ctx.strokeStyle = color(step.color); ctx.lineWidth = 2; ctx.setLineDash([10, 10]);
      ctx.beginPath(); ctx.moveTo(bbox.left, y); ctx.lineTo(bbox.left + bbox.width, y); ctx.stroke();
      ctx.restore();
    }
  };
}

const axis = (extra) => ({ stroke: '#8e8e9b', font: '11px Inter, Roboto, sans-serif', grid: { stroke: '#23252b', width: 1 }, ticks: { show: false }, ...extra });

// Times in steps of the range, with null where a series has no value.
function aligned(list) {
  const times = [...new Set(list.flatMap((series) => series.points.map(([time]) => time)))].sort((a, b) => a - b);
  return [times, list.map((series) => { const map = new Map(series.points); return times.map((time) => map.get(time) ?? null); })];
}

function timeseries(panel, body) {
  const list = seriesOf(panel);
  const { custom, unit, decimals, min, max } = panel.fieldConfig.defaults;
  for (const series of list) series.color = color(series.properties.color?.fixedColor ?? byName(series.name));
  if (!list.some((series) => numbers(series).length)) return make('div', 'nodata', body).append('No data');
  const [times, values] = aligned(list);
  const isStacked = (series) => custom.stacking.mode === 'normal' && series.properties['custom.stacking']?.mode !== 'none';
  const drawn = values.map((each) => each.slice());
  const base = times.map(() => 0);
  list.forEach((series, index) => {
    if (!isStacked(series)) return;
    drawn[index] = values[index].map((value, at) => (value === null ? null : (base[at] += value)));
  });
  const host = make('div', 'plot', body);
  legend(panel, list, body);
  // From the last to the first, so that the fill of a stack does not cover what is below.
  const order = list.map((_, index) => index).reverse();
  // In a stack the fill of a series ends at the one below.
  const position = (index) => order.indexOf(index) + 1;
  const stacked = list.map((_, index) => index).filter((index) => isStacked(list[index]));
  const bands = stacked.slice(1).map((index, below) => ({ series: [position(index), position(stacked[below])] }));
  const options = {
    bands,
    width: host.clientWidth, height: host.clientHeight, legend: { show: false }, cursor: { show: false }, padding: [6, 8, 0, 0],
    scales: {
      x: { time: false, range: () => [start, end] },
      y: { range: (_, low, high) => {
        const bottom = min ?? Math.min(low, 0);
        const top = max ?? (high === bottom ? bottom + 1 : bottom + (high - bottom) * 1.1);
        return [bottom, top];
      } },
    },
    axes: [
      axis({ space: 90, size: 24, values: (_, ticks) => ticks.map(clock) }),
      axis({ size: 62, space: 34, values: (_, ticks) => ticks.map((tick) => text(tick, unit, decimals && unit !== 'percentunit' ? Math.min(decimals, 2) : undefined)) }),
    ],
    series: [{}, ...order.map((index) => {
      const series = list[index];
      const fill = series.properties['custom.fillOpacity'] ?? custom.fillOpacity;
      return {
        stroke: series.color, width: custom.lineWidth + 0.4, points: { show: false }, spanGaps: false,
        dash: series.properties['custom.lineStyle']?.dash, fill: fill ? alpha(series.color, fill / 100) : undefined,
      };
    })],
    hooks: { draw: [thresholdLines(panel), marks] },
  };
  new uPlot(options, [times, ...order.map((index) => drawn[index])], host);
}

function stat(panel, body) {
  const list = seriesOf(panel);
  const { unit, decimals, thresholds, mappings } = panel.fieldConfig.defaults;
  const value = list.length ? reduce(list[0], panel.options.reduceOptions.calcs[0]) : null;
  if (value === null) return make('div', 'nodata', body).append('No data');
  const tint = stepColor(thresholds, value);
  const mapped = mappings[0]?.options[String(value)];
  const [number, suffix] = mapped ? [mapped.text, ''] : format(value, unit, decimals);
  const host = make('div', 'stat', body);
  const size = Math.min(panel.pixels * 0.26, (panel.gridPos.w / 24) * WIDTH / (number.length + suffix.length * 0.6 + 2) * 1.5);
  const flat = panel.options.graphMode === 'none' || list[0].points.length < 2 ? ';margin-bottom:0' : '';
  host.innerHTML = `<div class="value" style="color:${tint};font-size:${size}px${flat}">${number}<span class="unit">${suffix}</span></div>`;
  const points = list[0].points.filter(([, each]) => each !== null);
  if (panel.options.graphMode === 'none' || points.length < 2) return;
  const low = Math.min(...points.map(([, each]) => each)), high = Math.max(...points.map(([, each]) => each));
  const x = (time) => ((time - start) / (end - start)) * 100;
  const y = (each) => (high === low ? 50 : 95 - ((each - low) / (high - low)) * 85);
  const line = points.map(([time, each]) => `${x(time).toFixed(2)},${y(each).toFixed(2)}`).join(' ');
  host.innerHTML += `<svg viewBox="0 0 100 100" preserveAspectRatio="none"><polygon points="${x(points[0][0])},100 ${line} ${x(points.at(-1)[0])},100" fill="${alpha(tint, 0.18)}"/><polyline points="${line}" fill="none" stroke="${tint}" stroke-width="1.2" vector-effect="non-scaling-stroke"/></svg>`;
}

function bargauge(panel, body) {
  const { unit, decimals, thresholds, min, max } = panel.fieldConfig.defaults;
  const host = make('div', 'gauges', body);
  for (const series of seriesOf(panel)) {
    const value = reduce(series, panel.options.reduceOptions.calcs[0]);
    const tint = stepColor(thresholds, value);
    const share = Math.max(0, Math.min(1, (value - min) / (max - min)));
    make('div', 'gauge', host).innerHTML = `<span>${series.name}</span><div class="track"><div class="fill" style="width:${share * 100}%;background:${alpha(tint, 0.35)};border-color:${tint}"></div></div><span class="value" style="color:${tint}">${text(value, unit, decimals)}</span>`;
  }
}

// Buckets are cumulative: a cell is the difference to the bucket below.
function heatmap(panel, body) {
  const list = seriesOf(panel).map((series) => ({ ...series, bound: series.metric.le === '+Inf' ? Infinity : Number(series.metric.le) }));
  list.sort((a, b) => a.bound - b.bound);
  if (!list.some((series) => numbers(series).length)) return make('div', 'nodata', body).append('No data');
  const [times, values] = aligned(list);
  const cells = values.map((row, index) => row.map((value, at) => Math.max(0, (value ?? 0) - (index ? values[index - 1][at] ?? 0 : 0))));
  const host = make('div', 'plot', body);
  const canvas = make('canvas', '', host);
  const ratio = 2, width = host.clientWidth, height = host.clientHeight, left = 62, bottom = 24;
  Object.assign(canvas, { width: width * ratio, height: height * ratio });
  canvas.style.width = `${width}px`;
  const context = canvas.getContext('2d');
  context.scale(ratio, ratio);
  const high = Math.max(...cells.flat()), tint = SCHEMES[panel.options.color.scheme];
  const rowHeight = (height - bottom - 6) / cells.length, step = times[1] - times[0];
  const x = (time) => left + ((time - start) / (end - start)) * (width - left - 8);
  context.save();
  context.beginPath(); context.rect(left, 0, width - left, height); context.clip();
  cells.forEach((row, index) => row.forEach((value, at) => {
    if (value <= 1e-9) return;
    context.fillStyle = `rgba(${tint},${0.12 + 0.88 * Math.sqrt(value / high)})`;
    context.fillRect(x(times[at] - step), 6 + (cells.length - 1 - index) * rowHeight, Math.max(1, x(times[at]) - x(times[at] - step) - 0.7), rowHeight - 1);
  }));
  context.restore();
  context.fillStyle = '#8e8e9b'; context.font = '11px Inter, Roboto, sans-serif'; context.textAlign = 'right';
  const every = Math.ceil(16 / rowHeight);
  list.forEach((series, index) => {
    if (index % every) return;
    const label = series.bound === Infinity ? '+Inf' : text(series.bound, panel.options.yAxis.unit);
    context.fillText(label, left - 6, 6 + (cells.length - 1 - index) * rowHeight + 4);
  });
  context.textAlign = 'center';
  for (let at = 1; at < 6; at += 1) { const time = start + ((end - start) * at) / 6; context.fillText(clock(time), x(time), height - 8); }
}

function states(panel, body) {
  const list = seriesOf(panel);
  const { thresholds, mappings } = panel.fieldConfig.defaults;
  const rows = list.map((series, index) => {
    const [times] = aligned([series]);
    const step = times[1] - times[0];
    // Neighbours with the same value are one bar.
    const runs = [];
    for (const [time, value] of series.points) {
      const previous = runs.at(-1);
      if (previous && previous.value === value && time - previous.to <= step * 1.5) previous.to = time;
      else runs.push({ value, from: time - step, to: time });
    }
    const bars = runs.map(({ value, from, to }) => `<rect x="${((from - start) / (end - start)) * 100}%" width="${((to - from) / (end - start)) * 100}%" y="${index * 50 + 8}%" height="34%" fill="${alpha(stepColor(thresholds, value), 0.7)}"/>`);
    const last = mappings[0]?.options[String(reduce(series, 'lastNotNull'))];
    return bars.join('') + `<text x="10" y="${index * 50 + 29}%" fill="#fff" font-size="13">${series.name}: ${last?.text ?? ''}</text>`;
  });
  body.innerHTML += `<svg style="flex:1;width:100%">${rows.join('')}</svg>`;
}

// As merge, filterFieldsByName and organize do: rows that agree in their labels become one.
function table(panel, body) {
  const organize = panel.transformations.find((step) => step.id === 'organize').options;
  const rows = new Map();
  const labels = Object.keys(organize.indexByName).filter((field) => !field.startsWith('Value'));
  const all = panel.targets.flatMap((target) => (answers[`${panel.title} ${target.refId}`] ?? []).map((series) => ({ ref: target.refId, ...series })));
  for (const series of all) {
    const key = labels.filter((label) => all.every((each) => label in each.metric)).map((label) => series.metric[label]).join('|');
    const row = rows.get(key) ?? rows.set(key, {}).get(key);
    Object.assign(row, Object.fromEntries(labels.filter((label) => label in series.metric).map((label) => [label, series.metric[label]])));
    row[`Value #${series.ref}`] = series.points.at(-1)[1];
  }
  const fields = Object.entries(organize.indexByName).sort((a, b) => a[1] - b[1]).map(([field]) => field);
  const settings = (field) => Object.fromEntries((panel.fieldConfig.overrides.find(({ matcher }) => matcher.options === organize.renameByName[field])?.properties ?? []).map(({ id, value }) => [id, value]));
  const cell = (field, row) => {
    const value = row[field], { unit, decimals, thresholds, mappings } = settings(field);
    if (typeof value !== 'number') return `<td>${value ?? ''}</td>`;
    const shown = mappings?.[0]?.options[String(value)]?.text ?? text(value, unit ?? 'none', decimals);
    return `<td class="number" style="color:${thresholds ? stepColor(thresholds, value) : 'inherit'}">${shown}</td>`;
  };
  const head = fields.map((field) => `<th class="${field.startsWith('Value') ? 'number' : ''}">${organize.renameByName[field]}</th>`).join('');
  body.innerHTML += `<table class="rows"><tr>${head}</tr>${[...rows.values()].map((row) => `<tr>${fields.map((field) => cell(field, row)).join('')}</tr>`).join('')}</table>`;
}

const KINDS = { timeseries, stat, bargauge, heatmap, 'state-timeline': states, table };

document.querySelector('h1').textContent = dashboard.title;
for (const variable of dashboard.templating.list) {
  const value = variable.type === 'datasource' ? 'Prometheus' : 'All';
  document.querySelector('.variables').innerHTML += `<span><b>${variable.label}</b>${value}</span>`;
}
const grid = document.querySelector('.grid');
let rows = 0;
for (const panel of dashboard.panels) {
  const { x, y, w, h } = panel.gridPos;
  rows = Math.max(rows, y + h);
  const element = make('div', panel.type === 'row' ? 'row' : 'panel', grid);
  panel.pixels = h * (CELL + GAP) - GAP;
  Object.assign(element.style, { left: `${(x / 24) * WIDTH}px`, top: `${y * (CELL + GAP)}px`, width: `${(w / 24) * WIDTH - GAP}px`, height: `${panel.pixels}px` });
  if (panel.type === 'row') { element.textContent = panel.title; continue; }
  make('div', 'title', element).textContent = panel.title;
  KINDS[panel.type](panel, make('div', 'body', element));
}
grid.style.height = `${rows * (CELL + GAP)}px`;
