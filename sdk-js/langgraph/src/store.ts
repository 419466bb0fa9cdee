/* Long-term memory of LangGraph: one actor for the items of each namespace's first labels.
 *
 *     i/<label>/…/<label>//<key>     an item, with the vectors of its indexed fields
 *
 * A namespace of fewer labels than `depth` has an actor of its own. What one batch puts into one actor is one
 * transaction, unless it is too large for one; a search of fewer labels than `depth` asks every actor below it, one after the other. */

import {
    BaseStore, getTextAtPath, validateNamespace, type GetOperation, type IndexConfig, type Item, type ListNamespacesOperation,
    type MatchCondition, type Operation, type OperationResults, type PutOperation, type SearchItem, type SearchOperation,
} from "@langchain/langgraph-checkpoint";
import { DormouseError, type Actor, type Check, type Dormouse, type Operation as Write } from "dormouse";

import { matches } from "./filter.js";

const ATTEMPTS = 10;
const PUTS_AT_ONCE = 60; // each is a check and a put of the 128 operations of a transaction

export interface StoreOptions {
    client: Dormouse;
    /** Of the actors; the client's own where nobody says. */
    namespace?: string | undefined;
    /** What the ids of the actors begin with; the first labels follow. */
    prefix?: string | undefined;
    /** How many labels of a namespace name its actor; 2 where nobody says. Never change it for data that is there. */
    depth?: number | undefined;
    /** What is searched by meaning. */
    index?: IndexConfig | undefined;
}

interface ItemRecord {
    namespace: string[];
    key: string;
    value: Record<string, any>;
    created: number;
    updated: number;
    vectors?: number[][] | undefined;
}

function folderOf(namespace: string[]): string {
    return `i/${namespace.map((label) => `${encodeURIComponent(label)}/`).join("")}`;
}

function keyOf(namespace: string[], key: string): string {
    return `${folderOf(namespace)}/${encodeURIComponent(key)}`;
}

function itemOf(record: ItemRecord): Item {
    return {
        namespace: record.namespace, key: record.key, value: record.value,
        createdAt: new Date(record.created), updatedAt: new Date(record.updated),
    };
}

function doesMatch({ matchType, path }: MatchCondition, namespace: string[]): boolean {
    if (path.length > namespace.length) {
        return false;
    }
    const offset = matchType === "suffix" ? namespace.length - path.length : 0;
    return path.every((label, i) => label === "*" || label === namespace[offset + i]);
}

function cosine(a: number[], b: number[]): number {
    let dot = 0;
    let aa = 0;
    let bb = 0;
    for (let i = 0; i < a.length; i++) {
        dot += a[i]! * b[i]!;
        aa += a[i]! ** 2;
        bb += b[i]! ** 2;
    }
    return aa > 0 && bb > 0 ? dot / Math.sqrt(aa * bb) : 0;
}

export class DormouseStore extends BaseStore {
    readonly client: Dormouse;
    readonly namespace: string;
    readonly prefix: string;
    readonly depth: number;
    readonly #index: IndexConfig | undefined;

    constructor(options: StoreOptions) {
        super();
        this.client = options.client;
        this.namespace = options.namespace ?? options.client.namespaceName;
        this.prefix = options.prefix ?? "memory/";
        this.depth = options.depth ?? 2;
        this.#index = options.index;
    }

    #actorId(namespace: string[]): string {
        return this.prefix + namespace.slice(0, this.depth).map(encodeURIComponent).join("/");
    }

    #actor(id: string): Actor {
        return this.client.store(id, { namespace: this.namespace });
    }

    /** Reads see what was there before the batch; its puts come after them, the last one of a key. */
    override async batch<Op extends Operation[]>(operations: Op): Promise<OperationResults<Op>> {
        const puts = new Map<string, PutOperation>();
        const results = await Promise.all(operations.map((operation) => {
            if ("namespacePrefix" in operation) {
                return this.#search(operation);
            }
            if ("value" in operation) {
                validateNamespace(operation.namespace, { allowReservedRoot: true });
                puts.set(keyOf(operation.namespace, operation.key), operation);
                return undefined;
            }
            return "key" in operation ? this.#get(operation) : this.#list(operation as ListNamespacesOperation);
        }));
        await this.#put([...puts.values()]);
        return results as OperationResults<Op>;
    }

    async #get({ namespace, key }: GetOperation): Promise<Item | null> {
        validateNamespace(namespace, { allowReservedRoot: true });
        const record = await this.#actor(this.#actorId(namespace)).storage.get<ItemRecord>(keyOf(namespace, key));
        return record === undefined ? null : itemOf(record);
    }

    /* Puts */

    async #put(puts: PutOperation[]): Promise<void> {
        const vectors = await this.#embed(puts);
        const byActor = groupBy(puts, (put) => this.#actorId(put.namespace));
        await Promise.all(Array.from(byActor, async ([id, theirs]) => {
            for (let from = 0; from < theirs.length; from += PUTS_AT_ONCE) {
                await this.#putIn(this.#actor(id), theirs.slice(from, from + PUTS_AT_ONCE), vectors);
            }
        }));
    }

    /* When an item was made is kept, so what is there is read first; nothing may come between. */
    async #putIn(actor: Actor, puts: PutOperation[], vectors: Map<PutOperation, number[][]>): Promise<void> {
        for (let attempt = 1; ; attempt++) {
            const checks: Check[] = [];
            const writes: Write[] = [];
            const entries = await Promise.all(puts.map((put) => (put.value === null ? undefined : actor.storage.entry<ItemRecord>(keyOf(put.namespace, put.key)))));
            const now = Date.now();
            for (const [i, put] of puts.entries()) {
                const key = keyOf(put.namespace, put.key);
                if (put.value === null) {
                    writes.push({ delete: key });
                    continue;
                }
                const entry = entries[i];
                checks.push(entry ? { key, version: entry.version } : { key, exists: false });
                const record: ItemRecord = {
                    namespace: put.namespace, key: put.key, value: put.value, created: entry?.value.created ?? now, updated: now,
                    vectors: vectors.get(put),
                };
                writes.push({ put: key, value: record });
            }
            try {
                await actor.storage.txn({ if: checks, do: writes });
                return;
            } catch (error) {
                if (error instanceof DormouseError && error.code === "too_large" && puts.length > 1) {
                    const half = puts.length >> 1;
                    await this.#putIn(actor, puts.slice(0, half), vectors);
                    await this.#putIn(actor, puts.slice(half), vectors);
                    return;
                }
                if (!(error instanceof DormouseError && error.code === "conflict") || attempt === ATTEMPTS) {
                    throw error;
                }
            }
        }
    }

    async #embed(puts: PutOperation[]): Promise<Map<PutOperation, number[][]>> {
        const vectors = new Map<PutOperation, number[][]>();
        if (this.#index === undefined) {
            return vectors;
        }
        const texts: { put: PutOperation; text: string }[] = [];
        for (const put of puts) {
            if (put.value !== null && put.index !== false) {
                for (const field of put.index ?? this.#index.fields ?? ["$"]) {
                    const found = field === "$" ? [JSON.stringify(put.value)] : getTextAtPath(put.value, field);
                    texts.push(...found.map((text) => ({ put, text })));
                }
            }
        }
        const embedded = texts.length === 0 ? [] : await this.#index.embeddings.embedDocuments(texts.map((one) => one.text));
        for (const [i, { put }] of texts.entries()) {
            vectors.set(put, [...(vectors.get(put) ?? []), embedded[i]!]);
        }
        return vectors;
    }

    /* Searches */

    /* The actors that may have something below these labels. */
    async *#actors(labels: string[]): AsyncGenerator<Actor> {
        if (labels.length >= this.depth) {
            yield this.#actor(this.#actorId(labels));
            return;
        }
        const own = this.#actorId(labels);
        for await (const { id } of this.client.namespace(this.namespace).actors({ className: "Store", prefix: own })) {
            if (labels.length === 0 || id === own || id.startsWith(`${own}/`)) {
                yield this.#actor(id);
            }
        }
    }

    async #search(operation: SearchOperation): Promise<SearchItem[]> {
        const { namespacePrefix, filter, limit = 10, offset = 0, query } = operation;
        validateNamespace(namespacePrefix, { allowEmpty: true, allowReservedRoot: true });
        const wanted = query !== undefined && this.#index !== undefined ? await this.#index.embeddings.embedQuery(query) : undefined;
        const found: { record: ItemRecord; score: number | undefined }[] = [];
        for await (const actor of this.#actors(namespacePrefix)) {
            for await (const { value: record } of actor.storage.list<ItemRecord>({ prefix: folderOf(namespacePrefix) })) {
                if (filter !== undefined && !matches(record.value, filter)) {
                    continue;
                }
                const scores = wanted === undefined ? [] : (record.vectors ?? []).map((vector) => cosine(wanted, vector));
                found.push({ record, score: scores.length === 0 ? undefined : Math.max(...scores) });
                if (wanted === undefined && found.length === offset + limit) {
                    return this.#page(found, offset, limit);
                }
            }
        }
        if (wanted !== undefined) {
            // Those without a vector come last.
            found.sort((a, b) => (b.score ?? -Infinity) - (a.score ?? -Infinity) || 0);
        }
        return this.#page(found, offset, limit);
    }

    #page(found: { record: ItemRecord; score: number | undefined }[], offset: number, limit: number): SearchItem[] {
        return found.slice(offset, offset + limit).map(({ record, score }) => (score === undefined ? itemOf(record) : { ...itemOf(record), score }));
    }

    async #list(operation: ListNamespacesOperation): Promise<string[][]> {
        const { matchConditions = [], maxDepth, limit, offset = 0 } = operation;
        const first = matchConditions.find((condition) => condition.matchType === "prefix")?.path ?? [];
        const star = first.indexOf("*");
        const labels = star < 0 ? first : first.slice(0, star);
        const found = new Map<string, string[]>();
        for await (const actor of this.#actors(labels)) {
            for await (const { key } of actor.storage.list({ prefix: folderOf(labels), values: false })) {
                const namespace = key.slice(2, key.indexOf("//")).split("/").map(decodeURIComponent);
                if (matchConditions.every((condition) => doesMatch(condition, namespace))) {
                    const cut = namespace.slice(0, maxDepth);
                    found.set(cut.join("."), cut);
                }
            }
        }
        const sorted = Array.from(found).sort(([a], [b]) => (a < b ? -1 : 1)).map(([, namespace]) => namespace);
        return sorted.slice(offset, limit === undefined ? undefined : offset + limit);
    }
}

function groupBy<T>(items: T[], name: (item: T) => string): Map<string, T[]> {
    const groups = new Map<string, T[]>();
    for (const item of items) {
        const key = name(item);
        groups.set(key, [...(groups.get(key) ?? []), item]);
    }
    return groups;
}
