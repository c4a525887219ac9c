// Push notification configs and what they deliver.

import {
  DeleteTaskPushNotificationConfigRequest,
  GetTaskPushNotificationConfigRequest,
  ListTaskPushNotificationConfigsRequest,
  StreamResponse,
  TaskPushNotificationConfig,
} from '@a2a-js/sdk';

import { check } from './checks.mjs';
import { refused, same, that, UNKNOWN, until, value } from './world.mjs';

export async function create(world, taskId, config) {
  const client = await world.client();
  return client.createTaskPushNotificationConfig(TaskPushNotificationConfig.fromJSON({ taskId, ...config }));
}

export async function read(world, taskId, id) {
  const client = await world.client();
  return client.getTaskPushNotificationConfig(GetTaskPushNotificationConfigRequest.fromJSON({ taskId, id }));
}

/** The ids of the configs of a task. */
export async function allOf(world, taskId) {
  const client = await world.client();
  const wanted = ListTaskPushNotificationConfigsRequest.fromJSON({ taskId });
  return (await client.listTaskPushNotificationConfig(wanted)).configs.map((one) => one.id).sort();
}

async function remove(world, taskId, id) {
  const client = await world.client();
  await client.deleteTaskPushNotificationConfig(DeleteTaskPushNotificationConfigRequest.fromJSON({ taskId, id }));
}

export const told = (world, path, state) =>
  until(`the webhook is told ${state}`, () => world.receiver.states(path).includes(state));

check('Push/create-get-list-delete', async (world) => {
  const gate = world.gate();
  const task = await world.start(`${gate.wait}\nscript: text done`);
  const [, url] = world.receiver.hook();
  const authentication = { scheme: 'Bearer', credentials: 'c' };
  const first = await create(world, task.id, { url, token: 'secret', authentication });
  that(first.id, 'a config gets an id', first);
  same([first.taskId, first.url, first.token], [task.id, url, 'secret'], 'what was created');
  const second = await create(world, task.id, { url, id: 'my-own-id' });
  same(second.id, 'my-own-id', "an id of the caller's own");
  same(await read(world, task.id, first.id), first, 'what is read');
  same(await allOf(world, task.id), [first.id, 'my-own-id'].sort(), 'what is listed');
  await remove(world, task.id, 'my-own-id');
  await remove(world, task.id, 'my-own-id');
  same(await allOf(world, task.id), [first.id], 'what is left');
  await refused('TaskNotFoundError', 'a config that is deleted', () => read(world, task.id, 'my-own-id'));
  gate.open();
  await world.untilState(task.id, 'COMPLETED');
});

check('Push/unknown-task', async (world) => {
  const [, url] = world.receiver.hook();
  const absent = 'of a task that does not exist';
  await refused('TaskNotFoundError', `a new config ${absent}`, () => create(world, UNKNOWN, { url }));
  await refused('TaskNotFoundError', `the configs ${absent}`, () => allOf(world, UNKNOWN));
  await refused('TaskNotFoundError', `a config ${absent}`, () => read(world, UNKNOWN, 'x'));
});

check('Push/refused-target', async (world) => {
  const task = await world.send('tck-multi-turn');
  for (const url of ['http://169.254.169.254/latest', 'ftp://example.com/x', 'nonsense']) {
    await refused('RequestMalformedError', `a config for ${url}`, () => create(world, task.id, { url }));
  }
  await world.cancel(task.id);
});

check('Push/delivery', async (world) => {
  const gate = world.gate();
  const task = await world.start(`${gate.wait}\nscript: text pushed`);
  await world.untilState(task.id, 'WORKING');
  const [path, url] = world.receiver.hook();
  await create(world, task.id, { url, token: 'secret', authentication: { scheme: 'Bearer', credentials: 'creds' } });
  gate.open();
  await told(world, path, 'COMPLETED');
  for (const { headers, body } of world.receiver.told(path)) {
    same(headers['content-type'], 'application/a2a+json', 'its type');
    same(headers.authorization, 'Bearer creds', 'its credentials');
    same(headers['x-a2a-notification-token'], 'secret', 'its token');
    same(headers['a2a-notification-token'], 'secret', 'its token under the other name');
    const update = value(StreamResponse.fromJSON(body));
    same(update.taskId ?? update.id, task.id, 'the task it is about');
  }
  const states = world.receiver.states(path);
  same(states.at(-1), 'COMPLETED', 'the last state told');
  same(states.filter((one) => one === 'COMPLETED').length, 1, 'how often the end is told');
});

check('Push/with-message', async (world) => {
  const [path, url] = world.receiver.hook();
  const taskPushNotificationConfig = { url, token: 't' };
  const task = await world.send('hi', { configuration: { taskPushNotificationConfig } });
  await told(world, path, 'COMPLETED');
  that(
    world.receiver.told(path).every(({ headers }) => headers['x-a2a-notification-token'] === 't'),
    'its token',
  );
  same((await allOf(world, task.id)).length, 1, 'configs listed');
});

check('Push/input-required', async (world) => {
  const [path, url] = world.receiver.hook();
  const configuration = { taskPushNotificationConfig: { url } };
  const task = await world.send('tck-multi-turn', { configuration });
  await told(world, path, 'INPUT_REQUIRED');
  await world.send('done', { taskId: task.id });
  await told(world, path, 'COMPLETED');
});

check('Push/deleted', async (world) => {
  const gate = world.gate();
  const task = await world.start(`${gate.wait}\nscript: text done`);
  const [stays, staysUrl] = world.receiver.hook();
  const [goes, goesUrl] = world.receiver.hook();
  await create(world, task.id, { url: staysUrl });
  const gone = await create(world, task.id, { url: goesUrl });
  await remove(world, task.id, gone.id);
  gate.open();
  await told(world, stays, 'COMPLETED');
  that(!world.receiver.states(goes).includes('COMPLETED'), 'a deleted config is told nothing more');
});
