// Reading what the page carries: blocks of gzipped JSON, in elements of the page or in files
// beside it.  Nothing is unpacked before somebody wants to see it.

class Unreadable extends Error {}

class Blocks {
  constructor(root) {
    this.files = root.dataset.files === undefined ? null : root.dataset.files.split(" ");
    this.elements = root.querySelectorAll("script.b-block");
    this.kept = new Map();
  }

  get length() {
    return this.files === null ? this.elements.length : this.files.length;
  }

  // The JSON of one block; the last few stay unpacked.
  read(place) {
    const kept = this.kept.get(place);
    if (kept !== undefined) {
      this.kept.delete(place);
      this.kept.set(place, kept);
      return kept;
    }
    const found = this.unpacked(place);
    this.kept.set(place, found);
    found.catch(() => this.kept.delete(place));
    if (this.kept.size > 6) this.kept.delete(this.kept.keys().next().value);
    return found;
  }

  async unpacked(place) {
    const bytes = this.files === null
      ? fromBase64(this.elements[place].textContent)
      : await fetched(this.files[place]);
    // A host may have unpacked it on the way (Content-Encoding).
    if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return JSON.parse(new TextDecoder().decode(bytes));
    if (typeof DecompressionStream === "undefined") {
      throw new Unreadable("This browser cannot unpack gzip (DecompressionStream is missing). "
        + "Any browser of 2023 or later can.");
    }
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).json();
  }
}

function fromBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

async function fetched(name) {
  if (location.protocol === "file:") {
    throw new Unreadable("The samples of this report lie in files beside it, which a browser does "
      + "not read from a disk. Put the folder on a web server, or serve it here with "
      + "“python -m http.server --bind 127.0.0.1” and open the address it prints; or render "
      + "the report again without --split, which makes one file.");
  }
  let reply;
  try {
    reply = await fetch(name);
  } catch (error) {
    throw new Unreadable(`${name} could not be loaded. Is the server still there?`);
  }
  if (!reply.ok) {
    throw new Unreadable(`${name} could not be loaded (status ${reply.status}). `
      + "Copy the whole folder, with its samples folder, to the host.");
  }
  return new Uint8Array(await reply.arrayBuffer());
}

// Lets the page paint and answer keys between two pieces of work.
function breath() {
  return new Promise((resolve) => {
    if (typeof requestIdleCallback === "function") requestIdleCallback(resolve, { timeout: 100 });
    else setTimeout(resolve, 0);
  });
}
