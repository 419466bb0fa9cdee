/* Checkpoints of LangGraph: one actor for each thread.
 *
 *     cp/<ns>/<checkpoint id>               the checkpoint without its values, its metadata, and where its values are
 *     w/<ns>/<checkpoint id>/<task>/<index> a pending write
 *     b/<name>/<n>                          a piece of a value that is too large for a record
 *
 * A value is stored with the checkpoint that changed it; later ones name the same pieces. They take over what their
 * parent has, so branches of a thread never see each other's values, though the versions of their channels are the
 * same numbers. */

import type { RunnableConfig } from "@langchain/core/runnables";
import {
    BaseCheckpointSaver, compareWritesSortKeys, copyCheckpoint, getCheckpointId, maxChannelVersion, TASKS, WRITES_IDX_MAP,
    type ChannelVersions, type Checkpoint, type CheckpointListOptions, type CheckpointMetadata, type CheckpointPendingWrite,
    type CheckpointTuple, type PendingWrite, type SerializerProtocol,
} from "@langchain/langgraph-checkpoint";
import { DormouseError, type Actor, type Check, type Dormouse, type Operation } from "dormouse";

import { PieceReader, Pieces, type Piece } from "./pieces.js";

const PART_BYTES_MAX = 100;
const KNOWN_MAX = 1000;
const WRITES_AT_ONCE = 50; // each is a check and a put of the 128 operations of a transaction
const ATTEMPTS = 5;

export interface SaverOptions {
    client: Dormouse;
    /** Of the actors; the client's own where nobody says. */
    namespace?: string | undefined;
    /** What the ids of the actors begin with; the thread's id follows. */
    prefix?: string | undefined;
    serde?: SerializerProtocol | undefined;
}

interface Value {
    /** The channel's version. */
    v: number | string;
    p: Piece;
}

interface CheckpointRecord {
    ns: string;
    id: string;
    parent: string | undefined;
    checkpoint: Piece;
    metadata: Piece;
    values: Record<string, Value>;
}

interface WriteRecord {
    task: string;
    channel: string;
    path: string;
    index: number;
    value: Piece;
}

/* A part of a key: short ones as they are, long ones by their hash. What they are stands in the record. */
async function part(text: string): Promise<string> {
    const encoded = encodeURIComponent(text);
    if (encoded.length <= PART_BYTES_MAX) {
        return encoded;
    }
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
    return `~${Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

function configOf(thread_id: string, checkpoint_ns: string, checkpoint_id: string): RunnableConfig {
    return { configurable: { thread_id, checkpoint_ns, checkpoint_id } };
}

function isSame(a: unknown, b: unknown): boolean {
    return a === b || (typeof a === "object" && typeof b === "object" && JSON.stringify(a) === JSON.stringify(b));
}

export class DormouseSaver extends BaseCheckpointSaver {
    readonly client: Dormouse;
    readonly namespace: string;
    readonly prefix: string;
    /* Values of checkpoints that were put here: those of the next one's parent. */
    readonly #known = new Map<string, Record<string, Value>>();

    constructor(options: SaverOptions) {
        super(options.serde);
        this.client = options.client;
        this.namespace = options.namespace ?? options.client.namespaceName;
        this.prefix = options.prefix ?? "thread/";
    }

    /** The actor of a thread. */
    actor(threadId: string): Actor {
        return this.client.store(this.prefix + threadId, { namespace: this.namespace });
    }

    #threadOf(config: RunnableConfig, what: string): string {
        const id: unknown = config.configurable?.thread_id;
        if (typeof id !== "string" && typeof id !== "number") {
            throw new Error(`Failed to ${what}: the config has no "thread_id" in its "configurable".`);
        }
        return String(id);
    }

    override async getTuple(config: RunnableConfig): Promise<CheckpointTuple | undefined> {
        const thread: unknown = config.configurable?.thread_id;
        if (thread === undefined || thread === null || thread === "") {
            return undefined;
        }
        const actor = this.actor(String(thread));
        const ns: string = config.configurable?.checkpoint_ns ?? "";
        const id = getCheckpointId(config);
        const folder = `cp/${await part(ns)}/`;
        const record = id !== "" ? await actor.storage.get<CheckpointRecord>(folder + (await part(id))) : await this.#newest(actor, folder);
        return record === undefined ? undefined : this.#tuple(actor, String(thread), record, new PieceReader(actor));
    }

    async #newest(actor: Actor, folder: string): Promise<CheckpointRecord | undefined> {
        const page = await actor.storage.page<CheckpointRecord>({ prefix: folder, reverse: true, limit: 1 });
        return page.entries[0]?.value;
    }

    async #load(reader: PieceReader, piece: Piece): Promise<any> {
        return this.serde.loadsTyped(piece.t, await reader.bytes(piece));
    }

    async #tuple(actor: Actor, thread: string, record: CheckpointRecord, reader: PieceReader): Promise<CheckpointTuple> {
        const [checkpoint, metadata, pendingWrites, values] = await Promise.all([
            this.#load(reader, record.checkpoint) as Promise<Checkpoint>,
            this.#load(reader, record.metadata) as Promise<CheckpointMetadata>,
            this.#writes(actor, record.ns, record.id, reader),
            Promise.all(Object.entries(record.values).map(async ([channel, { p }]) => [channel, await this.#load(reader, p)] as const)),
        ]);
        checkpoint.channel_values = Object.fromEntries(values);
        if (checkpoint.v < 4 && record.parent !== undefined) {
            await this.#migrateSends(actor, checkpoint, record, reader);
        }
        const tuple: CheckpointTuple = { config: configOf(thread, record.ns, record.id), checkpoint, metadata, pendingWrites };
        if (record.parent !== undefined) {
            tuple.parentConfig = configOf(thread, record.ns, record.parent);
        }
        return tuple;
    }

    /* Checkpoints of old formats have what was sent as writes of their parent. */
    async #migrateSends(actor: Actor, checkpoint: Checkpoint, record: CheckpointRecord, reader: PieceReader): Promise<void> {
        const writes = await this.#writes(actor, record.ns, record.parent!, reader);
        checkpoint.channel_values[TASKS] = writes.filter(([, channel]) => channel === TASKS).map(([, , value]) => value);
        const versions = Object.values(checkpoint.channel_versions);
        checkpoint.channel_versions[TASKS] = versions.length > 0 ? maxChannelVersion(...versions) : this.getNextVersion(undefined);
    }

    /* In the order in which a run applies them. */
    async #writes(actor: Actor, ns: string, id: string, reader: PieceReader): Promise<CheckpointPendingWrite[]> {
        const records: WriteRecord[] = [];
        for await (const { value } of actor.storage.list<WriteRecord>({ prefix: `w/${await part(ns)}/${await part(id)}/` })) {
            records.push(value);
        }
        records.sort((a, b) => compareWritesSortKeys([a.path, a.task, a.index], [b.path, b.task, b.index]));
        return Promise.all(records.map(async (r) => [r.task, r.channel, await this.#load(reader, r.value)] as CheckpointPendingWrite));
    }

    override async *list(config: RunnableConfig, options: CheckpointListOptions = {}): AsyncGenerator<CheckpointTuple> {
        let left = options.limit ?? Infinity;
        for await (const thread of this.#threads(config)) {
            for await (const tuple of this.#listThread(thread, config, options)) {
                if (left <= 0) {
                    return;
                }
                left--;
                yield tuple;
            }
        }
    }

    async *#threads(config: RunnableConfig): AsyncGenerator<string> {
        const thread: unknown = config.configurable?.thread_id;
        if (thread !== undefined && thread !== null && thread !== "") {
            yield String(thread);
            return;
        }
        for await (const actor of this.client.namespace(this.namespace).actors({ className: "Store", prefix: this.prefix })) {
            yield actor.id.slice(this.prefix.length);
        }
    }

    async *#listThread(thread: string, config: RunnableConfig, options: CheckpointListOptions): AsyncGenerator<CheckpointTuple> {
        const actor = this.actor(thread);
        const ns: string | undefined = config.configurable?.checkpoint_ns;
        const id: string | undefined = config.configurable?.checkpoint_id;
        const before: string | undefined = options.before?.configurable?.checkpoint_id;
        const prefix = ns === undefined ? "cp/" : `cp/${await part(ns)}/`;
        const end = ns === undefined || before === undefined ? undefined : prefix + (await part(before));
        const filter = Object.entries(options.filter ?? {});
        const reader = new PieceReader(actor);
        // Pages are read before they are wanted: not more than are.
        const pageSize = options.limit === undefined || filter.length > 0 ? 100 : Math.max(1, Math.min(options.limit, 100));
        for await (const { value: record } of actor.storage.list<CheckpointRecord>({ prefix, end, reverse: true, pageSize })) {
            if ((id && record.id !== id) || (before !== undefined && record.id >= before)) {
                continue;
            }
            if (filter.length > 0) {
                const metadata = await this.#load(reader, record.metadata);
                if (!filter.every(([name, wanted]) => isSame(metadata[name], wanted))) {
                    continue;
                }
            }
            yield await this.#tuple(actor, thread, record, reader);
        }
    }

    override async put(config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata, newVersions: ChannelVersions): Promise<RunnableConfig> {
        const thread = this.#threadOf(config, "put a checkpoint");
        const actor = this.actor(thread);
        const ns: string = config.configurable?.checkpoint_ns ?? "";
        const parent: string | undefined = getCheckpointId(config) || undefined;
        const pieces = new Pieces();
        const values = await this.#inherited(actor, thread, ns, parent, checkpoint, newVersions);
        for (const [channel, version] of Object.entries(newVersions)) {
            if (Object.hasOwn(checkpoint.channel_values, channel)) {
                values[channel] = { v: version, p: pieces.add(await this.serde.dumpsTyped(checkpoint.channel_values[channel])) };
            }
        }
        const bare = { ...copyCheckpoint(checkpoint), channel_values: {} };
        const record: CheckpointRecord = {
            ns, id: checkpoint.id, parent, values,
            checkpoint: pieces.add(await this.serde.dumpsTyped(bare)),
            metadata: pieces.add(await this.serde.dumpsTyped(metadata)),
        };
        const batch = await pieces.flush(actor);
        await actor.storage.txn({ do: [...batch, { put: `cp/${await part(ns)}/${await part(checkpoint.id)}`, value: record }] });
        this.#remember(thread, ns, checkpoint.id, values);
        return configOf(thread, ns, checkpoint.id);
    }

    /* The values that this checkpoint did not change: its parent's, in the versions that it has. */
    async #inherited(actor: Actor, thread: string, ns: string, parent: string | undefined, checkpoint: Checkpoint, newVersions: ChannelVersions): Promise<Record<string, Value>> {
        const values: Record<string, Value> = {};
        const wanted = Object.entries(checkpoint.channel_versions).filter(([channel]) => !Object.hasOwn(newVersions, channel));
        if (wanted.length === 0) {
            return values;
        }
        const folder = `cp/${await part(ns)}/`;
        const theirs = parent === undefined ? {} : this.#known.get(JSON.stringify([thread, ns, parent])) ??
            (await actor.storage.get<CheckpointRecord>(folder + (await part(parent))))?.values ?? {};
        for (const [channel, version] of wanted) {
            const value = theirs[channel];
            if (value !== undefined && value.v === version) {
                values[channel] = value;
            }
        }
        return values;
    }

    #remember(thread: string, ns: string, id: string, values: Record<string, Value>): void {
        this.#known.set(JSON.stringify([thread, ns, id]), values);
        if (this.#known.size > KNOWN_MAX) {
            this.#known.delete(this.#known.keys().next().value!);
        }
    }

    override async putWrites(config: RunnableConfig, writes: PendingWrite[], taskId: string, taskPath = ""): Promise<void> {
        const actor = this.actor(this.#threadOf(config, "put writes"));
        const id = getCheckpointId(config);
        if (id === "") {
            throw new Error('Failed to put writes: the config has no "checkpoint_id" in its "configurable".');
        }
        const ns: string = config.configurable?.checkpoint_ns ?? "";
        const folder = `w/${await part(ns)}/${await part(id)}/${await part(taskId)}/`;
        for (let from = 0; from < writes.length; from += WRITES_AT_ONCE) {
            const pieces = new Pieces();
            const records = new Map<string, WriteRecord>();
            for (const [i, [channel, value]] of writes.slice(from, from + WRITES_AT_ONCE).entries()) {
                const index = WRITES_IDX_MAP[channel] ?? from + i;
                const key = folder + String(index + 1000).padStart(8, "0");
                records.set(key, { task: taskId, channel, path: taskPath, index, value: pieces.add(await this.serde.dumpsTyped(value)) });
            }
            await this.#putRecords(actor, folder, records, await pieces.flush(actor));
        }
    }

    /* Of a task's ordinary writes the first ones stay; errors and interrupts take the place of those before. */
    async #putRecords(actor: Actor, folder: string, records: Map<string, WriteRecord>, batch: Operation[]): Promise<void> {
        for (let attempt = 1; ; attempt++) {
            const there = new Set<string>();
            if (attempt > 1) {
                for await (const { key } of actor.storage.list({ prefix: folder, values: false })) {
                    there.add(key);
                }
            }
            const fresh = [...records].filter(([key, record]) => record.index < 0 || !there.has(key));
            const checks: Check[] = fresh.filter(([, record]) => record.index >= 0).map(([key]) => ({ key, exists: false }));
            if (fresh.length === 0) {
                return;
            }
            try {
                await actor.storage.txn({ if: checks, do: [...batch, ...fresh.map(([put, value]) => ({ put, value }))] });
                return;
            } catch (error) {
                if (!(error instanceof DormouseError && error.code === "conflict") || attempt === ATTEMPTS) {
                    throw error;
                }
            }
        }
    }

    override async deleteThread(threadId: string): Promise<void> {
        await this.actor(threadId).destroy();
        for (const key of this.#known.keys()) {
            if ((JSON.parse(key) as string[])[0] === threadId) {
                this.#known.delete(key);
            }
        }
    }
}
