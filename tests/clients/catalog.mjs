// npm @asyncapi/parser, @backstage/catalog-model, @mdx-js/mdx: what they say of exported catalogs.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { base, check, require } from "./check.mjs";

const { Parser } = require("@asyncapi/parser");
const { apiEntityV1alpha1Validator, componentEntityV1alpha1Validator } =
  require("@backstage/catalog-model");
const { SchemaValidEntityPolicy, FieldFormatEntityPolicy, NoForeignRootFieldsEntityPolicy } =
  require("@backstage/catalog-model");
const { parseAllDocuments } = require("yaml");
const { compile } = await import(pathToFileURL(require.resolve("@mdx-js/mdx")).href);

/** No errors, and as much in the document as in the file. */
async function asyncapi(folder) {
  const text = readFileSync(join(folder, "asyncapi.json"), "utf8");
  const { document, diagnostics } = await new Parser().parse(text);
  const errors = diagnostics.filter(({ severity }) => severity === 0);
  assert.deepEqual(errors.map(({ path, message }) => `${path.join(".")}: ${message}`), []);
  const written = JSON.parse(text);
  assert.equal(document.version(), "3.0.0");
  assert.equal(document.channels().length, Object.keys(written.channels).length);
  assert.equal(document.operations().length, Object.keys(written.operations).length);
  for (const operation of document.operations()) {
    assert.equal(operation.messages().length, 1, operation.id());
    assert.ok(operation.channels()[0].address(), operation.id());
  }
  for (const message of document.messages()) {
    const payload = written.components.messages[message.id()].payload;
    assert.equal(message.hasPayload(), payload !== undefined, message.id());
  }
}

/** A document with a dangling reference is refused: the parser looks at what it is given. */
async function dangling(folder) {
  const document = JSON.parse(readFileSync(join(folder, "asyncapi.json"), "utf8"));
  Object.values(document.operations)[0].channel.$ref = "#/channels/none";
  const { diagnostics } = await new Parser().parse(JSON.stringify(document));
  assert.ok(diagnostics.some(({ severity }) => severity === 0));
}

async function backstage(folder) {
  const documents = parseAllDocuments(readFileSync(join(folder, "backstage/catalog-info.yaml"), "utf8"));
  const kinds = { API: apiEntityV1alpha1Validator, Component: componentEntityV1alpha1Validator };
  const policies = [new SchemaValidEntityPolicy(), new FieldFormatEntityPolicy(), new NoForeignRootFieldsEntityPolicy()];
  const names = new Set();
  assert.ok(documents.length >= 2, "an API and a component");
  for (const document of documents) {
    assert.deepEqual(document.errors, []);
    const entity = document.toJS();
    // Backstage puts the file's text there before it validates.
    const file = entity.spec.definition?.$text;
    if (file) entity.spec.definition = readFileSync(join(folder, "backstage", file), "utf8");
    assert.ok(await kinds[entity.kind].check(entity), entity.kind);
    for (const policy of policies) await policy.enforce(entity);
    const name = `${entity.kind}:${entity.metadata.name.toLowerCase()}`;
    assert.ok(!names.has(name), name);
    names.add(name);
  }
  assert.ok([...names].some((name) => name.startsWith("API:")), [...names].join());
}

/** Every page compiles, and nothing in it is an element or code but what was meant to be. */
async function mdx(folder) {
  const files = readdirSync(folder, { recursive: true }).filter((path) => /\.mdx?$/.test(path));
  assert.ok(files.length > 2);
  for (const file of files) {
    const text = readFileSync(join(folder, file), "utf8").replace(/^---\n[^]*?\n---\n/, "");
    const elements = new Set();
    const look = () => (tree) => {
      const walk = (node) => {
        assert.ok(!/Expression|Esm/.test(node.type), `${file}: ${node.type} ${node.value}`);
        if (node.type.startsWith("mdxJsx")) elements.add(node.name);
        node.children?.forEach(walk);
      };
      walk(tree);
    };
    await compile(text, { remarkPlugins: [look] }).catch((error) => assert.fail(`${file}: ${error.message}`));
    elements.delete("NodeGraph");
    elements.delete("code");
    assert.deepEqual([...elements], [], file);
  }
}

for (const name of readdirSync(base)) {
  const folder = join(base, name);
  await check(`catalog.${name}.asyncapi`, () => asyncapi(folder));
  await check(`catalog.${name}.asyncapi.dangling`, () => dangling(folder));
  await check(`catalog.${name}.backstage`, () => backstage(folder));
  await check(`catalog.${name}.mdx`, () => mdx(join(folder, "eventcatalog")));
  await check(`catalog.${name}.markdown`, () => mdx(join(folder, "markdown")));
}
process.exit(0);
