// Card discovery, SendMessage and conversations of several turns.

import { randomUUID } from 'node:crypto';

import { Message, Part, Role } from '@a2a-js/sdk';
import { DefaultAgentCardResolver, withA2AExtensions, ServiceParameters } from '@a2a-js/sdk/client';

import { check } from './checks.mjs';
import { artifact, refused, same, state, textOf, that, UNKNOWN } from './world.mjs';

const BIG = Number.MAX_SAFE_INTEGER;
const STRICT = 'https://example.com/extensions/strict';

check('Card/resolver', async (world) => {
  const card = await new DefaultAgentCardResolver().resolve(`${world.url()}/`);
  same(card.name, 'Worker', 'the name');
  const bindings = card.supportedInterfaces.map((one) => one.protocolBinding);
  that(['JSONRPC', 'HTTP+JSON'].every((one) => bindings.includes(one)), 'both bindings are listed', bindings);
  that(card.supportedInterfaces.every((one) => one.protocolVersion === '1.0'), 'their version', card);
  that(card.capabilities.streaming, 'it says that it streams');
  that(card.capabilities.pushNotifications, 'it says that it pushes');
  same(card.skills.map((skill) => skill.id), ['script'], 'its skills');
});

check('SendMessage/blocking', async (world) => {
  const messageId = randomUUID();
  const task = await world.send('hello', { messageId });
  same(state(task), 'COMPLETED', 'the state');
  that(task.id && task.contextId, 'it has both ids', task);
  that(Date.parse(task.status.timestamp) > 0, 'the status has its time', task);
  const answer = textOf(artifact(task, 'response').parts);
  that(answer.startsWith('echo: ') && answer.endsWith('hello'), 'the answer', answer);
  const [first, last] = [task.history[0], task.history.at(-1)];
  same([first.messageId, first.role, textOf(first.parts)], [messageId, Role.ROLE_USER, 'hello'], 'the question');
  same([last.role, textOf(last.parts)], [Role.ROLE_AGENT, answer], 'the answer in the history');
  for (const one of task.history) same([one.taskId, one.contextId], [task.id, task.contextId], 'whose message it is');
});

check('SendMessage/return-immediately', async (world) => {
  const gate = world.gate();
  const task = await world.start(`${gate.wait}\nscript: text done`);
  that(['SUBMITTED', 'WORKING'].includes(state(task)), 'it comes back before the end', task);
  gate.open();
  const done = await world.untilState(task.id, 'COMPLETED');
  same(textOf(artifact(done, 'response').parts), 'done', 'the answer');
});

check('SendMessage/parts', async (world) => {
  const raw = (bytes) => Buffer.from(bytes).toString('base64');
  const sent = [
    { text: 'look at these', metadata: { lang: 'en' } },
    { data: { rows: [1, 2.5, null, true, 'x'], empty: {} }, mediaType: 'application/json' },
    { raw: raw('plain text file\n'), filename: 'a.txt', mediaType: 'text/plain' },
    { url: 'https://example.com/c.png', filename: 'c.png', mediaType: 'image/png' },
    { text: 'script: text seen' },
  ];
  const task = await world.send(sent);
  same(state(task), 'COMPLETED', 'the state');
  const kept = (await world.get(task.id)).history[0].parts.map((part) => Part.toJSON(part));
  same(kept, sent, 'the parts as they are kept');
});

check('SendMessage/metadata', async (world) => {
  const metadata = { s: 'ä€𝄞\u0000', n: -7, f: 0.1, b: false, z: null, deep: { list: [[], {}, [1]] } };
  const task = await world.send('hi', { metadata });
  same(Message.toJSON((await world.get(task.id)).history[0]).metadata, metadata, 'the metadata as it is kept');
});

check('SendMessage/big-integers', async (world) => {
  const sent = { largest: BIG, least: -BIG, as_text: String(2n ** 64n) };
  const task = await world.send([{ data: sent }, 'script: text seen'], { metadata: sent });
  const kept = Message.toJSON(task.history[0]);
  same(kept.metadata, sent, 'in metadata');
  same(kept.parts[0].data, sent, 'in data');
});

check('SendMessage/duplicate', async (world) => {
  const [messageId, contextId] = [randomUUID(), `dup-${randomUUID()}`];
  const first = await world.send('once', { messageId, contextId });
  const second = await world.send('once', { messageId, contextId });
  same(second.id, first.id, 'the task of the repeat');
  await refused('RequestMalformedError', 'another message under the same messageId', () =>
    world.send('something else', { messageId, contextId }),
  );
  same((await world.list({ contextId })).totalSize, 1, 'tasks in the context');
});

check('SendMessage/concurrent-duplicates', async (world) => {
  const [messageId, contextId] = [randomUUID(), `dup-${randomUUID()}`];
  const sends = Array.from({ length: 8 }, () => world.start('once', { messageId, contextId }));
  const ids = new Set((await Promise.all(sends)).map((task) => task.id));
  same(ids.size, 1, 'tasks of eight sends of one message');
});

check('SendMessage/context-kept', async (world) => {
  const contextId = `my.context:${randomUUID()}`;
  const task = await world.send('hi', { contextId });
  same(task.contextId, contextId, 'the context');
  that(task.history.every((one) => one.contextId === contextId), 'the context of its messages', task);
});

check('SendMessage/follow-up', async (world) => {
  const agent = 'keeper';
  const first = await world.send('one', { agent });
  const { contextId } = first;
  const second = await world.send('two', { agent, contextId, referenceTaskIds: [first.id] });
  that(second.id !== first.id, 'a message to a context is a task of its own');
  same(second.contextId, contextId, 'the context');
  that(textOf(artifact(second, 'response').parts).endsWith('two'), 'the second answer', second);
  same(second.history[0].referenceTaskIds, [first.id], 'the reference');
  const listed = await world.list({ agent, contextId });
  same(listed.tasks.map((task) => task.id), [second.id, first.id], 'the tasks of the context');
});

check('SendMessage/same-session', async (world) => {
  const agent = 'keeper';
  const { contextId } = await world.send('remember 4711', { agent });
  const second = await world.send('script: recall', { agent, contextId });
  const said = textOf(artifact(second, 'response').parts);
  that(said.includes('remember 4711'), 'the session of the context goes on', said);
});

check('SendMessage/history-length', async (world) => {
  const none = await world.send('hi', { configuration: { historyLength: 0 } });
  same(none.history.length, 0, 'messages of historyLength 0');
  const one = await world.send('hi', { configuration: { historyLength: 1 } });
  same(one.history.map((message) => message.role), [Role.ROLE_AGENT], 'messages of historyLength 1');
});

check('SendMessage/unknown-task', async (world) => {
  await refused('TaskNotFoundError', 'a message to a task that does not exist', () =>
    world.send('hi', { taskId: UNKNOWN }),
  );
  await refused('TaskNotFoundError', 'a message to a task of an impossible id', () =>
    world.send('hi', { taskId: 'no such task' }),
  );
});

check('SendMessage/context-mismatch', async (world) => {
  const task = await world.start('tck-multi-turn');
  await world.untilState(task.id, 'INPUT_REQUIRED');
  await refused('RequestMalformedError', 'a message to a task in another context', () =>
    world.send('done', { taskId: task.id, contextId: 'another-context' }),
  );
  await world.cancel(task.id);
});

check('SendMessage/terminal-task', async (world) => {
  const task = await world.send('hi');
  await refused('UnsupportedOperationError', 'a message to a task that has ended', () =>
    world.send('more', { taskId: task.id }),
  );
});

check('SendMessage/busy-task', async (world) => {
  const gate = world.gate();
  const task = await world.start(`${gate.wait}\nscript: text done`);
  await refused('UnsupportedOperationError', 'a message to a task at work', () =>
    world.send('more', { taskId: task.id }),
  );
  gate.open();
  await world.untilState(task.id, 'COMPLETED');
});

check('SendMessage/failure', async (world) => {
  const task = await world.send('tck-task-failure');
  same(state(task), 'FAILED', 'the state');
  that(textOf(task.status.message.parts).includes('tck-task-failure'), 'the status says why', task);
});

check('SendMessage/data-artifact', async (world) => {
  const task = await world.send('tck-artifact-data');
  const [part] = artifact(task, 'data.json').parts;
  same(part.content, { $case: 'data', value: { kind: 'tck-artifact-data', values: [1, 2, 3] } }, 'the data');
});

check('SendMessage/raw-artifact', async (world) => {
  const task = await world.send('script: sh printf \'\\377\\000\\001\' > "$TASK_ARTIFACTS_DIR/blob.bin"');
  const [part] = artifact(task, 'blob.bin').parts;
  same([part.content.$case, [...part.content.value]], ['raw', [0xff, 0, 1]], 'the bytes');
});

check('SendMessage/content-type', async (world) => {
  const part = { text: 'hi', mediaType: 'application/x-unsupported-tck-type' };
  await refused('ContentTypeNotSupportedError', 'a part of a type nobody takes', () => world.send([part]));
});

check('SendMessage/bytes', async (world) => {
  const part = { raw: Buffer.from([...Array(256).keys()]).toString('base64'), mediaType: 'application/octet-stream' };
  await refused('ContentTypeNotSupportedError', 'bytes that are no text, which no agent could be told', () =>
    world.send([part]),
  );
});

check('SendMessage/required-extension', async (world) => {
  const agent = 'strict';
  await refused('ExtensionSupportRequiredError', 'a call without the required extension', () =>
    world.send('hi', { agent }),
  );
  const options = { serviceParameters: ServiceParameters.create(withA2AExtensions(STRICT)) };
  const task = await world.send('hi', { agent, options });
  same(state(task), 'COMPLETED', 'the state of a call that offers it');
});

check('Turns/input-required', async (world) => {
  const task = await world.send('tck-multi-turn');
  same(state(task), 'INPUT_REQUIRED', 'a blocking send ends at the question');
  that(textOf(task.status.message.parts).includes('done'), 'the status asks', task);
  const again = await world.send('not yet', { taskId: task.id, contextId: task.contextId });
  same([again.id, state(again)], [task.id, 'INPUT_REQUIRED'], 'after an answer that does not do');
  const ended = await world.send('done', { taskId: task.id });
  same([ended.id, state(ended)], [task.id, 'COMPLETED'], 'after the one that does');
  const said = ended.history.filter((one) => one.role === Role.ROLE_USER).map((one) => textOf(one.parts));
  same(said, ['tck-multi-turn', 'not yet', 'done'], 'what the user said');
});

check('Turns/repeated-answer', async (world) => {
  const { id: taskId } = await world.send('tck-multi-turn');
  const messageId = randomUUID();
  const ended = await world.send('done', { taskId, messageId });
  const again = await world.send('done', { taskId, messageId });
  same([again.id, state(again)], [ended.id, 'COMPLETED'], 'the same answer sent once more');
});

check('Turns/auth-required', async (world) => {
  const task = await world.send('tck-auth-required');
  same(state(task), 'AUTH_REQUIRED', 'a blocking send ends when a login is needed');
  that(textOf(task.status.message.parts).includes('login'), 'the status says what is needed', task);
  const ended = await world.send('scripted-login', { taskId: task.id });
  same([ended.id, state(ended)], [task.id, 'COMPLETED'], 'after the login');
  const other = await world.send('tck-auth-required');
  same(state(await world.cancel(other.id)), 'CANCELED', 'one that waits for a login can be cancelled');
});
