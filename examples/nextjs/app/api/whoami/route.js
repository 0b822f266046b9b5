import { tenant } from "../../../lib/tenant.js";

export const dynamic = "force-dynamic";

export async function GET() {
  return Response.json(tenant());
}
