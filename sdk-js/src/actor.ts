/* One actor: what may be asked of it, and its methods by their names. */

import { actorPath, segment, type Address } from "./address.js";
import { refused } from "./errors.js";
import type { CallOptions, Connection } from "./exchange.js";
import { passFetch, pathOf } from "./passthrough.js";
import { Sandbox } from "./sandbox.js";
import { openSocket, type ConnectOptions } from "./socket.js";
import { Steps } from "./steps.js";
import { Storage, type ReadOptions } from "./storage.js";
import { Timers } from "./timers.js";
import { encode } from "./values.js";
import { watch, type Stream, type WatchEvent, type WatchOptions } from "./watch.js";
import { Workflow } from "./workflow.js";

export interface ActorInfo {
    namespace: string;
    class: string;
    id: string;
    exists: boolean;
    state: "awake" | "hibernated";
    shard: number;
    owner: number | null;
    version: number | null;
    keys: number;
    bytes: number;
    /** When `alarm()` is due. */
    alarm: number | null;
    /** While its code is awake. */
    code?: { calls: number; cpu_ms: number; memory_bytes: number };
}

export interface ExecuteOptions extends CallOptions {
    input?: unknown;
    limits?: { cpuMs?: number | undefined; wallMs?: number | undefined; memoryMb?: number | undefined } | undefined;
    /** What the code may use; nothing where nobody says. */
    grants?: {
        storage?: "read" | "write" | null | undefined;
        fetch?: readonly string[] | undefined;
        actors?: readonly string[] | undefined;
    } | undefined;
}

export interface Execution<R = any> {
    result?: R;
    /** The code failed, or was stopped at a limit: its writes were dropped. */
    error?: { code: "cpu_exceeded" | "memory_exceeded" | "wall_exceeded" | "exception" | (string & {}); [more: string]: any };
    logs: any[];
    usage: { cpu_ms: number; wall_ms: number; peak_memory_bytes: number };
}

/** Names that belong to the platform, not to callers. */
type Handler = "fetch" | "alarm" | "onTimer" | "webSocketMessage" | "webSocketClose" | "webSocketError" | "ctx" | "env" | "constructor";

/** The methods of a class as its callers see them. */
export type Methods<T> = {
    [K in keyof T as K extends Handler | keyof Actor ? never : T[K] extends (...args: any[]) => any ? K : never]:
        T[K] extends (...args: infer A) => infer R ? (...args: A) => Promise<Awaited<R>> : never;
};

export interface AnyMethods {
    [method: string]: (...args: any[]) => Promise<any>;
}

/** An actor with the methods of its class: of `T`, or any where nobody says. */
export type Stub<T = unknown> = {
    /** The same actor, asked with these options unless a call has its own. */
    with(options: CallOptions): Stub<T>;
} & Actor & (unknown extends T ? AnyMethods : Methods<T>);

export class Actor implements Address {
    readonly namespace: string;
    readonly className: string;
    readonly id: string;
    readonly path: string;
    readonly storage: Storage;
    readonly timers: Timers;
    readonly steps: Steps;
    readonly workflow: Workflow;
    /* Not members that a method of a class could be called like. */
    readonly #connection: Connection;
    readonly #defaults: CallOptions;

    constructor(connection: Connection, address: Address, defaults: CallOptions = {}) {
        this.#connection = connection;
        this.#defaults = defaults;
        this.namespace = address.namespace;
        this.className = address.className;
        this.id = address.id;
        this.path = actorPath(address);
        this.storage = new Storage(connection, this.path, defaults);
        this.timers = new Timers(connection, this.path, defaults);
        this.steps = new Steps(connection, this.path, defaults);
        this.workflow = new Workflow(connection, this.path, defaults);
    }

    /** The same actor, asked with these options unless a call has its own. */
    with(options: CallOptions): Actor {
        return new Actor(this.#connection, this, { ...this.#defaults, ...options });
    }

    /** Calls a method of the class. It carries an Idempotency-Key, and is repeated after an answer that got lost, only
     * where the options say so. `actor_exception`, with `exception`, where the class throws. */
    async call<R = any>(method: string, args: readonly unknown[] = [], options?: CallOptions): Promise<R> {
        if (!Array.isArray(args)) {
            throw refused("The arguments are no array.");
        }
        const answer = await this.#connection.json<{ result: R }>({
            method: "POST", path: `${this.path}/call/${segment(method, "The method")}`, body: encode(args),
            repeats: "plain", options: { ...this.#defaults, ...options },
        });
        return answer.result;
    }

    /** Runs code once in an isolate of its own, bound to this actor. That the code failed is in the answer. */
    async execute<R = any>(code: string | ((input: any, api: any) => unknown), options: ExecuteOptions = {}): Promise<Execution<R>> {
        const { input, limits, grants, ...call } = options;
        const body = {
            code: String(code), input, grants,
            limits: limits && { cpu_ms: limits.cpuMs, wall_ms: limits.wallMs, memory_mb: limits.memoryMb },
        };
        return this.#connection.json({
            method: "POST", path: `${this.path}/execute`, body: encode(body), repeats: "plain",
            options: { ...this.#defaults, ...call },
        });
    }

    /** The class's own fetch(), below this path. What it answers comes as it is, errors too, its body as it is read. */
    fetch(path: string, init?: RequestInit): Promise<Response> {
        return passFetch(this.#connection, `${this.path}/fetch${pathOf(path)}`, init, this.#defaults);
    }

    /** A WebSocket to the class's fetch(), once it is open. */
    connect(path = "/", options: ConnectOptions = {}): Promise<WebSocket> {
        return openSocket(this.#connection, `${this.path}/ws${pathOf(path)}`, { ...this.#defaults, ...options });
    }

    /** All that happens to the actor. */
    watch(options: WatchOptions = {}): Stream<WatchEvent> {
        return watch(this.#connection, this.path, { ...this.#defaults, ...options });
    }

    /** A Linux machine of the actor; naming one makes none. */
    sandbox(name: string): Sandbox {
        return new Sandbox(this.#connection, this.path, name, this.#defaults);
    }

    /** What it is; wakes nobody. */
    async info(options?: ReadOptions): Promise<ActorInfo> {
        return this.#connection.json({
            method: "GET", path: this.path, options: { ...this.#defaults, ...options },
            headers: { "Dormouse-Consistency": options?.stale === true ? "stale" : undefined },
        });
    }

    /** All its state, timers and sandboxes go, in one step. */
    async destroy(options?: CallOptions): Promise<void> {
        await this.#connection.run({ method: "DELETE", path: this.path, options: { ...this.#defaults, ...options } });
    }

    /** It sleeps once it is idle; after 10 s it does so by itself. */
    async hibernate(options?: CallOptions): Promise<void> {
        await this.#connection.run({
            method: "POST", path: `${this.path}/hibernate`, options: { ...this.#defaults, ...options },
        });
    }
}

/* Promises look for `then`, and inspectors for names of their own: these are no methods of a class. */
const NO_METHODS = new Set(["then", "catch", "finally", "toJSON", "inspect", "asymmetricMatch", "nodeType", "tagName", "constructor", "$$typeof"]);

/** The actor, whose other members are the methods of its class. */
export function stubOf<T>(actor: Actor): Stub<T> {
    const stub = new Proxy(actor, {
        get(target, name) {
            if (name === "with") {
                return (options: CallOptions) => stubOf<T>(target.with(options));
            }
            if (typeof name === "symbol" || name in target) {
                const member: unknown = Reflect.get(target, name, target);
                return typeof member === "function" ? member.bind(target) : member;
            }
            return NO_METHODS.has(name) ? undefined : (...args: unknown[]) => target.call(name, args);
        },
        set() {
            return false;
        },
    });
    return stub as Stub<T>;
}

