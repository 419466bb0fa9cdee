/* A workflow in its isolate: the object of its class, its run, and what the daemon tells of it. */
import * as channel from "./channel.js";
import * as lifecycle from "./lifecycle.js";
import * as reader from "./reader.js";
import { Run } from "./workflow_run.js";
import { clearDeadline, setDeadline } from "./timers.js";
import { decode, read } from "./clone.js";
import { eventEnds } from "./events.js";

const QUIET_MS = 30000; /* what the code leaves behind does not keep a run that waits awake for longer */

let workflow = null; /* {instance, name, className} */
let run = null;
let event = null; /* under which the run goes on */
let quiet = null; /* the deadline of that */
let isQuiet = false;

export function setWorkflow(instance, name, className) {
    workflow = { instance, name, className };
}

export function isWorkflow() {
    return workflow !== null;
}

function take() {
    return {
        epoch: reader.uint(), news: reader.uint(), now: reader.uint(), created: reader.uint(),
        params: reader.bin()?.slice() ?? null, rows: read(), more: read(),
    };
}

async function rest(told) {
    const rows = told.rows;
    for (let more = told.more; more;) {
        const [page, goesOn] = await channel.outsideAnswer("journal_page", rows.at(-1)[1] + 1);
        rows.push(...page);
        more = goesOn;
    }
    return rows;
}

function begin(told, rows) {
    run = new Run(told);
    run.isUnderWay = true;
    run.addRows(rows);
    const given = {
        payload: told.params === null ? undefined : decode(told.params), timestamp: new Date(told.created),
        instanceId: workflow.name, workflowName: workflow.className,
    };
    run.begin((step) => workflow.instance.run(given, step));
}

function end(number, isLast, writes) {
    eventEnds();
    channel.sendDoneRun(number, isLast, writes);
}

/* The reader is past the event's number and type. */
export async function runWorkflow(number) {
    const told = take();
    const rows = told.more ? await rest(told) : told.rows;
    if (event !== null) { /* it is under way: news of it, and nothing else */
        if (run !== null && run.epoch === told.epoch) {
            run.update(told, rows);
        }
        end(number, false, null);
        return;
    }
    event = number;
    if (run !== null && run.epoch === told.epoch && !run.isStopped) {
        run.isUnderWay = true;
        run.update(told, rows);
    } else {
        run?.stop();
        begin(told, rows);
    }
}

/* One thing that the replay has to give; false: none. */
export function goOnWithRun() {
    return event !== null && run !== null && run.replayOne();
}

function watchQuiet(isIdle) {
    if (isIdle || run.running > 0 || run.writing > 0) {
        clearDeadline(quiet);
        quiet = null;
        isQuiet = false;
    } else if (quiet === null && !isQuiet) {
        quiet = setDeadline(QUIET_MS, () => {
            quiet = null;
            isQuiet = true;
        });
    }
}

/* Nothing goes on without news. The run may have come to its end, or to where it waits. */
export function settleRun() {
    if (event === null || run === null) {
        return false;
    }
    const isIdle = lifecycle.activity() === 0;
    watchQuiet(isIdle);
    const rest = run.takeRest(isIdle, isQuiet);
    if (rest === null) {
        return false;
    }
    const ended = event;
    event = null;
    run.isUnderWay = false;
    end(ended, rest.isLast, rest.writes === null ? null : [run.epoch, run.news, rest.writes]);
    return true;
}
