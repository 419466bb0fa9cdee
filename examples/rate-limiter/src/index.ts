// A rate limiter: a bucket of tokens for each key, which fills up again with time. A key that nobody uses
// leaves nothing behind: its alarm removes the bucket once it is full.
//
//     dormouse deploy examples/rate-limiter
//     dormouse call limits/RateLimiter/user-42 take
//     curl -i http://127.0.0.1:7420/w/limits/user-42
import { DurableObject } from "cloudflare:workers";

interface Env {
    BURST: number; // tokens of a full bucket
    PER_MINUTE: number; // that come back
    LIMITERS: { getByName(name: string): RateLimiter };
}

interface Bucket {
    tokens: number; // as of `at`
    at: number;
}

interface Verdict {
    allowed: boolean;
    remaining: number;
    retry_after_ms: number;
}

export class RateLimiter extends DurableObject<Env> {
    async take(count = 1): Promise<Verdict> {
        if (!(count > 0 && count <= this.env.BURST)) {
            throw new RangeError(`from 1 to ${this.env.BURST} tokens at a time`);
        }
        const now = Date.now();
        const tokens = await this.tokens(now);
        if (tokens < count) {
            const retry_after_ms = Math.ceil((count - tokens) * this.msPerToken);
            return { allowed: false, remaining: Math.floor(tokens), retry_after_ms };
        }
        const bucket: Bucket = { tokens: tokens - count, at: now };
        await this.ctx.storage.put("bucket", bucket);
        await this.ctx.storage.setAlarm(now + (this.env.BURST - bucket.tokens) * this.msPerToken);
        return { allowed: true, remaining: Math.floor(bucket.tokens), retry_after_ms: 0 };
    }

    async alarm(): Promise<void> {
        await this.ctx.storage.deleteAll();
    }

    private get msPerToken(): number {
        return 60_000 / this.env.PER_MINUTE;
    }

    private async tokens(now: number): Promise<number> {
        const bucket = await this.ctx.storage.get<Bucket>("bucket");
        if (bucket === undefined) {
            return this.env.BURST;
        }
        const since = Math.max(0, now - bucket.at); // clocks may step back
        return Math.min(this.env.BURST, bucket.tokens + since / this.msPerToken);
    }
}

export default {
    async fetch(request: Request, env: Env): Promise<Response> {
        const key = new URL(request.url).pathname.split("/").pop();
        if (!key) {
            return new Response("Whose? /w/limits/KEY\n", { status: 404 });
        }
        const verdict = await env.LIMITERS.getByName(key).take();
        const headers = { "Retry-After": String(Math.ceil(verdict.retry_after_ms / 1000)) };
        return verdict.allowed
            ? Response.json(verdict)
            : Response.json(verdict, { status: 429, headers });
    },
};
