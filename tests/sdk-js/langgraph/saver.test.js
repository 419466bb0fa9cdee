// What the validation does not ask: branches, large values, many writes, long names, and whole graphs.
import { randomBytes } from "node:crypto";

import { Annotation, Command, END, interrupt, MemorySaver, START, StateGraph } from "@langchain/langgraph";
import { emptyCheckpoint, ERROR, uuid6 } from "@langchain/langgraph-checkpoint";

import { newClient, newSaver } from "./clients.js";

const METADATA = { source: "loop", step: 1, parents: {} };
const config = (thread_id, checkpoint_id, checkpoint_ns = "") => ({ configurable: { thread_id, checkpoint_ns, ...(checkpoint_id ? { checkpoint_id } : {}) } });
function checkpoint(values, versions) {
    return { ...emptyCheckpoint(), id: uuid6(3), channel_values: values, channel_versions: versions };
}

it("branches of a thread keep their own values, though their versions are the same numbers", async () => {
    for (const savers of [1, 2]) {
        const client = newClient();
        const first = newSaver(client);
        const second = savers === 1 ? first : newSaver(client); // a new process knows nothing
        const root = await first.put(config("t"), checkpoint({ a: "root", b: 1 }, { a: 1, b: 1 }), METADATA, { a: 1, b: 1 });
        const left = await first.put(root, checkpoint({ a: "left", b: 1 }, { a: 2, b: 1 }), METADATA, { a: 2 });
        const right = await second.put(root, checkpoint({ a: "right", b: 1 }, { a: 2, b: 1 }), METADATA, { a: 2 });
        const leaf = await second.put(left, checkpoint({ a: "left", b: 2 }, { a: 2, b: 2 }), METADATA, { b: 2 });
        const values = await Promise.all([left, right, leaf].map(async (c) => (await newSaver(client).getTuple(c)).checkpoint.channel_values));
        expect(values).toEqual([{ a: "left", b: 1 }, { a: "right", b: 1 }, { a: "left", b: 2 }]);
    }
});

it("values of any size are kept, and shared by the checkpoints that did not change them", async () => {
    const client = newClient();
    const saver = newSaver(client);
    const big = Array.from({ length: 5 }, () => randomBytes(1_000_000).toString("base64"));
    let at = await saver.put(config("t"), checkpoint({ big, n: 0 }, { big: 1, n: 1 }), METADATA, { big: 1, n: 1 });
    const { bytes } = await saver.actor("t").info();
    for (let n = 1; n <= 3; n++) {
        at = await saver.put(at, checkpoint({ big, n }, { big: 1, n: n + 1 }), METADATA, { n: n + 1 });
    }
    expect((await saver.actor("t").info()).bytes - bytes).toBeLessThan(10_000);
    await saver.putWrites(at, [["big", big], ["other", big]], "task");
    const tuple = await newSaver(client).getTuple(config("t"));
    expect(tuple.checkpoint.channel_values).toEqual({ big, n: 3 });
    expect(tuple.pendingWrites).toEqual([["task", "big", big], ["task", "other", big]]);
});

it("of a task's writes the first ones stay, an error takes the place of the one before", async () => {
    const saver = newSaver();
    const at = await saver.put(config("t"), checkpoint({}, {}), METADATA, {});
    await saver.putWrites(at, [["a", 1], [ERROR, "one"]], "task", "path");
    await Promise.all([saver.putWrites(at, [["a", 2], ["b", 2]], "task", "path"), saver.putWrites(at, [[ERROR, "two"]], "task", "path")]);
    expect((await saver.getTuple(at)).pendingWrites).toEqual([["task", ERROR, "two"], ["task", "a", 1], ["task", "b", 2]]);
});

it("a task may write very much, under names as long as they like", async () => {
    const saver = newSaver();
    const ns = Array.from({ length: 8 }, (_, i) => `subgraph-${i}:${uuid6(i)}`).join("|");
    const at = await saver.put(config("t", undefined, ns), checkpoint({ ["c".repeat(600)]: 1 }, { ["c".repeat(600)]: 1 }), METADATA, { ["c".repeat(600)]: 1 });
    const writes = Array.from({ length: 180 }, (_, i) => [`channel-${i}`, i]);
    await saver.putWrites(at, writes, "task/with a slash".repeat(30));
    const tuple = await saver.getTuple(at);
    expect(tuple.config.configurable.checkpoint_ns).toBe(ns);
    expect(tuple.checkpoint.channel_values).toEqual({ ["c".repeat(600)]: 1 });
    expect(tuple.pendingWrites.map(([, channel, value]) => [channel, value])).toEqual(writes);
});

it("a list goes on over pages, from the newest on", async () => {
    const saver = newSaver();
    const ids = [];
    for (let n = 0; n < 130; n++) {
        ids.unshift((await saver.put(config("t"), checkpoint({ n }, { n: n + 1 }), { ...METADATA, step: n }, { n: n + 1 })).configurable.checkpoint_id);
    }
    const all = [];
    for await (const tuple of saver.list(config("t"))) {
        all.push(tuple.config.configurable.checkpoint_id);
    }
    expect(all).toEqual(ids);
    const some = [];
    for await (const tuple of saver.list(config("t"), { before: config("t", ids[3]), limit: 2 })) {
        some.push(tuple.checkpoint.channel_values.n);
    }
    expect(some).toEqual([125, 124]);
});

it("a deleted thread is gone, and others are not", async () => {
    const saver = newSaver();
    for (const thread of ["a", "b/c ü"]) {
        await saver.put(config(thread), checkpoint({ x: thread }, { x: 1 }), METADATA, { x: 1 });
    }
    await saver.deleteThread("a");
    expect(await saver.getTuple(config("a"))).toBeUndefined();
    const left = [];
    for await (const tuple of saver.list({})) {
        left.push(tuple.config.configurable.thread_id);
    }
    expect(left).toEqual(["b/c ü"]);
});

const State = Annotation.Root({
    log: Annotation({ reducer: (a, b) => a.concat(b), default: () => [] }),
    answer: Annotation(),
});
function graphOf(checkpointer) {
    return new StateGraph(State)
        .addNode("plan", () => ({ log: ["planned"] }))
        .addNode("ask", () => ({ answer: interrupt({ question: "May I?" }) }))
        .addNode("act", ({ answer }) => ({ log: [`acted on ${answer}`] }))
        .addEdge(START, "plan").addEdge("plan", "ask").addEdge("ask", "act").addEdge("act", END)
        .compile({ checkpointer });
}

it("a graph stops for a person, goes on in another process, and is forked from its past", async () => {
    const results = [];
    const client = newClient();
    const memory = new MemorySaver();
    for (const makeSaver of [() => newSaver(client), () => memory]) {
        const thread = { configurable: { thread_id: "chat-1" } };
        const stopped = await graphOf(makeSaver()).invoke({ log: ["began"] }, thread);
        const done = await graphOf(makeSaver()).invoke(new Command({ resume: "yes" }), thread);
        const history = [];
        for await (const state of graphOf(makeSaver()).getStateHistory(thread)) {
            history.push(state);
        }
        const past = history.find((state) => state.next[0] === "act");
        const forked = await graphOf(makeSaver()).updateState(past.config, { answer: "no" });
        const again = await graphOf(makeSaver()).invoke(null, forked);
        const original = await graphOf(makeSaver()).getState(history[0].config);
        results.push({
            asked: stopped.__interrupt__.map((one) => one.value), done, again, original: original.values,
            history: history.map((state) => [state.next, state.values, state.metadata.source]),
        });
    }
    expect(results[0]).toEqual(results[1]);
    expect(results[0].done).toEqual({ log: ["began", "planned", "acted on yes"], answer: "yes" });
    expect(results[0].again).toEqual({ log: ["began", "planned", "acted on no"], answer: "no" });
    expect(results[0].original).toEqual(results[0].done);
});
