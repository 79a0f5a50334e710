// Numbers with their units, for people. The same rules as in vcproxy/control/dashboard/amounts.py.

const DECIMAL = ["", "k", "M", "G", "T", "P"];
const BINARY = ["", "Ki", "Mi", "Gi", "Ti", "Pi"];

/** A number in a unit: "B", "B/s", "/s", "s" or "" for a count. */
export function amount(value, unit) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "string") return value;
  if (unit === "s") return duration(value);
  if (unit === "B") return scaled(value, 1024, BINARY, " ", "B");
  if (unit === "B/s") return scaled(value, 1000, DECIMAL, " ", "B/s");
  if (unit === "/s") return scaled(value, 1000, DECIMAL, "", "/s");
  if (Math.abs(value) < 100000) return Math.round(value).toLocaleString("en");
  return scaled(value, 1000, DECIMAL, "", "");
}

function scaled(value, step, prefixes, space, unit) {
  let power = 0;
  while (Math.abs(value) >= step * 0.9995 && power < prefixes.length - 1) {
    value /= step;
    power += 1;
  }
  const digits = power === 0
    ? (value >= 10 || Number.isInteger(value) ? 0 : 1)
    : value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return value.toFixed(digits) + space + prefixes[power] + unit;
}

/** A number of seconds: 3.2 ms, 4.1 s, 5 min 3 s, 2 h 5 min, 3 d 4 h. */
export function duration(seconds) {
  if (seconds < 0) return "–";
  if (seconds < 1) return (seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0) + " ms";
  if (seconds < 60) return seconds.toFixed(seconds < 9.95 ? 1 : 0) + " s";
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
