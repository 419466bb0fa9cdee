import { outcomeName, scenario } from "./harness.js";

export default scenario({
    "parts": async () => {
        const blob = new Blob(["a", new Uint8Array([98]), new Blob(["c"]), new Uint8Array([100]).buffer], { type: "Text/X" });
        return [blob.size, blob.type, await blob.text(), [...(await blob.bytes())], (await blob.arrayBuffer()).byteLength];
    },
    "slices": async () => {
        const blob = new Blob(["0123456789"], { type: "a/b" });
        return Promise.all([blob.slice(), blob.slice(2), blob.slice(2, 4), blob.slice(-3), blob.slice(-3, -1), blob.slice(5, 2), blob.slice(0, 100, "x/y")]
            .map(async (one) => [one.size, one.type, await one.text()]));
    },
    "a stream": async () => new Response(new Blob(["streamed"]).stream()).text(),
    "nothing": async () => [new Blob().size, new Blob().type, await new Blob([]).text()],
    "a file": async () => {
        const file = new File(["x"], "n.txt", { type: "t/u", lastModified: 5 });
        return [file.name, file.type, file.lastModified, file.size, await file.text(), file instanceof Blob];
    },
    "a file without a name": () => outcomeName(() => new File(["x"]).name),
    "wrong parts": async () => [await outcomeName(() => new Blob("text").size), await outcomeName(() => new Blob(5).size)],
    "parts that are no text": async () => new Blob([1, null, {}, true]).text(),
    "what they are": () => [Object.prototype.toString.call(new Blob()), Object.prototype.toString.call(new File([], "x"))],
});
