import { DurableObject, RpcTarget } from "cloudflare:workers";
import { fresh, outcomeName, scenario } from "./harness.js";

class Session extends RpcTarget {
    #counted = 0;

    next() {
        return ++this.#counted;
    }
}

export class Capable extends DurableObject {
    property = 5;

    async callMe(callback) {
        return callback(20);
    }

    async makeFunction() {
        return (x) => x + 1;
    }

    async session() {
        return new Session();
    }

    async stream() {
        return new Blob(["streamed"]).stream();
    }

    async response() {
        return new Response("a response", { status: 202 });
    }

    async stub(other) {
        return other.session !== undefined;
    }
}

/* What Workers RPC passes by reference. */
export default scenario({
    "a function as an argument": (env) => outcomeName(() => fresh(env.Capable).callMe((x) => x * 2)),
    "a function as a result": (env) => outcomeName(async () => (await fresh(env.Capable).makeFunction())(1)),
    "an RpcTarget as a result": (env) => outcomeName(async () => (await fresh(env.Capable).session()).next()),
    "a call on what is not there yet": (env) => outcomeName(() => fresh(env.Capable).session().next()),
    "a stream as a result": (env) => outcomeName(async () => new Response(await fresh(env.Capable).stream()).text()),
    "a response as a result": (env) => outcomeName(async () => (await fresh(env.Capable).response()).status),
    "a stub as an argument": (env) => outcomeName(() => fresh(env.Capable).stub(fresh(env.Capable))),
});
