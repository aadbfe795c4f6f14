// Runs one case of a script: its name is the first argument, what it works with comes as JSON from standard input, and
// what it finds out goes as JSON to standard output.

import { text } from 'node:stream/consumers';

/** Longer than any case takes; a client that waits for ever must not stop the tests. */
const LIMIT = 600_000;

export async function main(cases) {
  setTimeout(() => {
    console.error('the case did not end in time');
    process.exit(1);
  }, LIMIT).unref();
  const input = JSON.parse(await text(process.stdin));
  console.log(JSON.stringify(await cases[process.argv[2]](input)));
}

/** What `call` gives, or how it fails in OAuth's terms. */
export async function outcome(call) {
  try {
    return await call();
  } catch (error) {
    const refusal = error.error ?? error.cause?.error;
    if (!refusal) {
      return { failure: error.message, code: error.code, cause: error.cause?.message };
    }
    return {
      error: refusal,
      description: error.error_description ?? error.cause?.error_description,
      status: error.status,
    };
  }
}
