import { outcome, scenario, textOf, until } from "./harness.js";

export default scenario({
    "a controller": () => {
        const controller = new AbortController();
        const seen = [];
        controller.signal.addEventListener("abort", (event) => seen.push([event.type, event.target === controller.signal]));
        controller.signal.onabort = () => seen.push("handler");
        controller.abort();
        controller.abort("again");
        return [controller.signal.aborted, textOf(controller.signal.reason), seen];
    },
    "a reason": () => {
        const controller = new AbortController();
        controller.abort("why");
        return [controller.signal.reason, AbortSignal.abort(5).reason];
    },
    "throwIfAborted": async () => {
        const controller = new AbortController();
        controller.signal.throwIfAborted();
        controller.abort();
        return outcome(() => controller.signal.throwIfAborted());
    },
    "a timeout": async () => {
        const signal = AbortSignal.timeout(5);
        const before = signal.aborted;
        await until(() => signal.aborted);
        return [before, signal.aborted, textOf(signal.reason)];
    },
    "any": () => {
        const [a, b] = [new AbortController(), new AbortController()];
        const any = AbortSignal.any([a.signal, b.signal]);
        const before = any.aborted;
        b.abort("b");
        return [before, any.aborted, any.reason, AbortSignal.any([]).aborted, AbortSignal.any([AbortSignal.abort(1)]).reason];
    },
    "no constructor": () => {
        try {
            new AbortSignal();
        } catch (error) {
            return error.name;
        }
    },
    "an aborted wait": () => outcome(() => scheduler.wait(1000, { signal: AbortSignal.abort() })),
});
