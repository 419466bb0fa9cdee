import { DurableObject, env as imported } from "cloudflare:workers";
import * as workers from "cloudflare:workers";
import * as harness from "./harness.js";
import { fresh as renamed, scenario } from "./harness.js";

const top = await Promise.resolve("awaited at the top");
export class Other extends DurableObject {
    async lazily() {
        const { textOf } = await import("./harness.js");
        return textOf(new RangeError("x"));
    }

    async meta() {
        return typeof import.meta;
    }
}

export default scenario({
    "an import of everything": () => [typeof harness.fresh, Object.keys(harness).includes("scenario"), renamed === harness.fresh],
    "names of cloudflare:workers": () => ["DurableObject", "WorkerEntrypoint", "RpcTarget", "WorkflowEntrypoint", "env", "waitUntil"].map((name) => typeof workers[name]),
    "env": () => imported.GREETING,
    "an import at need": (env) => renamed(env.Other).lazily(),
    "import.meta": (env) => renamed(env.Other).meta(),
    "a top-level await": () => top,
});
