/* Serialized values of any size in an actor's keys.
 *
 * Small ones are part of the record that names them; larger ones have keys of their own, in pieces, under a name that
 * nobody used before. Pieces are written first: a record that is there has all that it names, and what a crash leaves
 * without a record is never read and goes with the actor. */

import { makeKey, type Actor, type Operation } from "dormouse";

const INLINE_BYTES_MAX = 2048;
const RECORD_BYTES_MAX = 256 << 10; // of what is inline in one record
const PIECE_BYTES_MAX = 1 << 20;
const BATCHED_BYTES_MAX = 64 << 10; // of a piece that goes into the transaction of its record
const BATCH_BYTES_MAX = 1 << 20; // of those together: the body of a transaction is at most 4 MiB of JSON
const BATCH_OPERATIONS_MAX = 20; // of the 128 that a transaction may have; its records are 100 at most
const WRITES_AT_ONCE = 4;
const READS_AT_ONCE = 16;

/** A serialized value: its bytes, or where they are. */
export type Piece = { t: string; b: Uint8Array } | { t: string; u: string; n: number };

function pieceKey(name: string, index: number): string {
    return `b/${name}/${index}`;
}

/** Values on their way to an actor, with the records that name them. */
export class Pieces {
    #inlineBytes = 0;
    readonly #puts: { put: string; value: Uint8Array }[] = [];

    add([type, bytes]: [string, Uint8Array]): Piece {
        if (bytes.length <= INLINE_BYTES_MAX && this.#inlineBytes + bytes.length <= RECORD_BYTES_MAX) {
            this.#inlineBytes += bytes.length;
            return { t: type, b: bytes };
        }
        const name = makeKey();
        const count = Math.max(1, Math.ceil(bytes.length / PIECE_BYTES_MAX));
        for (let i = 0; i < count; i++) {
            this.#puts.push({ put: pieceKey(name, i), value: bytes.subarray(i * PIECE_BYTES_MAX, (i + 1) * PIECE_BYTES_MAX) });
        }
        return { t: type, u: name, n: count };
    }

    /** Writes the values that go ahead of the records; gives those that fit into the transaction of the records. */
    async flush(actor: Actor): Promise<Operation[]> {
        const batch: Operation[] = [];
        let bytes = 0;
        const ahead: { put: string; value: Uint8Array }[] = [];
        for (const put of this.#puts.splice(0)) {
            if (put.value.length <= BATCHED_BYTES_MAX && batch.length < BATCH_OPERATIONS_MAX && bytes + put.value.length <= BATCH_BYTES_MAX) {
                batch.push(put);
                bytes += put.value.length;
            } else {
                ahead.push(put); // alone, as bytes: in a transaction they would be base64
            }
        }
        const next = ahead.values();
        await Promise.all(Array.from({ length: WRITES_AT_ONCE }, async () => {
            for (const { put, value } of next) {
                await actor.storage.put(put, value);
            }
        }));
        return batch;
    }
}

/** Reads values, many at once; a name that several have is read once. */
export class PieceReader {
    readonly #read = new Map<string, Promise<Uint8Array>>();
    #free = READS_AT_ONCE;
    readonly #waiting: (() => void)[] = [];

    constructor(private readonly actor: Actor) {}

    async bytes(piece: Piece): Promise<Uint8Array> {
        if ("b" in piece) {
            return piece.b;
        }
        let reading = this.#read.get(piece.u);
        if (reading === undefined) {
            reading = this.#join(piece.u, piece.n);
            this.#read.set(piece.u, reading);
        }
        return reading;
    }

    async #join(name: string, count: number): Promise<Uint8Array> {
        const parts = await Promise.all(Array.from({ length: count }, (_, i) => this.#get(pieceKey(name, i))));
        if (parts.length === 1) {
            return parts[0]!;
        }
        const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
        let at = 0;
        for (const part of parts) {
            all.set(part, at);
            at += part.length;
        }
        return all;
    }

    async #get(key: string): Promise<Uint8Array> {
        if (this.#free === 0) {
            await new Promise<void>((resolve) => this.#waiting.push(resolve));
        } else {
            this.#free--;
        }
        try {
            const bytes = await this.actor.storage.get<Uint8Array>(key);
            if (bytes === undefined) {
                throw new Error(`A part of a value is gone (${key}): its thread was deleted meanwhile.`);
            }
            return bytes;
        } finally {
            const next = this.#waiting.shift();
            if (next === undefined) {
                this.#free++;
            } else {
                next();
            }
        }
    }
}
