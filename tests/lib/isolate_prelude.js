// A prelude for tests: the least that the program needs, and a way to run code in a child.
//
//   [256, id, source]  evaluates the source (as evaluate does) and answers [257, id, true, JSON] or
//                      [257, id, false, {name, message, stack, line, column, sourceURL}], once a promise
//                      that it gives is settled.
// Frames here are JSON, since the program itself does not look into frames.
(() => {
    const host = globalThis.__host;
    delete globalThis.__host;
    const timers = [];
    const text = bytes => JSON.parse(host.decode(bytes));
    const send = value => host.send(host.encode(JSON.stringify(value)));
    const reason = error => error === null || typeof error !== "object" ? {message: String(error)} : {
        name: error.name, message: error.message, stack: error.stack,
        line: error.line, column: error.column, sourceURL: error.sourceURL,
    };
    globalThis.host = host;
    globalThis.setTimeout = (run, ms) => { timers.push({run, at: host.now() + ms}); };
    globalThis.send = send;
    globalThis.received = text;
    host.onRejection((promise, error) => send([258, reason(error)]));
    async function run(id, source, url) {
        try {
            const value = await host.evaluate(source, url);
            const json = JSON.stringify(value === undefined ? null : value);
            send([257, id, true, json === undefined ? String(value) : JSON.parse(json)]);
        } catch (error) {
            send([257, id, false, reason(error)]);
        }
    }
    return {
        forked() { send([65, 0]); },
        frame(bytes) {
            const [kind, id, source, url] = text(bytes);
            if (kind === 256) run(id, source, url ?? "test.js");
            else throw new Error("kind " + kind);
        },
        tick(now) {
            for (const timer of timers.splice(0)) {
                if (timer.at <= now) timer.run(); else timers.push(timer);
            }
            return Math.min(Infinity, ...timers.map(timer => timer.at - host.now()));
        },
    };
})();
