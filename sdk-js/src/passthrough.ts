/* Requests that code of users answers: passed on as they are. */

import { errorOfAnswer, errorOfTransport, refused, type DormouseError } from "./errors.js";
import { pause, pauseMs, type CallOptions, type Connection } from "./exchange.js";

const READING = new Set(["GET", "HEAD"]);

/** The path with its query as a request's target has it: "a/b?c" and "/a/b?c" are the same. */
export function pathOf(path: string): string {
    const url = new URL(path.startsWith("/") ? path : `/${path}`, "http://actor");
    if (url.host !== "actor") {
        throw refused("The path is a whole URL.");
    }
    return url.pathname + url.search;
}

/* The node's own word that nobody can be asked now; a class's answer is another one. */
async function unavailable(response: Response): Promise<DormouseError | undefined> {
    if (response.headers.get("content-type") !== "application/problem+json") {
        return undefined;
    }
    const error = errorOfAnswer(response.status, response.headers, await response.text(), true);
    return error.code === "unavailable" && error.retryable ? error : undefined;
}

/** A request that reads is sent again where no answer came or the node has nobody to ask; another one only where nothing was sent. */
export async function passFetch(connection: Connection, path: string, init: RequestInit | undefined, defaults: CallOptions): Promise<Response> {
    const method = (init?.method ?? "GET").toUpperCase();
    const isReading = READING.has(method);
    const headers = new Headers(init?.headers);
    for (const [name, value] of Object.entries(connection.authorization)) {
        if (!headers.has(name)) {
            headers.set(name, value);
        }
    }
    const signal = init?.signal ?? defaults.signal ?? null;
    const timeoutMs = defaults.timeoutMs ?? connection.timeoutMs;
    const deadline = performance.now() + timeoutMs;
    if (!headers.has("dormouse-timeout")) {
        headers.set("dormouse-timeout", String(Math.ceil(timeoutMs)));
    }
    for (let attempt = 0; ; attempt++) {
        const url = connection.url;
        try {
            const response = await connection.fetch(url + path, { cache: "no-store", credentials: "omit", redirect: "manual", ...init, method, headers, signal });
            const error = isReading && response.status === 503 ? await unavailable(response.clone()) : undefined;
            const waitMs = error === undefined ? Infinity : pauseMs(error, attempt);
            if (!connection.retries || performance.now() + waitMs >= deadline) {
                return response;
            }
            await response.body?.cancel();
            connection.leave(url);
            await pause(waitMs, signal ?? undefined);
        } catch (cause) {
            signal?.throwIfAborted();
            connection.leave(url);
            const error = errorOfTransport(cause, isReading);
            const waitMs = pauseMs(error, attempt);
            const isStream = init?.body instanceof ReadableStream;
            if (!error.retryable || error.maybeApplied || isStream || !connection.retries || performance.now() + waitMs >= deadline) {
                throw error;
            }
            await pause(waitMs, signal ?? undefined);
        }
    }
}
