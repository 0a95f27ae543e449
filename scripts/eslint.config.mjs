import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["**/node_modules/", "**/target/", "build/", "build-*/", ".wrangler/", ".tailrace/"] },
  js.configs.recommended,
  { languageOptions: { globals: { ...globals.node } } },
  { files: ["src/**", "inspector/**"], languageOptions: { globals: { ...globals.browser } } },
  {
    files: ["src/**", "durable/**", "bench/floors/**"],
    languageOptions: { globals: { WebSocketPair: "readonly", IdentityTransformStream: "readonly" } },
  },
];
