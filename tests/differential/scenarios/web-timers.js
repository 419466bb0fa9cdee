import { outcomeName, scenario } from "./harness.js";

const settled = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export default scenario({
    "the order of tasks": async () => {
        const seen = [];
        setTimeout(() => seen.push("timer"), 0);
        queueMicrotask(() => seen.push("microtask"));
        Promise.resolve().then(() => seen.push("promise"));
        seen.push("now");
        await settled(5);
        return seen;
    },
    "the order of timers": async () => {
        const seen = [];
        setTimeout(() => seen.push(20), 20);
        setTimeout(() => seen.push(0), 0);
        setTimeout(() => seen.push(10), 10);
        setTimeout(() => seen.push("also 0"), 0);
        await settled(40);
        return seen;
    },
    "microtasks between timers": async () => {
        const seen = [];
        setTimeout(() => {
            seen.push("one");
            queueMicrotask(() => seen.push("microtask"));
        }, 0);
        setTimeout(() => seen.push("two"), 0);
        await settled(10);
        return seen;
    },
    "nested timers": async () => {
        const seen = [];
        setTimeout(() => {
            seen.push("outer");
            setTimeout(() => seen.push("inner"), 0);
        }, 0);
        await settled(20);
        return seen;
    },
    "arguments": async () => new Promise((resolve) => setTimeout((...args) => resolve(args), 0, 1, "two")),
    "clearTimeout": async () => {
        let fired = false;
        const timer = setTimeout(() => {
            fired = true;
        }, 1);
        clearTimeout(timer);
        clearTimeout(undefined);
        clearTimeout(123456);
        await settled(10);
        return fired;
    },
    "setInterval": async () => {
        let count = 0;
        await new Promise((resolve) => {
            const timer = setInterval(() => {
                if (++count === 3) {
                    clearInterval(timer);
                    resolve();
                }
            }, 1);
        });
        await settled(10);
        return count;
    },
    "a timer's number": () => {
        const timer = setTimeout(() => {}, 0);
        return [typeof timer, timer > 0];
    },
    "what is no function": async () => [await outcomeName(() => typeof setTimeout("code", 0)), await outcomeName(() => queueMicrotask(5))],
    "wait": async () => [await scheduler.wait(1), typeof performance.now(), performance.now() <= performance.now(), typeof performance.timeOrigin],
    "deep promises": async () => {
        const seen = [];
        (async () => {
            seen.push(1);
            await null;
            seen.push(3);
            await null;
            seen.push(5);
        })();
        seen.push(2);
        await null;
        seen.push(4);
        await null;
        seen.push(6);
        return seen;
    },
});
