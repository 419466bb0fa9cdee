/* FormData, and its forms on the wire: multipart and urlencoded. */
import multipartSource from "script:web/multipart.js";
import { Blob, File, blobBytes } from "./blob.js";
import { URLSearchParams } from "./url.js";
import { concat } from "./bytes.js";
import { host } from "../host.js";
import { uncloneable } from "../clone.js";

function valueOf(value, filename) {
    if (!(value instanceof Blob)) {
        if (filename !== undefined) {
            throw new TypeError("FormData: only a Blob has a name of a file.");
        }
        return String(value);
    }
    if (value instanceof File && filename === undefined) {
        return value;
    }
    return new File([value], filename ?? "blob", { type: value.type });
}

export class FormData {
    #entries = [];

    constructor(form) {
        if (form !== undefined) {
            throw new TypeError("FormData: there are no forms here.");
        }
    }

    append(name, value, filename) {
        this.#entries.push([String(name), valueOf(value, filename)]);
    }

    set(name, value, filename) {
        const entry = [String(name), valueOf(value, filename)];
        const at = this.#entries.findIndex(([one]) => one === entry[0]);
        this.#entries = this.#entries.filter(([one], i) => i === at || one !== entry[0]);
        if (at < 0) {
            this.#entries.push(entry);
        } else {
            this.#entries[at] = entry;
        }
    }

    delete(name) {
        this.#entries = this.#entries.filter(([one]) => one !== String(name));
    }

    get(name) {
        return this.#entries.find(([one]) => one === String(name))?.[1] ?? null;
    }

    getAll(name) {
        return this.#entries.filter(([one]) => one === String(name)).map(([, value]) => value);
    }

    has(name) {
        return this.#entries.some(([one]) => one === String(name));
    }

    *entries() {
        for (let i = 0; i < this.#entries.length; i++) {
            yield [...this.#entries[i]];
        }
    }

    *keys() {
        for (const [name] of this.entries()) {
            yield name;
        }
    }

    *values() {
        for (const [, value] of this.entries()) {
            yield value;
        }
    }

    [Symbol.iterator]() {
        return this.entries();
    }

    forEach(callback, self) {
        for (const [name, value] of this.entries()) {
            callback.call(self, value, name, this);
        }
    }

    get [Symbol.toStringTag]() {
        return "FormData";
    }
}

Object.defineProperty(FormData.prototype, uncloneable, { value: true });

const escapeName = (name) => name.replace(/\r\n?|\n/g, "%0D%0A").replaceAll('"', "%22");

const unescapeName = (name) =>
    name.replaceAll("%22", '"').replace(/%0D/gi, "\r").replace(/%0A/gi, "\n");

function makeBoundary() {
    const bytes = host.random(new Uint8Array(16)) ?? new Uint8Array(16);
    return `----formdata-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/* {bytes, boundary} */
export function encodeMultipart(form) {
    const boundary = makeBoundary();
    const chunks = [];
    for (const [name, value] of form) {
        const head = `--${boundary}\r\nContent-Disposition: form-data; name="${escapeName(name)}"`;
        if (typeof value === "string") {
            chunks.push(host.encode(`${head}\r\n\r\n${value.replace(/\r\n?|\n/g, "\r\n")}\r\n`));
        } else {
            const type = value.type === "" ? "application/octet-stream" : value.type;
            chunks.push(host.encode(`${head}; filename="${escapeName(value.name)}"\r\nContent-Type: ${type}\r\n\r\n`));
            chunks.push(blobBytes(value), host.encode("\r\n"));
        }
    }
    chunks.push(host.encode(`--${boundary}--\r\n`));
    return { bytes: concat(chunks), boundary };
}

let parser = null;

function decodeMultipart(bytes, boundary) {
    parser ??= host.evaluate(multipartSource, "dormouse:multipart");
    const form = new FormData();
    for (const part of parser.parseMultipart(bytes, {
        boundary, maxFileSize: Infinity, maxTotalSize: Infinity, maxParts: 100000,
    })) {
        if (part.name === undefined) {
            continue;
        }
        const name = unescapeName(part.name);
        if (part.isFile) {
            const file = new File([part.bytes], unescapeName(part.filename ?? ""), { type: part.mediaType ?? "" });
            form.append(name, file);
        } else {
            form.append(name, host.decode(part.bytes.slice(), false, false));
        }
    }
    return form;
}

/* The form that a body of that content type holds. */
export function decodeForm(bytes, contentType) {
    const type = contentType ?? "";
    if (/^\s*multipart\/form-data\b/i.test(type)) {
        const boundary = /;\s*boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(type);
        if (boundary === null) {
            throw new TypeError("The content type names no boundary.");
        }
        try {
            return decodeMultipart(bytes, boundary[1] ?? boundary[2]);
        } catch (error) {
            throw new TypeError(`The body is not a form: ${error.message}`);
        }
    }
    if (/^\s*application\/x-www-form-urlencoded\b/i.test(type)) {
        const form = new FormData();
        for (const [name, value] of new URLSearchParams(host.decode(bytes.slice(), false, true))) {
            form.append(name, value);
        }
        return form;
    }
    throw new TypeError("The content type of the body is not that of a form.");
}
