/* What goes wrong: the API's codes by name, and four that are made here. */

export type ErrorCode =
    | "bad_request" | "invalid_id" | "invalid_value" | "invalid_code" | "unauthenticated" | "forbidden"
    | "egress_denied" | "not_found" | "no_such_key" | "no_such_class" | "no_such_method" | "no_such_sandbox"
    | "no_such_file" | "no_such_process" | "no_such_snapshot"
    | "no_such_timer" | "no_such_step" | "no_such_token" | "no_such_member" | "no_such_deployment"
    | "method_not_allowed" | "conflict" | "lease_lost" | "version_mismatch" | "too_large"
    | "unsupported_media_type" | "idempotency_mismatch" | "rate_limited" | "overloaded" | "headers_too_large"
    | "actor_exception" | "internal" | "not_implemented" | "unavailable" | "timeout" | "storage_full"
    /** No connection, or it broke before the answer's end. */
    | "unreachable"
    /** No TLS, or a certificate that does not verify. */
    | "untrusted"
    /** The answer is not what the API promises. */
    | "protocol"
    /** Refused here: nothing was sent. */
    | "invalid_argument"
    /** A newer server's. */
    | (string & {});

export interface ErrorFields {
    code: ErrorCode;
    /** Of the answer; 0 where there was none. */
    status?: number;
    /** The same request may succeed later. */
    retryable?: boolean;
    /** The write may have happened, in this attempt or an earlier one. */
    maybeApplied?: boolean;
    retryAfterMs?: number;
    /** The bound that was hit, of `too_large`, `rate_limited`, `overloaded` and `storage_full`. */
    limit?: { name: string; value: number };
    /** `conflict` of a transaction: index of the check in `if`. */
    failed?: number;
    /** `actor_exception`: what the class threw. */
    exception?: { name: string; message: string; stack: string };
    /** `invalid_code`: where the code is wrong. */
    place?: { file: string; line: number; column: number };
    cause?: unknown;
}

export class DormouseError extends Error {
    override readonly name = "DormouseError";
    readonly code: ErrorCode;
    readonly status: number;
    readonly retryable: boolean;
    readonly maybeApplied: boolean;
    readonly retryAfterMs: number | undefined;
    readonly limit: { name: string; value: number } | undefined;
    readonly failed: number | undefined;
    readonly exception: { name: string; message: string; stack: string } | undefined;
    readonly place: { file: string; line: number; column: number } | undefined;

    constructor(message: string, fields: ErrorFields) {
        super(message, fields.cause === undefined ? undefined : { cause: fields.cause });
        this.code = fields.code;
        this.status = fields.status ?? 0;
        this.retryable = fields.retryable ?? false;
        this.maybeApplied = fields.maybeApplied ?? false;
        this.retryAfterMs = fields.retryAfterMs;
        this.limit = fields.limit;
        this.failed = fields.failed;
        this.exception = fields.exception;
        this.place = fields.place;
    }

    /** The same error, with what earlier attempts leave in doubt. */
    withMaybeApplied(maybeApplied: boolean): DormouseError {
        if (maybeApplied === this.maybeApplied) {
            return this;
        }
        const fields: ErrorFields = { ...(this as ErrorFields), maybeApplied };
        const error = new DormouseError(this.message, fields);
        if (this.stack !== undefined) {
            error.stack = this.stack;
        }
        return error;
    }
}

export function refused(message: string): DormouseError {
    return new DormouseError(message, { code: "invalid_argument" });
}

/** For answers that are no problem+json: a proxy in between. */
const CODES_OF_STATUS: Record<number, ErrorCode> = {
    400: "bad_request", 401: "unauthenticated", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    409: "conflict", 412: "version_mismatch", 413: "too_large", 415: "unsupported_media_type", 429: "rate_limited",
    431: "headers_too_large", 500: "internal", 501: "not_implemented", 502: "unavailable", 503: "unavailable",
    504: "timeout", 507: "storage_full",
};
const PASSING = new Set<ErrorCode>(["rate_limited", "unavailable", "timeout"]);

interface Problem {
    code?: unknown; title?: unknown; detail?: unknown; retryable?: unknown; maybe_applied?: unknown; failed?: unknown;
    name?: unknown; message?: unknown; stack?: unknown; file?: unknown; line?: unknown; column?: unknown;
    limit?: { name: string; value: number };
}

function problemOf(text: string): Problem | undefined {
    try {
        const problem = JSON.parse(text) as Problem | null;
        return typeof problem === "object" && problem !== null && typeof problem.code === "string" ? problem : undefined;
    } catch {
        return undefined;
    }
}

/** Whole seconds; the form with a date is not used by the API. */
function retryAfter(headers: Headers): number | undefined {
    const text = headers.get("retry-after");
    return text !== null && /^\d{1,7}$/.test(text) ? Number(text) * 1000 : undefined;
}

function text(value: unknown): string {
    return typeof value === "string" ? value : "";
}

/** The error that an answer over 399 is. */
export function errorOfAnswer(status: number, headers: Headers, body: string, isReading: boolean): DormouseError {
    const retryAfterMs = retryAfter(headers);
    const problem = problemOf(body);
    if (problem === undefined) {
        const code = CODES_OF_STATUS[status] ?? "other";
        return new DormouseError(`The server answered ${status}.`, {
            code, status, retryable: PASSING.has(code), maybeApplied: !isReading && status >= 500 && status !== 501,
            ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
        });
    }
    const fields: ErrorFields = {
        code: problem.code as ErrorCode, status, retryable: problem.retryable === true,
        maybeApplied: !isReading && problem.maybe_applied === true,
    };
    if (retryAfterMs !== undefined) {
        fields.retryAfterMs = retryAfterMs;
    }
    if (problem.limit !== undefined) {
        fields.limit = problem.limit;
    }
    if (typeof problem.failed === "number") {
        fields.failed = problem.failed;
    }
    if (typeof problem.line === "number") {
        fields.place = { file: text(problem.file), line: problem.line, column: Number(problem.column) };
    }
    let message = text(problem.detail) || text(problem.title) || `The server answered ${status}.`;
    if (fields.code === "actor_exception" && typeof problem.name === "string") {
        fields.exception = { name: problem.name, message: text(problem.message), stack: text(problem.stack) };
        message = text(problem.message);
    }
    return new DormouseError(message, fields);
}

/* Causes of Node's fetch that say that nothing was sent, and those of a certificate that does not verify. */
const NOT_SENT = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "EADDRNOTAVAIL",
    "UND_ERR_CONNECT_TIMEOUT"]);
const UNTRUSTED = /^(CERT_|ERR_TLS_|ERR_SSL_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|EPROTO$)/;

function causeCodes(cause: unknown): string[] {
    if (typeof cause !== "object" || cause === null) {
        return [];
    }
    const { code, errors, cause: inner } = cause as { code?: unknown; errors?: unknown; cause?: unknown };
    if (Array.isArray(errors) && errors.length > 0) {
        return errors.flatMap(causeCodes);
    }
    return typeof code === "string" ? [code] : causeCodes(inner);
}

/** The error that a fetch without an answer is. Browsers do not say why, so there a write is always in doubt. */
export function errorOfTransport(cause: unknown, isReading: boolean): DormouseError {
    const codes = causeCodes(cause);
    const why = codes.length > 0 ? codes.join(", ") : String((cause as Error | undefined)?.message ?? cause);
    if (codes.length > 0 && codes.every((code) => UNTRUSTED.test(code))) {
        return new DormouseError(`The server is not trusted: ${why}.`, { code: "untrusted", cause });
    }
    const wasSent = codes.length === 0 || !codes.every((code) => NOT_SENT.has(code));
    return new DormouseError(`The server cannot be reached: ${why}.`, {
        code: "unreachable", retryable: true, maybeApplied: wasSent && !isReading, cause,
    });
}
