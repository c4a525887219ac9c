// Checks a signed card with npm's @a2a-js/sdk: verify.mjs WHAT CARD.json KEY. Prints one line a check.
// KEY is a public key in hex, the reader's own; or the file of a JSON Web Key Set, in which the card's
// signature names its key.

import { existsSync, readFileSync } from "node:fs";
import { verifyAgentCardSignature } from "@a2a-js/sdk";

const [what, path, key] = process.argv.slice(2);
const text = readFileSync(path, "utf8");
const listed = existsSync(key) ? JSON.parse(readFileSync(key, "utf8")).keys : null;
// The SDK logs each signature that does not hold; one here is changed on purpose.
const say = console.log;
for (const level of ["debug", "error", "info", "log", "warn"]) console[level] = () => {};
const verify = verifyAgentCardSignature(async (kid, jku) => {
  if (listed) {
    if (!jku.endsWith("/.well-known/jwks.json")) throw new Error(jku);
    return listed.find((one) => one.kid === kid);
  }
  // The key is the reader's own, whatever the card says of keys.
  return { kty: "OKP", crv: "Ed25519", alg: "EdDSA", x: Buffer.from(key, "hex").toString("base64url") };
});

async function holds(card) {
  try {
    await verify(card);
    return true;
  } catch {
    return false;
  }
}

function check(name, passed) {
  say(passed ? "ok  " : "FAIL", "js", name);
  return passed;
}

const changed = JSON.parse(text);
changed.skills[0].description += "!";
const results = [
  check(what, await holds(JSON.parse(text))),
  check(`refused: ${what} with a changed skill`, !(await holds(changed))),
];
process.exit(results.every(Boolean) ? 0 : 1);
