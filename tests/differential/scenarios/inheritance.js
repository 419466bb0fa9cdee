import { DurableObject } from "cloudflare:workers";
import { fresh, scenario } from "./harness.js";

class Countable extends DurableObject {
    async count() {
        const count = ((await this.ctx.storage.get(this.key)) ?? 0) + this.step;
        await this.ctx.storage.put(this.key, count);
        return count;
    }

    get key() {
        return "count";
    }
}

const named = (Base) => class extends Base {
    async describe() {
        return `${this.constructor.name}: ${await this.count()}`;
    }
};

export class ByOne extends named(Countable) {
    step = 1;
}

export class ByTen extends ByOne {
    step = 10;

    get key() {
        return "tens";
    }

    async count() {
        return -(await super.count());
    }
}

export default scenario({
    async "methods of all its classes"(env) {
        const [one, ten] = [fresh(env.ByOne), fresh(env.ByTen)];
        return [await one.count(), await one.describe(), await ten.count(), await ten.describe()];
    },
});
