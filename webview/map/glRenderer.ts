import { TILE_SIZE } from '../../shared/protocol/engine';
import type { MassScale } from '../../shared/protocol/host';
import type { MapFrame, MapRenderer } from './renderer';
import { FRAGMENT, VERTEX } from './shaders';
import type { LoadedTile, PlacedTile } from './tiles';

const SCALES: Record<MassScale, number> = { linear: 0, sqrt: 1, log: 2 };

// prettier-ignore
const UNIFORMS = [
  'canvas', 'origin', 'cells', 'cell', 'tile', 'lut', 'first', 'tokens', 'offset', 'largest', 'scale',
  'overlay', 'causal', 'hatchStep', 'background', 'hatch',
] as const;

/** Draws with WebGL2: every tile a float texture, colours in the shader. null where WebGL2 is not to be had. */
export function createGlRenderer(canvas: HTMLCanvasElement): MapRenderer | null {
  // Kept for "Save PNG", which reads the canvas after the frame.
  const gl = canvas.getContext('webgl2', { antialias: false, preserveDrawingBuffer: true });
  const program = gl && link(gl);
  if (!gl || !program) return null;

  const at = Object.fromEntries(UNIFORMS.map(name => [name, gl.getUniformLocation(program, name)])) as Record<
    (typeof UNIFORMS)[number],
    WebGLUniformLocation | null
  >;
  const textures = new Map<string, WebGLTexture>();
  const lut = gl.createTexture();
  let lutOf: Uint8Array | null = null;
  gl.bindVertexArray(gl.createVertexArray());

  const bind = (unit: number, texture: WebGLTexture) => {
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, texture);
  };
  const nearest = () => {
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER])
      gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
    for (const name of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T])
      gl.texParameteri(gl.TEXTURE_2D, name, gl.CLAMP_TO_EDGE);
  };

  const upload = ({ key, tile }: LoadedTile): WebGLTexture => {
    const texture = gl.createTexture();
    const data = new Float32Array(tile.rows * tile.columns * 2);
    for (let i = 0; i < tile.mass.length; i++) {
      data[i * 2] = tile.mass[i]!;
      data[i * 2 + 1] = tile.kept ? tile.kept[i]! : 1;
    }
    bind(0, texture);
    nearest();
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RG32F, tile.columns, tile.rows, 0, gl.RG, gl.FLOAT, data);
    textures.set(key, texture);
    return texture;
  };

  const setLut = (table: Uint8Array) => {
    bind(1, lut);
    if (lutOf === table) return;
    lutOf = table;
    nearest();
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, table);
  };

  const drawTile = ({ tile, x, y, cell }: PlacedTile) => {
    bind(0, textures.get(tile.key) ?? upload(tile));
    const { rows, columns } = tile.tile;
    gl.uniform2f(at.origin, x, y);
    gl.uniform2f(at.cells, columns, rows);
    gl.uniform2f(at.first, tile.column * TILE_SIZE, tile.row * TILE_SIZE);
    gl.uniform1f(at.cell, cell);
    gl.uniform1f(at.tokens, 2 ** tile.level);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  };

  return {
    kind: 'webgl2',
    draw(frame: MapFrame) {
      if (gl.isContextLost()) return;
      if (canvas.width !== frame.width || canvas.height !== frame.height) {
        canvas.width = frame.width;
        canvas.height = frame.height;
      }
      const [r, g, b] = frame.background.map(c => c / 255) as [number, number, number];
      gl.viewport(0, 0, frame.width, frame.height);
      gl.clearColor(r, g, b, 1);
      gl.clear(gl.COLOR_BUFFER_BIT);
      gl.useProgram(program);
      setLut(frame.lut);
      gl.uniform1i(at.tile, 0);
      gl.uniform1i(at.lut, 1);
      gl.uniform2f(at.canvas, frame.width, frame.height);
      gl.uniform1f(at.largest, frame.largest);
      gl.uniform1f(at.offset, frame.offset);
      gl.uniform1i(at.scale, SCALES[frame.scale]);
      gl.uniform1i(at.overlay, frame.overlay ? 1 : 0);
      gl.uniform1i(at.causal, frame.causal ? 1 : 0);
      gl.uniform1f(at.hatchStep, 6 * frame.pixelRatio);
      gl.uniform3f(at.background, r, g, b);
      gl.uniform3f(at.hatch, frame.hatch[0] / 255, frame.hatch[1] / 255, frame.hatch[2] / 255);
      for (const tile of frame.tiles) drawTile(tile);
    },
    forget(key: string) {
      const texture = textures.get(key);
      if (!texture) return;
      gl.deleteTexture(texture);
      textures.delete(key);
    },
    dispose() {
      for (const texture of textures.values()) gl.deleteTexture(texture);
      textures.clear();
      gl.deleteTexture(lut);
      gl.deleteProgram(program);
      gl.getExtension('WEBGL_lose_context')?.loseContext();
    },
  };
}

function link(gl: WebGL2RenderingContext): WebGLProgram | null {
  const program = gl.createProgram();
  for (const [kind, source] of [
    [gl.VERTEX_SHADER, VERTEX],
    [gl.FRAGMENT_SHADER, FRAGMENT],
  ] as const) {
    const shader = gl.createShader(kind);
    if (!shader) return null;
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
    console.error(gl.getProgramInfoLog(program));
    return null;
  }
  return program;
}
