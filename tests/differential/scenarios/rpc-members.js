import { DurableObject } from "cloudflare:workers";
import { outcomeName, scenario } from "./harness.js";

class Base extends DurableObject {
    inherited() {
        return "inherited";
    }

    overridden() {
        return "base";
    }
}

export class Members extends Base {
    own = () => "a function of the instance";
    value = 5;
    #secret = 7;

    overridden() {
        return `${super.overridden()} and over`;
    }

    static fixed() {
        return "static";
    }

    #hidden() {
        return this.#secret;
    }

    reveals() {
        return this.#hidden();
    }

    _underscore() {
        return "underscore";
    }

    "with a space"() {
        return "space";
    }

    async fetch() {
        return new Response("fetch");
    }

    alarm() {
        return "alarm";
    }
}

const names = [
    "inherited", "overridden", "reveals", "_underscore", "with a space", "nothing", "own", "fixed", "constructor", "toString",
    "hasOwnProperty", "#hidden", "ctx", "env", "__proto__", "isPrototypeOf", "toJSON",
];

export default scenario({
    ...Object.fromEntries(names.map((name) => [`the method ${name}`, (env) => outcomeName(() => env.Members.getByName("one")[name]())])),
    async "the message of one that is not there"(env) {
        return env.Members.getByName("one").nothing().catch((error) => error.message);
    },
});
