import { DurableObject } from "cloudflare:workers";
import { fresh, outcome, outcomeName, scenario, until } from "./harness.js";

export class Alarmed extends DurableObject {
    async run(name) {
        return forms[name](this.ctx.storage);
    }

    async rings(count, options) {
        await this.ctx.storage.put({ left: count, seen: [], ...options });
        await this.ctx.storage.setAlarm(Date.now() + 10);
    }

    async seen() {
        return this.ctx.storage.get("seen");
    }

    async alarm(info) {
        const { storage } = this.ctx;
        const seen = await storage.get("seen");
        const left = (await storage.get("left")) - 1;
        seen.push({ alarm: await storage.getAlarm(), info: [info.retryCount, info.isRetry] });
        await storage.put({ seen, left });
        if (left > 0) {
            await storage.setAlarm(Date.now() + 10);
            seen.at(-1).again = (await storage.getAlarm()) !== null;
            await storage.put("seen", seen);
        }
    }
}

const forms = {
    async "set, get and delete"(s) {
        const at = Date.now() + 100000;
        return [await s.getAlarm(), await s.setAlarm(at), (await s.getAlarm()) === at, await s.deleteAlarm(), await s.getAlarm()];
    },
    async "a Date is a time"(s) {
        const at = new Date(Date.now() + 100000);
        await s.setAlarm(at);
        return [(await s.getAlarm()) === at.getTime(), typeof (await s.getAlarm())];
    },
    async "the last one counts"(s) {
        await s.setAlarm(Date.now() + 100000);
        const at = Date.now() + 200000;
        await s.setAlarm(at);
        return (await s.getAlarm()) === at;
    },
    async "fractions"(s) {
        const at = Date.now() + 100000;
        await s.setAlarm(at + 0.7);
        return (await s.getAlarm()) - at;
    },
    async "no times"(s) {
        return [await outcomeName(() => s.setAlarm("x")), await outcomeName(() => s.setAlarm(NaN)), await outcomeName(() => s.setAlarm()),
                await outcomeName(() => s.setAlarm(-1)), await outcomeName(() => s.setAlarm(0)), await outcomeName(() => s.setAlarm(null))];
    },
    async "seen before it is written"(s) {
        const at = Date.now() + 100000;
        s.setAlarm(at);
        const seen = (await s.getAlarm()) === at;
        s.deleteAlarm();
        return [seen, await s.getAlarm()];
    },
    async "no alarm is no key"(s) {
        await s.setAlarm(Date.now() + 100000);
        return s.list();
    },
};

/* A class that cannot hear one. */
export class Deaf extends DurableObject {
    async set() {
        return [await outcome(() => this.ctx.storage.setAlarm(Date.now() + 1000)), await this.ctx.storage.getAlarm(),
                await outcome(() => this.ctx.storage.deleteAlarm())];
    }
}

async function rung(env, times) {
    const alarmed = fresh(env.Alarmed);
    await alarmed.rings(times);
    return until(async () => {
        const seen = await alarmed.seen();
        return seen.length >= times && seen;
    });
}

export default scenario({
    ...Object.fromEntries(Object.keys(forms).map((name) => [name, (env) => fresh(env.Alarmed).run(name)])),
    "a class without alarm()": (env) => fresh(env.Deaf).set(),
    "an alarm rings once": (env) => rung(env, 1),
    "an alarm that is set again by its handler rings again": (env) => rung(env, 3),
});
