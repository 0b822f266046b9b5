import { openUpload, safeName } from "../../../../lib/files.js";

export const dynamic = "force-dynamic";

export async function GET(_request, { params }) {
  const name = safeName((await params).name);
  const missing = Response.json({ error: "there is no such upload" }, { status: 404 });
  if (!name) return missing;
  try {
    const { size, body } = await openUpload(name);
    return new Response(body, {
      headers: {
        "Content-Type": "application/octet-stream", // whatever it claims to be
        "Content-Disposition": `attachment; filename="${name}"`,
        "Content-Length": String(size),
      },
    });
  } catch (err) {
    if (err.code === "ENOENT") return missing;
    throw err;
  }
}
