import { DurableObject } from "cloudflare:workers";
import { fresh, outcome, scenario } from "./harness.js";

export class Echo extends DurableObject {
    field = "a field";

    echo(...args) {
        return args;
    }

    async count() {
        return arguments.length;
    }

    nothing() {}

    isNull() {
        return null;
    }

    sync(a, b) {
        return a + b;
    }

    async promised() {
        return Promise.resolve(new Map([[1, 2]]));
    }

    defaults(a, b = 5, ...rest) {
        return [a, b, rest];
    }

    thenable() {
        return { then(resolve) { resolve("from then"); } };
    }

    uses() {
        return typeof this.ctx === "object" && this.ctx.storage !== undefined && this.env.Echo !== undefined;
    }

    mutates(value) {
        value.changed = true;
        return value;
    }

    async *generator() {
        yield 1;
    }

    get computed() {
        return 5;
    }
}

export default scenario({
    "arguments": (env) => fresh(env.Echo).echo(1, "two", [3], { four: 4 }, null, undefined, true),
    "no arguments": (env) => fresh(env.Echo).echo(),
    "how many": async (env) => [await fresh(env.Echo).count(), await fresh(env.Echo).count(undefined), await fresh(env.Echo).count(1, undefined)],
    "nothing": (env) => fresh(env.Echo).nothing(),
    "null": (env) => fresh(env.Echo).isNull(),
    "synchronous": (env) => fresh(env.Echo).sync(2, 3),
    "promised": (env) => fresh(env.Echo).promised(),
    "defaults": async (env) => [await fresh(env.Echo).defaults(1), await fresh(env.Echo).defaults(1, undefined, 3), await fresh(env.Echo).defaults(1, 2, 3, 4)],
    "a thenable": (env) => fresh(env.Echo).thenable(),
    "ctx and env": (env) => fresh(env.Echo).uses(),
    async "arguments are copies"(env) {
        const value = { a: 1 };
        return [await fresh(env.Echo).mutates(value), value];
    },
    "rich values": (env) => fresh(env.Echo).echo(new Map([["a", new Set([1])]]), new Date(5), 10n, new Uint8Array([1]), new Error("e")),
    "large values": async (env) => (await fresh(env.Echo).echo("x".repeat(1000000)))[0].length,
    async "calls at once come in order"(env) {
        const echo = fresh(env.Echo);
        return Promise.all(Array.from({ length: 10 }, (_, i) => echo.echo(i)));
    },
    async "a call gives a promise"(env) {
        const call = fresh(env.Echo).sync(1, 2);
        return [typeof call.then, typeof call.catch, typeof call.finally, await call];
    },
    "a method that is taken from its stub": async (env) => {
        const { sync } = fresh(env.Echo);
        return outcome(() => sync(1, 2));
    },
    "a stub's members": (env) => {
        const echo = fresh(env.Echo);
        return [typeof echo, typeof echo.fetch, typeof echo.echo, typeof echo.then, typeof echo.anything, typeof echo.id, typeof echo.name];
    },
});
