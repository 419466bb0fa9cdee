export { DormouseSaver, type SaverOptions } from "./saver.js";
export { DormouseStore, type StoreOptions } from "./store.js";
