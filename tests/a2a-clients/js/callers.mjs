// Callers with tokens, and the card only they may read.

import { ListTaskPushNotificationConfigsRequest, TaskPushNotificationConfig } from '@a2a-js/sdk';

import { check } from './checks.mjs';
import { refused, same, state, that, UNKNOWN } from './world.mjs';

check('ExtendedCard/with-token', async (world) => {
  const client = await world.factory.createFromUrl(`${world.url()}/`);
  const card = await client.transport.getExtendedAgentCard(
    { tenant: '' },
    { serviceParameters: { 'A2A-Version': '1.0', ...world.asCaller('alice').serviceParameters } },
  );
  same(card.name, 'Worker', 'the name');
  same(card.skills.map((skill) => skill.id), ['script'], 'its skills');
  that(card.supportedInterfaces.length >= 2, 'its interfaces', card);
  const own = await client.getAgentCard(world.asCaller('alice'));
  same(own, card, 'the card that the client keeps');
});

check('Callers/isolation', async (world) => {
  const [alice, bob] = [world.asCaller('alice'), world.asCaller('bob')];
  const gate = world.gate();
  const task = await world.start(`${gate.wait}\nscript: text done`, { options: alice });
  const client = await world.client();
  const [, url] = world.receiver.hook();
  const attempts = {
    'to read it': () => world.get(task.id, { options: bob }),
    'to cancel it': () => world.cancel(task.id, { options: bob }),
    'to answer it': () => world.send('done', { taskId: task.id, options: bob }),
    'to be told of it': () =>
      client.createTaskPushNotificationConfig(TaskPushNotificationConfig.fromJSON({ taskId: task.id, url }), bob),
    'to list its configs': () =>
      client.listTaskPushNotificationConfig(
        ListTaskPushNotificationConfigsRequest.fromJSON({ taskId: task.id }),
        bob,
      ),
    'to follow it': () => world.subscribe(task.id, { options: bob }).next(),
  };
  for (const [what, attempt] of Object.entries(attempts)) {
    await refused('TaskNotFoundError', `another caller's wish ${what}`, attempt);
  }
  const listed = await world.list({ contextId: task.contextId, options: bob });
  same([listed.tasks, listed.totalSize], [[], 0], 'what another caller lists');
  that(['SUBMITTED', 'WORKING'].includes(state(await world.get(task.id, { options: alice }))), 'it goes on');
  same((await world.get(task.id)).id, task.id, 'the owner of the node sees it');
  gate.open();
  await world.untilState(task.id, 'COMPLETED');
});

check('Callers/same-key', async (world) => {
  const messageId = `one-key-${world.binding}`;
  const tasks = [];
  for (const name of ['alice', 'bob']) tasks.push(await world.send('hi', { messageId, options: world.asCaller(name) }));
  that(tasks[0].id !== tasks[1].id, 'the same messageId of two callers makes two tasks');
});

check('Callers/wrong-token', async (world) => {
  const options = { serviceParameters: { Authorization: 'Bearer nobody-has-this-token' } };
  let error;
  await world.get(UNKNOWN, { options }).catch((caught) => (error = caught));
  that(error, 'a token nobody has is refused');
  that(error.statusCode === 401 || error.message.includes('401'), 'it is refused as such', String(error));
});
