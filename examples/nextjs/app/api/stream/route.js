export const dynamic = "force-dynamic";

function bounded(text, fallback, most) {
  const n = Number(text ?? fallback);
  return Number.isInteger(n) && n >= 0 ? Math.min(n, most) : fallback;
}

// Server-sent events, one at each interval: ?n=10&ms=100.
export async function GET(request) {
  const query = new URL(request.url).searchParams;
  const n = bounded(query.get("n"), 10, 1000);
  const ms = bounded(query.get("ms"), 100, 10_000);
  const encoder = new TextEncoder();
  let timer;
  const body = new ReadableStream({
    start(controller) {
      let i = 0;
      const next = () => {
        if (i === n) return controller.close();
        controller.enqueue(encoder.encode(`id: ${i}\ndata: ${JSON.stringify({ i })}\n\n`));
        i++;
        timer = setTimeout(next, ms);
      };
      next();
    },
    cancel() {
      clearTimeout(timer); // the client has gone
    },
  });
  return new Response(body, {
    headers: { "Content-Type": "text/event-stream", "Cache-Control": "no-store, no-transform" },
  });
}
