/* Server-sent events: text in, events out; and streams of them. */

import { DormouseError, errorOfTransport } from "./errors.js";

const EVENT_CHARS_MAX = 64 << 20; // a value of 2 MiB can be many times that in JSON

export interface RawEvent {
    event: string;
    /** "" where it has none. */
    id: string;
    data: string;
}

export class SseParser {
    #rest = "";
    #event = "";
    #id = "";
    #data: string[] = [];

    /** The events that this piece completes. */
    feed(text: string): RawEvent[] {
        const events: RawEvent[] = [];
        // A "\r" at the end may be half of a line's end: it waits for the next piece.
        const held = text.endsWith("\r") ? text.length - 1 : text.length;
        const lines = (this.#rest + text.slice(0, held)).split(/\r\n|\n|\r/);
        this.#rest = lines.pop()! + text.slice(held);
        if (this.#rest.length > EVENT_CHARS_MAX) {
            throw new DormouseError("An event of the stream has no end.", { code: "protocol" });
        }
        for (const line of lines) {
            if (line === "") {
                this.#dispatch(events);
            } else {
                this.#field(line);
            }
        }
        return events;
    }

    #field(line: string): void {
        const colon = line.indexOf(":");
        const name = colon < 0 ? line : line.slice(0, colon);
        const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
        if (name === "event") {
            this.#event = value;
        } else if (name === "data") {
            this.#data.push(value);
        } else if (name === "id") {
            this.#id = value;
        }
    }

    #dispatch(events: RawEvent[]): void {
        if (this.#data.length > 0) {
            events.push({ event: this.#event || "message", id: this.#id, data: this.#data.join("\n") });
        }
        this.#event = "";
        this.#id = "";
        this.#data = [];
    }
}

/** The events of one answer, as they come. `idleMs`: without a byte for so long the stream is taken for dead. */
export class SseStream {
    readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
    readonly #decoder = new TextDecoder();
    readonly #parser = new SseParser();
    readonly #events: RawEvent[] = [];

    constructor(response: Response, private readonly idleMs?: number) {
        if (response.body === null) {
            throw new DormouseError("The answer has no stream.", { code: "protocol", status: response.status });
        }
        this.#reader = response.body.getReader();
    }

    /** The next event; undefined at the end of the stream. */
    async next(): Promise<RawEvent | undefined> {
        for (;;) {
            const event = this.#events.shift();
            if (event !== undefined) {
                return event;
            }
            const { done, value } = await this.#read();
            if (done) {
                return undefined;
            }
            this.#events.push(...this.#parser.feed(this.#decoder.decode(value, { stream: true })));
        }
    }

    async #read(): Promise<{ done: boolean; value?: Uint8Array | undefined }> {
        let timer: ReturnType<typeof setTimeout> | undefined;
        const silence = new Promise<never>((_, reject) => {
            if (this.idleMs !== undefined) {
                timer = setTimeout(() => reject(new Error(`nothing came for ${this.idleMs} ms`)), this.idleMs);
            }
        });
        try {
            return await Promise.race([this.#reader.read(), silence]);
        } catch (cause) {
            this.close();
            throw errorOfTransport(cause, true);
        } finally {
            clearTimeout(timer);
        }
    }

    close(): void {
        this.#reader.cancel().catch(() => undefined);
    }
}
