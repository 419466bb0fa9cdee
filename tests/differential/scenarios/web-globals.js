import { outcomeName, scenario } from "./harness.js";

const names = [
    "AbortController", "AbortSignal", "Blob", "ByteLengthQueuingStrategy", "CloseEvent", "CompressionStream", "CountQueuingStrategy",
    "Crypto", "CryptoKey", "CustomEvent", "DOMException", "DecompressionStream", "ErrorEvent", "Event", "EventTarget", "File",
    "FixedLengthStream", "FormData", "Headers", "IdentityTransformStream", "MessageEvent", "ReadableStream",
    "ReadableStreamBYOBReader", "ReadableStreamDefaultReader", "Request", "Response", "SubtleCrypto", "TextDecoder",
    "TextDecoderStream", "TextEncoder", "TextEncoderStream", "TransformStream", "URL", "URLPattern", "URLSearchParams",
    "WebSocket", "WebSocketPair", "WebSocketRequestResponsePair", "WritableStream", "WritableStreamDefaultWriter", "atob", "btoa",
    "clearInterval", "clearTimeout", "console", "crypto", "fetch", "navigator", "performance", "queueMicrotask", "scheduler",
    "self", "setInterval", "setTimeout", "structuredClone", "WebAssembly", "Intl", "Atomics", "reportError", "caches",
    "process", "require", "window", "document", "global", "XMLHttpRequest", "localStorage", "alert", "SharedArrayBuffer", "MessageChannel",
];

export default scenario({
    ...Object.fromEntries(names.map((name) => [`typeof ${name}`, () => typeof globalThis[name]])),
    "self": () => [self === globalThis, navigator.userAgent],
    "no code from text": async () => [await outcomeName(() => eval("1")), await outcomeName(() => new Function("return 1")())],
    "a DOMException": () => {
        const error = new DOMException("m", "NotFoundError");
        return [error.name, error.message, error.code, error instanceof Error, String(error), Object.prototype.toString.call(error), DOMException.NOT_FOUND_ERR];
    },
    "console": () => ["log", "info", "warn", "error", "debug", "table", "dir", "group", "groupEnd", "time", "timeEnd", "count", "assert", "trace"]
        .map((name) => typeof console[name]),
    "this of a module": function () {
        return typeof this;
    },
    "strict code": () => (function () { return this === undefined; })(),
    "the language": () => [
        [3, 1, 2].toSorted(), Object.groupBy([1, 2, 3], (x) => x % 2 ? "odd" : "even"), [1, 2].at(-1), "a-b".replaceAll("-", "+"),
        new Set([1, 2]).union(new Set([3])), Array.from(new Map([[1, 2]]).entries()), structuredClone([1]), "x".isWellFormed(),
        typeof Promise.withResolvers, typeof Iterator, Array.fromAsync !== undefined, typeof Promise.try,
    ],
    "Intl": () => [new Intl.NumberFormat("de-DE").format(1234.5), new Date(0).toLocaleDateString("en-US", { timeZone: "UTC" }), new Date(0).toISOString(),
        Intl.DateTimeFormat().resolvedOptions().timeZone],
    "WebAssembly": async () => outcomeName(async () => {
        const bytes = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);
        return WebAssembly.validate(bytes);
    }),
});
