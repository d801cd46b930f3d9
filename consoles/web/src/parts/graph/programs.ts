// How nodes and edges are drawn on the graphics card: one program for every shape, one for every line.
import type { Attributes } from "graphology-types";
import { EdgeLineProgram, EdgeProgram, NodeProgram, type EdgeProgramType, type ProgramInfo } from "sigma/rendering";
import type { EdgeDisplayData, NodeDisplayData, RenderParams } from "sigma/types";
import { floatColor } from "sigma/utils";

/** Solid, hatched (stale), outline only (unreachable), dashed outline (no longer there). */
export const FILL = { solid: 0, hatched: 1, outline: 2, ghost: 3 } as const;

/** Observed, inferred, and a line that stands for several, which points neither way. */
export const LINE = { solid: 0, dashed: 1, bare: 2 } as const;

export interface ShapeData extends NodeDisplayData {
  shape: number;
  fill: number;
}

export interface LineData extends EdgeDisplayData {
  dashed: number;
}

const { FLOAT, POINTS, UNSIGNED_BYTE, TRIANGLES } = WebGLRenderingContext;

const NODE_VERTEX = /* glsl */ `
attribute vec4 a_id;
attribute vec4 a_color;
attribute vec2 a_position;
attribute float a_size;
attribute float a_shape;
attribute float a_fill;
attribute float a_angle;
uniform mat3 u_matrix;
uniform float u_sizeRatio;
uniform float u_correctionRatio;
varying vec4 v_color;
varying vec2 v_point;
varying float v_pixel;
varying float v_shape;
varying float v_fill;
void main() {
  float radius = a_size * u_correctionRatio / u_sizeRatio * 2.0;
  vec2 corner = 2.0 * vec2(cos(a_angle), sin(a_angle));
  gl_Position = vec4((u_matrix * vec3(a_position + corner * radius, 1)).xy, 0, 1);
  v_point = corner;
  v_pixel = 2.0 * u_correctionRatio / radius;
  v_shape = a_shape;
  v_fill = a_fill;
  #ifdef PICKING_MODE
  v_color = a_id;
  #else
  v_color = a_color;
  #endif
  v_color.a *= 255.0 / 254.0;
}`;

// The same as points, which the card is given as they are: less exact at the frame's edge, and quick by the ten thousand
// even where a processor stands in for the card.
const POINT_VERTEX = /* glsl */ `
attribute vec4 a_id;
attribute vec4 a_color;
attribute vec2 a_position;
attribute float a_size;
attribute float a_shape;
attribute float a_fill;
uniform mat3 u_matrix;
uniform float u_sizeRatio;
uniform float u_pixelRatio;
varying vec4 v_color;
varying float v_pixel;
varying float v_shape;
varying float v_fill;
void main() {
  float radius = a_size / u_sizeRatio * u_pixelRatio;
  gl_Position = vec4((u_matrix * vec3(a_position, 1)).xy, 0, 1);
  gl_PointSize = max(2.0, 2.2 * radius);
  v_pixel = 1.0 / max(radius, 1.0);
  v_shape = a_shape;
  v_fill = a_fill;
  #ifdef PICKING_MODE
  v_color = a_id;
  #else
  v_color = a_color;
  #endif
  v_color.a *= 255.0 / 254.0;
}`;

// Signed distances to each shape in units of the node's radius: below 0 is inside.
const nodeFragment = (point: string) => /* glsl */ `
precision highp float;
varying vec4 v_color;
${point}
varying float v_pixel;
varying float v_shape;
varying float v_fill;
float box(vec2 p, vec2 b, float r) { vec2 d = abs(p) - b + r; return length(max(d, 0.0)) + min(max(d.x, d.y), 0.0) - r; }
float polygon(vec2 p, float sides, float turn, float inner) {
  float a = atan(p.x, p.y) + turn;
  float part = 6.2831853 / sides;
  return cos(floor(0.5 + a / part) * part - a) * length(p) - inner;
}
float shape(vec2 p) {
  if (v_shape < 0.5) return length(p) - 0.88;
  if (v_shape < 1.5) return box(p, vec2(0.76), 0.16);
  if (v_shape < 2.5) return (abs(p.x) + abs(p.y) - 0.98) * 0.7071;
  if (v_shape < 3.5) return polygon(p, 6.0, 0.0, 0.86);
  if (v_shape < 4.5) return polygon(p + vec2(0.0, 0.18), 3.0, 3.14159265, 0.54);
  if (v_shape < 5.5) return polygon(p, 5.0, 0.62831853, 0.8);
  if (v_shape < 6.5) return box(p, vec2(0.98, 0.46), 0.2);
  if (v_shape > 7.5) return length(p) - 0.92;
  return min(box(p, vec2(0.92, 0.34), 0.08), box(p, vec2(0.34, 0.92), 0.08));
}
void main() {
  float d = shape(v_point);
  #ifdef PICKING_MODE
  gl_FragColor = length(v_point) > 1.05 ? vec4(0.0) : v_color;
  #else
  float aa = v_pixel * 0.75;
  float inside = 1.0 - smoothstep(-aa, aa, d);
  float rim = smoothstep(-aa, aa, d + max(0.2, 1.6 * v_pixel));
  float ink = 1.0;
  if (v_fill > 2.5) ink = rim * step(0.42, fract(atan(v_point.y, v_point.x) * 1.2732395));
  else if (v_fill > 1.5) ink = rim;
  else if (v_fill > 0.5) ink = max(rim, step(0.5, fract((v_point.x + v_point.y) * 1.55)));
  // A disc that stands for several is soft inside a full rim.
  if (v_shape > 7.5 && v_fill < 0.5) ink = mix(0.34, 1.0, smoothstep(-aa, aa, d + max(0.07, 2.2 * v_pixel)));
  gl_FragColor = v_color * (inside * ink);
  #endif
}`;

const SHAPE_FRAGMENT = nodeFragment("varying vec2 v_point;");
const POINT_FRAGMENT = nodeFragment("#define v_point ((gl_PointCoord - 0.5) * vec2(2.2, -2.2))");
const NODE_UNIFORMS = ["u_sizeRatio", "u_correctionRatio", "u_matrix"] as const;
const POINT_UNIFORMS = ["u_sizeRatio", "u_pixelRatio", "u_matrix"] as const;
const NODE_ATTRIBUTES = [
  { name: "a_position", size: 2, type: FLOAT },
  { name: "a_size", size: 1, type: FLOAT },
  { name: "a_shape", size: 1, type: FLOAT },
  { name: "a_fill", size: 1, type: FLOAT },
  { name: "a_color", size: 4, type: UNSIGNED_BYTE, normalized: true },
  { name: "a_id", size: 4, type: UNSIGNED_BYTE, normalized: true },
];

export class ShapeProgram<N extends Attributes, E extends Attributes> extends NodeProgram<(typeof NODE_UNIFORMS)[number], N, E> {
  getDefinition() {
    return {
      VERTICES: 3, VERTEX_SHADER_SOURCE: NODE_VERTEX, FRAGMENT_SHADER_SOURCE: SHAPE_FRAGMENT, METHOD: TRIANGLES, UNIFORMS: NODE_UNIFORMS,
      ATTRIBUTES: NODE_ATTRIBUTES,
      CONSTANT_ATTRIBUTES: [{ name: "a_angle", size: 1, type: FLOAT }],
      CONSTANT_DATA: [[0], [(2 * Math.PI) / 3], [(4 * Math.PI) / 3]],
    };
  }

  override processVisibleItem(index: number, start: number, data: NodeDisplayData): void {
    const { shape, fill } = data as ShapeData;
    this.array.set([data.x, data.y, data.size, shape, fill, floatColor(data.color), index], start);
  }

  /** What lies under the hand is found without the card, so nothing is drawn for that. */
  override render(params: RenderParams): void {
    this.pickProgram = null;
    super.render(params);
  }

  override setUniforms(params: RenderParams, { gl, uniformLocations }: ProgramInfo<(typeof NODE_UNIFORMS)[number]>): void {
    gl.uniform1f(uniformLocations.u_correctionRatio, params.correctionRatio);
    gl.uniform1f(uniformLocations.u_sizeRatio, params.sizeRatio);
    gl.uniformMatrix3fv(uniformLocations.u_matrix, false, params.matrix);
  }
}

export class PointProgram<N extends Attributes, E extends Attributes> extends NodeProgram<(typeof POINT_UNIFORMS)[number], N, E> {
  getDefinition() {
    return { VERTICES: 1, VERTEX_SHADER_SOURCE: POINT_VERTEX, FRAGMENT_SHADER_SOURCE: POINT_FRAGMENT, METHOD: POINTS, UNIFORMS: POINT_UNIFORMS, ATTRIBUTES: NODE_ATTRIBUTES };
  }

  override processVisibleItem(index: number, start: number, data: NodeDisplayData): void {
    const { shape, fill } = data as ShapeData;
    this.array.set([data.x, data.y, data.size, shape, fill, floatColor(data.color), index], start);
  }

  override render(params: RenderParams): void {
    this.pickProgram = null;
    super.render(params);
  }

  override setUniforms(params: RenderParams, { gl, uniformLocations }: ProgramInfo<(typeof POINT_UNIFORMS)[number]>): void {
    gl.uniform1f(uniformLocations.u_pixelRatio, params.pixelRatio);
    gl.uniform1f(uniformLocations.u_sizeRatio, params.sizeRatio);
    gl.uniformMatrix3fv(uniformLocations.u_matrix, false, params.matrix);
  }
}

// Lines are laid out in screen pixels: dashes, heads and thickness keep their size at every zoom.
const EDGE_VERTEX = /* glsl */ `
attribute vec4 a_id;
attribute vec4 a_color;
attribute vec2 a_start;
attribute vec2 a_end;
attribute float a_width;
attribute float a_dashed;
attribute float a_startRadius;
attribute float a_endRadius;
attribute vec2 a_corner;
uniform mat3 u_matrix;
uniform vec2 u_resolution;
uniform float u_sizeRatio;
varying vec4 v_color;
varying vec2 v_place;
varying vec4 v_line;
varying float v_length;
void main() {
  vec2 start = (u_matrix * vec3(a_start, 1)).xy * 0.5 * u_resolution;
  vec2 end = (u_matrix * vec3(a_end, 1)).xy * 0.5 * u_resolution;
  vec2 along = end - start;
  float len = max(length(along), 0.001);
  vec2 unit = along / len;
  float half_width = max(a_width, 4.0) + 1.5;
  vec2 place = mix(start, end, a_corner.x) + vec2(-unit.y, unit.x) * a_corner.y * half_width;
  gl_Position = vec4(place * 2.0 / u_resolution, 0, 1);
  v_place = vec2(a_corner.x * len, a_corner.y * half_width);
  v_length = len;
  v_line = vec4(a_width, a_dashed, a_startRadius / u_sizeRatio, a_endRadius / u_sizeRatio);
  #ifdef PICKING_MODE
  v_color = a_id;
  #else
  v_color = a_color;
  #endif
  v_color.a *= 255.0 / 254.0;
}`;

const EDGE_FRAGMENT = /* glsl */ `
precision highp float;
varying vec4 v_color;
varying vec2 v_place;
varying vec4 v_line;
varying float v_length;
void main() {
  float across = abs(v_place.y);
  float from = v_line.z + 1.0;
  float tip = v_length - v_line.w - 1.5;
  float head = v_line.y > 1.5 ? 0.0 : min(6.5, max(0.0, (tip - from) * 0.4));
  #ifdef PICKING_MODE
  gl_FragColor = across < 4.0 && v_place.x > from && v_place.x < tip ? v_color : vec4(0.0);
  #else
  float line = 1.0 - smoothstep(v_line.x * 0.5 - 0.5, v_line.x * 0.5 + 0.5, across);
  line *= step(from, v_place.x) * step(v_place.x, tip - head);
  if (v_line.y > 0.5 && v_line.y < 1.5) line *= 1.0 - smoothstep(4.5, 5.5, mod(v_place.x - from, 9.0));
  float back = tip - v_place.x;
  float arrow = v_line.y > 1.5 ? 0.0 : step(0.0, back) * step(back, head) * (1.0 - smoothstep(-0.6, 0.6, across - back * 0.5));
  float ink = max(line, arrow) * v_color.a;
  gl_FragColor = vec4(v_color.rgb * ink, ink);
  #endif
}`;

const EDGE_UNIFORMS = ["u_matrix", "u_resolution", "u_sizeRatio"] as const;

export class LineProgram<N extends Attributes, E extends Attributes> extends EdgeProgram<(typeof EDGE_UNIFORMS)[number], N, E> {
  getDefinition() {
    return {
      VERTICES: 6, VERTEX_SHADER_SOURCE: EDGE_VERTEX, FRAGMENT_SHADER_SOURCE: EDGE_FRAGMENT, METHOD: TRIANGLES, UNIFORMS: EDGE_UNIFORMS,
      ATTRIBUTES: [
        { name: "a_start", size: 2, type: FLOAT },
        { name: "a_end", size: 2, type: FLOAT },
        { name: "a_width", size: 1, type: FLOAT },
        { name: "a_dashed", size: 1, type: FLOAT },
        { name: "a_startRadius", size: 1, type: FLOAT },
        { name: "a_endRadius", size: 1, type: FLOAT },
        { name: "a_color", size: 4, type: UNSIGNED_BYTE, normalized: true },
        { name: "a_id", size: 4, type: UNSIGNED_BYTE, normalized: true },
      ],
      CONSTANT_ATTRIBUTES: [{ name: "a_corner", size: 2, type: FLOAT }],
      CONSTANT_DATA: [[0, -1], [0, 1], [1, -1], [0, 1], [1, -1], [1, 1]],
    };
  }

  override processVisibleItem(index: number, start: number, from: NodeDisplayData, to: NodeDisplayData, data: EdgeDisplayData): void {
    this.array.set([from.x, from.y, to.x, to.y, data.size, (data as LineData).dashed, from.size, to.size, floatColor(data.color), index], start);
  }

  override setUniforms(params: RenderParams, { gl, uniformLocations }: ProgramInfo<(typeof EDGE_UNIFORMS)[number]>): void {
    gl.uniformMatrix3fv(uniformLocations.u_matrix, false, params.matrix);
    gl.uniform2f(uniformLocations.u_resolution, params.width, params.height);
    gl.uniform1f(uniformLocations.u_sizeRatio, params.sizeRatio);
  }
}

/** Thin lines are too many to be pointed at, so nothing is drawn to find them by; and where there are very many they wait until the picture rests. */
export function thinProgram<N extends Attributes, E extends Attributes>(wait: () => boolean): EdgeProgramType<N, E> {
  return class extends EdgeLineProgram<N, E> {
    override render(params: RenderParams): void {
      this.pickProgram = null;
      if (!wait()) super.render(params);
    }
  };
}
