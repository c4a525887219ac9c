// What the checks stand on: one binding of one node, reached by the client of npm's `@a2a-js/sdk`.

import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { isDeepStrictEqual } from 'node:util';

import {
  CancelTaskRequest,
  GetTaskRequest,
  ListTasksRequest,
  SendMessageRequest,
  SubscribeToTaskRequest,
  taskStateToJSON,
} from '@a2a-js/sdk';
import { ClientFactory, JsonRpcTransportFactory, RestTransportFactory } from '@a2a-js/sdk/client';

// The longest any check may take: far more than it needs on a busy machine.
export const SECONDS = 120;
// As long as a node waits for the end of what it cancels, in milliseconds.
const CANCEL_WAITS = 5000;
// Between two looks at a condition, in milliseconds.
const POLL = 20;

export const UNKNOWN = 'task-01ARZ3NDEKTSV4RRFFQ69G5FAV';
const TERMINAL = ['COMPLETED', 'FAILED', 'CANCELED', 'REJECTED'];

/** A check this client cannot make, and why. */
export class Skip extends Error {}
/** A check that does not hold. */
export class Wrong extends Error {}

export const shown = (value) =>
  (value instanceof Error ? String(value) : (JSON.stringify(value) ?? String(value))).slice(0, 600);

/** Fails the check unless `true`. */
export function that(holds, what, seen) {
  if (!holds) throw new Wrong(seen === undefined ? what : `${what}; saw ${shown(seen)}`);
}

/** Fails the check unless both are equal. */
export function same(seen, wanted, what) {
  if (!isDeepStrictEqual(seen, wanted)) throw new Wrong(`${what}: ${shown(seen)} instead of ${shown(wanted)}`);
}

/** COMPLETED for TASK_STATE_COMPLETED; of a task or an update. */
export const state = (of) => taskStateToJSON(of.status.state).replace('TASK_STATE_', '');
/** Which of the four an event of a stream is. */
export const kind = (event) => event.payload?.$case;
export const value = (event) => event.payload.value;
export const textOf = (parts) =>
  parts.map((part) => (part.content?.$case === 'text' ? part.content.value : '')).join('');
export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
export const plain = (message) => JSON.parse(JSON.stringify(message));

/** One artifact of a task. */
export function artifact(task, name) {
  const found = task.artifacts.filter((one) => one.artifactId === name);
  that(found.length === 1, `the task has one artifact ${name}`, task);
  return found[0];
}

/** The text of an artifact as a reader of this stream puts it together. */
export function assembled(events, name = 'response') {
  let text = '';
  for (const event of events) {
    if (kind(event) === 'task') {
      text = value(event)
        .artifacts.filter((one) => one.artifactId === name)
        .map((one) => textOf(one.parts))
        .join('');
    } else if (kind(event) === 'artifactUpdate' && value(event).artifact.artifactId === name) {
      const piece = textOf(value(event).artifact.parts);
      text = value(event).append ? text + piece : piece;
    }
  }
  return text;
}

export async function collect(events) {
  const all = [];
  for await (const event of events) all.push(event);
  return all;
}

/** A SendMessageRequest; texts are text parts, other parts are given as their JSON. */
function request(parts, { configuration, ...message }) {
  parts = [parts].flat().map((part) => (typeof part === 'string' ? { text: part } : part));
  return SendMessageRequest.fromJSON({
    message: { messageId: randomUUID(), role: 'ROLE_USER', parts, ...message },
    configuration,
  });
}

/** Waits until `look` finds something. */
export async function until(what, look) {
  const end = Date.now() + (SECONDS / 2) * 1000;
  while (Date.now() < end) {
    const found = await look();
    if (found) return found;
    await sleep(POLL);
  }
  throw new Wrong(`in vain: ${what}`);
}

/** `attempt` has to fail with exactly this error of the SDK. */
export async function refused(name, what, attempt) {
  let error;
  try {
    await attempt();
  } catch (caught) {
    error = caught;
  }
  that(error, `${what} is not refused; it should be as ${name}`);
  that(error.name === name, `${what} is refused as ${name}`, `${error.name}: ${error.message}`);
  that(error.message, `the refusal of ${what} says why`);
}

/** A file an agent waits for. */
class Gate {
  constructor(stage) {
    this.path = `${stage}/gates/${randomUUID()}`;
    this.wait = `script: wait_file ${this.path}`;
  }

  open() {
    writeFileSync(this.path, '');
  }
}

/** What a webhook was sent, by path. */
export class Receiver {
  seen = new Map();

  async start() {
    this.server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => (body += chunk));
      request.on('end', () => {
        const told = this.seen.get(request.url) ?? [];
        told.push({ headers: request.headers, body: JSON.parse(body) });
        this.seen.set(request.url, told);
        response.end();
      });
    });
    await new Promise((done) => this.server.listen(0, '127.0.0.1', done));
    return this;
  }

  /** A fresh path and the URL that leads to it. */
  hook() {
    const path = `/${randomUUID()}`;
    return [path, `http://127.0.0.1:${this.server.address().port}${path}`];
  }

  told(path) {
    return this.seen.get(path) ?? [];
  }

  /** The states told to a path, in order; a whole task's counts too. */
  states(path) {
    return this.told(path)
      .map(({ body }) => (body.statusUpdate ?? body.task)?.status.state.replace('TASK_STATE_', ''))
      .filter(Boolean);
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }
}

/** Reads a subscription on its own; after `keep` events it leaves. */
export class Reader {
  events = [];

  constructor(stream, keep = Infinity) {
    this.ready = new Promise((ready) => {
      this.reading = (async () => {
        try {
          for await (const event of stream) {
            this.events.push(event);
            ready();
            if (this.events.length >= keep) return;
          }
        } finally {
          ready();
        }
      })();
      // Who wants to know waits for it.
      this.reading.catch(() => {});
    });
  }

  async all() {
    await this.reading;
    return this.events;
  }
}

/** One binding of one node. */
export class World {
  clients = new Map();

  constructor(stage, base, binding, receiver) {
    Object.assign(this, { stage, base, binding, receiver });
    const transport = binding === 'JSONRPC' ? new JsonRpcTransportFactory() : new RestTransportFactory();
    this.factory = new ClientFactory({ transports: [transport] });
  }

  url(agent = 'worker') {
    return `${this.base}/a2a/agents/${agent}`;
  }

  gate() {
    return new Gate(this.stage);
  }

  /** The SDK's client of an agent, made from the card that the SDK's resolver reads. */
  client(agent = 'worker') {
    if (!this.clients.has(agent)) this.clients.set(agent, this.factory.createFromUrl(`${this.url(agent)}/`));
    return this.clients.get(agent);
  }

  /** The options of a call that carries this caller's token. */
  asCaller(name) {
    const token = readFileSync(`${this.stage}/${name}.token`, 'utf8').trim();
    return { serviceParameters: { Authorization: `Bearer ${token}` } };
  }

  /** Sends without a stream; the task that comes back. */
  async send(parts, { agent, options, ...more } = {}) {
    const client = await this.client(agent);
    const task = await client.sendMessage(request(parts, more), options);
    that('status' in task, 'the answer is a task', task);
    return task;
  }

  /** Sends and does not wait for the end. */
  start(parts, { configuration, ...more } = {}) {
    return this.send(parts, { configuration: { returnImmediately: true, ...configuration }, ...more });
  }

  /** The events of SendStreamingMessage, as they come. */
  async *stream(parts, { agent, options, ...more } = {}) {
    const client = await this.client(agent);
    yield* client.sendMessageStream(request(parts, more), options);
  }

  /** The events of SubscribeToTask, as they come. */
  async *subscribe(id, { agent, options } = {}) {
    const client = await this.client(agent);
    yield* client.resubscribeTask(SubscribeToTaskRequest.fromJSON({ id }), options);
  }

  async get(id, { agent, options, ...more } = {}) {
    const client = await this.client(agent);
    return client.getTask(GetTaskRequest.fromJSON({ id, ...more }), options);
  }

  async list({ agent, options, ...more } = {}) {
    const client = await this.client(agent);
    return client.listTasks(ListTasksRequest.fromJSON(more), options);
  }

  /** Cancels. Only an answer that took as long as a node waits may come before the end, which is waited for then. */
  async cancel(id, { agent, options } = {}) {
    const client = await this.client(agent);
    const began = performance.now();
    const told = await client.cancelTask(CancelTaskRequest.fromJSON({ id }), options);
    if (TERMINAL.includes(state(told)) || performance.now() - began < CANCEL_WAITS) return told;
    return this.untilState(id, 'CANCELED', { agent });
  }

  /** The task, once it is in one of these states. */
  untilState(id, states, { agent } = {}) {
    states = [states].flat();
    return until(`${id} is ${states}`, async () => {
      const seen = await this.get(id, { agent });
      if (states.includes(state(seen))) return seen;
      that(!TERMINAL.includes(state(seen)), `the task is to become ${states}`, seen);
      return undefined;
    });
  }
}
