/* Errors as frames carry them. */
import { DOMException } from "./web/dom_exception.js";
import { makeError } from "./clone.js";
import { stackOf } from "./stack.js";
import * as writer from "./writer.js";

const TEXT_CHARACTERS_MAX = 64 * 1024;

/* Codes of the API are what the runtime says of an error; a `code` that a user's error has says nothing. */
const codes = new WeakMap();

function mark(error, code) {
    codes.set(error, code);
    Object.defineProperty(error, "code", { value: code, configurable: true, writable: true });
    return error;
}

/* An error with a code of the API, which becomes the code of the answer where nobody catches it. */
export function apiError(code, message, base = Error) {
    return mark(new base(message), code);
}

export function notImplemented(what) {
    return apiError("not_implemented", `not_implemented: ${what}`);
}

function textOf(value, otherwise) {
    try {
        return value === undefined ? otherwise : String(value).slice(0, TEXT_CHARACTERS_MAX);
    } catch {
        return otherwise;
    }
}

function describeObject(thrown) {
    const told = {
        name: textOf(thrown.name, "Error"),
        message: textOf(thrown.message, thrown instanceof Error ? "" : textOf(thrown, "an object was thrown")),
        stack: stackOf(textOf(thrown.stack, "")),
    };
    if (codes.has(thrown)) {
        told.code = codes.get(thrown);
    }
    if (typeof thrown.file === "string") {
        told.file = textOf(thrown.file);
    }
    for (const name of ["retryable", "overloaded", "remote"]) {
        if (thrown[name] === true) {
            told[name] = true;
        }
    }
    for (const name of ["line", "column"]) {
        if (Number.isInteger(thrown[name])) {
            told[name] = thrown[name];
        }
    }
    return told;
}

/* name, message, stack, and what else a frame has of what was thrown, whatever that is. */
export function describe(thrown) {
    if (thrown === null || typeof thrown !== "object") {
        return { name: "Error", message: textOf(thrown, "undefined"), stack: "" };
    }
    try {
        return describeObject(thrown);
    } catch {
        return { name: "Error", message: "an object was thrown that cannot be described", stack: "" };
    }
}

export function writeDescribed(told) {
    const names = Object.keys(told);
    writer.mapHead(names.length);
    for (const name of names) {
        writer.string(name);
        const value = told[name];
        if (typeof value === "string") {
            writer.string(value);
        } else if (typeof value === "number") {
            writer.number(value);
        } else {
            writer.bool(value);
        }
    }
}

const ownTypes = { invalid_value: TypeError, too_large: RangeError, bad_request: TypeError, invalid_id: TypeError };

function ofCode({ code, message }) {
    if (code === "aborted") {
        return new DOMException(message ?? "aborted", "AbortError");
    }
    return new (ownTypes[code] ?? Error)(message ?? code);
}

/* The error that the daemon answered. What another actor threw has a name. A code of storage is what this
 * actor's caller hears; that of a call or a fetch is this actor's own matter. */
export function fromAnswer(told, isStorage) {
    const isRemote = told.name !== undefined;
    const error = isRemote ? makeError(told.name, told.message ?? "", told.stack) : ofCode(told);
    if (isRemote) {
        error.remote = true;
    } else if (isStorage) {
        mark(error, told.code);
    } else if (told.code !== undefined) {
        Object.defineProperty(error, "code", { value: told.code, configurable: true, writable: true });
    }
    if (told.retryable === true) {
        error.retryable = true;
    }
    if (told.code === "overloaded" || told.overloaded === true) {
        error.overloaded = true;
    }
    return error;
}
