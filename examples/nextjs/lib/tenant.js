// Who this copy of the product belongs to. Read when a request comes, never
// when the product is built: one image serves all tenants.
export function tenant() {
  const env = process.env;
  return {
    id: env.TENANT_ID ?? "",
    name: env.TENANT_NAME ?? "",
    slug: env.TENANT_SLUG ?? "",
    url: env.TENANT_URL ?? "",
    version: env.APP_VERSION ?? "dev",
  };
}
