/* The base classes of "cloudflare:workers" and "dormouse". */
import { uncloneable } from "./clone.js";

export class DurableObject {
    constructor(ctx, env) {
        this.ctx = ctx;
        this.env = env;
    }
}

export class WorkerEntrypoint {
    constructor(ctx, env) {
        this.ctx = ctx;
        this.env = env;
    }
}

export class WorkflowEntrypoint {
    constructor(ctx, env) {
        this.ctx = ctx;
        this.env = env;
    }
}

/* Exported so that code which names it loads; an instance cannot leave its isolate. */
export class RpcTarget {}

/* "cloudflare:workflows": ends a step for good. */
export class NonRetryableError extends Error {
    constructor(message, name = "NonRetryableError") {
        super(message);
        Object.defineProperty(this, "name", { value: name, configurable: true, writable: true });
    }
}

for (const base of [DurableObject, WorkerEntrypoint, WorkflowEntrypoint, RpcTarget]) {
    Object.defineProperty(base.prototype, uncloneable, { value: true });
}

export const bases = new Set([
    Object.prototype, DurableObject.prototype, WorkerEntrypoint.prototype,
    WorkflowEntrypoint.prototype, RpcTarget.prototype,
]);
