declare module "graphology-layout-forceatlas2/iterate.js" {
  /** One step of ForceAtlas2 on flat matrices: ten numbers a node, three an edge (its ends as offsets into the nodes). */
  export default function iterate(
    options: {
      linLogMode: boolean;
      outboundAttractionDistribution: boolean;
      adjustSizes: boolean;
      edgeWeightInfluence: number;
      scalingRatio: number;
      strongGravityMode: boolean;
      gravity: number;
      slowDown: number;
      barnesHutOptimize: boolean;
      barnesHutTheta: number;
    },
    nodes: Float32Array,
    edges: Float32Array,
  ): unknown;
}
