import { outcome, outcomeName, scenario } from "./harness.js";

async function collect(stream) {
    const seen = [];
    for await (const chunk of stream) {
        seen.push(chunk);
    }
    return seen;
}

const counting = (count) => {
    let i = 0;
    return new ReadableStream({
        pull(controller) {
            if (i === count) {
                controller.close();
            } else {
                controller.enqueue(i++);
            }
        },
    });
};

export default scenario({
    "reading": async () => {
        const reader = counting(2).getReader();
        return [await reader.read(), await reader.read(), await reader.read()];
    },
    "iterating": () => collect(counting(5)),
    "leaving early cancels": async () => {
        let cancelled = false;
        const stream = new ReadableStream({
            pull(controller) {
                controller.enqueue(1);
            },
            cancel() {
                cancelled = true;
            },
        });
        for await (const chunk of stream) {
            if (chunk === 1) {
                break;
            }
        }
        return cancelled;
    },
    "a transform": () => collect(counting(3).pipeThrough(new TransformStream({
        transform(chunk, controller) {
            controller.enqueue(chunk * 10);
        },
        flush(controller) {
            controller.enqueue("end");
        },
    }))),
    "a tee": async () => {
        const [a, b] = counting(3).tee();
        return Promise.all([collect(a), collect(b)]);
    },
    "a pipe": async () => {
        const seen = [];
        await counting(3).pipeTo(new WritableStream({
            write(chunk) {
                seen.push(chunk);
            },
            close() {
                seen.push("closed");
            },
        }));
        return seen;
    },
    "an error": () => outcome(() => collect(new ReadableStream({
        pull(controller) {
            controller.error(new RangeError("broken"));
        },
    }))),
    "a locked stream": async () => {
        const stream = counting(1);
        stream.getReader();
        return [stream.locked, await outcomeName(() => stream.getReader()), await outcomeName(() => stream.cancel())];
    },
    "a released lock": async () => {
        const stream = counting(2);
        const reader = stream.getReader();
        const first = await reader.read();
        reader.releaseLock();
        return [first, stream.locked, await collect(stream)];
    },
    "a writer": async () => {
        const { readable, writable } = new TransformStream();
        const writer = writable.getWriter();
        const writes = [writer.write("a"), writer.write("b"), writer.close()];
        const seen = await collect(readable);
        await Promise.all(writes);
        return seen;
    },
    "an aborted writer": async () => {
        const { readable, writable } = new TransformStream();
        const read = outcome(() => collect(readable));
        await writable.abort(new TypeError("stop"));
        return read;
    },
    "text streams": async () => collect(new Response("héllo").body.pipeThrough(new TextDecoderStream())),
    "encoding streams": async () => {
        const stream = new ReadableStream({
            start(controller) {
                controller.enqueue("é");
                controller.close();
            },
        });
        return collect(stream.pipeThrough(new TextEncoderStream()));
    },
    "an identity": async () => {
        const { readable, writable } = new IdentityTransformStream();
        const writer = writable.getWriter();
        const written = writer.write(new Uint8Array([1, 2])).then(() => writer.close());
        const seen = await collect(readable);
        await written;
        return seen.map((chunk) => [...chunk]);
    },
    "a fixed length": async () => {
        const { readable, writable } = new FixedLengthStream(3);
        const writer = writable.getWriter();
        const written = writer.write(new Uint8Array([1, 2, 3])).then(() => writer.close());
        const seen = [...(await new Response(readable).bytes())];
        await written;
        return seen;
    },
    "from an iterable": async () => collect(ReadableStream.from([1, 2])),
    "byte streams": async () => {
        const stream = new ReadableStream({
            type: "bytes",
            start(controller) {
                controller.enqueue(new Uint8Array([1, 2, 3, 4]));
                controller.close();
            },
        });
        const reader = stream.getReader({ mode: "byob" });
        const { value, done } = await reader.read(new Uint8Array(2));
        return [[...value], done];
    },
    "strategies": () => [new CountQueuingStrategy({ highWaterMark: 2 }).size(), new ByteLengthQueuingStrategy({ highWaterMark: 2 }).size(new Uint8Array(5))],
    "compression": async () => {
        const packed = new Response("x".repeat(1000)).body.pipeThrough(new CompressionStream("gzip"));
        return (await new Response(packed.pipeThrough(new DecompressionStream("gzip"))).text()).length;
    },
});
