/**
 * Whether a push comes from who knows one of the secrets: the signature of Standard Webhooks, over the very bytes of the
 * body. The comparison takes the same time, whatever differs.
 *
 * @param secrets `whsec_…`, as `GET /api/subscriptions/{path}?slug=&reveal=secret` shows them
 * @param at the time now, in seconds
 */
export async function isSigned(
  headers: Headers,
  body: Uint8Array<ArrayBuffer>,
  secrets: readonly string[],
  toleranceSeconds: number,
  at: number,
): Promise<boolean> {
  const id = headers.get("webhook-id");
  const timestamp = headers.get("webhook-timestamp");
  const signatures = headers.get("webhook-signature")?.split(" ") ?? [];
  if (!id || !timestamp || !/^\d{1,15}$/.test(timestamp)) return false;
  if (Math.abs(at - Number(timestamp)) > toleranceSeconds) return false;

  const head = new TextEncoder().encode(`${id}.${timestamp}.`);
  const signed = new Uint8Array(head.length + body.length);
  signed.set(head);
  signed.set(body, head.length);
  const claimed = signatures.map((it) => (it.startsWith("v1,") ? bytes(it.slice(3)) : undefined));
  for (const secret of secrets) {
    const raw = bytes(secret.replace(/^whsec_/, ""));
    if (!raw?.length) continue;
    const key = await crypto.subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
    for (const signature of claimed) {
      if (signature && (await crypto.subtle.verify("HMAC", key, signature, signed))) return true;
    }
  }
  return false;
}

/** Base64 as bytes. */
function bytes(base64: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  } catch {
    return undefined;
  }
}
