/* The names that code of users finds. */
import * as abort from "./web/abort.js";
import * as base64 from "./web/base64.js";
import * as blob from "./web/blob.js";
import * as encoding from "./web/encoding.js";
import * as event from "./web/event.js";
import * as compression from "./web/compression.js";
import * as streams from "./web/streams.js";
import * as timers from "./timers.js";
import * as url from "./web/url.js";
import { Crypto, crypto } from "./web/crypto/crypto.js";
import { CryptoKey } from "./web/crypto/key.js";
import { DOMException } from "./web/dom_exception.js";
import { FormData } from "./web/form_data.js";
import { Headers } from "./web/headers.js";
import { Request } from "./web/request.js";
import { Response } from "./web/response.js";
import { WebSocket, WebSocketPair, WebSocketRequestResponsePair } from "./web/socket.js";
import { SubtleCrypto } from "./web/crypto/subtle.js";
import { console, log } from "./console.js";
import { format } from "./inspect.js";
import { fetch } from "./web/fetch.js";
import { navigator, performance, scheduler } from "./web/platform.js";
import { installWasm } from "./web/wasm.js";
import { structuredClone } from "./web/structured_clone.js";
import { uncloneable } from "./clone.js";

const settled = Promise.resolve();

function queueMicrotask(run) {
    if (typeof run !== "function") {
        throw new TypeError("queueMicrotask: the first argument is not a function");
    }
    settled.then(() => run());
}

/* To the log, as what nobody catches. */
function reportError(error) {
    if (arguments.length === 0) {
        throw new TypeError("reportError: the argument is missing");
    }
    log("error", format(["Uncaught", error]));
}

const names = {
    Crypto, CryptoKey, DOMException, FormData, Headers, Request, Response, WebSocket, WebSocketPair,
    WebSocketRequestResponsePair, SubtleCrypto, console, crypto, fetch, navigator, performance, queueMicrotask, reportError, scheduler,
    structuredClone,
    AbortController: abort.AbortController, AbortSignal: abort.AbortSignal,
    Blob: blob.Blob, File: blob.File,
    CloseEvent: event.CloseEvent, CustomEvent: event.CustomEvent, ErrorEvent: event.ErrorEvent,
    Event: event.Event, EventTarget: event.EventTarget, MessageEvent: event.MessageEvent,
    TextDecoder: encoding.TextDecoder, TextEncoder: encoding.TextEncoder,
    URL: url.URL, URLPattern: url.URLPattern, URLSearchParams: url.URLSearchParams,
    atob: base64.atob, btoa: base64.btoa,
    clearInterval: timers.clearInterval, clearTimeout: timers.clearTimeout,
    setInterval: timers.setInterval, setTimeout: timers.setTimeout,
    ...streams, ...compression,
};
delete names.isDisturbed;
delete names.TransformPair;

/* Instances of these are more than their members: they are no values. */
const values = new Set([DOMException]);

function name(type, called) {
    if (type.name !== called) {
        Object.defineProperty(type, "name", { value: called, configurable: true });
    }
    if (type.prototype !== undefined && !values.has(type) && !(uncloneable in type.prototype)) {
        Object.defineProperty(type.prototype, uncloneable, { value: true });
    }
}

export function installGlobals() {
    for (const [called, value] of Object.entries(names)) {
        if (typeof value === "function") {
            name(value, called);
        }
        Object.defineProperty(globalThis, called, {
            value, configurable: true, writable: true, enumerable: false,
        });
    }
    globalThis.self = globalThis;
    installWasm();
}
