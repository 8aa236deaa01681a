// Writes the licence of each package that is in the bundle beside it.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";

const skipped = /^(\.|@|esbuild)/;
const texts = readdirSync("node_modules")
  .filter((name) => !skipped.test(name))
  .map((name) => {
    const { version, license } = JSON.parse(readFileSync(`node_modules/${name}/package.json`));
    const text = readFileSync(`node_modules/${name}/LICENSE`, "utf8").trim();
    return `${name} ${version} (${license})\n\n${text}\n`;
  });
writeFileSync("../../chaoskernel/report/vendor/LICENSES.txt", texts.join(`\n${"-".repeat(72)}\n\n`));
