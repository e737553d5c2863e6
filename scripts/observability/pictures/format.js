// Values with the units of Grafana, as far as the dashboards use them.
const SHORT = [[1e12, ' Tri'], [1e9, ' Bil'], [1e6, ' Mil'], [1e3, ' K']];
const BINARY = [[1024 ** 4, 'TiB'], [1024 ** 3, 'GiB'], [1024 ** 2, 'MiB'], [1024, 'KiB'], [1, 'B']];
const RATE = [[1e9, 'GB/s'], [1e6, 'MB/s'], [1e3, 'kB/s'], [1, 'B/s']];
const TIME = [[31536000, 'years'], [604800, 'weeks'], [86400, 'days'], [3600, 'hours'], [60, 'mins'], [1, 's'], [1e-3, 'ms'], [1e-6, 'µs'], [1e-9, 'ns']];
const PER_SECOND = { reqps: 'req/s', ops: 'ops/s', cps: 'c/s', rps: 'rd/s', wps: 'wr/s', iops: 'io/s' };

function digits(value, decimals) {
  if (decimals !== undefined) return value.toFixed(decimals);
  const size = Math.abs(value);
  const places = size === 0 ? 0 : Math.max(0, Math.min(3, 2 - Math.floor(Math.log10(size))));
  return String(Number(value.toFixed(places)));
}

function scaled(value, steps, decimals) {
  const size = Math.abs(value);
  const [factor, unit] = steps.find(([least]) => size >= least) ?? steps[steps.length - 1];
  return size === 0 ? ['0', steps.find(([least]) => least === 1)?.[1] ?? ''] : [digits(value / factor, decimals), unit];
}

// [number, unit]
function format(value, unit, decimals) {
  if (value === null || value === undefined || Number.isNaN(value)) return ['–', ''];
  switch (unit) {
    case 's': return scaled(value, TIME, decimals);
    case 'bytes': return scaled(value, BINARY, decimals);
    case 'Bps': return scaled(value, RATE, decimals);
    case 'percentunit': return [digits(value * 100, decimals), '%'];
    case 'short': {
      const step = SHORT.find(([least]) => Math.abs(value) >= least);
      return step ? [digits(value / step[0], decimals), step[1].trim()] : [digits(value, decimals), ''];
    }
    case 'dateTimeFromNow': {
      const [number, name] = scaled(window.DATA.end - value / 1000, TIME, 0);
      return [`${number} ${name} ago`, ''];
    }
    default: {
      const step = SHORT.find(([least]) => Math.abs(value) >= least * 10);
      const text = step && unit !== 'none' ? digits(value / step[0], decimals) + step[1].trim() : digits(value, decimals);
      return [text, PER_SECOND[unit] ?? ''];
    }
  }
}

const text = (value, unit, decimals) => format(value, unit, decimals).filter((part) => part !== '').join(unit === 'percentunit' ? '' : ' ');
