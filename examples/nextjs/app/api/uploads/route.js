import { TooLarge, listUploads, maxUpload, safeName, storeUpload } from "../../../lib/files.js";

export const dynamic = "force-dynamic";

export async function GET() {
  return Response.json({ uploads: await listUploads() });
}

function refuse(status, error) {
  return Response.json({ error }, { status });
}

// Takes a form with a file, or the bytes themselves with ?name=.
export async function POST(request) {
  const form = (request.headers.get("content-type") ?? "").startsWith("multipart/form-data");
  if (form && Number(request.headers.get("content-length") ?? Infinity) > maxUpload + 64 * 1024) {
    return refuse(413, `an upload has at most ${maxUpload} bytes`); // a form is held in memory
  }
  let name = new URL(request.url).searchParams.get("name");
  let body = request.body;
  if (form) {
    const file = (await request.formData()).get("file");
    if (typeof file !== "object" || file === null) return refuse(400, "the form has no file");
    name = file.name;
    body = file.stream();
  }
  const safe = safeName(name);
  if (!safe) return refuse(422, "a name has 1 to 100 of A-Z, a-z, 0-9, '.', '_' and '-', and begins with a letter or digit");
  if (!body) return refuse(400, "there is no body");
  try {
    const size = await storeUpload(safe, body);
    return Response.json({ name: safe, size }, { status: 201 });
  } catch (err) {
    if (err instanceof TooLarge) return refuse(413, `an upload has at most ${maxUpload} bytes`);
    throw err;
  }
}
