// Runs the layout beside the page. One job at a time: a newer one replaces the one under way.
import iterate from "graphology-layout-forceatlas2/iterate.js";

import type { LayoutAnswer, LayoutJob } from "./layout";

const NODE_STRIDE = 10;
const EDGE_STRIDE = 3;
const MASS = 6;
const CONVERGENCE = 7;
const SIZE = 8;
const FIXED = 9;
const SLICE_MS = 40;
/** What a node takes of the ground with its name, in units of the layout. */
const ROOM = 8;
/** The last part of the steps makes room between neighbours, where there are few enough to do so exactly. */
const ROOM_FROM = 0.7;

let current = 0;

function matrices(job: LayoutJob): { nodes: Float32Array; edges: Float32Array } {
  const nodes = new Float32Array(job.fixed.length * NODE_STRIDE);
  job.fixed.forEach((fixed, n) => {
    const o = n * NODE_STRIDE;
    nodes[o] = job.xy[2 * n] ?? 0;
    nodes[o + 1] = job.xy[2 * n + 1] ?? 0;
    nodes[o + MASS] = job.mass[n] ?? 1;
    nodes[o + CONVERGENCE] = 1;
    nodes[o + SIZE] = ROOM;
    nodes[o + FIXED] = fixed;
  });
  const edges = new Float32Array(job.weights.length * EDGE_STRIDE);
  job.weights.forEach((weight, n) => {
    edges[n * EDGE_STRIDE] = (job.ends[2 * n] ?? 0) * NODE_STRIDE;
    edges[n * EDGE_STRIDE + 1] = (job.ends[2 * n + 1] ?? 0) * NODE_STRIDE;
    edges[n * EDGE_STRIDE + 2] = weight;
  });
  return { nodes, edges };
}

function positions(nodes: Float32Array): Float32Array {
  const xy = new Float32Array((nodes.length / NODE_STRIDE) * 2);
  for (let n = 0; n < xy.length / 2; n++) {
    xy[2 * n] = nodes[n * NODE_STRIDE] ?? 0;
    xy[2 * n + 1] = nodes[n * NODE_STRIDE + 1] ?? 0;
  }
  return xy;
}

function run(job: LayoutJob): void {
  const { nodes, edges } = matrices(job);
  const options = {
    linLogMode: false, outboundAttractionDistribution: false, adjustSizes: false, edgeWeightInfluence: 1, scalingRatio: 1, strongGravityMode: false, gravity: 0,
    slowDown: 1 + Math.log(job.fixed.length + 1) / 4, barnesHutOptimize: job.fixed.length > 1200, barnesHutTheta: 0.8,
  };
  const started = performance.now();
  let told = started;
  let steps = 0;
  const answer = (done: boolean) => {
    const xy = positions(nodes);
    postMessage({ job: job.job, xy, done } satisfies LayoutAnswer, { transfer: [xy.buffer] });
  };
  const slice = () => {
    if (current !== job.job) return;
    const end = performance.now() + SLICE_MS;
    let done = false;
    while (performance.now() < end && !done) {
      options.adjustSizes = !options.barnesHutOptimize && steps > job.steps * ROOM_FROM;
      iterate(options, nodes, edges);
      steps += 1;
      done = steps >= job.steps || performance.now() - started > job.budgetMs;
    }
    if (done) {
      answer(true);
      return;
    }
    if (performance.now() - told > job.everyMs) {
      told = performance.now();
      answer(false);
    }
    setTimeout(slice, 0);
  };
  slice();
}

onmessage = (event: MessageEvent<LayoutJob>) => {
  current = event.data.job;
  // A job without nodes only ends the one under way.
  if (event.data.fixed.length > 0) run(event.data);
};
