import js from "@eslint/js";
import globals from "globals";
import typescript from "typescript-eslint";

export default [
  { ignores: ["**/node_modules/", "**/target/", "build/", "build-*/", "**/dist/", ".wrangler/", ".tailrace/"] },
  js.configs.recommended,
  { languageOptions: { globals: { ...globals.node } } },
  { files: ["src/**"], languageOptions: { globals: { ...globals.browser } } },
  {
    files: ["src/**", "durable/**", "bench/floors/**"],
    languageOptions: { globals: { WebSocketPair: "readonly", IdentityTransformStream: "readonly" } },
  },
  ...typescript.config({
    files: ["inspector/src/**/*.{ts,tsx}"],
    extends: [typescript.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true }, globals: globals.browser },
    rules: {
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "@typescript-eslint/explicit-module-boundary-types": "error",
      "no-restricted-syntax": [
        "error",
        {
          selector: "JSXAttribute[name.name='dangerouslySetInnerHTML']",
          message: "What a stream says is text, never markup.",
        },
        {
          selector: "MemberExpression[property.name=/^(innerHTML|outerHTML|insertAdjacentHTML|srcdoc)$/]",
          message: "What a stream says is text, never markup.",
        },
      ],
    },
  }),
  ...typescript.config({
    files: ["sdk/typescript/src/**/*.ts"],
    extends: [typescript.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true }, globals: globals["shared-node-browser"] },
    rules: {
      // Numbers are fine in a text.
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/explicit-module-boundary-types": "error",
    },
  }),
];
