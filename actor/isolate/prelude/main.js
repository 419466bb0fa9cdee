/* The end of the bundle (build.js): it makes throwaway preludes that run what most isolates will run, and
 * the real one. What runs here runs before the fork: children share the code that the engine compiled,
 * and compile little of their own; every page that they do not write they share.
 *
 *    warm     throwaway preludes run each scenario of warm.js, what is frequent many times
 *    collect  all garbage of that goes, so that no child has to collect it
 *    prime    more of them start: cells are now taken from the places that children go on with
 *    rehearse throwaway preludes and frames for each child to run before it is READY, and collect once more
 */
const host = globalThis.__host;
delete globalThis.__host;

/* Enough for the engine to compile what is frequent as well as it can (program.c has its thresholds): a
 * function counts 15 a call. */
const TIMES = 400;

const inert = {
    ...host,
    send() {},
    exit() {},
    onRejection() {},
    receive() {
        throw new Error("nobody answers before the fork");
    },
};

const NOTHING = Uint8Array.of(0x92, 7, 0); /* a frame that asks for nothing */

let real = null;

/* What a child does before it is asked for anything, so that what most do first is not new to its processor:
 * frames, each with the throwaway prelude that gets it. */
const rehearsal = [];
let rehearsed = 0;

/* Whoever calls before all promises here have settled (a test) gets a prelude that is cold. */
function prelude() {
    if (real === null) {
        real = makePrelude(host);
        real.install();
    }
    return real;
}

async function turns(count) {
    for (let i = 0; i < count; i++) {
        await null;
    }
}

/* Promises settle between two frames, as they do where these come through a channel. */
async function run(throwaway, frames) {
    for (const frame of frames) {
        throwaway.frame(frame);
        await turns(50);
        throwaway.tick(host.now());
        await turns(5);
    }
}

async function warm(throwaway, scenario, times) {
    throwaway.install();
    throwaway.forked();
    const { once, often } = throwaway.warmFrames(scenario);
    await run(throwaway, once);
    for (let i = 0; i < times; i++) {
        await run(throwaway, often(i));
    }
}

/* All are made before any of them runs: what the engine compiles while there is only one is bound to it,
 * and goes with it. */
async function prepare() {
    const scenarios = ["class", "execute", "module", "workflow"];
    const warmers = scenarios.map(() => makePrelude(inert));
    const primers = scenarios.map(() => makePrelude(inert));
    const ready = makePrelude(host);
    for (const [i, scenario] of scenarios.entries()) {
        await warm(warmers[i], scenario, TIMES);
    }
    host.collect();
    for (const [i, scenario] of scenarios.entries()) {
        await warm(primers[i], scenario, 1);
    }
    ready.install();
    real = primers[0];
    runtime.forked();
    for (let i = 0; i < TIMES; i++) {
        runtime.frame(NOTHING);
        runtime.tick(host.now());
    }
    real = ready;
    for (const scenario of ["class", "execute"]) {
        const throwaway = makePrelude(inert);
        rehearsal.push(...throwaway.warmFrames(scenario).first.map((frame) => [throwaway, frame]));
    }
    host.collect(); /* else some children would soon have to, and write all that they share */
}

const runtime = {
    frame: (bytes) => prelude().frame(bytes),
    tick: (now) => prelude().tick(now),
    forked: () => prelude().forked(),
    rehearse: () => {
        const [who, frame] = rehearsal[rehearsed++];
        who.frame(frame);
        return rehearsed < rehearsal.length;
    },
    warmFrames: (scenario) => prelude().warmFrames(scenario), /* for tests */
};

/* A host without `collect` is one of a test, which has no fork to prepare for. */
if (typeof host.collect === "function") {
    prepare();
}

return runtime;
