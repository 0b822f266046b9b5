// Against the built product: run `npm run build` first.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const id = "550e8400-e29b-41d4-a716-446655440001";
const hostile = `<script>alert(1)</script> & "Söhne" $HOME`;
let dir, base, server;

async function freePort() {
  const s = createServer().listen(0, "127.0.0.1");
  await once(s, "listening");
  const { port } = s.address();
  s.close();
  await once(s, "close");
  return port;
}

async function start(env) {
  const port = await freePort();
  const child = spawn(process.execPath, ["server.js"], {
    cwd: path.join(dir, "app"),
    env: {
      PATH: process.env.PATH, PORT: String(port), HOSTNAME: "127.0.0.1", TENANT_ID: id, TENANT_NAME: hostile,
      TENANT_SLUG: "acme", TENANT_URL: "http://localhost:3001", APP_VERSION: "7",
      UPLOAD_DIR: path.join(dir, "uploads"), CACHE_DIR: path.join(dir, "cache"), ...env,
    },
    stdio: "inherit",
  });
  const url = `http://127.0.0.1:${port}`;
  for (const deadline = Date.now() + 30_000; ; ) {
    try {
      await fetch(`${url}/api/whoami`);
      return { child, url };
    } catch (err) {
      if (Date.now() > deadline) throw err;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function stop({ child }) {
  child.kill("SIGTERM");
  const [code, signal] = await once(child, "exit");
  return { code, signal };
}

before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "nextjs-"));
  await cp(path.join(root, ".next", "standalone"), path.join(dir, "app"), { recursive: true });
  await cp(path.join(root, ".next", "static"), path.join(dir, "app", ".next", "static"), { recursive: true });
  server = await start({});
  base = server.url;
});

after(async () => {
  await stop(server);
  await rm(dir, { recursive: true });
});

test("the page shows the tenant, and its name is text", async () => {
  const res = await fetch(base);
  const body = await res.text();
  assert.equal(res.status, 200);
  assert.ok(body.includes(id));
  assert.ok(!body.includes("<script>alert(1)"), "the name became markup");
  assert.ok(body.includes("&lt;script&gt;alert(1)"));
  assert.equal(res.headers.get("x-content-type-options"), "nosniff");
  assert.match(res.headers.get("content-security-policy"), /frame-ancestors 'none'/);
  assert.equal(res.headers.get("x-powered-by"), null);
});

test("whoami tells the tenant of the environment, byte for byte", async () => {
  const who = await (await fetch(`${base}/api/whoami`)).json();
  assert.deepEqual(who, { id, name: hostile, slug: "acme", url: "http://localhost:3001", version: "7" });
});

test("an upload comes back as it was, by bytes and by form", async () => {
  const bytes = new Uint8Array(70_000).map((_, i) => i % 251);
  let res = await fetch(`${base}/api/uploads?name=a.bin`, { method: "POST", body: bytes });
  assert.equal(res.status, 201);
  res = await fetch(`${base}/api/uploads/a.bin`);
  assert.deepEqual(new Uint8Array(await res.arrayBuffer()), bytes);
  assert.match(res.headers.get("content-disposition"), /^attachment;/);
  const form = new FormData();
  form.set("file", new Blob(["hello"]), "b.txt");
  assert.equal((await fetch(`${base}/api/uploads`, { method: "POST", body: form })).status, 201);
  const { uploads } = await (await fetch(`${base}/api/uploads`)).json();
  assert.deepEqual(uploads, [{ name: "a.bin", size: 70_000 }, { name: "b.txt", size: 5 }]);
});

test("names that lead elsewhere are refused", async () => {
  for (const name of ["../x", "..", ".hidden", "a/b", "/etc/passwd", "", "a\u0000b", "x".repeat(101), "a..b"]) {
    const res = await fetch(`${base}/api/uploads?name=${encodeURIComponent(name)}`, { method: "POST", body: "x" });
    assert.equal(res.status, 422, name);
  }
  for (const name of ["..%2F..%2Fserver.js", "%2Fetc%2Fpasswd", ".hidden", "none"]) {
    assert.equal((await fetch(`${base}/api/uploads/${name}`)).status, 404, name);
  }
});

test("what is too large is refused and leaves nothing", async () => {
  const res = await fetch(`${base}/api/uploads?name=big`, { method: "POST", body: new Uint8Array(10 * 1024 * 1024 + 1) });
  assert.equal(res.status, 413);
  assert.deepEqual((await readdir(path.join(dir, "uploads"))).filter((n) => n === "big" || n.startsWith(".")), []);
});

test("the stream arrives event by event", async () => {
  const res = await fetch(`${base}/api/stream?n=3&ms=20`);
  assert.equal(res.headers.get("content-type"), "text/event-stream");
  let chunks = 0, text = "";
  for await (const chunk of res.body) {
    chunks++;
    text += Buffer.from(chunk).toString();
  }
  assert.equal(text, [0, 1, 2].map((i) => `id: ${i}\ndata: {"i":${i}}\n\n`).join(""));
  assert.ok(chunks > 1, "it came in one piece");
});

test("a report is made once", async () => {
  const first = await (await fetch(`${base}/api/report`)).json();
  const second = await (await fetch(`${base}/api/report`)).json();
  assert.equal(first.cached, false);
  assert.deepEqual(second, { ...first, cached: true });
});

test("health names the directory that can't be written", async () => {
  assert.equal((await fetch(`${base}/api/health`)).status, 200);
  const file = path.join(dir, "file");
  await writeFile(file, "");
  await mkdir(path.join(dir, "cache2"));
  const other = await start({ UPLOAD_DIR: path.join(file, "below"), CACHE_DIR: path.join(dir, "cache2") });
  try {
    const res = await fetch(`${other.url}/api/health`);
    assert.equal(res.status, 503);
    assert.deepEqual(await res.json(), { status: "failing", checks: { uploads: "ENOTDIR", cache: "ok" } });
  } finally {
    await stop(other);
  }
});

test("SIGTERM ends it at once", async () => {
  const begun = await start({});
  const began = performance.now();
  await stop(begun);
  assert.ok(performance.now() - began < 5000);
});
