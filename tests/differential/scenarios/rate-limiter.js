/* A bucket of tokens: each call takes one, and one comes back every so often. */
import { DurableObject } from "cloudflare:workers";
import { fresh, scenario } from "./harness.js";

export class RateLimiter extends DurableObject {
    static millisecondsPerRequest = 50;
    static millisecondsForUpdates = 1000;
    static capacity = 3;

    constructor(ctx, env) {
        super(ctx, env);
        this.tokens = RateLimiter.capacity;
    }

    async millisecondsToNextRequest(now) {
        this.refill(now);
        if (this.tokens > 0) {
            this.tokens--;
            return 0;
        }
        return RateLimiter.millisecondsPerRequest;
    }

    refill(now) {
        this.last ??= now;
        const more = Math.floor((now - this.last) / RateLimiter.millisecondsPerRequest);
        this.tokens = Math.min(RateLimiter.capacity, this.tokens + more);
        this.last += more * RateLimiter.millisecondsPerRequest;
    }

    async fetch(request) {
        const wait = await this.millisecondsToNextRequest(Number(await request.text()));
        return new Response(null, wait === 0 ? { status: 204 } : { status: 429, headers: { "retry-after": "1" } });
    }
}

export default scenario({
    async "a burst, a wait, and one more"(env) {
        const limiter = fresh(env.RateLimiter);
        const waits = [];
        for (const now of [0, 1, 2, 3, 4, 55, 56, 500, 500, 500, 500]) {
            waits.push(await limiter.millisecondsToNextRequest(now));
        }
        return waits;
    },
    async "by fetch"(env) {
        const limiter = fresh(env.RateLimiter);
        const seen = [];
        for (let i = 0; i < 5; i++) {
            const response = await limiter.fetch("http://limiter/", { method: "POST", body: "0" });
            seen.push([response.status, response.headers.get("retry-after")]);
        }
        return seen;
    },
});
