/* What a prelude is warmed with runs to its end: else it would warm nothing. */
import assert from "node:assert/strict";
import test from "node:test";
import { Daemon, unpack } from "./daemon.js";

for (const [scenario, failures] of [["class", ["failed", "The RPC receiver does not implement the method \"none\"."]], ["execute", []], ["module", []]]) {
    test(`every event of the scenario ${scenario} ends as it should`, { skip: process.env.PRELUDE_ENGINE === "jsc" }, async () => {
        const daemon = new Daemon();
        ["get", "list", "call", "fetch_actor", "alarm"].forEach((type) => daemon.holds.add(type)); /* the scenario has the answers */
        const { once, often } = daemon.engine.runtime.warmFrames(scenario);
        const frames = [...once, ...often(0)].map((frame) => Uint8Array.from(frame));
        for (const frame of frames) {
            daemon.inbound.push(frame);
            await daemon.settle({ timers: false });
        }
        const events = frames.map((frame) => unpack(frame)).filter(([kind]) => kind === 2).map(([, id]) => id);
        assert.deepEqual([...daemon.done.keys()].sort((a, b) => a - b), events);
        assert.deepEqual([...daemon.done.values()].filter(([isGood]) => !isGood).map(([, error]) => error.message), failures);
        assert.deepEqual(daemon.held.map(([id]) => id), daemon.framesOf("ASK").map(([, id]) => id));
        assert.equal(daemon.held.length, frames.map((frame) => unpack(frame)).filter(([kind]) => kind === 3).length);
    });
}
