/* Bundles the prelude to one script whose completion value is the runtime.
 * Usage: node build.js [FILE]   (build/prelude.js unless told) */
import { build } from "esbuild";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = dirname(fileURLToPath(import.meta.url));

export function options(outfile) {
    return {
        entryPoints: [join(folder, "runtime.js")],
        outfile, bundle: true, format: "iife", globalName: "prelude", platform: "neutral",
        mainFields: ["module", "main"], conditions: ["import", "default"], target: "esnext",
        charset: "utf8", legalComments: "none", minifySyntax: false, logLevel: "warning",
        banner: { js: "(() => { \"use strict\";" },
        footer: { js: "return prelude.runtime; })()" },
    };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    await build(options(process.argv[2] ?? "build/prelude.js"));
}
