import { outcomeName, scenario } from "./harness.js";

export default scenario({
    "listeners in order": () => {
        const target = new EventTarget();
        const seen = [];
        for (const i of [1, 2, 3]) {
            target.addEventListener("x", () => seen.push(i));
        }
        return [target.dispatchEvent(new Event("x")), seen];
    },
    "once": () => {
        const target = new EventTarget();
        let count = 0;
        target.addEventListener("x", () => count++, { once: true });
        target.dispatchEvent(new Event("x"));
        target.dispatchEvent(new Event("x"));
        return count;
    },
    "the same listener twice": () => {
        const target = new EventTarget();
        let count = 0;
        const listener = () => count++;
        target.addEventListener("x", listener);
        target.addEventListener("x", listener);
        target.dispatchEvent(new Event("x"));
        target.removeEventListener("x", listener);
        target.dispatchEvent(new Event("x"));
        return count;
    },
    "handleEvent": () => {
        const target = new EventTarget();
        const seen = [];
        target.addEventListener("x", { handleEvent(event) { seen.push(event.type); } });
        target.dispatchEvent(new Event("x"));
        return seen;
    },
    "stopImmediatePropagation": () => {
        const target = new EventTarget();
        const seen = [];
        target.addEventListener("x", (event) => {
            seen.push(1);
            event.stopImmediatePropagation();
        });
        target.addEventListener("x", () => seen.push(2));
        target.dispatchEvent(new Event("x"));
        return seen;
    },
    "preventDefault": () => {
        const target = new EventTarget();
        target.addEventListener("x", (event) => event.preventDefault());
        return [target.dispatchEvent(new Event("x", { cancelable: true })), target.dispatchEvent(new Event("x"))];
    },
    "a signal": () => {
        const target = new EventTarget();
        const controller = new AbortController();
        let count = 0;
        target.addEventListener("x", () => count++, { signal: controller.signal });
        target.dispatchEvent(new Event("x"));
        controller.abort();
        target.dispatchEvent(new Event("x"));
        return count;
    },
    "an event's members": () => {
        const event = new Event("x", { bubbles: true, cancelable: true });
        return [event.type, event.bubbles, event.cancelable, event.defaultPrevented, event.composed, event.eventPhase, event.target ?? null];
    },
    "kinds of events": () => [new CustomEvent("c", { detail: 5 }).detail, new MessageEvent("m", { data: "d" }).data,
        new CloseEvent("c", { code: 1000, reason: "r", wasClean: true }).code, new ErrorEvent("e", { message: "m" }).message],
    "a class of its own": () => {
        class Mine extends EventTarget {
            fire() {
                return this.dispatchEvent(new Event("mine"));
            }
        }
        const mine = new Mine();
        let self = false;
        mine.addEventListener("mine", function () {
            self = this === mine;
        });
        return [mine.fire(), self];
    },
    "the target": () => {
        const target = new EventTarget();
        const seen = [];
        target.addEventListener("x", (event) => seen.push(event.target === target, event.currentTarget === target));
        target.dispatchEvent(new Event("x"));
        return seen;
    },
    "no event": () => outcomeName(() => new EventTarget().dispatchEvent({ type: "x" })),
});
