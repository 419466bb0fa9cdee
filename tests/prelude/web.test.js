/* The Web APIs, as code of users finds them. */
import assert from "node:assert/strict";
import test from "node:test";
import { js } from "./daemon.js";

/* [what, code, value] */
const cases = [
    ["names of classes are theirs", "return [Headers.name, Request.name, Response.name, Headers.length]", ["Headers", "Request", "Response", 0]],
    ["DOMException has its constants", "return [DOMException.NOT_FOUND_ERR, DOMException.DATA_CLONE_ERR, new DOMException('').INVALID_CHARACTER_ERR, Object.prototype.toString.call(new DOMException('x'))]",
     [8, 25, 5, "[object DOMException]"]],
    ["objects of the platform are no values", "const n = []; for (const one of [new Event('x'), new TextEncoder(), new ReadableStream(), new URL('http://a')]) try { structuredClone(one); n.push('cloned'); } catch (e) { n.push(e.name); } return n",
     Array(4).fill("DataCloneError")],
    ["an empty text is no body of a status without one", "const r = new Response('', { status: 204 }); return [r.status, r.body]", [204, null]],
    ["errors are cloned with their members", "const c = structuredClone(Object.assign(new TypeError('m'), { code: 5 })); return [c.name, c.code]", ["TypeError", 5]],
    ["streams are compressed, and what is cut short or no such data is a TypeError", `
        const through = (stream, ...pairs) => pairs.reduce((at, pair) => at.pipeThrough(pair), stream);
        const told = [];
        for (const format of ["gzip", "deflate", "deflate-raw"]) {
            const packed = await new Response(through(new Blob(["x".repeat(100000)]).stream(), new CompressionStream(format))).bytes();
            told.push(packed.length < 1000, (await new Response(through(new Blob([packed]).stream(), new DecompressionStream(format))).text()).length);
            for (const bad of [packed.slice(0, -20), new Uint8Array(20).fill(255), new Uint8Array(0)]) {
                try { await new Response(through(new Blob([bad]).stream(), new DecompressionStream(format))).text(); told.push("read"); } catch (e) { told.push(e.name); }
            }
        }
        try { new CompressionStream("zip"); } catch (e) { told.push(e.name); }
        return told;`, [...Array(3).fill([true, 100000, "TypeError", "TypeError", "TypeError"]).flat(), "TypeError"]],
    ["reportError is there", "return [typeof reportError, reportError(new Error('seen')) === undefined]", ["function", true]],
    ["base64", "return [btoa('hé'), atob('aMOp').length, atob(' aGk '), btoa(''), btoa('\\x00\\xff')]", ["aOk=", 3, "hi", "", "AP8="]],
    ["bad base64 is an InvalidCharacterError", "const n = []; for (const f of [() => btoa('\\u0100'), () => atob('a'), () => atob('a$b='), () => atob('YQ=a')]) try { f(); } catch (e) { n.push(e.name, e.code); } return n",
     ["InvalidCharacterError", 5, "InvalidCharacterError", 5, "InvalidCharacterError", 5, "InvalidCharacterError", 5]],
    ["TextEncoder and TextDecoder", "return [[...new TextEncoder().encode('é€')], new TextDecoder().decode(new Uint8Array([0xef, 0xbb, 0xbf, 0x61, 0xff])), new TextDecoder('utf-8', { ignoreBOM: true }).decode(new Uint8Array([0xef, 0xbb, 0xbf])).length, new TextDecoder().encoding]",
     [[0xc3, 0xa9, 0xe2, 0x82, 0xac], "a\ufffd", 1, "utf-8"]],
    ["a fatal decoder refuses", "try { new TextDecoder('utf8', { fatal: true }).decode(new Uint8Array([0xff])); } catch (e) { return e.name; }", "TypeError"],
    ["a decoder keeps unfinished characters between chunks", `
        const bytes = new TextEncoder().encode("aé€\u{1f600}z"); const out = [];
        for (const size of [1, 2, 3, 4]) { const d = new TextDecoder(); let s = ""; for (let i = 0; i < bytes.length; i += size) s += d.decode(bytes.subarray(i, i + size), { stream: true }); out.push(s + d.decode()); }
        return out;`, Array(4).fill("aé€\u{1f600}z")],
    ["old encodings are decoded", "return [new TextDecoder('windows-1252').decode(new Uint8Array([0x80])), new TextDecoder('utf-16le').decode(new Uint8Array([0x61, 0])), new TextDecoder('shift_jis').decode(new Uint8Array([0x82, 0xa0])), new TextDecoder('latin1').encoding]",
     ["€", "a", "あ", "windows-1252"]],
    ["an unknown encoding is a RangeError", "try { new TextDecoder('nothing'); } catch (e) { return e.name; }", "RangeError"],
    ["encodeInto writes whole characters", "const b = new Uint8Array(4); return [new TextEncoder().encodeInto('a€€', b), [...b]]", [{ read: 2, written: 4 }, [97, 0xe2, 0x82, 0xac]]],
    ["URL", "const u = new URL('../b?x=1&y=%20#h', 'https://user:pw@Example.com:443/a/c'); u.searchParams.append('z', 'é'); return [u.href, u.origin, u.host, u.pathname, u.hash, u.search, JSON.stringify(u), URL.canParse('x:'), URL.canParse('//')]",
     ["https://user:pw@example.com/b?x=1&y=+&z=%C3%A9#h", "https://example.com", "example.com", "/b", "#h", "?x=1&y=+&z=%C3%A9", "\"https://user:pw@example.com/b?x=1&y=+&z=%C3%A9#h\"", true, false]],
    ["names of hosts are mapped to ASCII", "return [new URL('https://BÜCHER.example/ä?ö').href, new URL('http://xn--bcher-kva.example').hostname]", ["https://xn--bcher-kva.example/%C3%A4?%C3%B6", "xn--bcher-kva.example"]],
    ["a bad URL is a TypeError", "try { new URL('nope'); } catch (e) { return [e.name, e instanceof TypeError]; }", ["TypeError", true]],
    ["URLSearchParams", "const p = new URLSearchParams('?a=1&b=2&a=3'); p.sort(); p.set('c', '+ ü'); return [p.getAll('a'), p.toString(), [...new URLSearchParams({ x: 'y' })], p.size]", [["1", "3"], "a=1&a=3&b=2&c=%2B+%C3%BC", [["x", "y"]], 4]],
    ["URLPattern", "const m = new URLPattern({ pathname: '/users/:id' }).exec('https://x.y/users/7'); return [m.pathname.groups.id, new URLPattern('/a/*', 'https://x.y').test('https://x.y/a/b/c'), new URLPattern({ pathname: '/a' }).test('https://x.y/b')]", ["7", true, false]],
    ["Headers", `
        const h = new Headers({ "X-A": " 1 ", "content-type": "t" }); h.append("x-a", "2"); h.append("Set-Cookie", "a=1"); h.append("set-cookie", "b=2");
        return [[...h], h.get("X-a"), h.getSetCookie(), h.has("nope"), h.get("nope"), h.get("set-cookie"), [...new Headers([["a", "b"]])]];`,
     [[["content-type", "t"], ["set-cookie", "a=1"], ["set-cookie", "b=2"], ["x-a", "1, 2"]], "1, 2", ["a=1", "b=2"], false, null, "a=1, b=2", [["a", "b"]]]],
    ["bad headers are a TypeError", "const n = []; for (const f of [() => new Headers({ 'a b': '1' }), () => new Headers({ a: 'x\\ny' }), () => new Headers({ a: '\\u0100' }), () => new Headers([['a']]), () => new Headers(1)]) try { f(); n.push('none'); } catch (e) { n.push(e.name); } return n", Array(5).fill("TypeError")],
    ["Request", `
        const r = new Request("http://x.y/a b#c", { method: "post", body: "hi", headers: { a: "b" } });
        const c = r.clone(); const again = new Request(r, { headers: { z: "1" } });
        return [r.method, r.url, r.bodyUsed, await c.text(), await again.text(), c.headers.get("content-type"), [...again.headers], r.redirect, r.signal instanceof AbortSignal];`,
     ["POST", "http://x.y/a%20b#c", true, "hi", "hi", "text/plain;charset=UTF-8", [["z", "1"]], "follow", true]],
    ["a GET with a body is refused", "try { new Request('http://x', { body: 'a' }); } catch (e) { return e.name; }", "TypeError"],
    ["Response", `
        const r = new Response("body", { status: 201, headers: { a: "b" } });
        const c = r.clone();
        return [r.status, r.ok, await r.text(), await c.text(), r.bodyUsed, await Response.json({ a: 1 }).json(), Response.redirect("http://x/y", 301).headers.get("location"), new Response(null).body, Response.error().type, Response.json(1).headers.get("content-type")];`,
     [201, true, "body", "body", true, { a: 1 }, "http://x/y", null, "error", "application/json"]],
    ["a bad status is a RangeError, a body where there is none a TypeError", "const n = []; for (const f of [() => new Response('', { status: 199 }), () => new Response('', { status: 600 }), () => new Response(null, { status: 101 }), () => new Response('x', { status: 204 }), () => Response.redirect('http://x', 200)]) try { f(); } catch (e) { n.push(e.name); } return n", ["RangeError", "RangeError", "RangeError", "TypeError", "RangeError"]],
    ["a body is read once", "const r = new Response('x'); await r.text(); try { await r.text(); } catch (e) { return [e.name, /already been used/.test(e.message)]; }", ["TypeError", true]],
    ["bodies of all kinds", `
        const text = (b) => new Response(b).text();
        const stream = new ReadableStream({ start(c) { c.enqueue(new TextEncoder().encode("st")); c.enqueue(new Uint8Array([33])); c.close(); } });
        return [await text(new Uint8Array([104, 105])), await text(new Uint8Array([104, 105]).buffer), await text(new Blob(["bl", "ob"])), await text(new URLSearchParams("a=b c")), await text(stream), await text(12),
            [...await new Response("ab").bytes()], (await new Response("ab").arrayBuffer()).byteLength, (await new Response("ab", { headers: { "content-type": "x/y" } }).blob()).type];`,
     ["hi", "hi", "blob", "a=b+c", "st!", "12", [97, 98], 2, "x/y"]],
    ["a body as a stream", "const r = new Response('hello'); const out = []; for await (const c of r.body) out.push(new TextDecoder().decode(c)); return [out.join(''), r.bodyUsed, r.body.locked]", ["hello", true, false]],
    ["a clone of a stream gives both all of it", "const s = new ReadableStream({ pull(c) { c.enqueue(new Uint8Array([97])); c.close(); } }); const r = new Response(s); const c = r.clone(); return [await r.text(), await c.text()]", ["a", "a"]],
    ["a stream of text is no body", "try { await new Response(new ReadableStream({ start(c) { c.enqueue('x'); c.close(); } })).text(); } catch (e) { return e.name; }", "TypeError"],
    ["bytes given to a body are copied", "const b = new Uint8Array([97]); const r = new Response(b); b[0] = 98; return r.text()", "a"],
    ["streams through transforms", `
        const s = new ReadableStream({ start(c) { c.enqueue("a€"); c.enqueue("b"); c.close(); } });
        let out = ""; for await (const t of s.pipeThrough(new TextEncoderStream()).pipeThrough(new TextDecoderStream())) out += t;
        const { readable, writable } = new TransformStream({ transform(x, c) { c.enqueue(x * 2); } });
        const w = writable.getWriter(); w.write(2); w.write(3); w.close();
        const all = []; for await (const x of readable) all.push(x);
        return [out, all];`, ["a€b", [4, 6]]],
    ["halves of a character in two chunks are one character", "let out = ''; const e = new TextEncoderStream(); const w = e.writable.getWriter(); w.write('\\ud83d'); w.write('\\ude00'); w.close(); for await (const t of e.readable.pipeThrough(new TextDecoderStream())) out += t; return out", "\u{1f600}"],
    ["byte streams read into a buffer of the reader", "const s = new ReadableStream({ type: 'bytes', start(c) { c.enqueue(new Uint8Array([1, 2, 3])); c.close(); } }); const r = s.getReader({ mode: 'byob' }); const a = await r.read(new Uint8Array(2)); const b = await r.read(new Uint8Array(2)); return [[...a.value], [...b.value]]", [[1, 2], [3]]],
    ["tee, from, and cancel", "const [a, b] = ReadableStream.from(['x', 'y']).tee(); const out = []; for await (const c of a) out.push(c); await b.cancel(); return out", ["x", "y"]],
    ["IdentityTransformStream and FixedLengthStream", `
        const { readable, writable } = new FixedLengthStream(3); const w = writable.getWriter(); w.write(new Uint8Array([97, 98, 99])); w.close();
        const ok = await new Response(readable).text();
        const bad = new FixedLengthStream(1); const v = bad.writable.getWriter(); const failed = v.write(new Uint8Array(2)).catch((e) => e.name); await new Response(bad.readable).text().catch(() => {});
        const i = new IdentityTransformStream(); const x = i.writable.getWriter(); x.write(new Uint8Array([104])); x.close();
        return [ok, await failed, await new Response(i.readable).text()];`, ["abc", "TypeError", "h"]],
    ["Blob and File", "const b = new Blob(['ab', new Uint8Array([99]), new Blob(['d'])], { type: 'Text/X' }); const f = new File([b], 'n.txt', { lastModified: 5 }); return [b.size, b.type, await b.slice(1, -1).text(), f.name, f.lastModified, await f.text(), await new Response(b.stream()).text(), f instanceof Blob]", [4, "text/x", "bc", "n.txt", 5, "abcd", "abcd", true]],
    ["FormData", "const f = new FormData(); f.append('a', 1); f.append('a', '2'); f.set('b', new Blob(['x']), 'x.bin'); f.append('c', ''); f.delete('c'); return [f.getAll('a'), f.get('b').name, f.has('c'), [...f.keys()]]", [["1", "2"], "x.bin", false, ["a", "a", "b"]]],
    ["a form goes through multipart and back", `
        const f = new FormData(); f.append("te\\"xt\\n", "v€\\r\\nw"); f.append("file", new File([new Uint8Array([0, 255, 13, 10, 45, 45])], "é\\".bin", { type: "a/b" })); f.append("empty", "");
        const r = new Response(f); const type = r.headers.get("content-type"); const g = await r.formData(); const file = g.get("file");
        return [type.startsWith("multipart/form-data; boundary=----formdata-"), [...g.keys()], g.get("te\\"xt\\r\\n"), file.name, file.type, [...await file.bytes()], g.get("empty")];`,
     [true, ["te\"xt\r\n", "file", "empty"], "v€\r\nw", "é\".bin", "a/b", [0, 255, 13, 10, 45, 45], ""]],
    ["a form goes through urlencoding", "const g = await new Response('a=1&b=%20+x&a=2', { headers: { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' } }).formData(); return [...g]", [["a", "1"], ["b", "  x"], ["a", "2"]]],
    ["what is no form is a TypeError", "const n = []; for (const [b, t] of [['x', 'text/plain'], ['x', 'multipart/form-data'], ['x', 'multipart/form-data; boundary=y']]) try { await new Response(b, { headers: { 'content-type': t } }).formData(); } catch (e) { n.push(e.name); } return n", ["TypeError", "TypeError", "TypeError"]],
    ["events", `
        const t = new EventTarget(), log = []; const f = (e) => log.push(e.type + e.detail);
        t.addEventListener("a", f); t.addEventListener("a", f); t.addEventListener("a", { handleEvent(e) { log.push("object"); e.preventDefault(); } }, { once: true });
        const r1 = t.dispatchEvent(new CustomEvent("a", { detail: 1, cancelable: true })); const r2 = t.dispatchEvent(new CustomEvent("a", { detail: 2, cancelable: true }));
        t.removeEventListener("a", f); t.dispatchEvent(new Event("a"));
        const c = new AbortController(); t.addEventListener("b", () => log.push("b"), { signal: c.signal }); t.dispatchEvent(new Event("b")); c.abort(); t.dispatchEvent(new Event("b"));
        t.addEventListener("c", (e) => { log.push("c1"); e.stopImmediatePropagation(); }); t.addEventListener("c", () => log.push("c2")); t.dispatchEvent(new Event("c"));
        return [log, r1, r2];`, [["a1", "object", "a2", "b", "c1"], false, true]],
    ["AbortSignal", `
        const c = new AbortController(); let heard = 0; c.signal.onabort = () => heard++; const any = AbortSignal.any([c.signal, new AbortController().signal]);
        c.abort("why"); c.abort("again"); const late = AbortSignal.timeout(5); await new Promise((r) => late.addEventListener("abort", r));
        const names = []; try { late.throwIfAborted(); } catch (e) { names.push(e.name); } try { AbortSignal.abort().throwIfAborted(); } catch (e) { names.push(e.name); } try { new AbortSignal(); } catch (e) { names.push(e.name); }
        return [heard, c.signal.reason, any.aborted, any.reason, names];`, [1, "why", true, "why", ["TimeoutError", "AbortError", "TypeError"]]],
    ["structuredClone", `
        const o = { d: new Date(5), m: new Map([["k", new Set([1])]]), r: /x/gi, a: [1, , 3], e: new RangeError("m", { cause: 1 }), b: new Uint8Array([1, 2]).subarray(1), n: Object(1), u: undefined }; o.self = o;
        const c = structuredClone(o); const buffer = new ArrayBuffer(8); const moved = structuredClone(buffer, { transfer: [buffer] });
        const names = []; for (const f of [() => structuredClone(() => 1), () => structuredClone(Symbol()), () => structuredClone(new Response()), () => structuredClone({}, { transfer: [{}] })]) try { f(); } catch (e) { names.push(e.name); }
        return [c !== o, c.self === c, c.d.getTime(), c.m.get("k").has(1), c.r.flags, 1 in c.a, c.a.length, c.e instanceof RangeError, c.e.cause, [...c.b], typeof c.n, "u" in c, moved.byteLength, names];`,
     [true, true, 5, true, "gi", false, 3, true, 1, [2], "object", true, 8, Array(4).fill("DataCloneError")]],
    ["DOMException", "const e = new DOMException('m', 'NotFoundError'); return [e.name, e.message, e.code, e instanceof Error, String(e), typeof e.stack, new DOMException().name]", ["NotFoundError", "m", 8, true, "NotFoundError: m", "string", "Error"]],
    ["performance, scheduler, navigator, queueMicrotask", "const t = performance.now(); await scheduler.wait(20); const log = []; queueMicrotask(() => log.push(2)); log.push(1); await null; return [performance.now() - t >= 20, log, typeof navigator.userAgent, performance.timeOrigin > 1e12]", [true, [1, 2], "string", true]],
    ["WebAssembly", `
        const bytes = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 127, 127, 1, 127, 3, 2, 1, 0, 7, 7, 1, 3, 97, 100, 100, 0, 0, 10, 9, 1, 7, 0, 32, 0, 32, 1, 106, 11]);
        const { instance, module } = await WebAssembly.instantiate(bytes); const again = await WebAssembly.instantiate(await WebAssembly.compile(bytes));
        let bad; try { await WebAssembly.compile(new Uint8Array(4)); } catch (e) { bad = e.name; }
        return [instance.exports.add(2, 3), module instanceof WebAssembly.Module, again.exports.add(4, 5), bad, WebAssembly.validate(bytes)];`, [5, true, 9, "CompileError", true]],
    ["what is not there is not there", "return [typeof caches, typeof __host, typeof process, typeof require, typeof XMLHttpRequest, typeof importScripts]", Array(6).fill("undefined")],
    ["self is the global object, and its names can be replaced", "self.fetch = 5; return [self === globalThis, fetch]", [true, 5]],
];

for (const [what, code, value] of cases) {
    test(what, async () => assert.deepEqual(await js(code), value));
}

test("the prelude leaves nothing else on the global object", async () => {
    const names = await js("return Object.getOwnPropertyNames(globalThis).filter((n) => /^(bundled|prelude|runtime|__)/.test(n))");
    assert.deepEqual(names, []);
});
