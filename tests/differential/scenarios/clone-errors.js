import { DurableObject } from "cloudflare:workers";
import { outcome, scenario, shown } from "./harness.js";

class Mine extends Error {
    name = "Mine";
    extra = 1;
}

class Named extends TypeError {}

export class Keeper extends DurableObject {
    async stored(name) {
        await this.ctx.storage.put("k", values[name]());
        await this.ctx.storage.sync();
        return JSON.stringify(shown(await this.ctx.storage.get("k")));
    }

    async echo(value) {
        return value;
    }
}

const values = {
    "Error": () => new Error("m"),
    "without a message": () => new Error(),
    "TypeError": () => new TypeError("m"),
    "RangeError": () => new RangeError("m"),
    "SyntaxError": () => new SyntaxError("m"),
    "ReferenceError": () => new ReferenceError("m"),
    "EvalError": () => new EvalError("m"),
    "URIError": () => new URIError("m"),
    "a class of its own": () => new Mine("m"),
    "a class of its own without a name": () => new Named("m"),
    "a name that was set": () => Object.assign(new Error("m"), { name: "Other" }),
    "with a cause": () => new Error("m", { cause: new TypeError("inner") }),
    "with a cause that is a value": () => new Error("m", { cause: { a: [1] } }),
    "with members": () => Object.assign(new Error("m"), { code: 5, detail: { a: 1 } }),
    "in an array": () => [new Error("a"), new RangeError("b")],
};

export default scenario({
    ...Object.fromEntries(Object.keys(values).map((name) => [`stored: ${name}`, (env) => outcome(async () => JSON.parse(await env.Keeper.getByName("one").stored(name)))])),
    ...Object.fromEntries(Object.keys(values).map((name) => [`called: ${name}`, (env) => outcome(() => env.Keeper.getByName("one").echo(values[name]()))])),
});
