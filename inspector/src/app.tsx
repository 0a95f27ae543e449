/** The page as a whole: the tree at the left, the log in the middle, what one looks at closely at the right. */
import { Fragment, type JSX } from "preact";
import { Ask } from "./tree/ask.tsx";
import { Composer } from "./hands/composer.tsx";
import { Speaking } from "./event/speaking.tsx";
import { Guard } from "./ui/guard.tsx";
import { Home } from "./tree/home.tsx";
import { Keys } from "./log/keys.tsx";
import { List } from "./log/list.tsx";
import { open } from "./log/open.ts";
import { Panel } from "./panel.tsx";
import { followLinks, offset, panel, path } from "./route.ts";
import { Notices } from "./ui/notices.tsx";
import { Pause } from "./hands/pause.tsx";
import { Tools } from "./log/tools.tsx";
import { Top } from "./log/top.tsx";
import { Tree } from "./tree/tree.tsx";
import { isTreeOpen } from "./tree/shown.ts";

export function App(): JSX.Element {
  const stream = open.value;
  const hasPanel = stream !== undefined && (panel.value !== undefined || offset.value !== undefined);
  return (
    // Links are followed here, wherever they stand.
    <div class="page" data-tree={isTreeOpen.value} data-panel={hasPanel} onClick={followLinks}>
      <a class="skip" href="#log">
        Skip to the events
      </a>
      <Tree />
      <main class="middle" id="log" tabIndex={-1}>
        {stream ? (
          // What is begun in one stream, a dialog or a filter half typed, never ends in another.
          <Fragment key={stream.id}>
            <Top stream={stream} />
            <Guard of={stream} otherwise={() => <p class="error">A part of the page failed. Load it again.</p>}>
              <Pause stream={stream} />
            </Guard>
            <Tools stream={stream} />
            <List stream={stream} />
            <Guard of={stream} otherwise={() => <p class="error">A part of the page failed. Load it again.</p>}>
              <Speaking stream={stream} />
            </Guard>
            <Composer stream={stream} />
          </Fragment>
        ) : (
          <Home isPath={path.value === undefined} />
        )}
      </main>
      {hasPanel && <Panel key={stream.id} stream={stream} />}
      <Ask />
      <Keys />
      <Notices />
    </div>
  );
}
