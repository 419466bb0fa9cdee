/* Filters of a search: a member's value, or operators on it. */

const OPERATORS: Record<string, (value: any, wanted: any) => boolean> = {
    $eq: (value, wanted) => value === wanted,
    $ne: (value, wanted) => value !== wanted,
    $gt: (value, wanted) => Number(value) > Number(wanted),
    $gte: (value, wanted) => Number(value) >= Number(wanted),
    $lt: (value, wanted) => Number(value) < Number(wanted),
    $lte: (value, wanted) => Number(value) <= Number(wanted),
    $in: (value, wanted) => Array.isArray(wanted) && wanted.includes(value),
    $nin: (value, wanted) => !Array.isArray(wanted) || !wanted.includes(value),
};

function isOperators(wanted: unknown): wanted is Record<string, unknown> {
    return typeof wanted === "object" && wanted !== null && Object.keys(wanted).every((name) => Object.hasOwn(OPERATORS, name));
}

export function matches(value: Record<string, any>, filter: Record<string, any>): boolean {
    return Object.entries(filter).every(([name, wanted]) =>
        isOperators(wanted)
            ? Object.entries(wanted).every(([operator, operand]) => OPERATORS[operator]!(value[name], operand))
            : value[name] === wanted);
}
