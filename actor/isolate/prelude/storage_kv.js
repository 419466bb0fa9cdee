/* ctx.storage.kv: the same keys, synchronously. */
import * as channel from "./channel.js";
import * as overlay from "./overlay.js";
import * as storage from "./storage.js";
import { checkKey } from "./storage_key.js";
import { decode } from "./clone.js";
import { listNow } from "./storage_list.js";
import { sizeOf } from "./writes.js";

function documentNow(key) {
    const found = overlay.writes().lookup(key);
    return found === undefined ? channel.answerNow("get", [key])[0] : found;
}

export class StorageKv {
    get(key) {
        storage.checkRead();
        const document = documentNow(checkKey(key));
        return document === null ? undefined : decode(document);
    }

    put(key, value) {
        storage.checkWrite();
        key = checkKey(key);
        const document = storage.documentOf(key, value);
        storage.makeRoom(sizeOf(key, document));
        overlay.writes().set(key, document);
    }

    delete(key) {
        storage.checkWrite();
        key = checkKey(key);
        const existed = documentNow(key) !== null;
        storage.makeRoom(sizeOf(key, null));
        overlay.writes().set(key, null);
        return existed;
    }

    list(options) {
        storage.checkRead();
        return listNow(options)[Symbol.iterator]();
    }
}
