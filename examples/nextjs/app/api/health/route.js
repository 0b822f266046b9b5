import { cacheDir, uploadDir, writable } from "../../../lib/files.js";

export const dynamic = "force-dynamic";

// Well means: what the product depends on is there.
export async function GET() {
  const [uploads, cache] = await Promise.all([writable(uploadDir), writable(cacheDir)]);
  const ok = uploads === "ok" && cache === "ok";
  return Response.json({ status: ok ? "ok" : "failing", checks: { uploads, cache } }, { status: ok ? 200 : 503 });
}
