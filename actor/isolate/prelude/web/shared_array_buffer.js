/* Stands in for SharedArrayBuffer, which the engine does not have, in packages that name it. */
class Absent {
    get byteLength() {
        return super.byteLength;
    }

    get growable() {
        return super.growable;
    }
}

export { Absent as SharedArrayBuffer };
