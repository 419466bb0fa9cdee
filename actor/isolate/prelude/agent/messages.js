/* The messages of a conversation, as a tree: each has a parent, and who answers an older one begins a branch.
 *
 *     a -- b -- c            head: what the next message answers
 *           \-- d -- e  <- head
 *
 * Nothing is rewritten, so a branch is as cheap as a message. */
import { crypto } from "../web/crypto/crypto.js";

const MESSAGE = "agent:message/";
const CHILD = "agent:child/"; /* <parent or nothing>/<number of the message> -> id */
const HEAD = "agent:head"; /* {id, count} */
const PAGE = 50;
const PAGE_MAX = 1000;
const DIGITS = 14;

const childKey = (parentId, number) => `${CHILD}${parentId ?? ""}/${String(number).padStart(DIGITS, "0")}`;

function pageOf(limit) {
    const number = Math.trunc(Number(limit ?? PAGE));
    if (!(number >= 1 && number <= PAGE_MAX)) {
        throw new RangeError(`A page has 1 to ${PAGE_MAX} messages.`);
    }
    return number;
}

export class Messages {
    #storage;

    constructor(ctx) {
        this.#storage = ctx.storage;
    }

    async #tail() {
        return (await this.#storage.get(HEAD)) ?? { id: null, count: 0 };
    }

    async #must(id) {
        const message = await this.#storage.get(MESSAGE + id);
        if (message === undefined) {
            throw new Error(`There is no message ${id}.`);
        }
        return message;
    }

    /* After `parentId` (the head where it is not given, null: a first one), and becomes the head. A second
     * message of the same id is the first: it may be tried again. */
    async add({ id, parentId, ...content }) {
        const own = String(id ?? crypto.randomUUID());
        const old = id === undefined ? undefined : await this.#storage.get(MESSAGE + own);
        if (old !== undefined) {
            return old;
        }
        const tail = await this.#tail();
        const parent = parentId === undefined ? tail.id : parentId;
        const depth = parent === null ? 1 : (await this.#must(parent)).depth + 1;
        const number = tail.count + 1;
        const message = { ...content, id: own, parentId: parent, depth, number, createdAt: content.createdAt ?? Date.now() };
        this.#storage.put({
            [MESSAGE + own]: message, [childKey(parent, number)]: own, [HEAD]: { id: own, count: number },
        });
        return message;
    }

    get(id) {
        return this.#storage.get(MESSAGE + id);
    }

    /* Its id, parent and place in the tree stay. */
    async update(id, change) {
        const { number, depth, parentId } = await this.#must(id);
        const message = { ...await this.#must(id), ...change, id, number, depth, parentId };
        await this.#storage.put(MESSAGE + id, message);
        return message;
    }

    async head() {
        const { id } = await this.#tail();
        return id === null ? undefined : this.get(id);
    }

    /* The conversation goes on from there; null: anew. */
    async setHead(id) {
        if (id !== null) {
            await this.#must(id);
        }
        await this.#storage.put(HEAD, { ...await this.#tail(), id });
    }

    /* Answers to a message, the oldest first; null: the first messages. */
    async children(id = null) {
        const ids = [...(await this.#storage.list({ prefix: `${CHILD}${id ?? ""}/` })).values()];
        return await Promise.all(ids.map((child) => this.get(child)));
    }

    /* The last `limit` messages up to `from` (the head), the oldest first; `next`: where the page before
     * begins, null: there is none. */
    async history({ from, limit } = {}) {
        const size = pageOf(limit);
        const messages = [];
        let id = from === undefined ? (await this.#tail()).id : from;
        while (id !== null && messages.length < size) {
            const message = await this.#must(id);
            messages.push(message);
            id = message.parentId;
        }
        return { messages: messages.reverse(), next: id };
    }

    /* The last message of each branch, the oldest first. */
    async branches() {
        const messages = await this.#storage.list({ prefix: MESSAGE });
        const parents = new Set([...messages.values()].map(({ parentId }) => parentId));
        return [...messages.values()].filter(({ id }) => !parents.has(id)).sort((a, b) => a.number - b.number);
    }

    /* All of them; the numbers go on. */
    async clear() {
        const { count } = await this.#tail();
        for (const prefix of [MESSAGE, CHILD]) {
            const keys = [...(await this.#storage.list({ prefix })).keys()];
            await Promise.all(keys.map((key) => this.#storage.delete(key)));
        }
        await this.#storage.put(HEAD, { id: null, count });
    }
}
