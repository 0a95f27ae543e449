// Where things are: the project's folders and the user's cache.
import { homedir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/[/\\]$/, "");

/** A file or folder of the project. */
export const inProject = (...parts) => path.join(root, ...parts);

/**
 * A file or folder in the user's cache. What takes minutes to make (tools, Python's packages) lives
 * there, so that it is made once for all checkouts.
 */
export const inCache = (...parts) =>
  path.join(process.env.XDG_CACHE_HOME || path.join(homedir(), ".cache"), "tailrace", ...parts);

/** An executable of the installed npm packages. */
export const npmBin = (name) => inProject("node_modules", ".bin", name);
