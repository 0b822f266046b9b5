import { createWriteStream } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat, unlink, writeFile } from "node:fs/promises";
import { randomUUID } from "node:crypto";
import path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

// The volumes of a tenant: see blueprint.yml.
export const uploadDir = process.env.UPLOAD_DIR ?? "/app/public/uploads";
export const cacheDir = process.env.CACHE_DIR ?? "/app/.next/cache";

export const maxUpload = 10 * 1024 * 1024; // bytes

const names = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

// A name is one file in the upload directory, or nothing: no path, no hidden
// file, no "..".
export function safeName(name) {
  return typeof name === "string" && names.test(name) && !name.includes("..") ? name : null;
}

export class TooLarge extends Error {}

// Stores a stream whole or not at all: readers see the old file until the new
// one is complete.
export async function storeUpload(name, body) {
  await mkdir(uploadDir, { recursive: true });
  const part = path.join(uploadDir, `.part-${randomUUID()}`);
  let size = 0;
  try {
    await pipeline(
      Readable.fromWeb(body),
      async function* (chunks) {
        for await (const chunk of chunks) {
          size += chunk.length;
          if (size > maxUpload) throw new TooLarge();
          yield chunk;
        }
      },
      createWriteStream(part, { flags: "wx", mode: 0o600 }),
    );
    await rename(part, path.join(uploadDir, name));
  } finally {
    await rm(part, { force: true });
  }
  return size;
}

export async function listUploads() {
  let entries;
  try {
    entries = await readdir(uploadDir);
  } catch (err) {
    if (err.code === "ENOENT") return [];
    throw err;
  }
  const list = [];
  for (const name of entries.filter(safeName).sort()) {
    try {
      list.push({ name, size: (await stat(path.join(uploadDir, name))).size });
    } catch (err) {
      if (err.code !== "ENOENT") throw err; // removed meanwhile
    }
  }
  return list;
}

export async function openUpload(name) {
  const file = await open(path.join(uploadDir, name), "r");
  return { size: (await file.stat()).size, body: Readable.toWeb(file.createReadStream()) };
}

// Whether a directory can be written now.
export async function writable(dir) {
  const probe = path.join(dir, `.probe-${randomUUID()}`);
  try {
    await mkdir(dir, { recursive: true });
    await writeFile(probe, "", { flag: "wx" });
    await unlink(probe);
    return "ok";
  } catch (err) {
    return err.code ?? "failed";
  }
}
