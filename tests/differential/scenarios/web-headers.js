import { outcomeName, scenario } from "./harness.js";

export default scenario({
    "from an object": () => [...new Headers({ B: "2", a: "1" })],
    "from pairs": () => [...new Headers([["x", "1"], ["X", "2"], ["y", " trimmed "]])],
    "from headers": () => [...new Headers(new Headers({ a: "1" }))],
    "from a map": () => [...new Headers(new Map([["a", "1"]]))],
    "append and set": () => {
        const headers = new Headers();
        headers.append("a", "1");
        headers.append("A", "2");
        const appended = headers.get("a");
        headers.set("a", "3");
        return [appended, headers.get("A"), headers.has("a"), headers.get("b"), headers.delete("a"), headers.has("a")];
    },
    "order": () => [...new Headers({ c: "3", B: "2", a: "1" }).keys()],
    "set-cookie": () => {
        const headers = new Headers([["set-cookie", "a=1"], ["Set-Cookie", "b=2"], ["a", "x"]]);
        return [headers.getSetCookie(), headers.get("set-cookie"), [...headers]];
    },
    "iteration": () => {
        const headers = new Headers({ a: "1", b: "2" });
        const seen = [];
        headers.forEach((value, name, all) => seen.push([name, value, all === headers]));
        return [seen, [...headers.keys()], [...headers.values()], [...headers.entries()]];
    },
    "bad names": async () => [await outcomeName(() => new Headers({ "a b": "1" })), await outcomeName(() => new Headers().get("\n"))],
    "bad values": async () => [await outcomeName(() => new Headers({ a: "1\n2" })), await outcomeName(() => new Headers({ a: "\u0000" }))],
    "bad pairs": async () => [await outcomeName(() => new Headers([["a"]])), await outcomeName(() => new Headers(5)), await outcomeName(() => new Headers(null))],
    "values that are no text": () => [...new Headers({ a: 1, b: null, c: undefined, d: true })],
    "what it is": () => [Object.prototype.toString.call(new Headers()), new Headers() instanceof Headers, Headers.name, Headers.length],
});
