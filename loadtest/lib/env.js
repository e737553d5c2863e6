// Reads and validates environment variables. Every error is one sentence that names the variable.
import { fail } from './failure.js';

// The value, or undefined where the variable is unset or empty.
export function text(name) {
  const value = __ENV[name];
  return value === undefined || value.trim() === '' ? undefined : value.trim();
}

// A secret: the value, or the content of the file that NAME_FILE names.
export function secret(name) {
  const value = text(name);
  const file = text(`${name}_FILE`);
  if (value !== undefined && file !== undefined) {
    fail(`${name} and ${name}_FILE are mutually exclusive`);
  }
  if (file === undefined) return value;
  let content;
  try {
    content = open(file).replace(/[\r\n]+$/, '');
  } catch (error) {
    fail(`${name}_FILE names a file that cannot be read: ${file}`);
  }
  if (content === '') fail(`${name}_FILE names an empty file: ${file}`);
  return content;
}

export function number(name, fallback, least, most) {
  const value = text(name);
  if (value === undefined) return fallback;
  const read = Number(value);
  if (!Number.isFinite(read) || read < least || read > most) {
    fail(`${name} must be a number from ${least} to ${most}, not ${value}`);
  }
  return read;
}

export function whole(name, fallback, least, most) {
  const read = number(name, fallback, least, most);
  if (read !== undefined && !Number.isInteger(read)) fail(`${name} must be a whole number, not ${text(name)}`);
  return read;
}

const UNITS = { ms: 0.001, s: 1, m: 60, h: 3600 };

// Parses `90`, `90s`, `1m30s`, `500ms` or `2h` into seconds; undefined if it is not a duration.
export function seconds(written) {
  if (/^\d+(\.\d+)?$/.test(written)) return Number(written);
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(written)) return undefined;
  let sum = 0;
  for (const [, amount, unit] of written.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) sum += Number(amount) * UNITS[unit];
  return sum;
}

// A duration in seconds. `fallback` has the same syntax as the variable.
export function time(name, fallback, least, most) {
  const value = text(name) ?? fallback;
  if (value === undefined) return undefined;
  const read = seconds(value);
  if (read === undefined || read < least || read > most) {
    fail(`${name} must be a duration from ${least} s to ${most} s, such as 90s or 1m30s, not ${value}`);
  }
  return read;
}

// An http or https URL without its trailing slash.
export function url(name) {
  const value = text(name);
  if (value === undefined) return undefined;
  if (!/^https?:\/\/[^/?#\s]+(\/[^?#\s]*)?$/.test(value)) {
    fail(`${name} must be an http or https URL without query or fragment`);
  }
  // URLs are printed in the report and on the terminal.
  if (/^https?:\/\/[^/]*@/.test(value)) fail(`${name} must not contain a user or a password`);
  return value.replace(/\/+$/, '');
}

export function list(name) {
  const value = text(name);
  return value === undefined ? undefined : value.split(/[\s,]+/).filter((item) => item !== '');
}
