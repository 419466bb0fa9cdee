/* Names of actors, and the paths that address them. */

import { DormouseError, refused } from "./errors.js";

const NAMESPACE = /^[a-z0-9][a-z0-9-]{0,62}$/;
const CLASS = /^[A-Za-z][A-Za-z0-9_]{0,62}$/;
const ID_BYTES_MAX = 512;

export interface Address {
    readonly namespace: string;
    readonly className: string;
    readonly id: string;
}

function invalidId(message: string): DormouseError {
    return new DormouseError(message, { code: "invalid_id" });
}

function percent(text: string, what: string): string {
    try {
        return encodeURIComponent(text);
    } catch {
        throw refused(`${what} is no valid Unicode.`); // half of a surrogate pair
    }
}

/** A part of a path. */
export function segment(name: string, what: string): string {
    if (typeof name !== "string" || name === "") {
        throw refused(`${what} is empty or no text.`);
    }
    if (name === "." || name === "..") {
        throw refused(`${what} is "${name}", which a URL cannot hold: use a transaction.`);
    }
    return percent(name, what);
}

export function namespacePath(namespace: string): string {
    if (!NAMESPACE.test(namespace)) {
        throw invalidId(`"${namespace}" is no namespace: [a-z0-9][a-z0-9-]{0,62}.`);
    }
    return `/v1/${namespace}`;
}

export function actorPath(address: Address): string {
    const { namespace, className, id } = address;
    if (!CLASS.test(className)) {
        throw invalidId(`"${className}" is no class: [A-Za-z][A-Za-z0-9_]{0,62}.`);
    }
    const bytes = typeof id === "string" ? new TextEncoder().encode(id).length : 0;
    if (bytes === 0 || bytes > ID_BYTES_MAX || id === "." || id === ".." || id.includes("\0")) {
        throw invalidId("An id is 1 to 512 bytes of UTF-8 without NUL, and neither `.` nor `..`.");
    }
    return `${namespacePath(namespace)}/${className}/${segment(id, "The id")}`;
}

/** "?a=b" of what is defined; "" where nothing is. */
export function query(parameters: Record<string, string | number | boolean | undefined>): string {
    const pairs = Object.entries(parameters).filter(([, value]) => value !== undefined);
    return pairs.length === 0 ? "" : "?" + pairs.map(([name, value]) => `${name}=${percent(String(value), name)}`).join("&");
}
