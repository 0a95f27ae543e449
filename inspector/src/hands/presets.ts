/** The providers whose hooks Tailrace knows, as the server has them. Loaded when somebody looks at hooks. */
import list from "../../../model/src/webhook/presets.json" with { type: "json" };

export interface Preset {
  readonly name: string;
  readonly title: string;
  /** What a request of it is like; `{random}` stands for something new each time. */
  readonly sample?: {
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: unknown;
    readonly form?: Readonly<Record<string, string>>;
  };
  readonly secret?: { readonly name: string; readonly is: string };
  /** Where the URL goes. */
  readonly steps?: readonly string[];
}

export const presets = list as readonly Preset[];
