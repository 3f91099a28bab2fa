// A client as a program written for the codelab would be, over Node's ws: codelab.mjs HOST:PORT PHI_FILE ROOT_PEM.
//
// It checks the token as the codelab does, with Node's own cryptography: the chain up to the root, the signature, and that
// the nonce is the hash of what this very TLS session exports. Each scene prints one line: `ok` or `WRONG`, the outcome
// that USleep has to log for it, and what it was.

import { createHash, verify, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect as dial } from "node:tls";
import WebSocket from "ws";

const [address, phiFile, rootFile] = process.argv.slice(2);
const phi = readFileSync(phiFile);
const root = new X509Certificate(readFileSync(rootFile));
const patience = 20_000;

function check(held, what) {
  if (!held) throw new Error(what);
}

// --- A client ---------------------------------------------------------------------------------------------------

// The messages and closes of one websocket, to be awaited in their order.
class Client {
  static async open() {
    const client = new Client();
    client.events = [];
    client.waiting = [];
    client.websocket = new WebSocket(`wss://${address}/connection`, {
      createConnection: () => {
        const [host, port] = address.split(":");
        // Its certificate proves nothing: the token does.
        client.tls = dial({ host, port, rejectUnauthorized: false, minVersion: "TLSv1.3" });
        return client.tls;
      },
    });
    const tell = (event) => (client.waiting.length ? client.waiting.shift()(event) : client.events.push(event));
    client.websocket.on("message", (data, isBinary) => tell({ kind: "message", data, isBinary }));
    client.websocket.on("pong", (data) => tell({ kind: "pong", data: data.toString() }));
    client.websocket.on("close", (code, reason) => tell({ kind: "close", code, reason: reason.toString() }));
    client.websocket.on("error", () => {});
    await new Promise((resolve, reject) => {
      client.websocket.once("open", resolve);
      client.websocket.once("error", reject);
    });
    client.exported = client.tls.exportKeyingMaterial(32, "testing_nonce");
    return client;
  }

  next() {
    return this.events.length
      ? Promise.resolve(this.events.shift())
      : new Promise((resolve) => this.waiting.push(resolve));
  }

  async message(what) {
    const event = await this.next();
    check(event.kind === "message" && !event.isBinary, `wanted ${what} as text, got ${JSON.stringify(event).slice(0, 80)}`);
    return event.data.toString();
  }

  async token() {
    const [header, claims, signature] = (await this.message("the token")).split(".");
    const { alg, x5c } = JSON.parse(Buffer.from(header, "base64url"));
    check(alg === "RS256" && x5c.length === 3, "another header");
    const chain = x5c.map((der) => new X509Certificate(Buffer.from(der, "base64")));
    check(chain[0].verify(chain[1].publicKey) && chain[1].verify(chain[2].publicKey), "the chain is broken");
    check(chain[2].fingerprint256 === root.fingerprint256, "the chain ends at another root");
    const signed = Buffer.from(`${header}.${claims}`);
    check(verify("RSA-SHA256", signed, chain[0].publicKey, Buffer.from(signature, "base64url")), "another signature");
    const { aud, eat_nonce: nonce } = JSON.parse(Buffer.from(claims, "base64url"));
    check(aud === "uwear", `audience ${aud}`);
    const wanted = createHash("sha256").update(this.exported).digest("base64");
    check(nonce === wanted, `nonce ${nonce}, this session's is ${wanted}`);
  }

  async pong(data) {
    const event = await this.next();
    check(event.kind === "pong" && event.data === data, `wanted a pong, got ${JSON.stringify(event).slice(0, 80)}`);
  }

  async result() {
    const result = JSON.parse(await this.message("the result"));
    check(result.codelab === "total sleep time is less than 8 hours", "another result");
  }

  async closed(code, reason = "") {
    const event = await this.next();
    const wanted = { kind: "close", code, reason };
    check(JSON.stringify(event) === JSON.stringify(wanted), `wanted ${JSON.stringify(wanted)}, got ${JSON.stringify(event).slice(0, 80)}`);
  }
}

async function withToken() {
  const client = await Client.open();
  await client.token();
  return client;
}

async function answered(client) {
  await client.result();
  await client.closed(1000);
}

// --- Scenes -----------------------------------------------------------------------------------------------------

async function exchange() {
  const client = await withToken();
  check(client.websocket.protocol === "" && client.websocket.extensions === "", "more was agreed on than was asked");
  check(client.tls.getProtocol() === "TLSv1.3", client.tls.getProtocol());
  client.websocket.send(phi);
  await answered(client);
}

async function leavesOnceItHasSent() {
  const client = await withToken();
  client.websocket.send(phi);
  client.websocket.close();
}

async function fragments() {
  const client = await withToken();
  for (const end of [1, 50]) client.websocket.send(phi.subarray(end === 1 ? 0 : 1, end), { fin: false });
  client.websocket.send(phi.subarray(50), { fin: true });
  await answered(client);
}

async function pings() {
  const client = await Client.open();
  client.websocket.ping("before the token");
  await client.pong("before the token");
  await client.token();
  client.websocket.send(phi.subarray(0, 40), { fin: false });
  client.websocket.ping("within the message");
  await client.pong("within the message");
  client.websocket.pong("nobody asked");
  client.websocket.send(phi.subarray(40), { fin: true });
  await answered(client);
}

const closes = (code, reason) => async () => {
  const client = await withToken();
  client.websocket.close(code, reason);
  await client.closed(code, reason);
};

async function closesWithoutACode() {
  const client = await withToken();
  client.websocket.close();
  await client.closed(1005);
}

async function closesWhileItsTokenIsMade() {
  const client = await Client.open();
  client.websocket.close(1000);
  // On a slow machine the token may be there first.
  let event;
  do event = await client.next();
  while (event.kind === "message");
  check(event.kind === "close" && event.code === 1000, `wanted close 1000, got ${JSON.stringify(event).slice(0, 80)}`);
}

const vanishes = (how) => async () => {
  const client = await withToken();
  how(client);
  await client.next();
};

async function vanishesWhileItsTokenIsMade() {
  const client = await Client.open();
  client.websocket.terminate();
  while ((await client.next()).kind === "message");
}

// close_notify and FIN: Node still reads what comes.
async function endsItsDirectionAfterTheMessage() {
  const client = await withToken();
  client.websocket.send(phi);
  client.tls.end();
  await client.result();
}

const scenes = [
  ["the codelab's exchange, chain, signature and nonce checked", "answered", exchange],
  ["leaves once it has sent, as the codelab's client does", "answered", leavesOnceItHasSent],
  ["a message in fragments", "answered", fragments],
  ["pings before and within messages are answered", "answered", pings],
  ["closes with 1000 instead of sending", "lost", closes(1000, "")],
  ["closes with 1001 instead of sending", "lost", closes(1001, "going away")],
  ["closes with 4000 instead of sending", "lost", closes(4000, "of its own")],
  ["closes without a code instead of sending", "lost", closesWithoutACode],
  ["refuses the token with 1008", "refused", closes(1008, "refused")],
  ["closes while its token is made", "lost", closesWhileItsTokenIsMade],
  ["vanishes while its token is made", "lost", vanishesWhileItsTokenIsMade],
  ["ends the connection without a close frame", "lost", vanishes((client) => client.tls.end())],
  ["drops the connection without a close frame", "lost", vanishes((client) => client.websocket.terminate())],
  ["ends its direction of TLS after the message", "answered", endsItsDirectionAfterTheMessage],
  ["and after all that, the codelab's exchange", "answered", exchange],
];

for (const [name, outcome, scene] of scenes) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("nothing came in time")), patience);
  });
  try {
    await Promise.race([scene(), late]);
    console.log(["ok", outcome, name].join("\t"));
  } catch (error) {
    console.log(["WRONG", outcome, `${name}: ${error.message}`].join("\t"));
  }
  clearTimeout(timer);
}
process.exit();
