/* performance, navigator, scheduler. */
import { EventTarget } from "./event.js";
import { host } from "../host.js";
import { clearTimeout, setTimeout } from "../timers.js";

class Performance extends EventTarget {
    get timeOrigin() {
        return origin.wall;
    }

    now() {
        return host.now() - origin.monotonic;
    }

    toJSON() {
        return { timeOrigin: this.timeOrigin };
    }
}

/* Of the isolate that was forked, not of its zygote. */
const origin = { wall: 0, monotonic: 0 };

export function beginTime() {
    origin.wall = Date.now();
    origin.monotonic = host.now();
}

export const performance = new Performance();

export const navigator = Object.freeze({ userAgent: "Cloudflare-Workers", language: "en", hardwareConcurrency: 1 });

export const scheduler = {
    wait(ms, options) {
        const signal = options?.signal;
        return new Promise((resolve, reject) => {
            if (signal?.aborted) {
                reject(signal.reason);
                return;
            }
            const timer = setTimeout(resolve, ms);
            signal?.addEventListener("abort", () => {
                clearTimeout(timer);
                reject(signal.reason);
            }, { once: true });
        });
    },
};
