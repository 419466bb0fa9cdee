import { outcomeName, scenario } from "./harness.js";

const bytes = (...all) => new Uint8Array(all);

export default scenario({
    "encode": () => ["", "a", "é", "\u{1f600}", "\ud800"].map((text) => [...new TextEncoder().encode(text)]),
    "encodeInto": () => {
        const into = new Uint8Array(4);
        return [new TextEncoder().encodeInto("aéé", into), [...into]];
    },
    "decode": () => [bytes(97), bytes(0xc3, 0xa9), bytes(0xf0, 0x9f, 0x98, 0x80), bytes(0xff, 97), bytes(0xef, 0xbb, 0xbf, 97)].map((one) => new TextDecoder().decode(one)),
    "decode what is none": async () => [await outcomeName(() => new TextDecoder("utf-8", { fatal: true }).decode(bytes(0xff))), new TextDecoder().decode()],
    "the mark": () => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes(0xef, 0xbb, 0xbf, 97)).length,
    "in parts": () => {
        const decoder = new TextDecoder();
        return [decoder.decode(bytes(0xc3), { stream: true }), decoder.decode(bytes(0xa9), { stream: true }), decoder.decode()];
    },
    "other encodings": () => ["latin1", "utf-16le", "shift_jis", "windows-1252", "UTF8"].map((label) => new TextDecoder(label).encoding),
    "latin1": () => new TextDecoder("latin1").decode(bytes(0xe9, 0x80)),
    "utf-16": () => new TextDecoder("utf-16le").decode(bytes(97, 0, 0x3d, 0xd8, 0, 0xde)),
    "shift_jis": () => new TextDecoder("shift_jis").decode(bytes(0x82, 0xa0)),
    "an unknown encoding": () => outcomeName(() => new TextDecoder("nothing").encoding),
    "members": () => [new TextDecoder().encoding, new TextDecoder().fatal, new TextDecoder().ignoreBOM, new TextEncoder().encoding],
    "of a buffer": () => [new TextDecoder().decode(bytes(97).buffer), new TextDecoder().decode(new DataView(bytes(97, 98).buffer, 1))],
    "base64": () => [btoa("hello"), atob("aGVsbG8="), btoa(""), atob(""), atob(" aGVs bG8 "), btoa("\u00ff")],
    "no base64": async () => [await outcomeName(() => btoa("é\u{1f600}")), await outcomeName(() => atob("a")), await outcomeName(() => atob("*"))],
    "Uint8Array's own": () => [bytes(1, 2).toBase64?.(), bytes(1, 255).toHex?.(), [...(Uint8Array.fromBase64?.("AQI=") ?? [])]],
});
