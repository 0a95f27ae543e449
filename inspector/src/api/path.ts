/** A stream's path by the rules of the API; `undefined` when the text is none. Only what passes reaches a URL. */
export function streamPath(text: string): string | undefined {
  let path: string;
  try {
    path = decodeURIComponent(text.trim()).replace(/^\/?/, "/");
  } catch {
    return undefined;
  }
  if (path.length > 1 && path.endsWith("/")) path = path.slice(0, -1);
  if (path === "/") return path;
  const segments = path.slice(1).split("/");
  const isAllowed = (segment: string): boolean => /^(?!_|\.{1,2}$)[A-Za-z0-9._~@:-]{1,128}$/.test(segment);
  return path.length <= 1000 && segments.length <= 16 && segments.every(isAllowed) ? path : undefined;
}

/** The stream above; `undefined` for the root. */
export function parentOf(path: string): string | undefined {
  if (path === "/") return undefined;
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

/** The page of a stream, and of an event in it. */
export function pageOf(path: string, offset?: number): string {
  return `/streams${path === "/" ? "/" : path}${offset === undefined ? "" : `?offset=${offset}`}`;
}
