import { connection } from "next/server";
import { listUploads } from "../lib/files.js";
import { tenant } from "../lib/tenant.js";

export default async function Page() {
  await connection(); // rendered for each request: the tenant is not known before
  const t = tenant();
  const uploads = await listUploads();
  return (
    <main>
      <h1>{t.name}</h1>
      <dl>
        <dt>Tenant</dt>
        <dd data-testid="tenant-id">{t.id}</dd>
        <dt>Slug</dt>
        <dd>{t.slug}</dd>
        <dt>Address</dt>
        <dd>{t.url}</dd>
        <dt>Version</dt>
        <dd>{t.version}</dd>
      </dl>
      <h2>Uploads</h2>
      <form action="/api/uploads" method="post" encType="multipart/form-data">
        <input type="file" name="file" required /> <button>Upload</button>
      </form>
      <ul>
        {uploads.map((u) => (
          <li key={u.name}>
            <a href={`/api/uploads/${u.name}`}>{u.name}</a> ({u.size} bytes)
          </li>
        ))}
      </ul>
    </main>
  );
}
