/** Keeps what fails from taking the rest of the page with it: whatever strangers write, the rest goes on. */
import { Component, type ComponentChildren } from "preact";

interface Props {
  /** What stands there instead; nothing by default. */
  readonly otherwise?: () => ComponentChildren;
  readonly children: ComponentChildren;
}

/** Give it a `key`, so that it tries again with something else. */
export class Guard extends Component<Props, { hasFailed: boolean }> {
  override state = { hasFailed: false };

  static override getDerivedStateFromError(): { hasFailed: boolean } {
    return { hasFailed: true };
  }

  override render(): ComponentChildren {
    return this.state.hasFailed ? this.props.otherwise?.() : this.props.children;
  }
}
