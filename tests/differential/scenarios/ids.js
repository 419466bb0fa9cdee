import { DurableObject } from "cloudflare:workers";
import { outcome, outcomeName, scenario } from "./harness.js";

export class Named extends DurableObject {
    async who() {
        return [this.ctx.id.name ?? null, typeof this.ctx.id.toString(), this.ctx.id.toString().length];
    }

    async hex() {
        return this.ctx.id.toString();
    }

    async same(id) {
        return this.ctx.id.equals(this.env.Named.idFromString(id));
    }
}

export class Other extends DurableObject {}

export default scenario({
    "a name": (env) => {
        const id = env.Named.idFromName("a name");
        return [id.name, /^[0-9a-f]{64}$/.test(id.toString()), String(id) === id.toString(), typeof id];
    },
    "the same name": (env) => {
        const [a, b, c] = ["x", "x", "y"].map((name) => env.Named.idFromName(name));
        return [a.equals(b), a.equals(c), a.toString() === b.toString(), a === b, a.toString() === c.toString()];
    },
    "the same name of another class": (env) => {
        const [a, b] = [env.Named.idFromName("x"), env.Other.idFromName("x")];
        return [a.toString() === b.toString(), a.equals(b)];
    },
    "unique ids": (env) => {
        const [a, b] = [env.Named.newUniqueId(), env.Named.newUniqueId()];
        return [a.equals(b), a.equals(a), /^[0-9a-f]{64}$/.test(a.toString()), a.name ?? null, "name" in a];
    },
    "an id from its digits": (env) => {
        const id = env.Named.newUniqueId();
        const again = env.Named.idFromString(id.toString());
        return [again.equals(id), again.toString() === id.toString(), again.name ?? null];
    },
    "the digits of a name": (env) => {
        const id = env.Named.idFromName("x");
        const again = env.Named.idFromString(id.toString());
        return [again.equals(id), id.equals(again), again.name ?? null];
    },
    "digits in capitals": (env) => {
        const id = env.Named.newUniqueId();
        return outcomeName(() => env.Named.idFromString(id.toString().toUpperCase()).equals(id));
    },
    "no digits": async (env) => Promise.all(["", "x", "0".repeat(63), "0".repeat(65), "g".repeat(64), undefined, null].map(
        (digits) => outcomeName(() => env.Named.idFromString(digits).toString().length))),
    "digits of another class": (env) => outcomeName(() => env.Named.idFromString(env.Other.newUniqueId().toString()).toString().length),
    "an id of another class": (env) => outcomeName(() => typeof env.Named.get(env.Other.newUniqueId())),
    "no id": (env) => outcomeName(() => typeof env.Named.get("x")),
    "equals what is no id": (env) => outcomeName(() => env.Named.newUniqueId().equals({})),
    "a name that is a number": async (env) => outcome(() => env.Named.idFromName(5).name),
    "an empty name": async (env) => outcomeName(() => env.Named.idFromName("").name),
    "a name in Unicode": async (env) => env.Named.getByName("é\u{1f600}").who(),
    "what the object knows": async (env) => [await env.Named.getByName("known").who(), await env.Named.get(env.Named.idFromName("known")).who()],
    "what an object without a name knows": async (env) => env.Named.get(env.Named.newUniqueId()).who(),
    "the digits are those of the object": async (env) => {
        const id = env.Named.idFromName("digits");
        return [(await env.Named.get(id).hex()) === id.toString(), await env.Named.get(id).same(id.toString())];
    },
    "a stub's id and name": (env) => {
        const id = env.Named.idFromName("stub");
        const stub = env.Named.get(id);
        return [stub.id.equals(id), stub.name, stub.id.name, env.Named.getByName("stub").id.equals(id),
                env.Named.get(env.Named.newUniqueId()).name ?? null];
    },
    "ids are no values": (env) => outcomeName(() => JSON.stringify({ id: env.Named.idFromName("x") })),
    "a binding's members": (env) => ["idFromName", "newUniqueId", "idFromString", "get", "getByName", "jurisdiction"].map((name) => typeof env.Named[name]),
});
