/* The numbers of the frames between an isolate and its daemon; actor/isolate_frame.h has them too. */
export const FRAME_BYTES_MAX = 24 * 1024 * 1024;

/* daemon -> isolate */
export const START = 1;
export const EVENT = 2;
export const ANSWER = 3;
export const CHUNK = 4;
export const CANCEL = 5;
export const CREDIT = 6;
export const NOTHING = 7; /* nobody sends it: main.js */
export const SOCKETS = 8;

/* types of EVENT */
export const EVENT_CALL = 1;
export const EVENT_FETCH = 2;
export const EVENT_ALARM = 3;
export const EVENT_TIMER = 4;
export const EVENT_MESSAGE = 5;
export const EVENT_CLOSE = 6;
export const EVENT_ERROR = 7;
export const EVENT_EXECUTE = 8;
export const EVENT_WORKFLOW = 9;

/* isolate -> daemon */
export const READY = 65;
export const STARTED = 66;
export const FAILED = 67;
export const DONE = 68;
export const ASK = 69;
export const TELL = 70;
export const CHUNK_OUT = 71;
export const CREDIT_OUT = 72;
export const WRITE = 73;
