/* Linking: TypeScript and modules become functions that the engine can run. Lines stay where they
 * are, so places in errors are those of the source. */
import { transform } from "sucrase";

export function linkOneShot(code, name) {
    return transform(code, {
        transforms: ["typescript", "imports"], filePath: name, disableESTransforms: true,
        preserveDynamicImport: false, injectCreateRequireForImportRequire: false,
        keepUnusedImports: false,
    }).code;
}
