// The live picture: sigma draws, a worker arranges, React is told only what was pointed at.
import Graph from "graphology";
import Sigma from "sigma";

import { edgeAttributes, FEW, LARGE, nodeAttributes, reduceEdge, reduceNode, type Blast, type Crowd, type EdgeAttributes, type Near, type NodeAttributes } from "./attributes";
import { boxOf, core, hull, type Box } from "./hull";
import { drawIslands, type Island } from "./islands";
import { drawHover, drawLabel, drawNumber, type Plate } from "./labels";
import { nextJob, Places, type LayoutAnswer, type LayoutInput, type LayoutJob, type Point } from "./layout";
import type { DrawnEdge, DrawnNode, Picture } from "./model";
import { readPalette, type Palette } from "./palette";
import { SpotGrid } from "./nearest";
import { LineProgram, PointProgram, ShapeProgram, thinProgram } from "./programs";

/** From so many changes on, a new graph is quicker than changing the old one. */
const REBUILD = 500;
/** Up to so many nodes, no name is written across another node. */
const CROWD = 400;
/** So long without a move, and the picture rests. */
const REST_MS = 160;
/** Of so many ways of grouping the places are kept. */
const MOST_ARRANGEMENTS = 6;

export interface SceneEvents {
  select: (id: string | null) => void;
  busy: (busy: boolean) => void;
}

export class Scene {
  private graph = newGraph();
  private shownNodes: ReadonlyMap<string, DrawnNode> = new Map();
  private shownEdges: ReadonlyMap<string, DrawnEdge> = new Map();
  private readonly sigma: Sigma<NodeAttributes, EdgeAttributes>;
  /** Each way of grouping has places of its own, so that coming back to it finds it as it was. */
  private readonly placesBy = new Map<string, Places>();
  private places = new Places();
  private grid: SpotGrid | null = null;
  private largest = 0;
  private moving = false;
  private rest: ReturnType<typeof setTimeout> | undefined;
  private readonly worker = new Worker(new URL("./layout.worker.ts", import.meta.url), { type: "module" });
  private palette: Palette = readPalette();
  private picture: Picture = { nodes: [], edges: [], sites: [] };
  private input: LayoutInput = { nodes: [], edges: [] };
  private islands: Island[] = [];
  private selected: string | null = null;
  private near: Near | null = null;
  private crowd: Crowd = { nodes: 0, edges: 0, clusters: 0, most: 0, compared: false };
  private framing: string | undefined;
  /** The next places that come are those of a picture that was not framed yet. */
  private frameNext = false;
  private blast: Blast | null = null;
  private job = 0;
  private box: Box | null = null;
  private islandDue = 0;
  /** Where nodes and labels of this frame already are. */
  private readonly taken: Plate[] = [];

  constructor(container: HTMLElement, private readonly events: SceneEvents, private readonly stillness: boolean) {
    this.sigma = new Sigma<NodeAttributes, EdgeAttributes>(this.graph, container, {
      allowInvalidContainer: true,
      defaultNodeType: "shape",
      defaultEdgeType: "line",
      nodeProgramClasses: { shape: ShapeProgram<NodeAttributes, EdgeAttributes>, point: PointProgram<NodeAttributes, EdgeAttributes> },
      edgeProgramClasses: { line: LineProgram<NodeAttributes, EdgeAttributes>, thin: thinProgram<NodeAttributes, EdgeAttributes>(() => this.moving && this.crowd.edges > 3 * LARGE) },
      enableEdgeEvents: true,
      zIndex: true,
      labelDensity: 4,
      labelGridCellSize: 80,
      labelRenderedSizeThreshold: 4,
      stagePadding: 36,
      minCameraRatio: 0.01,
      maxCameraRatio: 4,
      defaultDrawNodeLabel: drawLabel(() => this.palette, this.taken),
      defaultDrawNodeHover: drawHover(() => this.palette),
      defaultDrawEdgeLabel: drawNumber(() => this.palette),
      nodeReducer: (id, data) => reduceNode(id, data, this.palette, this.near, this.blast, this.crowd.compared),
      edgeReducer: (id, data) => this.near || this.blast ? reduceEdge(id, ...this.graph.extremities(id), data, this.palette, this.near, this.blast, this.crowd.compared) : data,
    });
    // Sigma asks the graphics card what lies under the hand, at every move of it.
    (this.sigma as unknown as { getNodeAtPosition: (at: Point) => string | null }).getNodeAtPosition = (at) => this.nodeAt(at);
    this.sigma.createCanvasContext("islands", { beforeLayer: "edges", style: { position: "absolute", inset: "0" } } as never);
    this.sigma.resize(true);
    this.sigma.on("beforeRender", () => {
      this.taken.length = 0;
      if (this.graph.order <= CROWD) this.takeNodes();
      this.drawIslands();
    });
    this.sigma.getCamera().on("updated", () => this.moved());
    this.sigma.on("clickNode", ({ node }) => events.select(node));
    this.sigma.on("clickEdge", ({ edge }) => events.select(edge));
    this.sigma.on("clickStage", () => events.select(null));
    for (const [over, out] of [["enterNode", "leaveNode"], ["enterEdge", "leaveEdge"]] as const) {
      this.sigma.on(over, () => container.classList.add("over"));
      this.sigma.on(out, () => container.classList.remove("over"));
    }
    this.worker.onmessage = (event: MessageEvent<LayoutAnswer>) => this.arranged(event.data);
  }

  /** Shows `picture`; what was there keeps its place. */
  show(picture: Picture): void {
    const anew = picture.framing !== this.framing;
    if (anew) this.changePlaces(picture.framing ?? "");
    const repaint = this.crowd.compared !== (picture.compared ?? false);
    this.framing = picture.framing;
    this.picture = picture;
    this.crowd = crowdOf(picture);
    this.input = { nodes: picture.nodes, edges: picture.edges };
    const job = this.places.plan(this.input);
    if (!this.box || anew) this.setBox();
    this.apply(repaint || anew);
    if (anew) this.sigma.getCamera().setState({ x: 0.5, y: 0.5, ratio: 1, angle: 0 });
    if (job) {
      this.frameNext = anew;
      this.start(job);
    } else this.outline();
    this.select(this.selected);
  }

  select(id: string | null): void {
    const nothing = id === null && this.near === null;
    this.selected = id;
    this.near = this.neighbourhood(id);
    if (!nothing) this.sigma.refresh({ skipIndexation: true });
  }

  /** Shows what fails dashed and what it touches in colour; the rest steps back. */
  mark(blast: Blast | null): void {
    if (blast === this.blast) return;
    this.blast = blast;
    this.sigma.refresh({ skipIndexation: true });
  }

  /** Brings the selected element into view. */
  reveal(id: string): void {
    const ends = this.graph.hasEdge(id) ? [this.graph.source(id)] : this.graph.hasNode(id) ? [id] : [];
    const data = ends[0] ? this.sigma.getNodeDisplayData(ends[0]) : undefined;
    if (!data) return;
    const point = this.sigma.framedGraphToViewport(data);
    const { width, height } = this.sigma.getDimensions();
    if (point.x > 40 && point.x < width - 40 && point.y > 40 && point.y < height - 40) return;
    this.move({ x: data.x, y: data.y });
  }

  recolour(): void {
    this.palette = readPalette();
    this.apply(true);
  }

  rearrange(): void {
    this.places.clear();
    const job = this.places.plan(this.input);
    this.setBox();
    this.apply(true);
    if (job) this.start(job);
  }

  zoom(factor: number): void {
    this.move({ ratio: this.sigma.getCamera().ratio * factor });
  }

  pan(x: number, y: number): void {
    const camera = this.sigma.getCamera();
    this.move({ x: camera.x + x * camera.ratio * 0.12, y: camera.y + y * camera.ratio * 0.12 });
  }

  fit(): void {
    this.frame();
    this.move({ x: 0.5, y: 0.5, ratio: 1, angle: 0 });
  }

  /** Places and colours for the SVG export. */
  drawn(): { picture: Picture; place: (id: string) => Point | undefined; palette: Palette } {
    return { picture: this.picture, place: (id) => this.places.at(id), palette: this.palette };
  }

  /** The picture as it stands on the screen. */
  async png(): Promise<Blob | null> {
    // The card may drop what it drew once this turn is over, so it is drawn and copied within it.
    this.sigma.refresh({ schedule: false, skipIndexation: true });
    const layers = this.sigma.getCanvases();
    const first = layers["nodes"];
    if (!first) return null;
    const canvas = document.createElement("canvas");
    canvas.width = first.width;
    canvas.height = first.height;
    const context = canvas.getContext("2d");
    if (!context) return null;
    context.fillStyle = this.palette.ground;
    context.fillRect(0, 0, canvas.width, canvas.height);
    for (const name of ["islands", "edges", "edgeLabels", "nodes", "labels", "hovers"]) {
      const layer = layers[name];
      if (layer) context.drawImage(layer, 0, 0, canvas.width, canvas.height);
    }
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  resize(): void {
    this.sigma.resize();
    this.sigma.scheduleRender();
  }

  stop(): void {
    this.worker.terminate();
    // A frame that is still due would draw on what is gone.
    cancelAnimationFrame(this.islandDue);
    clearTimeout(this.rest);
    this.sigma.kill();
  }

  /** What is arranged now is no longer what is shown. */
  private changePlaces(framing: string): void {
    if (this.job > 0) {
      this.job = 0;
      this.worker.postMessage({ job: nextJob(), xy: new Float32Array(), fixed: new Uint8Array(), mass: new Float32Array(), ends: new Uint32Array(), weights: new Float32Array(), steps: 0, budgetMs: 0, everyMs: 0 } satisfies LayoutJob);
      this.events.busy(false);
    }
    const known = this.placesBy.get(framing) ?? new Places();
    this.placesBy.delete(framing);
    this.placesBy.set(framing, known);
    for (const oldest of this.placesBy.keys()) {
      if (this.placesBy.size <= MOST_ARRANGEMENTS) break;
      this.placesBy.delete(oldest);
    }
    this.places = known;
  }

  private moved(): void {
    this.moving = true;
    clearTimeout(this.rest);
    this.rest = setTimeout(() => {
      this.moving = false;
      this.sigma.scheduleRender();
    }, REST_MS);
  }

  private nodeAt(at: Point): string | null {
    const drawn = (id: string) => this.graph.getNodeAttribute(id, "size");
    if (!this.grid) {
      this.grid = new SpotGrid(this.graph.mapNodes((id, { x, y }) => ({ id, x, y })));
      this.largest = this.graph.reduceNodes((most, _, { size }) => Math.max(most, size), 0);
    }
    const point = this.sigma.viewportToGraph(at);
    const beside = this.sigma.viewportToGraph({ x: at.x + 1, y: at.y });
    const pixel = Math.hypot(beside.x - point.x, beside.y - point.y);
    const reach = (size: number) => (Math.max(this.sigma.scaleSize(size), 3) + 1) * pixel;
    return this.grid.at(point, reach(this.largest), (id) => reach(drawn(id)));
  }

  private start(job: LayoutJob): void {
    this.job = job.job;
    this.events.busy(true);
    this.worker.postMessage(job);
    this.outline();
  }

  private arranged(answer: LayoutAnswer): void {
    if (answer.job !== this.job || answer.xy.length / 2 < this.input.nodes.length) return;
    if (!answer.done && this.stillness) return;
    if (answer.done) this.job = 0;
    this.places.take(this.input, answer.xy);
    if (this.frameNext || !answer.done || this.outside()) this.setBox();
    this.frameNext = false;
    this.grid = null;
    this.graph.updateEachNodeAttributes((id, attributes) => Object.assign(attributes, this.places.at(id)), { attributes: ["x", "y"] });
    this.sigma.refresh();
    this.outline();
    if (answer.done) this.events.busy(false);
  }

  /** Brings the graph to the picture: only what changed, or all of it at once when that is most of it. */
  private apply(everything = false): void {
    this.grid = null;
    const nodes = new Map(this.picture.nodes.map((node) => [node.id, node]));
    const edges = new Map(this.picture.edges.map((edge) => [edge.id, edge]));
    const fresh = this.picture.nodes.reduce((n, node) => n + (this.shownNodes.has(node.id) ? 0 : 1), 0);
    if (everything || fresh > REBUILD || this.shownNodes.size - (nodes.size - fresh) > REBUILD) this.rebuild(nodes, edges);
    else this.change(nodes, edges);
    this.shownNodes = nodes;
    this.shownEdges = edges;
  }

  private rebuild(nodes: ReadonlyMap<string, DrawnNode>, edges: ReadonlyMap<string, DrawnEdge>): void {
    const graph = newGraph();
    for (const [id, node] of nodes) graph.addNode(id, this.nodeLook(node));
    for (const [id, edge] of edges) if (nodes.has(edge.from) && nodes.has(edge.to)) graph.addEdgeWithKey(id, edge.from, edge.to, edgeAttributes(edge, this.palette, this.crowd));
    this.graph = graph;
    // A large picture is drawn with plain lines that cannot be pointed at: what hangs on a node still can be selected.
    this.sigma.setSettings({ enableEdgeEvents: edges.size <= LARGE, renderEdgeLabels: this.crowd.clusters > 0 && this.crowd.clusters <= FEW });
    this.sigma.setGraph(graph);
  }

  private change(nodes: ReadonlyMap<string, DrawnNode>, edges: ReadonlyMap<string, DrawnEdge>): void {
    for (const id of this.shownEdges.keys()) if (!edges.has(id) && this.graph.hasEdge(id)) this.graph.dropEdge(id);
    for (const id of this.shownNodes.keys()) if (!nodes.has(id)) this.graph.dropNode(id);
    for (const [id, node] of nodes) {
      const old = this.shownNodes.get(id);
      if (!old || !sameLook(old, node)) this.graph.mergeNode(id, this.nodeLook(node));
    }
    for (const [id, edge] of edges) {
      if (!nodes.has(edge.from) || !nodes.has(edge.to)) continue;
      const old = this.shownEdges.get(id);
      if (!this.graph.hasEdge(id)) this.graph.addEdgeWithKey(id, edge.from, edge.to, edgeAttributes(edge, this.palette, this.crowd));
      else if (old?.look !== edge.look || old.inferred !== edge.inferred || old.change !== edge.change || old.merged !== edge.merged) this.graph.replaceEdgeAttributes(id, edgeAttributes(edge, this.palette, this.crowd));
    }
  }

  private nodeLook(node: DrawnNode): NodeAttributes {
    return nodeAttributes(node, this.places.at(node.id) ?? { x: 0, y: 0 }, this.palette, this.crowd);
  }

  private neighbourhood(id: string | null): Near | null {
    if (!id) return null;
    if (this.graph.hasNode(id)) return { id, nodes: new Set([id, ...this.graph.neighbors(id)]), edges: new Set(this.graph.edges(id)) };
    if (this.graph.hasEdge(id)) return { id, nodes: new Set(this.graph.extremities(id)), edges: new Set([id]) };
    return null;
  }

  private frame(): void {
    this.setBox();
    this.sigma.refresh();
  }

  private setBox(): void {
    // Discs have no island around them that needs a margin.
    const margin = this.crowd.clusters === this.crowd.nodes ? ([0.1, 1] as const) : ([0.06, 20] as const);
    this.box = boxOf(this.input.nodes.flatMap((node) => this.places.at(node.id) ?? []), ...margin);
    this.sigma.setCustomBBox(this.box);
  }

  /** True when something new lies where the frame does not reach. */
  private outside(): boolean {
    const now = boxOf(this.input.nodes.flatMap((node) => this.places.at(node.id) ?? []), 0, 0);
    if (!now || !this.box) return true;
    return now.x[0] < this.box.x[0] || now.x[1] > this.box.x[1] || now.y[0] < this.box.y[0] || now.y[1] > this.box.y[1];
  }

  /** The islands' outlines, at most a few times a second. */
  private outline(): void {
    if (this.islandDue) return;
    this.islandDue = requestAnimationFrame(() => {
      this.islandDue = 0;
      const points = new Map<string, Point[]>();
      for (const node of this.input.nodes) {
        const place = this.places.at(node.id);
        const site = node.sites[0];
        // A disc stands for what lies on an island, and needs none around it.
        if (!place || "cluster" in node || node.sites.length !== 1 || site === undefined) continue;
        const list = points.get(site);
        if (list) list.push(place);
        else points.set(site, [place]);
      }
      this.islands = this.picture.sites.flatMap((site) => {
        const list = points.get(site.site);
        return list ? [{ ...site, shore: hull(core(list)) }] : [];
      });
      this.sigma.scheduleRender();
    });
  }

  private takeNodes(): void {
    this.graph.forEachNode((id) => {
      const data = this.sigma.getNodeDisplayData(id);
      if (!data) return;
      const { x, y } = this.sigma.framedGraphToViewport(data);
      const r = this.sigma.scaleSize(data.size) * 0.6;
      this.taken.push([x - r, y - r, x + r, y + r]);
    });
  }

  private drawIslands(): void {
    const canvas = this.sigma.getCanvases()["islands"];
    const context = canvas?.getContext("2d");
    if (!canvas || !context) return;
    const { width, height } = this.sigma.getDimensions();
    const scale = canvas.width / Math.max(1, width);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    drawIslands(context, this.islands, this.palette, (point) => this.sigma.graphToViewport(point));
  }

  private move(to: Parameters<ReturnType<Sigma["getCamera"]>["animate"]>[0]): void {
    if (this.stillness) this.sigma.getCamera().setState(to);
    else void this.sigma.getCamera().animate(to, { duration: 180 });
  }
}

function sameLook(a: DrawnNode, b: DrawnNode): boolean {
  const tally = a.cluster === b.cluster || (a.cluster?.count === b.cluster?.count && a.cluster?.worst === b.cluster?.worst && JSON.stringify(a.cluster?.changes) === JSON.stringify(b.cluster?.changes));
  return a.look === b.look && a.degree === b.degree && a.label === b.label && a.change === b.change && tally;
}

function crowdOf(picture: Picture): Crowd {
  const discs = picture.nodes.flatMap((node) => (node.cluster ? [node.cluster.count] : []));
  return { nodes: picture.nodes.length, edges: picture.edges.length, clusters: discs.length, most: discs.reduce((most, n) => Math.max(most, n), 0), compared: picture.compared ?? false };
}

function newGraph(): Graph<NodeAttributes, EdgeAttributes> {
  return new Graph<NodeAttributes, EdgeAttributes>({ type: "directed", multi: true });
}
