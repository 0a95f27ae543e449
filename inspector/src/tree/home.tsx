import type { JSX } from "preact";

export function Home({ isPath }: { isPath: boolean }): JSX.Element {
  return <p>{isPath ? "Every agent is a stream with a URL." : "This is not the path of a stream."}</p>;
}
