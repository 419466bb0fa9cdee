import { DurableObject } from "cloudflare:workers";
import { outcome, scenario, shown } from "./harness.js";

export class Keeper extends DurableObject {
    async stored(name) {
        await this.ctx.storage.put("k", values[name]());
        await this.ctx.storage.sync();
        return JSON.stringify(shown(await this.ctx.storage.get("k")));
    }

    async echo(value) {
        return JSON.stringify(shown(value));
    }

    async givesCycle() {
        return values["a cycle"]();
    }
}

const values = {
    "the same object twice": () => {
        const one = { a: 1 };
        return [one, one, { one }];
    },
    "the same array twice": () => {
        const one = [1];
        return { a: one, b: one };
    },
    "the same date twice": () => {
        const one = new Date(5);
        return [one, one];
    },
    "the same bytes twice": () => {
        const one = new Uint8Array([1, 2]);
        return [one, one];
    },
    "the same map twice": () => {
        const one = new Map([["a", 1]]);
        return [one, one];
    },
    "the same error twice": () => {
        const one = new Error("m");
        return [one, one];
    },
    "the same expression twice": () => {
        const one = /a/g;
        return [one, one];
    },
    "a cycle": () => {
        const one = { a: 1 };
        one.self = one;
        return one;
    },
    "a cycle of an array": () => {
        const one = [1];
        one.push(one, [one]);
        return one;
    },
    "a cycle through a map": () => {
        const one = new Map();
        one.set("self", one);
        return one;
    },
    "a cycle through a set": () => {
        const one = new Set([1]);
        one.add(one);
        return one;
    },
    "a cycle through an error": () => {
        const one = new Error("m");
        one.cause = one;
        return [one.message, { one: "not compared" }];
    },
    "a list that is linked": () => {
        let last = null;
        for (let i = 0; i < 10; i++) {
            last = { i, last };
        }
        return last;
    },
    "parents and children": () => {
        const root = { name: "root", children: [] };
        for (const name of ["a", "b"]) {
            root.children.push({ name, parent: root });
        }
        return root;
    },
};

export default scenario({
    ...Object.fromEntries(Object.keys(values).map((name) => [`stored: ${name}`, (env) => outcome(async () => JSON.parse(await env.Keeper.getByName("one").stored(name)))])),
    ...Object.fromEntries(Object.keys(values).map((name) => [`called: ${name}`, (env) => outcome(async () => JSON.parse(await env.Keeper.getByName("one").echo(values[name]())))])),
    "a cycle as a result": (env) => env.Keeper.getByName("one").givesCycle(),
});
