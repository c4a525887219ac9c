// Checks a signed card with npm's @a2a-js/sdk: verify.mjs CARD.json PUBLIC_KEY_HEX. Prints one line a check.

import { readFileSync } from "node:fs";
import { verifyAgentCardSignature } from "@a2a-js/sdk";

const [path, key] = process.argv.slice(2);
const text = readFileSync(path, "utf8");
// The key is the reader's own, whatever the card says of keys.
const trusted = { kty: "OKP", crv: "Ed25519", alg: "EdDSA", x: Buffer.from(key, "hex").toString("base64url") };
// The SDK logs each signature that does not hold; one here is changed on purpose.
const say = console.log;
for (const level of ["debug", "error", "info", "log", "warn"]) console[level] = () => {};
const verify = verifyAgentCardSignature(async () => trusted);

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
  check("a mesh card as it travels", await holds(JSON.parse(text))),
  check("refused: a changed skill", !(await holds(changed))),
];
process.exit(results.every(Boolean) ? 0 : 1);
