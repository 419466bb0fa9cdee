/* A terminal of a sandbox: a PTY whose bytes come and go over a WebSocket.
 *
 * Where the connection breaks it is made again with the terminal's id and the count of bytes that came so far, so
 * that what was missed is replayed. What is written meanwhile waits, up to a bound. */

import { query } from "./address.js";
import { DormouseError } from "./errors.js";
import { pause, pauseMs, type CallOptions } from "./exchange.js";
import type { Door } from "./sandbox.js";
import { openSocket } from "./socket.js";

const WAITING_BYTES_MAX = 1 << 20;

export interface TerminalOptions extends CallOptions {
    cols?: number | undefined;
    rows?: number | undefined;
    /** Of a terminal that is there; without it a new one. */
    id?: string | undefined;
    /** Bytes of its output that are known; what came after them is replayed. */
    cursor?: number | undefined;
    onData?: ((bytes: Uint8Array) => void) | undefined;
}

interface Control {
    type: string;
    id?: string;
    cursor?: number;
    code?: number | null;
}

export class Terminal {
    id = "";
    /** Bytes of output so far. */
    cursor = 0;
    onData: ((bytes: Uint8Array) => void) | undefined;
    /** The program's exit code once it has ended; an error where the terminal is lost. */
    readonly exited: Promise<number | null>;

    #socket: WebSocket | undefined;
    #resolve!: (code: number | null) => void;
    #reject!: (error: unknown) => void;
    #waiting: Uint8Array[] = [];
    #waitingBytes = 0;
    #isOver = false;
    #wasReady = false;
    #cols: number | undefined;
    #rows: number | undefined;

    constructor(private readonly door: Door, private readonly options: TerminalOptions) {
        this.onData = options.onData;
        this.id = options.id ?? "";
        this.cursor = options.cursor ?? 0;
        this.#cols = options.cols;
        this.#rows = options.rows;
        this.exited = new Promise((resolve, reject) => {
            this.#resolve = resolve;
            this.#reject = reject;
        });
        this.exited.catch(() => undefined); // nobody has to listen
    }

    /** Connects; resolves once the terminal has said which one it is. */
    async open(): Promise<void> {
        const known = this.id === "" ? {} : { id: this.id, cursor: this.cursor };
        const path = `${this.door.path}/terminal${query({ cols: this.#cols, rows: this.#rows, ...known })}`;
        this.#wasReady = false;
        const socket = await openSocket(this.door.connection, path, { ...this.door.defaults, ...this.options });
        await new Promise<void>((resolve, reject) => {
            socket.addEventListener("message", (event: MessageEvent) => {
                this.#take(event.data as string | ArrayBuffer);
                if (this.#wasReady) {
                    resolve();
                }
            });
            socket.addEventListener("close", (event: CloseEvent) => {
                const error = new DormouseError(`The terminal was closed with ${event.code}.`, { code: "unreachable", retryable: true });
                reject(error);
                if (this.#socket === socket) {
                    this.#socket = undefined;
                    void this.#comeBack(error);
                }
            });
        });
        this.#socket = socket;
        for (const bytes of this.#waiting.splice(0)) {
            socket.send(bytes as BufferSource);
        }
        this.#waitingBytes = 0;
        if (socket.readyState !== socket.OPEN) {
            this.#socket = undefined;
            void this.#comeBack(new DormouseError("The terminal was closed.", { code: "unreachable", retryable: true }));
        }
    }

    #take(data: string | ArrayBuffer): void {
        if (typeof data !== "string") {
            const bytes = new Uint8Array(data);
            this.cursor += bytes.length;
            this.onData?.(bytes);
            return;
        }
        const control = JSON.parse(data) as Control;
        if (control.type === "ready") {
            this.#wasReady = true;
            // A replay that lacks some bytes begins later than was asked for; a new terminal at its own count.
            const isReplay = this.id !== "" && control.id === this.id;
            this.id = control.id ?? this.id;
            if (!isReplay) {
                this.cursor = control.cursor ?? 0;
            }
        } else if (control.type === "exit") {
            this.#isOver = true;
            this.#resolve(control.code ?? null);
        }
    }

    async #comeBack(error: DormouseError): Promise<void> {
        const deadline = performance.now() + (this.options.timeoutMs ?? this.door.connection.timeoutMs);
        for (let attempt = 0; !this.#isOver; attempt++) {
            if (performance.now() >= deadline || !this.door.connection.retries) {
                this.#isOver = true;
                this.#reject(error);
                return;
            }
            try {
                await pause(pauseMs(error, attempt), this.options.signal);
                await this.open();
                return;
            } catch (cause) {
                if (!(cause instanceof DormouseError) || !cause.retryable) {
                    this.#isOver = true;
                    this.#reject(cause);
                    return;
                }
            }
        }
    }

    /** Sends input. While there is no connection it waits, up to 1 MiB. */
    write(data: string | Uint8Array): void {
        const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
        if (this.#isOver) {
            throw new DormouseError("The terminal has ended.", { code: "invalid_argument" });
        }
        if (this.#socket !== undefined) {
            this.#socket.send(bytes as BufferSource);
            return;
        }
        if (this.#waitingBytes + bytes.length > WAITING_BYTES_MAX) {
            throw new DormouseError("Too much input waits for a connection.", { code: "overloaded", retryable: true });
        }
        this.#waiting.push(bytes.slice());
        this.#waitingBytes += bytes.length;
    }

    resize(cols: number, rows: number): void {
        this.#cols = cols;
        this.#rows = rows;
        this.#socket?.send(JSON.stringify({ type: "resize", cols, rows }));
    }

    /** Leaves the terminal, which goes on: come back with its `id` and `cursor`. */
    close(): void {
        this.#isOver = true;
        const socket = this.#socket;
        this.#socket = undefined;
        socket?.close(1000);
    }
}

export async function openTerminal(door: Door, options: TerminalOptions): Promise<Terminal> {
    const terminal = new Terminal(door, options);
    await terminal.open();
    return terminal;
}
