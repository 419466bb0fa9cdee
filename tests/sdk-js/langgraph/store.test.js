// The store next to LangGraph's own in memory: the same batches, the same answers.
import { InMemoryStore } from "@langchain/langgraph-checkpoint";

import { newStore } from "./clients.js";

const plain = (item) => item && { namespace: item.namespace, key: item.key, value: item.value, score: item.score };
const byName = (a, b) => (JSON.stringify([a.namespace, a.key]) < JSON.stringify([b.namespace, b.key]) ? -1 : 1);

/* A generator of numbers from a seed, so that a failure can be had again. */
function randomOf(seed) {
    let state = seed;
    return (below) => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return Math.floor((state / 2 ** 32) * below);
    };
}

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
it.each([1, 2, 3])(`180 operations answer as in memory, with %i labels for an actor (seed ${seed})`, async (depth) => {
    const random = randomOf(seed + depth);
    const label = () => ["users", "u ü", "memories", "a/b"][random(4)];
    const namespace = () => Array.from({ length: 1 + random(4) }, label);
    const ours = newStore({ depth });
    const theirs = new InMemoryStore();
    for (let round = 0; round < 60; round++) {
        // Not both in one batch: what memory has read changes with the puts behind it.
        const isReading = random(2) === 0;
        const operations = Array.from({ length: 3 }, () => {
            const key = `k/${random(6)}`;
            switch (isReading ? random(3) : 3 + random(4)) {
            case 0:
                return { namespace: namespace(), key };
            case 3:
                return { namespace: namespace(), key, value: null };
            case 1:
                return { namespacePrefix: namespace().slice(random(2)), limit: 1000, filter: [undefined, { n: 3 }, { n: { $gte: 2, $lt: 8 } }, { kind: { $in: ["a"] } }][random(4)] };
            case 2:
                return { limit: 1000, offset: 0, maxDepth: [undefined, 1, 2][random(3)], matchConditions: [[], [{ matchType: "prefix", path: [label(), "*"] }], [{ matchType: "suffix", path: [label()] }]][random(3)] };
            default:
                return { namespace: namespace(), key, value: { n: random(10), kind: "ab"[random(2)], nested: { list: [1, "two"] } } };
            }
        });
        const [a, b] = await Promise.all([ours.batch(operations), theirs.batch(operations)]);
        const shown = (results) => results.map((r, i) => (r === undefined || r === null || "value" in operations[i] ? null : Array.isArray(r) && "namespacePrefix" in operations[i] ? r.map(plain).sort(byName) : Array.isArray(r) ? r.map(String).sort() : plain(r)));
        expect(shown(a)).toEqual(shown(b));
        for (const [name, items] of theirs.data) {
            if (items.size === 0) {
                theirs.data.delete(name); // memory lists a namespace also after its last item is gone
            }
        }
    }
});

it("an item keeps when it was made, over changes of many at once", async () => {
    const store = newStore();
    await store.put(["users", "a"], "n", { n: 0 });
    const before = await store.get(["users", "a"], "n");
    await Promise.all(Array.from({ length: 5 }, (_, n) => store.put(["users", "a"], "n", { n })));
    const after = await store.get(["users", "a"], "n");
    expect(after.createdAt).toEqual(before.createdAt);
    expect(after.updatedAt.getTime()).toBeGreaterThanOrEqual(before.updatedAt.getTime());
});

it("pages of a search are pages of one order", async () => {
    const store = newStore();
    await store.batch(Array.from({ length: 150 }, (_, i) => ({ namespace: ["docs", `d${i % 3}`], key: String(i), value: { i } })));
    const seen = [];
    for (let offset = 0; ; offset += 40) {
        const page = await store.search(["docs"], { offset, limit: 40 });
        seen.push(...page.map((item) => item.value.i));
        if (page.length < 40) {
            break;
        }
    }
    expect(seen.length).toBe(150);
    expect(new Set(seen).size).toBe(150);
});

it("a batch that is too large for one transaction is written in several", async () => {
    const store = newStore();
    const text = "x".repeat(900_000);
    await store.batch(Array.from({ length: 8 }, (_, i) => ({ namespace: ["big", "a"], key: String(i), value: { text } })));
    expect((await store.search(["big", "a"], { limit: 10 })).length).toBe(8);
    await expect(store.put(["big", "a"], "huge", { text: "x".repeat(3 << 20) })).rejects.toMatchObject({ code: "too_large" });
});

/* Directions of three words: what has more of one is nearer to it. */
const WORDS = ["cat", "dog", "bird"];
const embeddings = {
    embedQuery: async (text) => WORDS.map((word) => text.split(word).length - 1 + 0.01),
    embedDocuments: async (texts) => Promise.all(texts.map((text) => embeddings.embedQuery(text))),
};

it("a search by meaning gives what memory gives, nearest first", async () => {
    const index = { dims: 3, embeddings, fields: ["text", "parts[*]"] };
    const stores = [newStore({ index }), new InMemoryStore({ index })];
    for (const store of stores) {
        await store.put(["docs", "a"], "1", { text: "cat cat dog", parts: ["bird bird"] });
        await store.put(["docs", "a"], "2", { text: "dog" });
        await store.put(["docs", "b"], "3", { text: "cat" });
        await store.put(["docs", "b"], "4", { text: "cat cat" }, false);
    }
    for (const query of WORDS) {
        const [a, b] = await Promise.all(stores.map((store) => store.search(["docs"], { query, limit: 3 })));
        expect(a.map((item) => [item.key, item.score?.toFixed(6)])).toEqual(b.map((item) => [item.key, item.score?.toFixed(6)]));
    }
});

it("a namespace against the rules is refused", async () => {
    const store = newStore();
    await expect(store.put([], "k", {})).rejects.toThrow();
    await expect(store.put(["a.b"], "k", {})).rejects.toThrow();
    await expect(store.batch([{ namespace: [""], key: "k", value: {} }])).rejects.toThrow();
});
