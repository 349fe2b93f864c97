import { prepareBuild } from './lib/prepare.mjs';

await prepareBuild();
