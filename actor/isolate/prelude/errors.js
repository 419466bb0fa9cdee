/* Errors as frames carry them. */
import { makeError } from "./clone.js";
import { DOMException } from "./web/dom_exception.js";
import { stackOf } from "./stack.js";
import * as writer from "./writer.js";

/* An error with a code of the API, which becomes the code of the answer. */
export function apiError(code, message, base = Error) {
    const error = new base(message);
    Object.defineProperty(error, "code", { value: code, configurable: true, writable: true });
    return error;
}

export function notImplemented(what) {
    return apiError("not_implemented", `not_implemented: ${what}`);
}

function textOf(value, otherwise) {
    try {
        return value === undefined ? otherwise : String(value);
    } catch {
        return otherwise;
    }
}

/* name, message, stack, and what else a frame has of what was thrown, whatever that is. */
export function describe(thrown) {
    if (thrown === null || typeof thrown !== "object") {
        return { name: "Error", message: textOf(thrown, "undefined"), stack: "" };
    }
    const told = {
        name: textOf(thrown.name, "Error"),
        message: textOf(thrown.message, thrown instanceof Error ? "" : textOf(thrown, "an object was thrown")),
        stack: stackOf(textOf(thrown.stack, "")),
    };
    for (const name of ["code", "file"]) {
        if (typeof thrown[name] === "string") {
            told[name] = thrown[name];
        }
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

const ownTypes = { invalid_value: TypeError, too_large: RangeError, bad_request: TypeError };

/* The error that the daemon answered. What another actor threw has a name. */
export function fromAnswer(told) {
    let error;
    if (told.name !== undefined) {
        error = makeError(told.name, told.message ?? "", told.stack);
        error.remote = true;
    } else if (told.code === "aborted") {
        error = new DOMException(told.message ?? "aborted", "AbortError");
    } else {
        error = new (ownTypes[told.code] ?? Error)(told.message ?? told.code);
    }
    if (told.code !== undefined && told.code !== "actor_exception") {
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
