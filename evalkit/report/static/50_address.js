// What stands after the # of the address: `sample=…` or `samples`, then the filters.

const FILTERS = ["benchmark", "task", "category", "pair", "verdict", "status", "flag", "sort", "q"];
const CHOICES = {
  verdict: ["win", "loss", "tie", "none"],
  flag: ["truncated", "orders", "suspicious"],
  sort: ["worst", "best", "largest", "run"],
};

// Null where the address is of another part of the page.
function readAddress(hash) {
  const parts = hash.replace(/^#/, "").split("&").map((part) => part.split("="));
  const [[first, sample]] = parts;
  if (first !== "samples" && first !== "sample") return null;
  const filters = {};
  for (const [name, value] of parts.slice(1)) {
    const text = decoded(value ?? "");
    const allowed = CHOICES[name];
    if (FILTERS.includes(name) && text && (allowed === undefined || allowed.includes(text))) {
      filters[name] = text;
    }
  }
  return { key: first === "sample" ? canonical(sample ?? "") : null, filters };
}

function writeAddress({ key, filters }) {
  const set = FILTERS.filter((name) => filters[name]);
  const rest = set.map((name) => `&${name}=${encodeURIComponent(filters[name])}`).join("");
  return `#${key === null ? "samples" : `sample=${key}`}${rest}`;
}

// However it was escaped on the way (mail programs, chats), a key is compared in one form.
function canonical(key) {
  return key.split("/").map((part) => encodeURIComponent(decoded(part))).join("/");
}

// An address may come from anywhere: what is no percent-encoding stays as it is.
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    return text.replace(/[\ud800-\udfff]/g, "");
  }
}
