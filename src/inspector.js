// The files of the page, as Vite built them (scripts/inspector.mjs puts them into the build).
import { files } from "../build/inspector.js";

/** The file at a path as `[content type, text]`; `undefined` when there is none. */
export const inspectorFile = (path) => (Object.hasOwn(files, path) ? files[path] : undefined);
