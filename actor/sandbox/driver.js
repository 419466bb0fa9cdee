// The interpreter of a JavaScript context: requests are lines of JSON on file 3, answers on file 4; see
// sandbox_context.c. Code runs as in a console: top-level await, and let and const may be declared again.
"use strict";
const fs = require("node:fs"), util = require("node:util"), { Session } = require("node:inspector");
const session = new Session();
session.connect();
const post = (method, parameters) =>
  new Promise((resolve, reject) => session.post(method, parameters, (e, r) => (e ? reject(e) : resolve(r))));
let results = [], interrupt = null, held;

function isJson(value, depth = 0) {
  if (value === null || ["string", "boolean"].includes(typeof value)) return true;
  if (typeof value === "number") return Number.isFinite(value);
  if (typeof value !== "object" || depth > 16) return false;
  if (Array.isArray(value)) return value.every((v) => isJson(v, depth + 1));
  return [Object.prototype, null].includes(Object.getPrototypeOf(value)) &&
    Object.entries(value).every(([k, v]) => k[0] !== "$" && isJson(v, depth + 1));
}

function shown(value) {
  const found = { "text/plain": util.inspect(value, { maxStringLength: 1 << 20 }) };
  if (value !== null && typeof value === "object" && isJson(value)) found["application/json"] = value;
  return found;
}

function told(e) {
  if (!(e instanceof Error)) return { name: "Error", message: util.inspect(e), traceback: "" };
  const lines = String(e.stack ?? "").split("\n");
  const end = lines.findIndex((line) => line.includes("[eval]") || line.includes("node:inspector"));
  return { name: String(e.name), message: String(e.message), traceback: (end < 0 ? lines : lines.slice(0, end)).join("\n") };
}

async function take(remote) {
  if (!remote.objectId) {
    if (remote.type === "bigint") return BigInt(remote.unserializableValue.slice(0, -1));
    return "unserializableValue" in remote ? Number(remote.unserializableValue) : remote.value;
  }
  const functionDeclaration = "function (v) { globalThis[Symbol.for('dormouse')](v); }";
  await post("Runtime.callFunctionOn", { functionDeclaration, objectId: remote.objectId, arguments: [{ objectId: remote.objectId }] });
  return held;
}

async function run(code, timeout) {
  const stopped = new Promise((_, reject) => { interrupt = () => reject(Object.assign(new Error("The code was interrupted."), { name: "Interrupted", stack: "" })); });
  try {
    const evaluated = post("Runtime.evaluate", { expression: code, replMode: true, awaitPromise: true, timeout });
    const { result, exceptionDetails } = await Promise.race([evaluated, stopped]);
    if (exceptionDetails) throw exceptionDetails.exception ? await take(exceptionDetails.exception) : new Error(exceptionDetails.text);
    const value = await take(result);
    if (value !== undefined) results.push(shown(value));
  } finally {
    interrupt = null;
  }
}

globalThis[Symbol.for("dormouse")] = (value) => { held = value; };
Object.assign(globalThis, { require: require("node:module").createRequire(process.cwd() + "/"), display: (...v) => results.push(...v.map(shown)) });
for (const stream of [process.stdout, process.stderr]) stream._handle?.setBlocking?.(true); // else a loop fills memory
const tell = (answer) => { try { fs.writeSync(4, JSON.stringify(answer) + "\n"); } catch { process.exit(1); } };
process.on("SIGINT", () => interrupt?.());
process.on("uncaughtException", (e) => console.error(e));
process.on("unhandledRejection", (e) => console.error(e));
(async () => {
  const lines = require("node:readline").createInterface({ input: new (require("node:net").Socket)({ fd: 3 }) });
  tell({ ready: true });
  for await (const line of lines) {
    let error = null;
    results = [];
    try {
      const { code, timeout } = JSON.parse(line);
      await run(code, timeout);
    } catch (e) { error = told(e); }
    tell({ results, error });
  }
  process.exit(0);
})();
