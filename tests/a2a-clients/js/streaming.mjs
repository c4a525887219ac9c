// SendStreamingMessage, SubscribeToTask, CancelTask.

import { randomUUID } from 'node:crypto';

import { check } from './checks.mjs';
import {
  artifact,
  assembled,
  collect,
  kind,
  Reader,
  refused,
  same,
  state,
  textOf,
  that,
  UNKNOWN,
  value,
} from './world.mjs';

/** The stream begins with the task and ends with this state, told once. The task. */
export function endsWith(events, wanted) {
  that(events.length > 0, 'there are events');
  same(kind(events[0]), 'task', 'the first event');
  that(events.slice(1).every((event) => kind(event) !== 'task'), 'the task comes once', events);
  same(kind(events.at(-1)), 'statusUpdate', 'the last event');
  same(state(value(events.at(-1))), wanted, 'the last state');
  const task = value(events[0]);
  for (const event of events.slice(1)) {
    same([value(event).taskId, value(event).contextId], [task.id, task.contextId], 'whose event it is');
  }
  return task;
}

const states = (events) =>
  events.filter((event) => kind(event) === 'statusUpdate').map((event) => state(value(event)));

check('Stream/order', async (world) => {
  const events = await collect(world.stream('script: text one \nscript: sleep 300\nscript: text two'));
  const task = endsWith(events, 'COMPLETED');
  same(states(events).slice(-2), ['WORKING', 'COMPLETED'], 'the states told');
  const updates = events.filter((event) => kind(event) === 'artifactUpdate');
  that(updates.length > 0, 'the answer comes as it is made');
  const done = await world.get(task.id);
  same(assembled(events), textOf(artifact(done, 'response').parts), 'the text put together');
  const told = new Set(updates.map((event) => value(event).artifact.artifactId));
  same([...told].sort(), done.artifacts.map((one) => one.artifactId).sort(), 'the artifacts told');
});

check('Stream/chunked', async (world) => {
  const events = await collect(world.stream('tck-stream-chunked'));
  const task = endsWith(events, 'COMPLETED');
  const done = await world.get(task.id);
  same(assembled(events).length, 5 * 16, 'bytes of five chunks');
  same(assembled(events), textOf(artifact(done, 'response').parts), 'the text put together');
});

async function burst(world, count) {
  const wanted = Array.from({ length: count }, (_, n) => `${n + 1}\n`).join('');
  const events = await collect(world.stream(`script: burst ${count}`));
  const task = endsWith(events, 'COMPLETED');
  that(assembled(events) === wanted, 'every chunk arrives once and in order', assembled(events).length);
  const done = await world.get(task.id);
  that(textOf(artifact(done, 'response').parts) === wanted, 'every chunk is kept');
}

check('Stream/burst-400', (world) => burst(world, 400));
check('Stream/burst-10000', (world) => burst(world, 10_000));

check('Stream/input-required', async (world) => {
  const task = endsWith(await collect(world.stream('tck-multi-turn')), 'INPUT_REQUIRED');
  const events = await collect(world.stream('done', { taskId: task.id }));
  same(endsWith(events, 'COMPLETED').id, task.id, 'the task that goes on');
});

check('Stream/failure', async (world) => {
  const events = await collect(world.stream('script: text begun\nscript: exit 3'));
  endsWith(events, 'FAILED');
  that(textOf(value(events.at(-1)).status.message.parts), 'the end says why', events.at(-1));
});

check('Stream/refused', (world) =>
  refused('TaskNotFoundError', 'a stream for a task that does not exist', () =>
    collect(world.stream('hi', { taskId: UNKNOWN })),
  ),
);

check('Stream/duplicate', async (world) => {
  const messageId = randomUUID();
  const first = await world.send('hi', { messageId });
  const events = await collect(world.stream('hi', { messageId }));
  same([kind(events[0]), value(events[0]).id], ['task', first.id], 'the first event of a repeat');
  same(state(value(events[0])), 'COMPLETED', 'its state');
});

check('Stream/two-readers', async (world) => {
  const gate = world.gate();
  const work = 'script: tool looking\nscript: burst 50\nscript: sleep 150\nscript: burst 50';
  const task = await world.start(`${gate.wait}\n${work}`);
  await world.untilState(task.id, 'WORKING');
  const readers = [1, 2].map(() => new Reader(world.subscribe(task.id)));
  await Promise.all(readers.map((reader) => reader.ready));
  gate.open();
  const [one, two] = await Promise.all(readers.map((reader) => reader.all()));
  endsWith(one, 'COMPLETED');
  that(one.length > 2, 'there is more than the end', one);
  same(two, one, 'what the second reader saw');
});

check('Stream/reader-leaves', async (world) => {
  const gate = world.gate();
  const stream = world.stream(`${gate.wait}\nscript: burst 400`);
  const first = (await stream.next()).value;
  const stays = new Reader(world.subscribe(value(first).id));
  const leaves = new Reader(world.subscribe(value(first).id), 1);
  await stays.ready;
  await stream.return();
  same((await leaves.all()).length, 1, 'events of the reader that leaves');
  gate.open();
  const events = await stays.all();
  endsWith(events, 'COMPLETED');
  same(assembled(events).split('\n').length - 1, 400, 'chunks for the one that stays');
});

check('Subscribe/running', async (world) => {
  const gate = world.gate();
  const task = await world.start(`script: text before,\n${gate.wait}\nscript: text after`);
  await world.untilState(task.id, 'WORKING');
  const reader = new Reader(world.subscribe(task.id));
  await reader.ready;
  same(kind(reader.events[0]), 'task', 'the first event');
  gate.open();
  const events = await reader.all();
  same(endsWith(events, 'COMPLETED').id, task.id, 'the task');
  same(assembled(events), 'before,after', 'the text put together');
});

check('Subscribe/queued', async (world) => {
  const [gate, agent] = [world.gate(), 'line'];
  const ahead = await world.start(`${gate.wait}\nscript: text done`, { agent });
  const task = await world.start('hi', { agent });
  const reader = new Reader(world.subscribe(task.id, { agent }));
  await reader.ready;
  same(state(value(reader.events[0])), 'SUBMITTED', 'the state of the first event');
  gate.open();
  endsWith(await reader.all(), 'COMPLETED');
  await world.untilState(ahead.id, 'COMPLETED', { agent });
});

check('Subscribe/input-required', async (world) => {
  const task = await world.send('tck-multi-turn');
  const stream = world.subscribe(task.id);
  const first = (await stream.next()).value;
  same([kind(first), state(value(first))], ['task', 'INPUT_REQUIRED'], 'the first event');
  const rest = collect(stream);
  const done = await world.send('done', { taskId: task.id });
  same(state(done), 'COMPLETED', 'the end');
  const seen = states(await rest);
  that(seen.length === 0 || seen.at(-1) === 'COMPLETED', 'a subscription that stays sees the end', seen);
});

check('Subscribe/terminal', async (world) => {
  const task = await world.send('hi');
  await refused('UnsupportedOperationError', 'a subscription to a task that has ended', () =>
    collect(world.subscribe(task.id)),
  );
});

check('Subscribe/unknown', (world) =>
  refused('TaskNotFoundError', 'a subscription to a task that does not exist', () =>
    collect(world.subscribe(UNKNOWN)),
  ),
);

check('Cancel/running', async (world) => {
  const stream = world.stream('tck-long-running');
  const task = value((await stream.next()).value);
  await world.untilState(task.id, 'WORKING');
  const rest = collect(stream);
  const canceled = await world.cancel(task.id);
  same([canceled.id, state(canceled)], [task.id, 'CANCELED'], 'the task that comes back');
  same(states(await rest).at(-1), 'CANCELED', 'the last event of its stream');
  same(state(await world.get(task.id)), 'CANCELED', 'the task as it is kept');
});

check('Cancel/again', async (world) => {
  const task = await world.start(world.gate().wait);
  await world.cancel(task.id);
  await refused('TaskNotCancelableError', 'a second cancel', () => world.cancel(task.id));
});

check('Cancel/queued', async (world) => {
  const [gate, agent] = [world.gate(), 'line'];
  const ahead = await world.start(`${gate.wait}\nscript: text done`, { agent });
  const task = await world.start('hi', { agent });
  same(state(await world.cancel(task.id, { agent })), 'CANCELED', 'the state');
  gate.open();
  await world.untilState(ahead.id, 'COMPLETED', { agent });
  same(state(await world.get(task.id, { agent })), 'CANCELED', 'the state, later');
});

check('Cancel/input-required', async (world) => {
  const task = await world.send('tck-multi-turn');
  same(state(await world.cancel(task.id)), 'CANCELED', 'the state');
});

check('Cancel/terminal', async (world) => {
  const task = await world.send('hi');
  await refused('TaskNotCancelableError', 'the cancel of a task that has ended', () => world.cancel(task.id));
  same(state(await world.get(task.id)), 'COMPLETED', 'the state, later');
});

check('Cancel/unknown', (world) =>
  refused('TaskNotFoundError', 'the cancel of a task that does not exist', () => world.cancel(UNKNOWN)),
);
