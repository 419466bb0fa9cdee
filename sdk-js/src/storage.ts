/* The keys and values of an actor: one key space with the `ctx.storage` of its class. */

import { query, segment } from "./address.js";
import { DormouseError } from "./errors.js";
import { documentOf, versionOf, type CallOptions, type Connection } from "./exchange.js";
import { encode } from "./values.js";

export interface Entry<V = unknown> {
    key: string;
    value: V;
    /** Of the batch that last wrote it. */
    version: number;
}

export interface ReadOptions extends CallOptions {
    /** Ask the node's own replica: quick, also without a leader, and perhaps not the newest. */
    stale?: boolean | undefined;
}

export interface GetOptions extends ReadOptions {
    /** Only if the entry has another version. */
    unlessVersion?: number | undefined;
}

export interface PutOptions extends CallOptions {
    /** Only over this version. */
    ifVersion?: number | undefined;
    /** Only where the key is absent. */
    ifAbsent?: boolean | undefined;
}

export interface DeleteOptions extends CallOptions {
    /** Only this version. */
    ifVersion?: number | undefined;
}

export interface Range {
    prefix?: string | undefined;
    /** This key and those behind it, also where `reverse` turns the order round. */
    start?: string | undefined;
    startAfter?: string | undefined;
    /** Without it. */
    end?: string | undefined;
    reverse?: boolean | undefined;
}

export interface ListOptions extends Range, ReadOptions {
    /** Entries in all; all of them where nobody says. */
    limit?: number | undefined;
    /** Entries for one request, 1 to 1000. */
    pageSize?: number | undefined;
    /** False: keys and versions alone. */
    values?: boolean | undefined;
}

export interface PageOptions extends ListOptions {
    /** `next` of the page before. */
    cursor?: string | undefined;
}

export type Check =
    | { key: string; version: number }
    | { key: string; exists: boolean }
    | { key: string; equals: unknown };

export type Operation =
    | { put: string; value: unknown }
    | { delete: string }
    | { add: string; by?: number | bigint }
    | { append: string; items: readonly unknown[] }
    | { get: string }
    | { list: Range & { limit?: number; values?: boolean } };

export type Result<O> =
    O extends { put: string } ? { version: number } :
    O extends { delete: string } ? { existed: boolean } :
    O extends { add: string } ? { value: number | bigint } :
    O extends { append: string } ? { length: number } :
    O extends { get: string } ? { value: any; version: number } | null :
    O extends { list: unknown } ? { entries: Entry<any>[] } : never;

export interface Transaction<O extends readonly Operation[] = readonly Operation[]> {
    if?: readonly Check[];
    do: O;
}

export interface Committed<O extends readonly Operation[] = readonly Operation[]> {
    committed: true;
    version: number;
    /** One for each operation, each seeing those before it. */
    results: { -readonly [I in keyof O]: Result<O[I]> };
}

function tag(version: number | undefined): string | undefined {
    return version === undefined ? undefined : `"${version}"`;
}

function consistency(options: ReadOptions | undefined): string | undefined {
    return options?.stale === true ? "stale" : undefined;
}

/* A number of `by` is a number, however large: the API knows no other kind there. */
const INT64 = 2n ** 63n;
function operation(o: Operation): Operation | { add: string; by: number } {
    if (!("add" in o) || typeof o.by !== "bigint") {
        return o;
    }
    if (o.by < -INT64 || o.by >= INT64) {
        throw new DormouseError("`by` stays within signed 64 bits.", { code: "invalid_value" });
    }
    return Number.isSafeInteger(Number(o.by)) ? { add: o.add, by: Number(o.by) } : o;
}

export class Storage {
    constructor(private readonly connection: Connection, private readonly path: string,
        private readonly defaults: CallOptions) {}

    private key(key: string): string {
        return `${this.path}/kv/${segment(key, "The key")}`;
    }

    /** The value; undefined where the key is absent. */
    async get<V = any>(key: string, options?: ReadOptions): Promise<V | undefined> {
        const entry = await this.entry<V>(key, options);
        return entry === null ? undefined : entry?.value;
    }

    /** The value with its version; undefined where the key is absent, null where it has `unlessVersion`. */
    async entry<V = any>(key: string, options?: GetOptions): Promise<Entry<V> | undefined | null> {
        try {
            // Without Accept: bytes come as they are, all else as JSON.
            const answer = await this.connection.run({
                method: "GET", path: this.key(key), options: { ...this.defaults, ...options },
                headers: { "If-None-Match": tag(options?.unlessVersion), "Dormouse-Consistency": consistency(options) },
            });
            if (answer.status === 304) {
                return null;
            }
            const isBytes = answer.headers.get("content-type") === "application/octet-stream";
            const value = isBytes ? answer.bytes : documentOf(answer, true);
            return { key, value: value as V, version: versionOf(answer, true) };
        } catch (error) {
            if (error instanceof DormouseError && error.code === "no_such_key") {
                return undefined;
            }
            throw error;
        }
    }

    /** Writes, durably, and gives the entry's version. `version_mismatch` where a condition does not hold. */
    async put(key: string, value: unknown, options?: PutOptions): Promise<number> {
        if (value === undefined) {
            throw new DormouseError("There is no value: delete the key.", { code: "invalid_argument" });
        }
        const isBytes = value instanceof Uint8Array;
        const answer = await this.connection.run({
            method: "PUT", path: this.key(key), options: { ...this.defaults, ...options },
            body: isBytes ? value : encode(value),
            headers: {
                "Content-Type": isBytes ? "application/octet-stream" : undefined,
                "If-Match": tag(options?.ifVersion), "If-None-Match": options?.ifAbsent === true ? "*" : undefined,
            },
        });
        return versionOf(answer, false);
    }

    /** True where the key was there. `version_mismatch` where it has another version. */
    async delete(key: string, options?: DeleteOptions): Promise<boolean> {
        const answer = await this.connection.run({
            method: "DELETE", path: this.key(key), options: { ...this.defaults, ...options },
            headers: { "If-Match": tag(options?.ifVersion) },
        });
        return answer.headers.get("dormouse-existed") === "true";
    }

    /** One page, consistent in itself. */
    async page<V = any>(options: PageOptions = {}): Promise<{ entries: Entry<V>[]; next: string | null }> {
        const { prefix, start, startAfter, end, reverse, values, cursor, pageSize, limit } = options;
        const size = limit === undefined ? pageSize : Math.min(limit, pageSize ?? 1000);
        return this.connection.json({
            method: "GET", options: { ...this.defaults, ...options },
            headers: { "Dormouse-Consistency": consistency(options) },
            path: `${this.path}/kv${query({ prefix, start, startAfter, end, limit: size, cursor,
                reverse: reverse || undefined, values: values === false ? false : undefined })}`,
        });
    }

    /** The entries in byte order of their keys, page by page as they are asked for. */
    async *list<V = any>(options: ListOptions = {}): AsyncGenerator<Entry<V>, void, void> {
        let left = options.limit ?? Infinity;
        let cursor: string | undefined;
        while (left > 0) {
            const size = Math.min(left, options.pageSize ?? 1000, 1000);
            const page = await this.page<V>({ ...options, cursor, limit: undefined, pageSize: options.pageSize === undefined && left === Infinity ? undefined : size });
            yield* page.entries.slice(0, left);
            left -= page.entries.length;
            if (page.next === null) {
                return;
            }
            cursor = page.next;
        }
    }

    /** Checks and writes as one step. `conflict`, with `failed`, where a check does not hold. */
    async txn<const O extends readonly Operation[]>(transaction: Transaction<O>, options?: CallOptions): Promise<Committed<O>> {
        const body = { ...(transaction.if === undefined ? {} : { if: transaction.if }), do: transaction.do.map(operation) };
        return this.connection.json({
            method: "POST", path: `${this.path}/txn`, body: encode(body), options: { ...this.defaults, ...options },
        });
    }

    /** Adds to a number, which is 0 where the key is absent, and gives the sum. */
    async add(key: string, by: number | bigint = 1, options?: CallOptions): Promise<number | bigint> {
        return (await this.txn({ do: [{ add: key, by }] as const }, options)).results[0].value;
    }

    /** Appends to an array, and gives its length. */
    async append(key: string, items: readonly unknown[], options?: CallOptions): Promise<number> {
        return (await this.txn({ do: [{ append: key, items }] as const }, options)).results[0].length;
    }
}
