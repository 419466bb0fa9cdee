/* One request with its attempts.
 *
 * Within its deadline a request is sent again after a pause that doubles, with jitter, where an error says that it
 * helps (`retryable`) and where it is safe: what reads always; what writes because it carries an Idempotency-Key,
 * so that however often it arrives it acts once. Without a key it is sent again only after answers that say that
 * nothing was done. An error that comes back is the last one, with `maybeApplied` where any attempt may have been.
 *
 * Several URLs are nodes of one cluster: any of them answers for any actor. The next one is taken where one cannot
 * be reached, does not answer in its share of the time, or has no leader to ask. */

import { DormouseError, errorOfAnswer, errorOfTransport, refused } from "./errors.js";
import { decode } from "./values.js";

const PAUSE_MS_MIN = 50;
const PAUSE_MS_MAX = 2000;
const DEADLINE_MS = 30_000;
const ATTEMPT_MS_MIN = 2000; // of one node of several
const KEY = /^[!-~]{1,255}$/;
const TIMER_MS_MAX = 0x7fffffff;

/** How one call is made. */
export interface CallOptions {
    /** Ends the call: it then throws the signal's reason. What was sent may have been applied. */
    signal?: AbortSignal | undefined;
    /** The deadline of all attempts together; 30 000 where nobody says. */
    timeoutMs?: number | undefined;
    /** Of a writing call: a key of one's own, or whether to make one. */
    idempotencyKey?: string | boolean | undefined;
}

export interface ClientOptions {
    /** "http://host:port", or several of the nodes of a cluster. Where nobody says: DORMOUSE_URL of the environment, or
     * http://127.0.0.1:7420. */
    url?: string | readonly string[] | undefined;
    /** Where nobody says: DORMOUSE_TOKEN of the environment. */
    token?: string | undefined;
    /** Of the actors that do not say theirs; "default" where nobody does. */
    namespace?: string | undefined;
    timeoutMs?: number | undefined;
    /** False: one attempt for each call. */
    retries?: boolean | undefined;
    /** In place of the global one. */
    fetch?: typeof globalThis.fetch | undefined;
    /** In place of the one of the platform. */
    WebSocket?: WebSocketMaker | undefined;
}

export type WebSocketMaker = (url: string, protocols: string[], headers: Record<string, string>) => WebSocket;

/** "key": repeats are safe as they carry one. "same": a repeat changes nothing. "plain": it carries none. */
export type Repeats = "key" | "same" | "plain";

export interface Exchange {
    method: string;
    path: string;
    headers?: Record<string, string | undefined> | undefined;
    /** JSON, or bytes with their own Content-Type. */
    body?: string | Uint8Array | undefined;
    /** Of writing methods; "key" where it is not said. */
    repeats?: Repeats | undefined;
    /** One attempt: the caller has the loop. */
    once?: boolean | undefined;
    options?: CallOptions | undefined;
}

/** As it is sent once: its body may be a stream. */
export type Opening = Omit<Exchange, "body"> & { body?: Exchange["body"] | ReadableStream<Uint8Array> };

export interface Answer {
    status: number;
    headers: Headers;
    bytes: Uint8Array;
}

const READING = new Set(["GET", "HEAD"]);

export function makeKey(): string {
    return crypto.randomUUID().replaceAll("-", "");
}

function keyOf(x: Opening): string | undefined {
    const wish = x.options?.idempotencyKey ?? (x.repeats ?? "key") === "key";
    if (READING.has(x.method) || wish === false) {
        return undefined;
    }
    const key = wish === true ? makeKey() : wish;
    if (!KEY.test(key)) {
        throw refused("An Idempotency-Key is 1 to 255 visible ASCII characters.");
    }
    return key;
}

/** Waits, unless the signal says stop: then its reason is thrown. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
        if (signal?.aborted) {
            reject(signal.reason as Error);
            return;
        }
        const stop = (): void => {
            clearTimeout(timer);
            reject(signal?.reason as Error);
        };
        const timer = setTimeout(() => {
            signal?.removeEventListener("abort", stop);
            resolve();
        }, Math.min(ms, TIMER_MS_MAX));
        signal?.addEventListener("abort", stop, { once: true });
    });
}

/** How long to wait after this many failures in a row, or as long as the server wishes. */
export function pauseMs(error: DormouseError, failures: number): number {
    const longest = Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** Math.min(failures, 10));
    return Math.max(longest / 2 + Math.random() * (longest / 2), error.retryAfterMs ?? 0);
}

/* A signal of an attempt: the caller's, or its own time. */
class Limit {
    readonly #controller = new AbortController();
    readonly #timer: ReturnType<typeof setTimeout>;
    readonly #outer: AbortSignal | undefined;
    isLate = false;

    constructor(ms: number, outer: AbortSignal | undefined) {
        this.#outer = outer;
        this.#timer = setTimeout(() => {
            this.isLate = true;
            this.#controller.abort();
        }, Math.min(ms, TIMER_MS_MAX));
        outer?.addEventListener("abort", this.#stop, { once: true });
        if (outer?.aborted) {
            this.#stop();
        }
    }

    get signal(): AbortSignal {
        return this.#controller.signal;
    }

    readonly #stop = (): void => this.#controller.abort(this.#outer?.reason);

    /** The time no longer counts, the caller's signal still does. */
    untimed(): void {
        clearTimeout(this.#timer);
    }

    done(): void {
        clearTimeout(this.#timer);
        this.#outer?.removeEventListener("abort", this.#stop);
    }
}

/* A page has none. */
function environment(name: string): string | undefined {
    const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
    return process?.env?.[name] || undefined;
}

function urlsOf(url: string | readonly string[] | undefined): string[] {
    const urls = url === undefined ? [environment("DORMOUSE_URL") ?? "http://127.0.0.1:7420"] : typeof url === "string" ? [url] : [...url];
    const checked = urls.map((text) => {
        let parsed: URL;
        try {
            parsed = new URL(text);
        } catch {
            throw refused(`"${text}" is no URL.`);
        }
        if (!/^https?:$/.test(parsed.protocol) || parsed.pathname !== "/" || parsed.search + parsed.hash + parsed.username !== "") {
            throw refused(`"${text}" has more, or other, than http or https, a host and a port.`);
        }
        return parsed.origin;
    });
    if (checked.length === 0) {
        throw refused("There is no URL.");
    }
    return checked;
}

export class Connection {
    readonly #urls: string[];
    readonly #authorization: Record<string, string>;
    readonly fetch: typeof globalThis.fetch;
    readonly #retries: boolean;
    readonly timeoutMs: number;
    readonly makeWebSocket: WebSocketMaker | undefined;
    #current = 0;

    constructor(options: ClientOptions) {
        this.#urls = urlsOf(options.url);
        const token = options.token ?? environment("DORMOUSE_TOKEN");
        if (token !== undefined && !/^[!-~]+$/.test(token)) {
            throw refused("The token has other characters than visible ASCII.");
        }
        this.#authorization = token === undefined ? {} : { Authorization: `Bearer ${token}` };
        this.fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
        this.#retries = options.retries ?? true;
        this.timeoutMs = options.timeoutMs ?? DEADLINE_MS;
        this.makeWebSocket = options.WebSocket;
    }

    get url(): string {
        return this.#urls[this.#current]!;
    }

    get authorization(): Record<string, string> {
        return this.#authorization;
    }

    get retries(): boolean {
        return this.#retries;
    }

    /** This one does not answer: the next request goes to the next one. */
    leave(url: string): void {
        if (url === this.url) {
            this.#current = (this.#current + 1) % this.#urls.length;
        }
    }

    /** The answer, with its body, or the error that is left. */
    async run(x: Exchange): Promise<Answer> {
        const key = keyOf(x);
        const deadline = performance.now() + this.#deadlineMs(x);
        const isReading = READING.has(x.method);
        const isSafe = isReading || key !== undefined || x.repeats === "same";
        let isInDoubt = false;
        for (let attempt = 0; ; attempt++) {
            const leftMs = Math.max(1, deadline - performance.now());
            try {
                return await this.#attempt(x, key, this.#shareOf(leftMs, isSafe), isReading);
            } catch (cause) {
                if (!(cause instanceof DormouseError)) {
                    throw cause;
                }
                isInDoubt ||= cause.maybeApplied;
                // What a 409 or 412 says holds for all attempts with the same key.
                const isDefinite = cause.status === 409 || cause.status === 412;
                const error = cause.withMaybeApplied(isInDoubt && !isDefinite);
                const waitMs = pauseMs(cause, attempt);
                const mayRepeat = this.#retries && x.once !== true && cause.retryable && (isSafe || !cause.maybeApplied);
                if (!mayRepeat || performance.now() + waitMs >= deadline) {
                    throw error;
                }
                await pause(waitMs, x.options?.signal);
            }
        }
    }

    /** As `run`, of an answer that is JSON: what it shows. */
    async json<T>(x: Exchange): Promise<T> {
        const answer = await this.run({ ...x, headers: { Accept: "application/json", ...x.headers } });
        return documentOf(answer, READING.has(x.method)) as T;
    }

    /** One attempt, whose body is left to be read as it comes. The time is that of the answer's head. */
    async open(x: Opening, signal?: AbortSignal): Promise<Response> {
        const limit = new Limit(this.#deadlineMs(x), signal ?? x.options?.signal);
        const isReading = READING.has(x.method);
        const url = this.url;
        try {
            const response = await this.#send(url, x, keyOf(x), undefined, limit, isReading);
            if (response.status >= 400) {
                const text = await response.text().catch(() => "");
                throw errorOfAnswer(response.status, response.headers, text, isReading);
            }
            limit.untimed();
            return response;
        } catch (cause) {
            limit.done();
            this.#leaveAfter(cause, url);
            throw cause;
        }
    }

    #deadlineMs(x: Opening): number {
        const ms = x.options?.timeoutMs ?? this.timeoutMs;
        if (!(ms > 0)) {
            throw refused("`timeoutMs` is more than 0.");
        }
        return ms;
    }

    /* Where another node can be asked, one that says nothing does not get all of the time. */
    #shareOf(leftMs: number, isSafe: boolean): number {
        return this.#urls.length > 1 && isSafe && this.#retries ? Math.min(leftMs, Math.max(ATTEMPT_MS_MIN, leftMs / 3)) : leftMs;
    }

    async #attempt(x: Exchange, key: string | undefined, leftMs: number, isReading: boolean): Promise<Answer> {
        const limit = new Limit(leftMs, x.options?.signal);
        const url = this.url;
        try {
            const response = await this.#send(url, x, key, leftMs, limit, isReading);
            const bytes = new Uint8Array(await this.#guard(response.arrayBuffer(), limit, isReading, x.options?.signal));
            if (response.status >= 400) {
                throw errorOfAnswer(response.status, response.headers, new TextDecoder().decode(bytes), isReading);
            }
            return { status: response.status, headers: response.headers, bytes };
        } catch (cause) {
            this.#leaveAfter(cause, url);
            throw cause;
        } finally {
            limit.done();
        }
    }

    #leaveAfter(cause: unknown, url: string): void {
        if (cause instanceof DormouseError && (cause.status === 0 || cause.status === 502 || cause.status === 503)) {
            this.leave(url);
        }
    }

    async #send(url: string, x: Opening, key: string | undefined, leftMs: number | undefined, limit: Limit, isReading: boolean): Promise<Response> {
        const headers: Record<string, string> = { ...this.#authorization };
        if (typeof x.body === "string") {
            headers["Content-Type"] = "application/json";
        }
        if (key !== undefined) {
            headers["Idempotency-Key"] = key;
        }
        if (leftMs !== undefined) {
            // A little less than what is left, so that the node's own answer, which knows whether the write
            // happened, is here before we give up.
            headers["Dormouse-Timeout"] = String(Math.max(1, Math.floor(leftMs - Math.min(leftMs / 10, 100))));
        }
        for (const [name, value] of Object.entries(x.headers ?? {})) {
            if (value !== undefined) {
                headers[name] = value;
            }
        }
        const init: RequestInit & { duplex?: "half" } = {
            method: x.method, headers, signal: limit.signal, redirect: "error", cache: "no-store", credentials: "omit",
        };
        if (x.body !== undefined) {
            init.body = x.body as BodyInit;
            if (x.body instanceof ReadableStream) {
                init.duplex = "half";
            }
        }
        return this.#guard(this.fetch(url + x.path, init), limit, isReading, x.options?.signal);
    }

    /* Says what a failure is: the caller's wish, the time, or the network. */
    async #guard<T>(promise: Promise<T>, limit: Limit, isReading: boolean, signal: AbortSignal | undefined): Promise<T> {
        try {
            return await promise;
        } catch (cause) {
            signal?.throwIfAborted();
            if (limit.isLate) {
                throw new DormouseError("The deadline passed before the answer came.", {
                    code: "timeout", retryable: true, maybeApplied: !isReading, cause,
                });
            }
            throw errorOfTransport(cause, isReading);
        }
    }
}

/** What an answer of JSON shows. */
export function documentOf(answer: Answer, isReading: boolean): unknown {
    const type = answer.headers.get("content-type") ?? "";
    try {
        if (/^application\/(problem\+)?json\b/.test(type)) {
            return decode(new TextDecoder("utf-8", { fatal: true }).decode(answer.bytes));
        }
    } catch {
        // falls through: what came is no JSON
    }
    throw new DormouseError("The answer is not the document that the API promises.", {
        code: "protocol", status: answer.status, maybeApplied: !isReading,
    });
}

/** Of the ETag. */
export function versionOf(answer: Answer, isReading: boolean): number {
    const version = /^"([1-9]\d{0,15})"$/.exec(answer.headers.get("etag") ?? "");
    if (version === null) {
        throw new DormouseError("The answer has no version.", {
            code: "protocol", status: answer.status, maybeApplied: !isReading,
        });
    }
    return Number(version[1]);
}
