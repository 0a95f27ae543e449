/** Keeps what fails from taking the rest of the page with it: whatever strangers write, the rest goes on. */
import { Component, type ComponentChildren } from "preact";

interface Props {
  /** What is shown: with another it is tried again. */
  readonly of: unknown;
  /** What stands there instead; nothing by default. */
  readonly otherwise?: () => ComponentChildren;
  readonly children: ComponentChildren;
}

export class Guard extends Component<Props, { hasFailed: boolean }> {
  override state = { hasFailed: false };

  static override getDerivedStateFromError(): { hasFailed: boolean } {
    return { hasFailed: true };
  }

  override componentDidUpdate({ of }: Props): void {
    if (this.state.hasFailed && of !== this.props.of) this.setState({ hasFailed: false });
  }

  override render(): ComponentChildren {
    return this.state.hasFailed ? this.props.otherwise?.() : this.props.children;
  }
}
