// Node without a page, with modules compiled as for a browser: $effect and $derived do what they do there.
import type { Environment } from "vitest/runtime";

export default { name: "client", viteEnvironment: "client", setup: () => ({ teardown: () => {} }) } satisfies Environment;
