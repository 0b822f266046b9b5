import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { randomUUID } from "node:crypto";
import path from "node:path";
import { cacheDir, listUploads } from "../../../lib/files.js";
import { tenant } from "../../../lib/tenant.js";

export const dynamic = "force-dynamic";

// Something that takes long enough to be kept: made once, then read from the
// cache directory until that is emptied.
export async function GET() {
  const file = path.join(cacheDir, "report.json");
  try {
    return Response.json({ cached: true, ...JSON.parse(await readFile(file, "utf8")) });
  } catch (err) {
    if (err.code !== "ENOENT") throw err;
  }
  const report = { tenant: tenant().id, uploads: (await listUploads()).length, madeAt: new Date().toISOString() };
  await mkdir(cacheDir, { recursive: true });
  const part = `${file}.${randomUUID()}`;
  await writeFile(part, JSON.stringify(report));
  await rename(part, file);
  return Response.json({ cached: false, ...report });
}
