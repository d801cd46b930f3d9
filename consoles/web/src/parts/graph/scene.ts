// The live picture: sigma draws, a worker arranges, React is told only what was pointed at.
import Graph from "graphology";
import Sigma from "sigma";
import { EdgeLineProgram } from "sigma/rendering";

import { boxOf, core, hull, type Box } from "./hull";
import { drawIslands, type Island } from "./islands";
import { drawHover, drawLabel, type Plate } from "./labels";
import { Places, type LayoutAnswer, type LayoutInput, type LayoutJob, type Point } from "./layout";
import { SHAPES, type DrawnEdge, type DrawnNode, type Look, type Picture } from "./model";
import { readPalette, type Palette } from "./palette";
import { FILL, LineProgram, ShapeProgram } from "./programs";

interface NodeAttributes {
  x: number;
  y: number;
  size: number;
  label: string;
  color: string;
  shape: number;
  fill: number;
  zIndex?: number;
  highlighted?: boolean;
  quiet?: boolean;
}

interface EdgeAttributes {
  type: "line" | "thin";
  size: number;
  color: string;
  dashed: number;
  zIndex?: number;
  hidden?: boolean;
}

const FILL_OF: Record<Look, number> = { live: FILL.solid, warn: FILL.solid, bad: FILL.solid, stale: FILL.hatched, unreachable: FILL.outline, unknown: FILL.outline };
const LARGE = 3000;
/** From so many changes on, a new graph is quicker than changing the old one. */
const REBUILD = 500;
/** Up to so many nodes, no name is written across another node. */
const CROWD = 400;

export interface SceneEvents {
  select: (id: string | null) => void;
  busy: (busy: boolean) => void;
}

/** What fails, and what it touches, by id. */
export interface Blast {
  failed: ReadonlySet<string>;
  touched: ReadonlySet<string>;
}

export class Scene {
  private graph = newGraph();
  private shownNodes: ReadonlyMap<string, DrawnNode> = new Map();
  private shownEdges: ReadonlyMap<string, DrawnEdge> = new Map();
  private readonly sigma: Sigma<NodeAttributes, EdgeAttributes>;
  private readonly places = new Places();
  private readonly worker = new Worker(new URL("./layout.worker.ts", import.meta.url), { type: "module" });
  private palette: Palette = readPalette();
  private picture: Picture = { nodes: [], edges: [], sites: [] };
  private input: LayoutInput = { nodes: [], edges: [] };
  private islands: Island[] = [];
  private selected: string | null = null;
  private near: { nodes: Set<string>; edges: Set<string> } | null = null;
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
      nodeProgramClasses: { shape: ShapeProgram<NodeAttributes, EdgeAttributes> },
      edgeProgramClasses: { line: LineProgram<NodeAttributes, EdgeAttributes>, thin: EdgeLineProgram },
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
      nodeReducer: (id, data) => this.reduceNode(id, data),
      edgeReducer: (id, data) => this.reduceEdge(id, data),
    });
    this.sigma.createCanvasContext("islands", { beforeLayer: "edges", style: { position: "absolute", inset: "0" } } as never);
    this.sigma.resize(true);
    this.sigma.on("beforeRender", () => {
      this.taken.length = 0;
      if (this.graph.order <= CROWD) this.takeNodes();
      this.drawIslands();
    });
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
    this.picture = picture;
    this.input = { nodes: picture.nodes, edges: picture.edges };
    const job = this.places.plan(this.input);
    if (!this.box) this.setBox();
    this.apply();
    if (job) this.start(job);
    else this.outline();
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
    this.sigma.kill();
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
    this.places.take(this.input, answer.xy);
    if (this.job === 1 || !answer.done || this.outside()) this.setBox();
    this.graph.updateEachNodeAttributes((id, attributes) => Object.assign(attributes, this.places.at(id)), { attributes: ["x", "y"] });
    this.sigma.refresh();
    this.outline();
    if (answer.done) this.events.busy(false);
  }

  /** Brings the graph to the picture: only what changed, or all of it at once when that is most of it. */
  private apply(everything = false): void {
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
    for (const [id, node] of nodes) graph.addNode(id, this.nodeAttributes(node));
    for (const [id, edge] of edges) if (nodes.has(edge.from) && nodes.has(edge.to)) graph.addEdgeWithKey(id, edge.from, edge.to, this.edgeAttributes(edge));
    this.graph = graph;
    // A large picture is drawn with plain lines that cannot be pointed at: what hangs on a node still can be selected.
    this.sigma.setSettings({ enableEdgeEvents: edges.size <= LARGE, hideEdgesOnMove: edges.size > 3 * LARGE });
    this.sigma.setGraph(graph);
  }

  private change(nodes: ReadonlyMap<string, DrawnNode>, edges: ReadonlyMap<string, DrawnEdge>): void {
    for (const id of this.shownEdges.keys()) if (!edges.has(id) && this.graph.hasEdge(id)) this.graph.dropEdge(id);
    for (const id of this.shownNodes.keys()) if (!nodes.has(id)) this.graph.dropNode(id);
    for (const [id, node] of nodes) {
      const old = this.shownNodes.get(id);
      if (!old || old.look !== node.look || old.degree !== node.degree || old.label !== node.label) this.graph.mergeNode(id, this.nodeAttributes(node));
    }
    for (const [id, edge] of edges) {
      if (!nodes.has(edge.from) || !nodes.has(edge.to)) continue;
      const old = this.shownEdges.get(id);
      if (!this.graph.hasEdge(id)) this.graph.addEdgeWithKey(id, edge.from, edge.to, this.edgeAttributes(edge));
      else if (old?.look !== edge.look || old.inferred !== edge.inferred) this.graph.replaceEdgeAttributes(id, this.edgeAttributes(edge));
    }
  }

  private nodeAttributes(node: DrawnNode): NodeAttributes {
    const place = this.places.at(node.id) ?? { x: 0, y: 0 };
    const base = this.picture.nodes.length > 20_000 ? 1.2 : this.picture.nodes.length > LARGE ? 2.2 : this.picture.nodes.length > 400 ? 4.5 : 7;
    const size = base + Math.min(base * 0.9, Math.log2(1 + node.degree) * base * 0.13) + (node.kind === "agent" ? base * 0.3 : 0);
    return { ...place, size: node.kind === "hop" ? size * 0.8 : size, label: node.label, color: this.palette.look[node.look], shape: SHAPES[node.kind], fill: FILL_OF[node.look] };
  }

  private edgeAttributes(edge: DrawnEdge): EdgeAttributes {
    const state = edge.look === "live" ? this.palette.edge : edge.look === "bad" || edge.look === "warn" ? this.palette.look[edge.look] : this.palette.look.unknown;
    if (this.picture.edges.length > LARGE) return { type: "thin", size: 1, color: edge.look === "live" ? this.palette.shore : state, dashed: 0 };
    return { type: "line", size: edge.look === "bad" ? 2 : 1.3, color: state, dashed: edge.inferred ? 1 : 0 };
  }

  private reduceNode(id: string, data: NodeAttributes): Partial<NodeAttributes> {
    if (this.blast) {
      const selected = id === this.selected;
      if (this.blast.failed.has(id)) return { ...data, color: this.palette.bad, highlighted: selected, zIndex: 2 };
      if (this.blast.touched.has(id)) return { ...data, color: this.palette.warn, highlighted: selected, zIndex: 1 };
      return { ...data, color: this.palette.faded, label: "", zIndex: 0 };
    }
    if (!this.near) return data;
    if (id === this.selected) return { ...data, highlighted: true, zIndex: 2, size: data.size * 1.15 };
    if (this.near.nodes.has(id)) return { ...data, zIndex: 1 };
    return { ...data, color: this.palette.faded, label: "", zIndex: 0 };
  }

  private reduceEdge(id: string, data: EdgeAttributes): Partial<EdgeAttributes> {
    if (this.blast) {
      const { failed, touched } = this.blast;
      const [from, to] = this.graph.extremities(id);
      if (failed.has(id) || failed.has(from) || failed.has(to)) return { ...data, color: this.palette.bad, dashed: 1, zIndex: 2 };
      if (touched.has(from) && touched.has(to)) return { ...data, color: this.palette.warn, zIndex: 1 };
      return { ...data, color: this.palette.faded, size: 0.8, zIndex: 0 };
    }
    if (!this.near) return data;
    if (id === this.selected) return { ...data, color: this.palette.focus, size: 2.6, zIndex: 2 };
    if (this.near.edges.has(id)) return { ...data, color: data.type === "thin" ? this.palette.edge : data.color, size: data.size + 0.4, zIndex: 1 };
    return { ...data, color: this.palette.faded, size: 0.8, zIndex: 0 };
  }

  private neighbourhood(id: string | null): { nodes: Set<string>; edges: Set<string> } | null {
    if (!id) return null;
    if (this.graph.hasNode(id)) return { nodes: new Set([id, ...this.graph.neighbors(id)]), edges: new Set(this.graph.edges(id)) };
    if (this.graph.hasEdge(id)) return { nodes: new Set(this.graph.extremities(id)), edges: new Set([id]) };
    return null;
  }

  private frame(): void {
    this.setBox();
    this.sigma.refresh();
  }

  private setBox(): void {
    this.box = boxOf(this.input.nodes.flatMap((node) => this.places.at(node.id) ?? []));
    this.sigma.setCustomBBox(this.box);
  }

  /** True when something new lies where the frame does not reach. */
  private outside(): boolean {
    const now = boxOf(this.input.nodes.flatMap((node) => this.places.at(node.id) ?? []), 0);
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
        if (!place || node.sites.length !== 1 || site === undefined) continue;
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

function newGraph(): Graph<NodeAttributes, EdgeAttributes> {
  return new Graph<NodeAttributes, EdgeAttributes>({ type: "directed", multi: true });
}
