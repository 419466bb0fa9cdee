// Builds dist/: modules and types by the TypeScript compiler; the package `ws` into the one file that uses it; all
// of it in one file for pages. `node build.js DIR` builds into another folder.
import { execFileSync } from "node:child_process";
import { copyFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = path.dirname(fileURLToPath(import.meta.url));
const out = path.resolve(process.argv[2] ?? path.join(here, "dist"));
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");

rmSync(out, { recursive: true, force: true });
execFileSync(process.execPath, [tsc, "--project", path.join(here, "tsconfig.json"), "--outDir", out], { stdio: "inherit" });
const common = { bundle: true, format: "esm", target: "es2022", logLevel: "warning", legalComments: "inline" };
await build({
    ...common, entryPoints: [path.join(here, "src/websocket_node.ts")], outfile: path.join(out, "websocket_node.js"),
    platform: "node", allowOverwrite: true, external: ["bufferutil", "utf-8-validate"],
    // `ws` is CommonJS: it asks for Node's own modules by `require`.
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
});
copyFileSync(path.join(here, "node_modules/ws/LICENSE"), path.join(out, "websocket_node.LICENSE"));
await build({
    ...common, entryPoints: [path.join(here, "src/index.ts")], outfile: path.join(out, "dormouse.min.js"),
    platform: "browser", minify: true, alias: { "#websocket": path.join(here, "src/websocket_browser.ts") },
});
