/**
 * The steps of one suite: each prints one line, `client | step | ok`, `FAILED why` or `skipped why`.
 *
 * A failed step ends nothing but itself. One that hangs is reported after a while and ends the program, because what
 * it waits for goes on.
 */
'use strict';

const { execFile } = require('node:child_process');
const { isDeepStrictEqual, inspect, promisify } = require('node:util');
const { setTimeout: sleep } = require('node:timers/promises');

const STEP_MS_MAX = 90_000;
const ctlProgram = process.env.OTTLA_CTL ?? '';

class Check {
  constructor(client) {
    this.client = client;
    this.failed = 0;
  }

  async step(name, body) {
    const watchdog = setTimeout(() => {
      this.fail(name, `not done after ${STEP_MS_MAX / 1000} s; the steps after it were not run`);
      this.end();
    }, STEP_MS_MAX);
    const start = performance.now();
    try {
      await body();
      this.print(name, `ok (${Math.round(performance.now() - start)} ms)`);
    } catch (error) {
      const frame = error.stack?.split('\n').find((line) => /steps\.js/.test(line));
      const where = /(\w+\.js:\d+):\d+/.exec(frame);
      const more = error.errors ?? error.partitions ?? error.cause ?? '';
      this.fail(name, `${error.name}: ${error.message} ${more && short(more)}${where ? ` at ${where[1]}` : ''}`);
    } finally {
      clearTimeout(watchdog);
    }
  }

  skip(name, why) {
    this.print(name, `skipped ${why}`);
  }

  fail(name, why) {
    this.failed += 1;
    this.print(name, `FAILED ${why}`);
  }

  print(name, result) {
    console.log(`${this.client} | ${name} | ${result.replace(/\s+/g, ' ').trim()}`);
  }

  end() {
    process.exit(this.failed ? 1 : 0);
  }
}

function short(value) {
  const text = inspect(value, { depth: 4, breakLength: Infinity, maxArrayLength: 12, maxStringLength: 200 });
  return text.length <= 300 ? text : `${text.slice(0, 300)}… (${text.length} characters)`;
}

function same(seen, expected, what) {
  if (!isDeepStrictEqual(seen, expected)) {
    throw new Error(`${what}: expected ${short(expected)}, seen ${short(seen)}`);
  }
}

function that(holds, otherwise) {
  if (!holds) {
    throw new Error(otherwise);
  }
}

async function eventually(what, seconds, holds) {
  const end = performance.now() + seconds * 1000;
  while (!(await holds())) {
    that(performance.now() < end, `not within ${seconds} s: ${typeof what === 'function' ? what() : what}`);
    await sleep(30);
  }
}

/** The error that the body fails with. */
async function fails(body) {
  try {
    await body();
  } catch (error) {
    return error;
  }
  throw new Error('expected an error, but it went well');
}

async function ctl(verb) {
  await promisify(execFile)(ctlProgram, [verb]);
}

module.exports = { Check, same, that, eventually, fails, ctl, sleep, hasCtl: ctlProgram !== '' };
