/* Streams that are opened again where they break.
 *
 *                 +-------- broke, 429, 503 (pause) <--------+
 *                 v                                          |
 *     find where to go on from ---> open the stream ---> events ---> stopped, final error
 *
 * A watch goes on after the last event that had an id, so none is missed; where the node no longer keeps what is
 * missing, a "reset" and the current state follow. Without such an event and without `since` it is the actor's
 * version, asked for before the first stream opens. */

import { query } from "./address.js";
import { DormouseError } from "./errors.js";
import { pause, pauseMs, type CallOptions, type Connection } from "./exchange.js";
import { SseStream, type RawEvent } from "./sse.js";
import { decode } from "./values.js";

const IDLE_MS_MAX = 45_000; // the server comments every 15 s; three missed mean that it is gone

const STOPPED = Symbol("stopped");

/** How a stream is opened: with the id of the last event, "" before the first one. */
type Opener = (lastId: string, signal: AbortSignal) => Promise<Response>;

/** An iterator over events that opens its stream when it is first asked, and again where that breaks. */
export class Stream<E> implements AsyncIterableIterator<E> {
    readonly #controller = new AbortController();
    #stream: SseStream | undefined;
    #lastId = "";
    #failures = 0;
    #closedAt = performance.now();
    #order: Promise<unknown> = Promise.resolve();
    #isOver = false;

    constructor(private readonly opener: Opener, private readonly read: (raw: RawEvent) => E | undefined,
        private readonly follow: boolean, private readonly connection: Connection, private readonly options: CallOptions) {
        options.signal?.addEventListener("abort", this.#abort, { once: true });
        if (options.signal?.aborted) {
            this.#abort();
        }
    }

    readonly #abort = (): void => this.#controller.abort(this.options.signal?.reason);

    /** Opens the stream now. What happens from then on is not missed. */
    ready(): Promise<void> {
        return this.#inOrder(async () => {
            if (this.#stream === undefined && !this.#isOver) {
                await this.#open();
            }
        });
    }

    next(): Promise<IteratorResult<E, undefined>> {
        return this.#inOrder(async () => {
            try {
                const event = this.#isOver ? undefined : await this.#advance();
                return event === undefined ? this.#end() : { done: false, value: event };
            } catch (error) {
                this.#end();
                if (this.#controller.signal.reason === STOPPED) {
                    return { done: true, value: undefined };
                }
                this.options.signal?.throwIfAborted();
                throw error;
            }
        });
    }

    /** Ends the stream, also while `next` waits. */
    async return(): Promise<IteratorResult<E, undefined>> {
        this.#controller.abort(STOPPED);
        this.#stream?.close();
        return this.#end();
    }

    [Symbol.asyncIterator](): this {
        return this;
    }

    #end(): { done: true; value: undefined } {
        this.#isOver = true;
        this.#stream?.close();
        this.#stream = undefined;
        this.options.signal?.removeEventListener("abort", this.#abort);
        return { done: true, value: undefined };
    }

    #inOrder<T>(task: () => Promise<T>): Promise<T> {
        const result = this.#order.then(task);
        this.#order = result.catch(() => undefined);
        return result;
    }

    /* The next event; undefined at an end that is none of a failure. */
    async #advance(): Promise<E | undefined> {
        for (;;) {
            if (this.#stream === undefined) {
                await this.#open();
            }
            try {
                const raw = await this.#stream!.next();
                if (raw === undefined) {
                    if (!this.follow || this.#controller.signal.aborted) {
                        return undefined;
                    }
                    throw new DormouseError("The server ended the stream.", { code: "unreachable", retryable: true });
                }
                this.#failures = 0;
                if (raw.id !== "") {
                    this.#lastId = raw.id;
                }
                const event = this.read(raw);
                if (event !== undefined) {
                    return event;
                }
            } catch (error) {
                await this.#broke(error);
            }
        }
    }

    /* Opens a stream, within the deadline since there was one. */
    async #open(): Promise<void> {
        for (;;) {
            this.#controller.signal.throwIfAborted();
            try {
                this.#stream = new SseStream(await this.opener(this.#lastId, this.#controller.signal), IDLE_MS_MAX);
                return;
            } catch (error) {
                await this.#broke(error);
            }
        }
    }

    async #broke(error: unknown): Promise<void> {
        this.#controller.signal.throwIfAborted();
        if (this.#stream !== undefined) {
            this.#stream.close();
            this.#stream = undefined;
            this.#closedAt = performance.now();
        }
        if (!(error instanceof DormouseError) || !error.retryable || !this.follow || !this.connection.retries) {
            throw error;
        }
        const waitMs = pauseMs(error, this.#failures++);
        if (performance.now() + waitMs - this.#closedAt >= (this.options.timeoutMs ?? this.connection.timeoutMs)) {
            throw error;
        }
        await pause(waitMs, this.#controller.signal);
    }
}

export type WatchEvent<V = any> =
    | { type: "put"; id: string; key: string; value: V; version: number }
    | { type: "delete"; id: string; key: string; version: number }
    /** The actor was deleted. */
    | { type: "clear"; id: string; version: number }
    /** What was known is void: the current state follows as puts. */
    | { type: "reset"; id: string }
    | { type: "timer"; id: string; timer: string; payload: any; scheduled: number; fired: number };

export interface WatchOptions extends CallOptions {
    prefix?: string | undefined;
    /** A version or an event's id: all after it. 0: everything kept. Without it: from now on. */
    since?: number | string | undefined;
}

function eventOf(raw: RawEvent): WatchEvent {
    try {
        return { type: raw.event, id: raw.id, ...(decode(raw.data) as object) } as WatchEvent;
    } catch (cause) {
        throw new DormouseError("The stream holds what is no event.", { code: "protocol", cause });
    }
}

/** The changes of an actor. `timeoutMs` bounds how long there may be no stream at all. */
export function watch(connection: Connection, path: string, options: WatchOptions): Stream<WatchEvent> {
    let since = options.since === undefined ? undefined : String(options.since);
    let hasOpened = false;
    const opener: Opener = async (lastId, signal) => {
        const bounded = { timeoutMs: options.timeoutMs, signal };
        if (lastId === "" && since === undefined) {
            const info = await connection.json<{ version: number | null }>({ method: "GET", path, once: true, options: bounded });
            since = String(info.version ?? 0);
        }
        const isFromNow = options.since === undefined && !hasOpened;
        const response = await connection.open({
            method: "GET", options: bounded,
            path: `${path}/watch${query({ prefix: options.prefix, since: isFromNow ? undefined : lastId || since })}`,
            headers: { Accept: "text/event-stream", "Last-Event-ID": lastId || undefined },
        }, signal);
        hasOpened = true;
        return response;
    };
    return new Stream(opener, eventOf, true, connection, options);
}
