// No session: how to get one.
import { Copy } from "../parts/basics";

export function LoggedOut() {
  return (
    <main className="logged-out">
      <img src="./holm.svg" alt="" width="40" height="40" />
      <h1>No session</h1>
      <p>This console opens with a one-time link. Get one on the node that serves this page:</p>
      <p className="command"><code>holm login-link</code> <Copy text="holm login-link" label="Copy the command" /></p>
      <p className="faint">Open the link it prints in this browser. Scope, time and selection of this address can be pasted again after that.</p>
    </main>
  );
}
