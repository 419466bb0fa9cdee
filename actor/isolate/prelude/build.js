/* Bundles the prelude to one script whose completion value is the runtime.
 * Usage: node build.js [FILE]   (build/prelude.js unless told) */
import { build } from "esbuild";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = dirname(fileURLToPath(import.meta.url));

/* A script whose completion value is `result` of the bundled module. */
function script(file, result) {
    return {
        entryPoints: [join(folder, file)], bundle: true, format: "iife", globalName: "bundled",
        platform: "neutral", mainFields: ["module", "main"], target: "esnext", charset: "ascii",
        legalComments: "none", logLevel: "warning",
        banner: { js: "(() => { \"use strict\";" },
        footer: { js: `return ${result}; })()` },
    };
}

/* import source from "script:FILE": that file, bundled to a script, as text. */
const scripts = {
    name: "scripts",
    setup({ onLoad, onResolve }) {
        onResolve({ filter: /^script:/ }, ({ path }) => ({
            path: path.slice("script:".length), namespace: "script",
        }));
        onLoad({ filter: /.*/, namespace: "script" }, async ({ path }) => {
            const bundle = await build({ ...script(path, "bundled"), minify: true, write: false });
            return { contents: bundle.outputFiles[0].text, loader: "text" };
        });
    },
};

export function options(outfile) {
    return { ...script("runtime.js", "bundled.runtime"), outfile, plugins: [scripts] };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    await build(options(process.argv[2] ?? "build/prelude.js"));
}
