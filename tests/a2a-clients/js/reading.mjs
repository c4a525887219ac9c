// GetTask and ListTasks.

import { randomUUID } from 'node:crypto';

import { Role } from '@a2a-js/sdk';

import { check } from './checks.mjs';
import { artifact, refused, same, state, textOf, that, UNKNOWN } from './world.mjs';

// More than two pages of fifty.
const MANY = 120;

const ids = (page) => page.tasks.map((task) => task.id);

check('Get/history', async (world) => {
  const { id } = await world.send('hi');
  const everything = (await world.get(id)).history;
  same(everything.map((one) => one.role), [Role.ROLE_USER, Role.ROLE_AGENT], 'all of it');
  same((await world.get(id, { historyLength: 0 })).history.length, 0, 'messages of historyLength 0');
  const one = (await world.get(id, { historyLength: 1 })).history;
  same(one.map((message) => message.messageId), [everything[1].messageId], 'the latest one');
  same((await world.get(id, { historyLength: 99 })).history.length, 2, 'messages of historyLength 99');
});

check('Get/same-everywhere', async (world) => {
  const task = await world.send('tck-artifact-data');
  same(await world.get(task.id), task, 'the task as it is kept and as it was returned');
});

check('Get/unknown', async (world) => {
  for (const id of [UNKNOWN, 'no-such-task']) {
    await refused('TaskNotFoundError', `the task ${id}`, () => world.get(id));
  }
});

check('Get/of-another-agent', async (world) => {
  const task = await world.send('hi');
  await refused('TaskNotFoundError', 'a task under the address of another agent', () =>
    world.get(task.id, { agent: 'keeper' }),
  );
});

check('Get/negative-history', async (world) => {
  const task = await world.send('hi');
  await refused('RequestMalformedError', 'historyLength -1', () => world.get(task.id, { historyLength: -1 }));
});

check('List/paging', async (world) => {
  const [agent, contextId] = ['pages', `pages-${randomUUID()}`];
  // Tasks that wait behind one that never ends, oldest first.
  const sent = [(await world.start('script: hang', { agent, contextId })).id];
  while (sent.length < MANY) sent.push((await world.start(`number ${sent.length}`, { agent, contextId })).id);
  // At work, not waiting: the same check on the other binding may hold the one slot, and what starts moves.
  await world.untilState(sent[0], ['WORKING'], { agent });
  const [seen, sizes, times] = [[], [], []];
  let pageToken = '';
  do {
    const page = await world.list({ agent, contextId, pageSize: 50, pageToken });
    same([page.totalSize, page.pageSize], [MANY, 50], 'totalSize and pageSize');
    sizes.push(page.tasks.length);
    seen.push(...ids(page));
    times.push(...page.tasks.map((task) => Date.parse(task.status.timestamp)));
    pageToken = page.nextPageToken;
  } while (pageToken);
  same(sizes, [50, 50, 20], 'the sizes of the pages');
  same([...seen].sort(), [...sent].sort(), 'the tasks on them');
  same(times, times.toSorted((a, b) => b - a), 'the order by time, newest first');
  same(ids(await world.list({ agent, contextId, pageSize: 100 })), seen.slice(0, 100), 'a page of a hundred');
  same((await world.list({ agent, contextId })).tasks.length, 50, 'tasks on a page of no given size');
  // What moves while somebody pages costs no other task its place.
  const first = await world.list({ agent, contextId, pageSize: 50 });
  const moved = sent[60];
  await world.cancel(moved, { agent });
  const second = await world.list({ agent, contextId, pageSize: 100, pageToken: first.nextPageToken });
  const read = new Set([...ids(first), ...ids(second), moved]);
  same(sent.filter((id) => !read.has(id)), [], 'tasks lost between two pages');
  same(ids(await world.list({ agent, contextId, pageSize: 1 })), [moved], 'the one that changed last');
  // Those that wait first: once the first one's slot is free, one of them would start and complete.
  const [atWork, ...waiting] = sent.filter((id) => id !== moved);
  await Promise.all(waiting.map((id) => world.cancel(id, { agent })));
  await world.cancel(atWork, { agent });
});

check('List/filters', async (world) => {
  const contextId = `filters-${randomUUID()}`;
  const done = await world.send('tck-artifact-data', { contextId });
  const failed = await world.send('tck-task-failure', { contextId });
  const elsewhere = await world.send('hi');
  const found = async (more) => {
    const page = await world.list({ contextId, ...more });
    same(page.totalSize, page.tasks.length, 'totalSize');
    return ids(page);
  };
  same(await found({}), [failed.id, done.id], 'by context');
  same(await found({ status: 'TASK_STATE_FAILED' }), [failed.id], 'by context and state');
  same(await found({ status: 'TASK_STATE_WORKING' }), [], 'by a state no task has');
  const after = (statusTimestampAfter) => found({ statusTimestampAfter });
  same(await after(done.status.timestamp), [failed.id, done.id], 'from the time of the first, itself included');
  same(await after(failed.status.timestamp), [failed.id], 'from the time of the second');
  same(await after('2999-01-01T00:00:00Z'), [], 'from far ahead');
  const everything = ids(await world.list({ pageSize: 100 }));
  that(everything.includes(elsewhere.id), 'without a context all are listed');
});

check('List/content', async (world) => {
  const contextId = `content-${randomUUID()}`;
  const task = await world.send('tck-artifact-data', { contextId });
  const only = async (more) => {
    const page = await world.list({ contextId, ...more });
    same(page.tasks.length, 1, 'tasks of the context');
    return page.tasks[0];
  };
  same((await only({})).artifacts.length, 0, 'artifacts that nobody asked for');
  const whole = await only({ includeArtifacts: true });
  const names = (of) => of.artifacts.map((one) => one.artifactId).sort();
  same(names(whole), names(task), 'artifacts');
  same(artifact(whole, 'data.json').parts[0].content.value.values, [1, 2, 3], 'their content');
  same((await only({ historyLength: 0 })).history.length, 0, 'messages of historyLength 0');
  const one = await only({ historyLength: 1 });
  same(one.history.map((message) => textOf(message.parts)), ['Wrote data.json.'], 'messages of historyLength 1');
  same(state(one), 'COMPLETED', 'the state');
});

check('List/empty', async (world) => {
  const page = await world.list({ contextId: `nobody-${randomUUID()}` });
  same([page.tasks, page.totalSize, page.nextPageToken], [[], 0, ''], 'an empty page');
});

check('List/bad-page-size', async (world) => {
  for (const pageSize of [0, 101, -1]) {
    await refused('RequestMalformedError', `pageSize ${pageSize}`, () => world.list({ pageSize }));
  }
});

check('List/bad-page-token', (world) =>
  refused('RequestMalformedError', 'a page token nobody gave', () => world.list({ pageToken: 'nonsense' })),
);

check('List/negative-history', (world) =>
  refused('RequestMalformedError', 'historyLength -1', () => world.list({ historyLength: -1 })),
);
