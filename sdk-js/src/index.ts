export { Dormouse, type ActorOptions } from "./dormouse.js";
export { DormouseError, type ErrorCode } from "./errors.js";
export { Actor, type ActorInfo, type AnyMethods, type ExecuteOptions, type Execution, type Methods, type Stub } from "./actor.js";
export type { Address } from "./address.js";
export type { Admin, ClusterInfo, Scope, TokenInfo } from "./admin.js";
export { makeKey, type CallOptions, type ClientOptions, type WebSocketMaker } from "./exchange.js";
export type { Deployment, DeploymentInfo, ListedActor, LogLine, LogOptions, Namespace, VersionInfo } from "./namespace.js";
export type { ConnectOptions } from "./socket.js";
export { StepFailed, type BeginOptions, type FailOptions, type RunOptions, type StepContext, type StepInfo, type Steps, type StepState } from "./steps.js";
export type { Check, Committed, DeleteOptions, Entry, GetOptions, ListOptions, Operation, PageOptions, PutOptions, Range, ReadOptions, Result, Storage, Transaction } from "./storage.js";
export type { Timer, Timers, TimerSpec } from "./timers.js";
export { decode, encode, fromBase64, toBase64 } from "./values.js";
export type { Stream, WatchEvent, WatchOptions } from "./watch.js";
export type { WaitOptions, Workflow, WorkflowInfo, WorkflowStatus, WorkflowStep } from "./workflow.js";
export type {
    ChangeEvent, CodeContext, Command, ExecEvent, ExecOptions, ExecResult, ProcessInfo, ProcessLogs, RunResult, Sandbox, SandboxInfo, SandboxProcess, SandboxSpec,
    SnapshotInfo, WaitFor,
} from "./sandbox.js";
export type { FileContent, FileInfo, Files } from "./sandbox_files.js";
export type { Terminal, TerminalOptions } from "./terminal.js";
