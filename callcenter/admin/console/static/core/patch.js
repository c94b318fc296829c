/**
 * The JSON merge patch (RFC 7396) from one object to another: what is gone becomes null, lists are
 * replaced as a whole.
 */
export function patchOf(before, after) {
  const patch = {};
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [old, fresh] = [before[key] ?? null, after[key] ?? null];
    if (JSON.stringify(old) === JSON.stringify(fresh)) continue;
    patch[key] = isObject(old) && isObject(fresh) ? patchOf(old, fresh) : fresh;
  }
  return patch;
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
