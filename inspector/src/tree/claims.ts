/** What a signed token says of itself. It is read for words only: what it may do is decided by the server. */
export interface Claims {
  /** The name that its events carry. */
  readonly by: string;
  /** It opens this stream and all below. */
  readonly path: string;
  /** Of `read`, `append`, `approve`, `control`. */
  readonly can: readonly string[];
  /** When it ends, in seconds since 1970. */
  readonly exp?: number | undefined;
}

/** The claims of a signed token; `undefined` when it is none: the deployment's own says nothing of itself. */
export function claimsOf(token: string | null): Claims | undefined {
  const [, body, signature] = token?.split(".") ?? [];
  if (!body || !signature) return undefined;
  try {
    const bytes = Uint8Array.from(atob(body.replaceAll("-", "+").replaceAll("_", "/")), (it) => it.charCodeAt(0));
    const said = JSON.parse(new TextDecoder().decode(bytes)) as Partial<Record<keyof Claims, unknown>> | null;
    if (typeof said?.by !== "string" || typeof said.path !== "string" || !Array.isArray(said.can)) return undefined;
    const can = said.can.filter((power) => typeof power === "string");
    return { by: said.by, path: said.path, can, exp: typeof said.exp === "number" ? said.exp : undefined };
  } catch {
    return undefined;
  }
}

/** Why a token may not do something, as far as it says; `undefined` when it may, or does not say. */
export function lacks(claims: Claims | undefined, power: string, path: string): string | undefined {
  if (!claims) return undefined;
  const isBelow = claims.path === "/" || path === claims.path || path.startsWith(`${claims.path}/`);
  if (!isBelow) return `Your token is for ${claims.path} and below only.`;
  return claims.can.includes(power) ? undefined : `Your token may not do this: it lacks the right “${power}”.`;
}
