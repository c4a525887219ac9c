// Every operation of A2A 1.0 on both bindings, by the client of npm's `@a2a-js/sdk`.
//
// usage: suite.mjs NODE STAGE [NAME...]
//
// NODE is `node.sh`, which starts and kills the node of the directory STAGE. With NAMEs, only the
// checks whose name contains one of them are made. Prints `ok|FAIL|skip CLIENT BINDING NAME
// (REASON)` for each check and `N passed, M failed, K skipped` at the end.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { CHECKS } from './checks.mjs';
import './callers.mjs';
import './pushing.mjs';
import './reading.mjs';
import './sending.mjs';
import './streaming.mjs';
import { run as restart } from './restart.mjs';
import { Receiver, SECONDS, Skip, World, Wrong } from './world.mjs';

const BINDINGS = { jsonrpc: 'JSONRPC', 'http-json': 'HTTP+JSON' };
// Checks at a time: each starts an agent or two, and machines have few cores.
const AT_ONCE = 6;

const report = {
  counts: { ok: 0, FAIL: 0, skip: 0 },

  line(word, client, binding, name, reason) {
    this.counts[word] += 1;
    const why = reason === undefined ? '' : ` (${String(reason).split(/\s+/).join(' ')})`;
    console.log(`${word} ${client} ${binding} ${name}${why}`);
  },

  /** Makes one check: whatever it throws is told and no more. */
  async check(client, binding, name, run) {
    let late;
    const deadline = new Promise((_, fail) => {
      late = setTimeout(() => fail(new Wrong(`not done in ${SECONDS} s`)), SECONDS * 1000);
    });
    try {
      await Promise.race([run(), deadline]);
      this.line('ok', client, binding, name);
    } catch (error) {
      if (!(error instanceof Skip || error instanceof Wrong)) console.error(error);
      this.line(error instanceof Skip ? 'skip' : 'FAIL', client, binding, name, error.message ?? error);
    } finally {
      clearTimeout(late);
    }
  },
};

const [script, stage, ...only] = process.argv.slice(2);
const node = async (verb) => (await promisify(execFile)(script, [verb, stage])).stdout.trim();
const wanted = (name) => only.length === 0 || only.some((part) => name.includes(part));

const receiver = await new Receiver().start();
const base = await node('start');
try {
  const worlds = Object.fromEntries(
    Object.entries(BINDINGS).map(([name, binding]) => [name, new World(stage, base, binding, receiver)]),
  );
  const todo = CHECKS.filter(([name]) => wanted(name)).flatMap(([name, run]) =>
    Object.keys(BINDINGS).map((binding) => () => report.check('js', binding, name, () => run(worlds[binding]))),
  );
  const work = async () => {
    for (let next = todo.shift(); next; next = todo.shift()) await next();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  if (wanted('Restart')) await restart(report, worlds, node);
} finally {
  await node('stop');
  receiver.stop();
}
const { ok, FAIL, skip } = report.counts;
console.log(`${ok} passed, ${FAIL} failed, ${skip} skipped`);
process.exit(FAIL ? 1 : 0);
