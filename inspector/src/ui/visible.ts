/** What strangers write may hold marks that are not seen, or that turn the writing around them: here they are made plain. */

// Controls, and marks that turn writing around or are not seen: what is read, or pasted, should be what is there.
const HIDDEN = /[\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

// Those that reach past the text they stand in.
const TURNING = /[\u202a-\u202e\u2066-\u2069]/g;

/** The same JSON, with what one cannot see written as escapes. */
export const visible = (json: string): string =>
  json.replace(HIDDEN, (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** Without what cannot be seen. */
export const withoutHidden = (text: string): string => text.replace(HIDDEN, "").replace(/\p{Cc}/gu, "");

/** A text that other words may follow: nothing in it turns them around. */
export const unturned = (text: string): string => text.replace(TURNING, "\ufffd");
