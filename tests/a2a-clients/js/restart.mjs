// What becomes of everything when the engine is killed with SIGKILL and started again.

import { randomUUID } from 'node:crypto';

import { allOf, create, read, told } from './pushing.mjs';
import { endsWith } from './streaming.mjs';
import { artifact, assembled, collect, kind, Reader, refused, same, state, textOf, that, until, value } from './world.mjs';

/** One binding's state of affairs at the moment of the kill. */
class Before {
  constructor(world) {
    this.world = world;
  }

  async prepare() {
    const { world } = this;
    this.gate = world.gate();
    const wait = `script: text begun,\n${this.gate.wait}\nscript: text ended`;
    [this.messageId, this.contextId] = [randomUUID(), `restart-${randomUUID()}`];
    const { messageId, contextId } = this;
    this.done = await world.send('tck-artifact-data', { messageId, contextId });
    this.later = await world.send('hi', { contextId });
    this.page = await world.list({ contextId, pageSize: 1 });
    this.asks = await world.send('tck-multi-turn', { agent: 'resumer' });
    same(state(this.asks), 'INPUT_REQUIRED', 'the state of the one that asks');
    const [hook, url] = world.receiver.hook();
    this.hook = hook;
    const configuration = { taskPushNotificationConfig: { url, token: 't' } };
    this.retried = await world.start(wait, { agent: 'retrier', configuration });
    this.resumed = await world.start(wait, { agent: 'resumer' });
    this.failed = await world.start(wait);
    const [failedHook, failedUrl] = world.receiver.hook();
    this.failedHook = failedHook;
    this.config = await create(world, this.failed.id, { url: failedUrl });
    await world.start(wait, { agent: 'line' });
    this.queued = await world.start('hi', { agent: 'line' });
    await this.untilBegun(this.retried, 'retrier');
    await this.untilBegun(this.resumed, 'resumer');
    await this.untilBegun(this.failed, 'worker');
    this.readers = [
      new Reader(world.subscribe(this.retried.id, { agent: 'retrier' })),
      new Reader(world.subscribe(this.failed.id)),
    ];
    await Promise.all(this.readers.map((reader) => reader.ready));
    this.kept = await world.get(this.done.id);
  }

  /** Waits until the agent has said something: before that, its run has nothing to lose. */
  untilBegun(task, agent) {
    return until(`${task.id} has begun`, async () => {
      const { artifacts } = await this.world.get(task.id, { agent });
      return artifacts.some((one) => textOf(one.parts) === 'begun,');
    });
  }

  async streamsEnd() {
    for (const reader of this.readers) {
      const [ended] = await Promise.allSettled([reader.reading]);
      that(reader.events.length > 0, 'the reader had begun', ended);
      const last = reader.events.at(-1);
      const open = kind(last) !== 'statusUpdate' || state(value(last)) === 'WORKING';
      that(open, 'a stream that breaks tells no end that was none', last);
    }
  }

  async doneUnchanged() {
    same(await this.world.get(this.done.id), this.kept, 'the task that had ended');
  }

  async duplicate() {
    const { messageId, contextId } = this;
    const again = await this.world.send('tck-artifact-data', { messageId, contextId });
    same(again.id, this.done.id, 'the task of the repeat');
  }

  async pageToken() {
    const { contextId, page } = this;
    const next = await this.world.list({ contextId, pageSize: 1, pageToken: page.nextPageToken });
    same(next.tasks.map((task) => task.id), [this.done.id], 'the second page');
  }

  async pushConfigKept() {
    same(await read(this.world, this.failed.id, this.config.id), this.config, 'the config');
    same(await allOf(this.world, this.failed.id), [this.config.id], 'what is listed');
  }

  async failedWithCause() {
    const task = await this.world.untilState(this.failed.id, 'FAILED');
    const said = textOf(task.status.message.parts);
    that(said.includes('engine'), 'it says why', said);
    same(task.status.message.metadata, { failure_code: 'interrupted' }, 'the code');
    same(textOf(artifact(task, 'response').parts), 'begun,', 'what it had said');
    await refused('UnsupportedOperationError', 'a subscription to it', () =>
      collect(this.world.subscribe(this.failed.id)),
    );
    await told(this.world, this.failedHook, 'FAILED');
  }

  async subscribeAgain() {
    const agent = 'retrier';
    const reader = new Reader(this.world.subscribe(this.retried.id, { agent }));
    await reader.ready;
    same(kind(reader.events[0]), 'task', 'the first event');
    that(['SUBMITTED', 'WORKING'].includes(state(value(reader.events[0]))), 'its state', reader.events[0]);
    this.gate.open();
    const events = await reader.all();
    same(endsWith(events, 'COMPLETED').id, this.retried.id, 'the task');
    const done = await this.world.get(this.retried.id, { agent });
    same(assembled(events), textOf(artifact(done, 'response').parts), 'the text put together');
    that(assembled(events).endsWith('begun,ended'), 'the text of the second attempt', assembled(events));
  }

  async pushedAfter() {
    await told(this.world, this.hook, 'COMPLETED');
    const states = this.world.receiver.states(this.hook);
    same(states.filter((one) => one === 'COMPLETED').length, 1, 'how often the end is told');
    const tokens = this.world.receiver.told(this.hook).map(({ headers }) => headers['x-a2a-notification-token']);
    that(tokens.every((token) => token === 't'), 'its token', tokens);
  }

  async sessionResumed() {
    const task = await this.world.untilState(this.resumed.id, 'COMPLETED', { agent: 'resumer' });
    const said = textOf(artifact(task, 'response').parts);
    that(said.includes('was cut off'), 'its session is told what happened', said);
  }

  async queuedRuns() {
    const task = await this.world.untilState(this.queued.id, 'COMPLETED', { agent: 'line' });
    that(textOf(artifact(task, 'response').parts).endsWith('hi'), 'the answer', task);
  }

  async questionAnswered() {
    const agent = 'resumer';
    const stream = this.world.subscribe(this.asks.id, { agent });
    const first = (await stream.next()).value;
    same([kind(first), state(value(first))], ['task', 'INPUT_REQUIRED'], 'the first event of a subscription');
    await stream.return();
    const ended = await this.world.send('done', { agent, taskId: this.asks.id });
    same([ended.id, state(ended)], [this.asks.id, 'COMPLETED'], 'after the answer');
  }
}

const AFTER = {
  'Restart/streams-break': 'streamsEnd',
  'Restart/ended-task': 'doneUnchanged',
  'Restart/duplicate': 'duplicate',
  'Restart/page-token': 'pageToken',
  'Restart/push-config': 'pushConfigKept',
  'Restart/failed-with-cause': 'failedWithCause',
  'Restart/subscribe-again': 'subscribeAgain',
  'Restart/pushed-after': 'pushedAfter',
  'Restart/session-resumed': 'sessionResumed',
  'Restart/queued-runs': 'queuedRuns',
  'Restart/question-answered': 'questionAnswered',
};

/** Prepares both bindings, kills the node's engine, starts it again and looks. */
export async function run(report, worlds, node) {
  const befores = Object.entries(worlds).map(([binding, world]) => [binding, new Before(world)]);
  for (const [binding, before] of befores) {
    await report.check('js', binding, 'Restart/prepare', () => before.prepare());
  }
  await node('kill');
  const base = await node('start');
  for (const world of Object.values(worlds)) same(base, world.base, 'the address of the node started again');
  for (const [name, method] of Object.entries(AFTER)) {
    await Promise.all(befores.map(([binding, before]) => report.check('js', binding, name, () => before[method]())));
  }
}
