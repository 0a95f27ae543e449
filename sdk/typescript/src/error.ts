/** A problem as the server says it (RFC 9457). */
export interface Problem {
  readonly status: number;
  /** What is the matter: `stream_not_found`, `idempotency_conflict`, … */
  readonly code?: string;
  readonly title?: string;
  readonly detail?: string;
  /** The same request may succeed later. */
  readonly retryable?: boolean;
  /** What is not right. */
  readonly field?: string;
  readonly [name: string]: unknown;
}

/**
 * What Tailrace refused, or why it was not reached. Go by `code`.
 *
 * Nothing of the request was written, with one exception: when there was no answer (`status` 0), nobody knows.
 */
export class TailraceError extends Error {
  override readonly name = "TailraceError";
  /** The HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** What is the matter; `undefined` when the answer was no problem of Tailrace's. */
  readonly code: string | undefined;
  /** The same for every problem of this code. */
  readonly title: string;
  /** What it was this time. */
  readonly detail: string;
  /** The same request may succeed later. */
  readonly retryable: boolean;
  /** What is not right. */
  readonly field: string | undefined;
  /** All that the server said: `reason`, `expected`, `actual`, `index`, … */
  readonly problem: Problem;

  /** @internal */
  constructor(problem: Problem, options?: ErrorOptions) {
    const title = problem.title ?? `Tailrace answered ${problem.status}`;
    super(problem.detail && problem.detail !== title ? `${title}: ${problem.detail}` : title, options);
    this.status = problem.status;
    this.code = problem.code;
    this.title = title;
    this.detail = problem.detail ?? "";
    this.retryable = problem.retryable ?? canSucceedLater(problem.status);
    this.field = problem.field;
    this.problem = problem;
  }
}

/** Whether a status without a problem is worth another attempt. */
const canSucceedLater = (status: number): boolean => status === 0 || status >= 500 || [408, 425, 429].includes(status);

/** The error that an answer stands for. */
export async function refused(response: Response): Promise<TailraceError> {
  const text = await response.text().catch(() => "");
  return new TailraceError(problemOf(response.status, text));
}

function problemOf(status: number, text: string): Problem {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === "object" && body !== null && "code" in body && typeof body.code === "string") {
      return { ...(body as Problem), status };
    }
  } catch {
    // Something else than Tailrace answered.
  }
  return { status, detail: text.slice(0, 200) };
}

/** The error that there was no answer. */
export function unreached(cause: unknown): TailraceError {
  // What `fetch` says itself is only that it failed.
  const why = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
  return new TailraceError({ status: 0, title: "Tailrace was not reached", detail: messageOf(why) }, { cause });
}

/** What an error says. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
